"""What a refusal or failure of Cohere's is to the caller."""

from __future__ import annotations

from ...exceptions import GatewayError, Headers, UpstreamError
from ...wire.cohere import REFUSAL
from ...wire.members import MALFORMED, encode
from ..openai.errors import parse_error as parse_openai_error

NOT_A_CHAT = "The provider's answer is not a chat."


def parse_error(status: int, body: bytes, headers: Headers) -> GatewayError:
    """The error with its status and message; its `error_type` is the code."""
    try:
        refusal = REFUSAL.decode(body)
    except MALFORMED:
        return parse_openai_error(status, b"")
    message = refusal.message if refusal.message is not None else refusal.data
    if status < 400 and message is None:
        return UpstreamError(NOT_A_CHAT)
    error = {"message": message, "code": refusal.error_type}
    if refusal.id is not None:
        error["id"] = refusal.id
    return parse_openai_error(status, encode({"error": error}))
