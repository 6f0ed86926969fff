"""Requests to Google Cloud, with the access tokens of Google's credentials.

In: a credentials file, or the environment. Out: tokens, which `google-auth` gets, with little
patience and without trying again: those who wait have timers and attempts of their own.

What Google says of a failure may repeat what it was sent. No error quotes it, but for the codes of
OAuth (RFC 6749, section 5.2; RFC 8693, section 2.2.2).
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError, UpstreamCredentialError, UpstreamError
from .bearer import BearerUpstream, Token
from .blocking import Reply, exchange

if TYPE_CHECKING:
    from ..types import Upstream

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

_SECONDS = 10.0  # for one request and its answer
_BUSY = (408, 429)
_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_NEEDED = {
    "authorized_user": ("client_id", "client_secret", "refresh_token"),
    "external_account": ("audience", "credential_source", "subject_token_type", "token_url"),
    "external_account_authorized_user": (
        "client_id",
        "client_secret",
        "refresh_token",
        "token_url",
    ),
    "impersonated_service_account": ("service_account_impersonation_url", "source_credentials"),
    "service_account": ("client_email", "private_key", "token_uri"),
}
_CODES = (
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_request",
)


class GoogleUpstream(BearerUpstream):
    """An `Upstream` over `inner`, which it closes, with access tokens of Google's.

    `credentials` is a file's path. Without one they are the environment's: the file that
    `GOOGLE_APPLICATION_CREDENTIALS` names, gcloud's, or those of the machine that it runs on. A
    file is read at once, and nothing is asked of the network before the first request. Raises
    `ConfigurationError`.
    """

    def __init__(
        self,
        inner: Upstream,
        credentials: str | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(inner, _Source(open_credentials(credentials)).fetch, now=now)


def open_credentials(path: str | None) -> Any:
    """google-auth's credentials of a file, or None where there is none and others are to be found.

    Raises `ConfigurationError` that says what is wrong with the file, and shows nothing of it.
    """
    auth = _library()
    path = path or os.environ.get(_VARIABLE)
    if not path:
        return None
    info = _read(path)
    with warnings.catch_warnings():
        # It warns of files that strangers wrote. This one is the host's own.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            # Without scopes nothing is requested.
            credentials, _ = auth.load_credentials_from_dict(info, request=object())
        except Exception:
            credentials = None
    if credentials is None:
        raise _invalid(path, f"a value in it is not valid for {info['type']}")
    return auth.credentials.with_scopes_if_required(credentials, [SCOPE])


def _library() -> Any:
    try:
        import google.auth.credentials
    except ImportError as error:
        raise ConfigurationError(
            "Google's credentials need more packages: pip install 'waystone-asgi[vertex]'."
        ) from error
    return google.auth


def _read(path: str) -> dict[str, Any]:
    info = None
    try:
        info = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise _invalid(path, error.strerror or type(error).__name__) from None
    except (ValueError, RecursionError):
        pass  # The error has the whole file with it.
    if not isinstance(info, dict):
        raise _invalid(path, "it is not a JSON object")
    kind = info.get("type")
    if not isinstance(kind, str) or kind not in _NEEDED:
        raise _invalid(path, f'its "type" is none of {", ".join(_NEEDED)}')
    if missing := [name for name in _NEEDED[kind] if not info.get(name)]:
        raise _invalid(path, f"its type {kind} needs {', '.join(missing)}")
    return info


def _invalid(path: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"The Google credentials {path} cannot be used: {reason}.")


class _Source:
    """Fetches tokens; None finds its credentials when the first is fetched."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def fetch(self) -> Token:
        """A new token. Raises `UpstreamError` and its kinds, with nothing of google-auth's."""
        http = HTTP()
        try:
            return self._fetch(http)
        except Exception as error:
            failure = _failure(error, http.failure)
        raise failure

    def _fetch(self, http: HTTP) -> Token:
        if self._credentials is None:
            self._credentials = _found(http)
        credentials = self._credentials
        credentials.refresh(http)
        headers: dict[str, str] = {}
        credentials.apply(headers)
        expiry = credentials.expiry
        return Token(
            headers=tuple((name.lower().encode(), headers[name].encode()) for name in headers),
            expires=expiry.replace(tzinfo=UTC).timestamp() if expiry else inf,
        )


def _found(http: HTTP) -> Any:
    auth = _library()
    try:
        credentials, _ = auth.default(scopes=[SCOPE], request=http)
    except auth.exceptions.DefaultCredentialsError:
        raise UpstreamCredentialError(
            f"There are no Google credentials: name a file as credentials or in {_VARIABLE}."
        ) from None
    return credentials


def _failure(error: Any, unreached: str | None) -> UpstreamError:
    if isinstance(error, UpstreamError):
        return error
    if unreached:
        return UpstreamError(f"Google's token server cannot be reached ({unreached}).")
    if isinstance(error, _library().exceptions.GoogleAuthError) and not error.retryable:
        code = next((code for code in _CODES if code in str(error.args)), None)
        said = f" ({code})" if code else ""
        return UpstreamCredentialError(f"Google refuses the gateway's credentials{said}.")
    return UpstreamError(f"Google gives no access token ({type(error).__name__}).")


class HTTP:
    """What google-auth sends requests with (`google.auth.transport.Request`).

    `failure` says why the last one had no answer. One that may be sent again has none: google-auth
    would sleep in between.
    """

    def __init__(self) -> None:
        self.failure: str | None = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        cert: tuple[str, str] | None = None,
    ) -> Reply:
        """Send a request; raises google-auth's `TransportError`."""
        reply = None
        seconds = min(timeout or _SECONDS, _SECONDS)
        try:
            reply = exchange(method, url, headers=headers, body=body, cert=cert, seconds=seconds)
            busy = reply.status >= 500 or reply.status in _BUSY
            self.failure = f"status {reply.status}" if busy else None
        except Exception as error:
            self.failure = type(error).__name__
        if reply is None or self.failure:
            raise _library().exceptions.TransportError(self.failure)
        return reply
