"""Everything that can go wrong, as one tree.

    WaystoneError
     ├─ ConfigurationError                 at start, never during a request
     ├─ CallerLeft                         the caller is gone: nothing is sent
     └─ GatewayError                       answered in OpenAI's error form
         ├─ InvalidRequestError       400  invalid_request_error
         │   ├─ AmbiguousModelError   400  ambiguous_model
         │   ├─ ModelNotFoundError    404  model_not_found
         │   ├─ NotFoundError         404  unknown path
         │   ├─ MethodNotAllowedError 405  Allow
         │   └─ RequestTooLargeError  413  request_too_large
         ├─ AuthenticationError       401  invalid_api_key, WWW-Authenticate
         ├─ PermissionDeniedError     403  permission_error
         │   └─ BlockedError          403  blocked_by_rule
         ├─ RateLimitError            429  rate_limit_exceeded, Retry-After
         │   └─ InsufficientQuotaError 429 insufficient_quota, Retry-After
         ├─ OverloadedError           503  overloaded, Retry-After
         │   └─ CountersUnavailableError   a limit that fails closed cannot be checked
         ├─ InternalError             500  a bug, or a host's hook that failed
         └─ UpstreamError             502  upstream_error
             ├─ UpstreamTimeoutError  504  upstream_timeout
             ├─ UpstreamCredentialError 502  upstream_authentication
             └─ ProviderRefusedError  4xx  the provider's own status, message, type and code

Statuses, types and codes are those of OpenAI's API reference, so that every official client raises
the exception its users expect. A message never contains a credential or a body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil
from typing import Literal

_TOO_LONG = re.compile(
    r"context.(length|limit|window)|too many (input )?tokens|(prompt|input) is too long"
    r"|maximum (number of|input) tokens|exceeds? the (maximum|model).*tokens",
    re.IGNORECASE,
)

Headers = tuple[tuple[bytes, bytes], ...]


class WaystoneError(Exception):
    """Root of every exception that this package raises on purpose."""


class ConfigurationError(WaystoneError):
    """The gateway cannot be built or started so; the message says what would be right."""


class CallerLeft(WaystoneError):
    """The caller closed the connection before the answer was complete."""


class GatewayError(WaystoneError):
    """A refusal or failure that is answered with a status and OpenAI's error object."""

    status = 500
    type = "api_error"
    code: str | None = None
    outcome: Literal["error", "blocked"] = "error"
    """What the usage record says of a request that ends so."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        self.headers = headers
        self.extra: Mapping[str, object] = {}

    @property
    def error_type(self) -> str:
        """The low-cardinality name under which records and metrics count this error."""
        return self.code or self.type


class InvalidRequestError(GatewayError):
    """The request is not what the API takes; `param` is the path of the offending field."""

    status = 400
    type = "invalid_request_error"


class AmbiguousModelError(InvalidRequestError):
    """A bare model name that several providers have; the message lists the full names."""

    code = "ambiguous_model"


class ModelNotFoundError(InvalidRequestError):
    """No provider has the model, or this caller may not use it."""

    status = 404
    code = "model_not_found"


class NotFoundError(InvalidRequestError):
    """No operation has this path."""

    status = 404


class MethodNotAllowedError(InvalidRequestError):
    """The path exists and takes other methods, which `Allow` lists."""

    status = 405

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message, headers=((b"allow", allow.encode()),))


class RequestTooLargeError(InvalidRequestError):
    """The body is longer than `max_body_bytes`, or the metadata of a user or group than 64 KiB."""

    status = 413
    code = "request_too_large"


class AuthenticationError(GatewayError):
    """The credential is missing or unknown (RFC 9110, section 11.6.1)."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"

    def __init__(self, message: str = "The API key is missing or not valid.") -> None:
        super().__init__(message, headers=((b"www-authenticate", b"Bearer"),))


class PermissionDeniedError(GatewayError):
    """The caller is known and may not do this."""

    status = 403
    type = "permission_error"


class BlockedError(PermissionDeniedError):
    """A rule blocks the request, whatever was used; the message is the rule's own."""

    code = "blocked_by_rule"
    outcome = "blocked"


class RateLimitError(GatewayError):
    """A rule allows no more requests or tokens for now; `Retry-After` is in whole seconds."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    outcome = "blocked"

    def __init__(self, message: str, *, retry_after: float = 1) -> None:
        seconds = max(1, ceil(retry_after))
        super().__init__(message, headers=((b"retry-after", b"%d" % seconds),))


class InsufficientQuotaError(RateLimitError):
    """A rule allows no more spending for now."""

    type = "insufficient_quota"
    code = "insufficient_quota"


class OverloadedError(GatewayError):
    """Too much in flight, or the gateway is draining; `Retry-After` is in whole seconds."""

    status = 503
    code = "overloaded"

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message, headers=((b"retry-after", b"%d" % retry_after),))


class CountersUnavailableError(OverloadedError):
    """The counters cannot be reached, and a limit is to refuse rather than pass for so long."""


class InternalError(GatewayError):
    """A bug in the gateway or in a hook of the host; the log has the traceback."""

    code = "internal_error"


class UpstreamError(GatewayError):
    """The provider failed or cannot be reached."""

    status = 502
    code: str | None = "upstream_error"


class UpstreamTimeoutError(UpstreamError):
    """The provider was too slow; the message names the timer that ran out."""

    status = 504
    code = "upstream_timeout"


class UpstreamCredentialError(UpstreamError):
    """The provider refused the credential that this gateway has for it (401 or 403)."""

    code = "upstream_authentication"


class ProviderRefusedError(UpstreamError):
    """The provider answered 4xx: its status, message, type and code are passed on."""

    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int,
        type: str,
        param: str | None = None,
        code: str | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.status = status
        self.type = type
        self.extra = extra or {}

    @property
    def too_long(self) -> bool:
        """Whether the refusal is that of a context window; not every vendor has a code for it."""
        return self.code == "context_length_exceeded" or (
            self.status in (400, 413, 422) and _TOO_LONG.search(self.message) is not None
        )
