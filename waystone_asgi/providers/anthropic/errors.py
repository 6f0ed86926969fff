"""What the provider's refusal or failure is to the caller, also where no status comes with it."""

from __future__ import annotations

from ...exceptions import GatewayError, Headers
from ...wire.anthropic import ERROR
from ...wire.members import MALFORMED
from ..openai import parse_error as parse_any_error
from ..openai import parse_refusal as parse_any_refusal

# The status of each kind of error, by the provider's page on errors.
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def parse_error(status: int, body: bytes, headers: Headers = ()) -> GatewayError:
    """The error in a body, with the status that its kind has where none came with it."""
    if not 400 <= status < 600:
        status = _STATUSES.get(_kind(body) or "", 502)
    return parse_any_error(status, body)


def parse_refusal(body: bytes) -> GatewayError:
    """What a document under status 200 is, when it is no answer."""
    return parse_any_refusal(body) if _kind(body) is None else parse_error(200, body)


def _kind(body: bytes) -> str | None:
    try:
        return ERROR.decode(body).error.type
    except MALFORMED:
        return None
