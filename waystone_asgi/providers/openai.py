"""OpenAI's dialect: the one that comes in, so that most bytes pass as they are.

In: a decoded request, or an answer's bytes. Out: the bytes to send, or the answer with what the
contract adds, and its `Usage`. No await, no client, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import msgspec

from ..exceptions import GatewayError, ProviderRefusedError, UpstreamCredentialError, UpstreamError
from ..records import BYTES_PER_TOKEN, Usage
from ..wire.chat import COMPLETION, ITEMS, USAGE, ChatCompletionMessage, Choice, Said
from ..wire.members import MALFORMED, Buffer, Changes, Members, decode_members, encode, splice
from ..wire.requests import ChatRequest
from .presets import Preset

_ANY = msgspec.json.Decoder()
_NULL = msgspec.Raw(b"null")
_TYPES = {429: "rate_limit_error", 402: "insufficient_quota"}
_NOT_A_COMPLETION = "The provider's answer is not a chat completion."
_NOTHING = (b"null", b"false", b"{}")
_STATUSES = ("status", "status_code", "code")


class Answer(Said, msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    refused = [name for name in request.members if name in preset.refuses]
    changes.update(dict.fromkeys(refused))
    if "metadata" not in changes and "waystone" in (request.view.metadata or ()):
        changes["metadata"] = _without_ours(bytes(request.members["metadata"]))
    if request.view.stream and preset.asks_for_usage:
        _ask_for_usage(request, changes)
    dropped = tuple(name for name in refused if _is_lost(request, name))
    return splice(request.document, request.members, changes), dropped


def _without_ours(metadata: bytes) -> bytes | None:
    """The metadata for the provider, or None where there is none."""
    members = decode_members(metadata)
    return splice(metadata, members, {"waystone": None}) if len(members) > 1 else None


def _is_lost(request: ChatRequest, name: str) -> bool:
    """Whether leaving the member out loses something the caller said."""
    if name == "metadata":
        return bool(set(request.view.metadata or ()) - {"waystone"})
    # Usage comes unasked where the option is refused; null, false and empty say nothing.
    return name != "stream_options" and bytes(request.members[name]) not in _NOTHING


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
        answer = COMPLETION.decode(body)
        choices = answer.choices
        if not choices:
            raise parse_refusal(body)
        for choice in choices:
            if choice.error is not None:
                raise parse_error(200, encode({"error": choice.error}))
        plain = body.count(b'"message"') == len(choices) and all(map(_takes_a_head, choices))
        created = answer.created if answer.created != _NULL else b"0"
        completed = (_insert if plain else _splice)(body, choices, created)
    except MALFORMED:
        raise UpstreamError(_NOT_A_COMPLETION) from None
    return Answer(
        body=completed,
        usage=parse_usage(answer.usage),
        response_id=_string(answer.id),
        response_model=_string(answer.model),
        finish_reasons=tuple([c.finish_reason for c in choices if _string(c.finish_reason)]),
        estimated_output_tokens=sum([len(c.message.content) for c in choices]) // BYTES_PER_TOKEN,
    )


def parse_refusal(body: bytes) -> GatewayError:
    """What a document under status 200 is, when it is no answer of the kind that was asked for."""
    return parse_error(200, body) if _error_object(body) else UpstreamError(_NOT_A_COMPLETION)


def _insert(body: bytes, choices: Sequence[Choice], created: Buffer) -> bytes:
    """The completed answer, where `"message"` stands for nothing but the messages.

    What a choice lacks goes before that key, what a message lacks behind its opening brace.
    """
    pieces: list[bytes] = []
    end = 0
    for choice in choices:
        key = body.index(b'"message"', end)
        start = body.index(b"{", key) + 1
        head, inner = _choice_head(choice, created), _message_head(choice.message)
        pieces += (body[end:key], head, body[key:start], inner)
        end = start
    pieces.append(body[end:])
    return b"".join(pieces)


def _splice(body: bytes, choices: Sequence[Choice], created: Buffer) -> bytes:
    """The completed answer, however it is written: each choice and message is taken apart."""
    pieces: list[bytes] = []
    end = 0
    for raw, choice in zip(ITEMS.decode(decode_members(body)["choices"]), choices, strict=True):
        text = bytes(raw)
        parts = decode_members(text)
        message = bytes(parts["message"])
        added = _members_of(_message_head(choice.message))
        if choice.message.annotations == _NULL:
            added["annotations"] = msgspec.Raw(b"[]")
        spliced = splice(message, decode_members(message), added)
        changes: Changes = {**_members_of(_choice_head(choice, created)), "message": spliced}
        start = body.index(text, end)
        pieces += (body[end:start], splice(text, parts, changes))
        end = start + len(text)
    pieces.append(body[end:])
    return b"".join(pieces)


def _takes_a_head(choice: Choice) -> bool:
    """Whether the message has a first member to stand before, and none to replace."""
    return choice.message.role is not None and choice.message.annotations != _NULL


def _members_of(head: bytes) -> Members:
    return decode_members(b"{%b}" % head.rstrip(b","))


def _choice_head(choice: Choice, created: Buffer) -> bytes:
    """The members that a choice lacks, each with its comma."""
    head = b"" if choice.created else b'"created":%b,' % created
    return head if choice.logprobs else head + b'"logprobs":null,'


def _message_head(message: ChatCompletionMessage) -> bytes:
    """The members that a message lacks, each with its comma."""
    head = b"" if message.contents else b'"contents":%b,' % message.content
    if not message.refusal:
        head += b'"refusal":null,'
    if not message.annotations:
        head += b'"annotations":[],'
    if not message.audio:
        head += b'"audio":null,'
    return head


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def parse_usage(raw: Buffer) -> Usage | None:
    """The tokens that a `usage` object names, with cache and reasoning as parts of the whole.

    Where vendors put the parts: `*_tokens_details` (OpenAI), `prompt_cache_hit_tokens` (DeepSeek),
    `num_cached_tokens` (Mistral), `cached_tokens` (Together). Reasoning stands beside the
    completion where the total says so (xAI), or where it is the larger (Vercel, whose price counts
    both). A cache that held more than was asked (Grok on Azure) is cut.
    """
    if not raw or raw == _NULL:
        return None
    try:
        usage = USAGE.decode(raw)
    except MALFORMED:
        return None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    input_tokens = _count(usage.prompt_tokens)
    output_tokens = _count(usage.completion_tokens)
    reasoning = _count(completion.reasoning_tokens) if completion else 0
    beside = usage.total_tokens == input_tokens + output_tokens + reasoning
    if beside or reasoning > output_tokens:
        output_tokens += reasoning
    cached = (
        (prompt and prompt.cached_tokens)
        or usage.prompt_cache_hit_tokens
        or usage.num_cached_tokens
        or usage.cached_tokens
    )
    written = (prompt and prompt.cache_write_tokens) or usage.cache_creation_input_tokens
    cache_read = min(_count(cached), input_tokens)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_input_tokens=cache_read,
        cache_write_input_tokens=min(_count(written), input_tokens - cache_read),
        reasoning_output_tokens=reasoning,
    )


def _count(value: float | None) -> int:
    return int(value) if value is not None and value > 0 else 0


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
