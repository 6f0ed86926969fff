"""What a refusal or failure of Bedrock's is to the caller.

Its name is that of an AWS exception: in the header `x-amzn-errortype` of an answer, or in those of
a frame of a stream. The statuses are those of the service's model.
"""

from __future__ import annotations

from ...eventstream import Frame
from ...exceptions import (
    GatewayError,
    Headers,
    ProviderRefusedError,
    UpstreamCredentialError,
    UpstreamError,
)
from ...wire.bedrock import FAULT, Fault
from ...wire.members import MALFORMED

_STATUSES = {
    "AccessDeniedException": 403,
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}
_CREDENTIALS = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
_FAILED_MODEL = 424
_TYPES = {429: "rate_limit_error"}


def parse_error(status: int, body: bytes, headers: Headers) -> GatewayError:
    """What an answer with another status than 200 is."""
    fault = _decode(body)
    said = dict(headers).get(b"x-amzn-errortype", b"").decode("latin-1") or fault.type or ""
    # Both are followed or preceded by the place where the name is defined.
    name = said.partition(":")[0].rpartition("#")[2]
    if not 400 <= status < 600:
        status = _STATUSES.get(name, 502)
    return _error(status, name, fault)


def parse_exception(frame: Frame) -> GatewayError:
    """What a frame is that stands in the place of an event."""
    headers = frame.headers
    if headers.get(":message-type") == "error":
        fault = Fault(message=str(headers.get(":error-message", "")))
        name = str(headers.get(":error-code", ""))
    else:
        fault = _decode(frame.payload)
        name = str(headers.get(":exception-type", ""))
    name = name[:1].upper() + name[1:]  # In a stream they are members, and written as such.
    return _error(_STATUSES.get(name, 500), name, fault)


def _decode(body: bytes) -> Fault:
    try:
        return FAULT.decode(body)
    except MALFORMED:
        return Fault()


def _error(status: int, name: str, fault: Fault) -> GatewayError:
    message = fault.message or fault.capital or f"The provider answered {name or status}."
    if status in (401, 403) or name in _CREDENTIALS:
        return UpstreamCredentialError("The provider refused the gateway's credential for it.")
    original = fault.original_status_code
    if status == _FAILED_MODEL and original is not None and 400 <= original < 500:
        status = original  # It is the model that refuses, by way of Bedrock.
    if status == _FAILED_MODEL or not 400 <= status < 500:
        return UpstreamError(f"The provider failed ({status}): {message}")
    type = _TYPES.get(status, "invalid_request_error")
    return ProviderRefusedError(message, status=status, type=type, code=name or None)
