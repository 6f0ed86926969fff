"""What Gemini's refusal or failure is to the caller.

Errors are `google.rpc.Status` objects, which streams without `alt=sse` put into a list
(google.aip.dev/193).
"""

from __future__ import annotations

from math import ceil
from typing import Any

import msgspec

from ...exceptions import (
    GatewayError,
    Headers,
    ProviderRefusedError,
    UpstreamCredentialError,
    UpstreamError,
)
from ...wire.gemini.answers import ErrorDetail, Status
from ...wire.members import MALFORMED
from ..openai import errors as openai

_ANY = msgspec.json.Decoder()
_BAD_KEYS = ("API_KEY_INVALID", "API_KEY_EXPIRED")
_RETRY_AFTER = b"retry-after"


def parse_error(status: int, body: bytes, headers: Headers) -> GatewayError:
    """What a refusal or failure is to the caller: its status, message, and name as the code.

    A key that is not valid is refused with 400. How long to wait is a detail of the body.
    """
    error = openai.parse_error(status, body)
    said = _status(body)
    details = _details(said.details)
    if any(detail.reason in _BAD_KEYS for detail in details):
        return UpstreamCredentialError("The provider refused the gateway's credential for it.")
    if isinstance(error, ProviderRefusedError) and isinstance(said.status, str):
        error.code = said.status
    if _RETRY_AFTER not in dict(headers):
        waits = [seconds for detail in details if (seconds := _seconds(detail.retry_delay))]
        error.headers += tuple((_RETRY_AFTER, b"%d" % seconds) for seconds in waits[:1])
    return error


def parse_refusal(body: bytes) -> GatewayError:
    """What a document under status 200 is, when it is no answer."""
    if _status(body) == Status():
        return UpstreamError("The provider's answer is not that of generateContent.")
    return parse_error(200, body, ())


def _status(body: bytes) -> Status:
    """The error in the body; an empty one where there is none."""
    try:
        document = _ANY.decode(body)
        if isinstance(document, list) and document:
            document = document[0]
        return msgspec.convert(document["error"], Status)
    except (*MALFORMED, KeyError, TypeError, IndexError):
        return Status()


def _details(details: Any) -> list[ErrorDetail]:
    try:
        return msgspec.convert(details or [], list[ErrorDetail])
    except MALFORMED:
        return []


def _seconds(delay: Any) -> int:
    """A duration as JSON has it, `"48s"` or `"1.5s"`, in whole seconds; 0 where it is none."""
    try:
        return max(0, ceil(float(str(delay).removesuffix("s"))))
    except (ValueError, OverflowError):
        return 0
