"""What a provider's refusal or failure is to the caller, in whatever shape the vendor writes it."""

from __future__ import annotations

from typing import Any, TypeGuard

import msgspec

from ...exceptions import (
    GatewayError,
    ProviderRefusedError,
    UpstreamCredentialError,
    UpstreamError,
)
from ...wire.members import MALFORMED, encode

_ANY = msgspec.json.Decoder()
NOT_A_COMPLETION = "The provider's answer is not a chat completion."
_TYPES = {429: "rate_limit_error", 402: "insufficient_quota"}
_STATUSES = ("status", "status_code", "code")


def parse_error(status: int, body: bytes) -> GatewayError:
    """What a provider's refusal or failure is to the caller.

    4xx keeps its status, message, type and code; 401 and 403 are about our credential and show
    nothing of the answer; everything else is a failure of the provider.
    """
    error = _error_object(body)
    if not 400 <= status < 600:
        said = (error.get(name) for name in _STATUSES)
        status = next(filter(_is_status, said), 502)
    if status in (401, 403):
        return UpstreamCredentialError("The provider refused the gateway's credential for it.")
    message = error.get("message") or error.get("detail") or f"The provider answered {status}."
    if not isinstance(message, str):
        message = encode(message).decode()
    code = error.get("code")
    code = None if code is None else str(code)
    if not 400 <= status < 500:
        return UpstreamError(f"The provider failed ({status}): {message}")
    type = error.get("type")
    return ProviderRefusedError(
        message,
        status=status,
        type=type if isinstance(type, str) else _TYPES.get(status, "invalid_request_error"),
        param=param if isinstance(param := error.get("param"), str) else None,
        code=code,
        extra={
            name: value
            for name, value in error.items()
            if name not in ("message", "type", "param", "code")
        },
    )


def _is_status(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 400 <= value < 600


def _error_object(body: bytes) -> dict[str, Any]:
    """The error in any of the shapes vendors use: nested, flat, bare, or not JSON."""
    try:
        document = _ANY.decode(body)
    except MALFORMED:
        return {}
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return {}
    error = document.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, (str, list)):
        return {"message": error, "code": document.get("code")}
    return {k: document[k] for k in ("message", "type", "param", "code", "detail") if k in document}


def parse_refusal(body: bytes) -> GatewayError:
    """What a document under status 200 is, when it is no answer of the kind that was asked for."""
    return parse_error(200, body) if _error_object(body) else UpstreamError(NOT_A_COMPLETION)
