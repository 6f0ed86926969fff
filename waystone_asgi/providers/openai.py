"""OpenAI's dialect: the one that comes in, so that most bytes pass as they are.

In: a decoded request, or an answer's bytes. Out: the bytes to send, or the answer with what the
contract adds, and its `Usage`. No await, no client, no clock.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import msgspec

from ..exceptions import GatewayError, ProviderRefusedError, UpstreamCredentialError, UpstreamError
from ..records import BYTES_PER_TOKEN, Usage
from ..wire.chat import ITEMS
from ..wire.members import MALFORMED, Buffer, decode_members, encode, splice
from ..wire.requests import ChatRequest
from .presets import Preset

_ANY = msgspec.json.Decoder()
_MESSAGE_DEFAULTS = {"refusal": b"null", "annotations": b"[]", "audio": b"null"}
_TYPES = {429: "rate_limit_error", 402: "insufficient_quota"}
_MAX_MESSAGE = 2000


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer: its bytes in OpenAI's form, and what the record takes from it."""

    body: bytes
    usage: Usage | None
    response_id: str | None
    response_model: str | None
    finish_reasons: tuple[str, ...]
    estimated_output_tokens: int


def build_request(
    request: ChatRequest, model: str, preset: Preset
) -> tuple[bytes, tuple[str, ...]]:
    """The body for a provider of this dialect, and the names of the fields it does not take."""
    changes: dict[str, Buffer | None] = {**request.respelled, "model": encode(model)}
    dropped: list[str] = []
    members, view = request.members, request.view
    for name in preset.refuses:
        # What is null, false or empty says nothing, so nothing is lost with it.
        if name in members and name != "metadata":
            changes[name] = None
            if bytes(members[name]) not in (b"null", b"false", b"{}"):
                dropped.append(name)
    if view.metadata is not None:
        kept = len(view.metadata) - ("waystone" in view.metadata)
        if not kept and view.metadata:
            changes["metadata"] = None
        elif "metadata" in preset.refuses:
            changes["metadata"] = None
            dropped += ["metadata"] if kept else []
        elif "waystone" in view.metadata:
            metadata = bytes(members["metadata"])
            changes["metadata"] = splice(metadata, decode_members(metadata), {"waystone": None})
    if view.stream and preset.asks_for_usage:
        _ask_for_usage(request, changes)
    if "stream_options" in dropped:
        dropped.remove("stream_options")  # usage comes unasked
    return splice(request.document, members, changes), tuple(dropped)


def _ask_for_usage(request: ChatRequest, changes: dict[str, Buffer | None]) -> None:
    options = request.view.stream_options
    if options is None:
        changes["stream_options"] = b'{"include_usage":true}'
    elif not options.include_usage:
        document = bytes(request.members["stream_options"])
        changes["stream_options"] = splice(
            document, decode_members(document), {"include_usage": b"true"}
        )


def parse_response(body: bytes) -> Answer:
    """The answer with the members that the contract promises; every other byte stays.

    Raises `GatewayError` when the answer is not a completion, or is an error under status 200.
    """
    try:
        members = decode_members(body)
        if bytes(members.get("error", b"null")) != b"null" and "choices" not in members:
            raise parse_error(200, body)
        created = members.get("created")
        choices = [_complete(bytes(choice), created) for choice in ITEMS.decode(members["choices"])]
        answer = b"[" + b",".join([choice for choice, _ in choices]) + b"]"
        usage = _ANY.decode(members["usage"]) if "usage" in members else None
        return Answer(
            body=splice(body, members, {"choices": answer}),
            usage=parse_usage(usage),
            response_id=_string(members.get("id")),
            response_model=_string(members.get("model")),
            finish_reasons=tuple(reason for _, reason in choices if reason),
            estimated_output_tokens=len(answer) // BYTES_PER_TOKEN,
        )
    except (*MALFORMED, KeyError):
        raise UpstreamError("The provider's answer is not a chat completion.") from None


def _complete(choice: bytes, created: Buffer | None) -> tuple[bytes, str | None]:
    """A choice with what is always present, and its finish reason."""
    members = decode_members(choice)
    if bytes(members.get("error", b"null")) != b"null":
        raise parse_error(200, b'{"error":%b}' % bytes(members["error"]))
    changes: dict[str, Buffer | None] = {}
    raw = bytes(members["message"])
    message = decode_members(raw)
    added = {name: new for name, new in _MESSAGE_DEFAULTS.items() if name not in message}
    if "annotations" in message and bytes(message["annotations"]) == b"null":
        added["annotations"] = b"[]"
    if "contents" not in message:
        added["contents"] = bytes(message.get("content", b"null"))
    if added:
        changes["message"] = splice(raw, message, added)
    if "logprobs" not in members:
        changes["logprobs"] = b"null"
    if "created" not in members:
        changes["created"] = created or b"0"
    return splice(choice, members, changes), _string(members.get("finish_reason"))


def _string(raw: Buffer | None) -> str | None:
    value = None if raw is None else _ANY.decode(raw)
    return value if isinstance(value, str) and value else None


def parse_usage(usage: Any) -> Usage | None:
    """The tokens that a `usage` object names, with cache and reasoning as parts of the whole.

    Where vendors put the parts: `*_tokens_details` (OpenAI), `prompt_cache_hit_tokens` (DeepSeek),
    `num_cached_tokens` (Mistral), `cached_tokens` (Together). xAI counts reasoning beside the
    completion: its total says so.
    """
    if not isinstance(usage, dict):
        return None
    input_tokens = _count(usage, "prompt_tokens")
    output_tokens = _count(usage, "completion_tokens")
    prompt = usage.get("prompt_tokens_details")
    completion = usage.get("completion_tokens_details")
    reasoning = _count(completion, "reasoning_tokens")
    if reasoning and _count(usage, "total_tokens") == input_tokens + output_tokens + reasoning:
        output_tokens += reasoning
    cached = (
        _count(prompt, "cached_tokens")
        or _count(usage, "prompt_cache_hit_tokens")
        or _count(usage, "num_cached_tokens")
        or _count(usage, "cached_tokens")
    )
    cached = min(cached, input_tokens)
    written = _count(prompt, "cache_write_tokens") or _count(usage, "cache_creation_input_tokens")
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_input_tokens=cached,
        cache_write_input_tokens=min(written, input_tokens - cached),
        reasoning_output_tokens=min(reasoning, output_tokens),
    )


def _count(part: Any, name: str) -> int:
    value = part.get(name) if isinstance(part, dict) else None
    return int(value) if isinstance(value, (int, float)) and value > 0 else 0


def parse_error(status: int, body: bytes) -> GatewayError:
    """What a provider's refusal or failure is to the caller.

    4xx keeps its status, message, type and code; 401 and 403 are about our credential and show
    nothing of the answer; everything else is a failure of the provider.
    """
    error = _error_object(body)
    if not 400 <= status < 600:
        said = [s for s in (error.get("status"), error.get("code")) if _is_status(s)]
        status = said[0] if said else 502
    if status in (401, 403):
        return UpstreamCredentialError("The provider refused the gateway's credential for it.")
    message = error.get("message") or error.get("detail") or f"The provider answered {status}."
    if not isinstance(message, str):
        message = encode(message).decode()
    message = message[:_MAX_MESSAGE]
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
    """The error in any of the shapes vendors use: nested, flat, a bare string, or not JSON."""
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
    if isinstance(error, str):
        return {"message": error, "code": document.get("code")}
    return {k: document[k] for k in ("message", "type", "param", "code", "detail") if k in document}
