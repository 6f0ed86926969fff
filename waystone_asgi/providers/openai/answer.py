"""A whole answer, with the members that the contract promises; every other byte stays.

In: the provider's body. Out: an `Answer`, or the error that stands in its place.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...exceptions import UpstreamError
from ...records import BYTES_PER_TOKEN, Usage
from ...wire.chat import COMPLETION, ITEMS, ChatCompletionMessage, Choice, Said
from ...wire.members import MALFORMED, Buffer, Changes, Members, decode_members, encode, splice
from .errors import NOT_A_COMPLETION, parse_error, parse_refusal
from .tokens import parse_usage

_NULL = msgspec.Raw(b"null")
_KEY = b'"message"'


class Answer(Said, msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A whole answer: its bytes in OpenAI's form, and what the record takes from it."""

    body: bytes
    usage: Usage | None
    response_id: str | None
    response_model: str | None
    finish_reasons: tuple[str, ...]
    estimated_output_tokens: int


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
        created = answer.created if answer.created != _NULL else b"0"
        completed = _insert(body, choices, created) or _splice(body, choices, created)
    except MALFORMED:
        raise UpstreamError(NOT_A_COMPLETION) from None
    return Answer(
        body=completed,
        usage=parse_usage(answer.usage),
        response_id=_string(answer.id),
        response_model=_string(answer.model),
        finish_reasons=tuple([c.finish_reason for c in choices if _string(c.finish_reason)]),
        estimated_output_tokens=sum([len(c.message.content) for c in choices]) // BYTES_PER_TOKEN,
    )


def _insert(body: bytes, choices: Sequence[Choice], created: Buffer) -> bytes | None:
    """The completed answer, where the key of each message is plain to see; otherwise None.

    What a choice lacks goes before that key, what a message lacks behind its opening brace.
    """
    if body.count(_KEY) != len(choices):
        return None
    pieces: list[bytes] = []
    end = 0
    for choice in choices:
        key = body.index(_KEY, end)
        start = body.find(b"{", key) + 1
        if body[key + len(_KEY) : start].translate(None, b" \t\r\n") != b":{":
            return None
        message = choice.message
        if message.role is None or message.annotations == _NULL:
            return None  # There may be no first member to stand before, or there is one to replace.
        pieces += (body[end:key], _choice_head(choice, created))
        pieces += (body[key:start], _message_head(message))
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
