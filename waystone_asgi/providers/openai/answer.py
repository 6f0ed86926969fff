"""A whole answer, with the members that the contract promises; every other byte stays.

In: the provider's body. Out: an `Answer`, or the error that stands in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from ...exceptions import UpstreamError
from ...records import BYTES_PER_TOKEN
from ...wire.chat import (
    COMPLETION,
    ITEMS,
    UNCOUNTED,
    ChatCompletion,
    ChatCompletionMessage,
    Choice,
)
from ...wire.members import MALFORMED, Buffer, Members, decode_members, encode, splice
from ..dialects import Answer
from .errors import NOT_A_COMPLETION, parse_error, parse_refusal
from .tokens import count, decode_loosely

Pieces: TypeAlias = list[Buffer | memoryview]

_NULL = msgspec.Raw(b"null")
_KEY, _OPENING, _CONTENT = b'"message"', b'"message":{', b'"content":'
_LONG = 65536


def parse_response(body: bytes) -> Answer:
    """The answer with the members that the contract promises; every other byte stays.

    Raises `GatewayError` when the answer is not a completion, or is an error under status 200.
    """
    try:
        try:
            answer = COMPLETION.decode(body)
        except msgspec.ValidationError:
            answer = _decode_loosely(body)
        choices = answer.choices
        if not choices:
            raise parse_refusal(body)
        reasons: tuple[str, ...] = ()
        for choice in choices:
            if choice.error is not None:
                raise parse_error(200, encode({"error": choice.error}))
            reason = choice.finish_reason
            if reason and isinstance(reason, str):
                reasons += (reason,)
        created = answer.created if answer.created != _NULL else b"0"
        completed = (
            (len(choices) == 1 and _insert_one(body, choices[0], created))
            or _insert(body, choices, created)
            or _splice(body, choices, created)
        )
    except MALFORMED:
        raise UpstreamError(NOT_A_COMPLETION) from None
    usage = answer.usage
    return Answer(
        completed,
        None if usage is None else count(usage),
        answer.id or None,
        answer.model or None,
        reasons,
        0 if usage is not None else _estimate(choices),
    )


def _decode_loosely(body: bytes) -> ChatCompletion:
    """An answer whose id, model or usage are not what they should be."""
    answer = UNCOUNTED.decode(body)
    id, model = (value if isinstance(value, str) else None for value in (answer.id, answer.model))
    usage = decode_loosely(answer.usage)
    return ChatCompletion(answer.choices, id, model, answer.created, usage)


def _insert_one(body: bytes, choice: Choice, created: Buffer) -> bytes | None:
    """As `_insert`, for one choice; what a long message says is not searched."""
    message = choice.message
    if message.role is None or message.annotations == _NULL:
        return None
    if len(body) >= _LONG:
        return _insert_long(body, choice, created)
    head, opening, tail = body.partition(_OPENING)
    if not opening or body.count(_KEY) != 1:
        return None
    pieces: Pieces = [head]
    _complete_choice(pieces, choice, created)
    pieces.append(opening)
    _complete_message(pieces, message)
    pieces.append(tail)
    return b"".join(pieces)


def _insert_long(body: bytes, choice: Choice, created: Buffer) -> bytes | None:
    message = choice.message
    text = memoryview(body)
    key = body.find(_OPENING)
    start = key + len(_OPENING)
    said = body.find(_CONTENT, start) + len(_CONTENT)
    end = said + len(message.content)
    if (
        key < 0
        or msgspec.Raw(text[said:end]) != message.content
        or body.count(_KEY, 0, said) != 1
        or body.count(_KEY, end)
    ):
        return None
    pieces: Pieces = [text[:key]]
    _complete_choice(pieces, choice, created)
    pieces.append(_OPENING)
    _complete_message(pieces, message)
    pieces.append(text[start:])
    return b"".join(pieces)


def _insert(body: bytes, choices: Sequence[Choice], created: Buffer) -> bytes | None:
    """The completed answer, where the key of each message is plain to see; otherwise None.

    What a choice lacks goes before that key, what a message lacks behind its opening brace.
    """
    if body.count(_KEY) != len(choices):
        return None
    pieces: Pieces = []
    end = 0
    for choice in choices:
        key = body.index(_KEY, end)
        start = body.find(b"{", key) + 1
        if body[key + len(_KEY) : start].translate(None, b" \t\r\n") != b":{":
            return None
        message = choice.message
        if message.role is None or message.annotations == _NULL:
            return None  # There may be no first member to stand before, or there is one to replace.
        pieces.append(body[end:key])
        _complete_choice(pieces, choice, created)
        pieces.append(body[key:start])
        _complete_message(pieces, message)
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
        lacking: Pieces = []
        _complete_message(lacking, choice.message)
        added = _members_of(lacking)
        if choice.message.annotations == _NULL:
            added["annotations"] = msgspec.Raw(b"[]")
        changes: dict[str, Buffer] = {"message": splice(message, decode_members(message), added)}
        lacking = []
        _complete_choice(lacking, choice, created)
        changes.update(_members_of(lacking))
        start = body.index(text, end)
        pieces += (body[end:start], splice(text, parts, changes))
        end = start + len(text)
    pieces.append(body[end:])
    return b"".join(pieces)


def _members_of(pieces: Pieces) -> Members:
    return decode_members(b"{%b}" % b"".join(pieces).rstrip(b","))


def _complete_choice(pieces: Pieces, choice: Choice, created: Buffer) -> None:
    """Append the members that a choice lacks, each with its comma."""
    if not choice.created:
        pieces += (b'"created":', created, b",")
    if not choice.logprobs:
        pieces.append(b'"logprobs":null,')


def _complete_message(pieces: Pieces, message: ChatCompletionMessage) -> None:
    """Append the members that a message lacks, each with its comma."""
    if not message.contents:
        pieces += (b'"contents":', message.content, b",")
    if not message.refusal:
        pieces.append(b'"refusal":null,')
    if not message.annotations:
        pieces.append(b'"annotations":[],')
    if not message.audio:
        pieces.append(b'"audio":null,')


def _estimate(choices: Sequence[Choice]) -> int:
    return sum([len(choice.message.content) for choice in choices]) // BYTES_PER_TOKEN
