"""What the model said before, on its way back: its parts in their order, with their signatures.

In: a message of role assistant, of this dialect or of any other. Out: the parts of a turn.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from ...exceptions import InvalidRequestError
from ...wire.chat import Said
from ...wire.conversations import FunctionCall as CalledFunction
from ...wire.conversations import Message, ToolCall
from ...wire.fields import Fields
from ...wire.gemini.contents import FunctionCall, Part, Raw
from ...wire.members import MALFORMED, encode
from .calls import given_id
from .media import write_part, write_parts

_OBJECT = msgspec.json.Decoder(dict[str, Any])
# For calls that another model made, which have no signature and are refused without (Gemini 3):
# ai.google.dev/gemini-api/docs/thought-signatures.
_NOT_SIGNED = "skip_thought_signature_validator"
_SIGNED_SINCE = (3, 0)


class _Google(Said, Struct):
    """What stands in `extra_content.google`."""

    thought_signature: str | None = None
    parts: list[Part] | None = None


class _Extra(Said, Struct):
    google: _Google = field(default_factory=_Google)


_EXTRA = msgspec.json.Decoder(_Extra)


def write_turn(
    message: Message, where: str, fields: Fields, generation: tuple[int, int]
) -> list[Part]:
    """The parts of a message. Raises `InvalidRequestError`."""
    google = _google(message.extra_content, where)
    if google.parts is not None and _say_the_same(google.parts, message):
        return google.parts
    parts = []
    if message.reasoning_content and not message.reasoning_details:
        # Blocks with details are another provider's, signed for it.
        parts.append(Part(text=message.reasoning_content, thought=True))
    parts += _write_content(message, where, fields, google.thought_signature)
    for number, image in enumerate(message.images or ()):
        place = f"{where}.images[{number}]"
        part = write_part(image, place, fields)
        part.thought_signature = _google(image.extra_content, place).thought_signature
        parts.append(part)
    calls = _write_calls(message, where)
    if calls and calls[0].thought_signature is None and generation >= _SIGNED_SINCE:
        calls[0].thought_signature = _NOT_SIGNED
    return parts + calls


def _google(extra_content: object, where: str) -> _Google:
    if extra_content is None:
        return _Google()
    try:
        return _EXTRA.decode(encode(extra_content)).google
    except MALFORMED as error:
        where = f"{where}.extra_content"
        raise InvalidRequestError(f"{where}: {error}.", param=where) from None


def _say_the_same(parts: list[Part], message: Message) -> bool:
    """Whether the caller has left what the model said as it was."""
    texts = [part.text for part in parts if part.text and not part.thought]
    calls = [part.function_call.name for part in parts if part.function_call is not None]
    said = [call.function.name for call in message.tool_calls or ()]
    return "".join(texts) == message.text and calls == said


def _write_content(
    message: Message, where: str, fields: Fields, signature: str | None
) -> list[Part]:
    parts = write_parts(message.parts, f"{where}.content", fields)
    if message.refusal:
        parts.append(Part(text=message.refusal))
    if signature is not None:
        if not parts:
            parts.append(Part(text=""))
        parts[-1].thought_signature = signature
    return parts


def _write_calls(message: Message, where: str) -> list[Part]:
    if message.function_call is not None:
        return [_write_call(message.function_call, None, f"{where}.function_call")]
    parts = []
    for number, call in enumerate(message.tool_calls or ()):
        place = f"{where}.tool_calls[{number}]"
        part = _write_call(_function_of(call, place), given_id(call.id), f"{place}.function")
        part.thought_signature = _google(call.extra_content, place).thought_signature
        parts.append(part)
    return parts


def _function_of(call: ToolCall, where: str) -> CalledFunction:
    if call.type != "function":
        raise InvalidRequestError(
            f"{where}.type: Gemini calls functions only.", param=f"{where}.type"
        )
    return call.function


def _write_call(called: CalledFunction, id: str | None, where: str) -> Part:
    arguments = called.arguments or "{}"
    try:
        _OBJECT.decode(arguments)
    except MALFORMED:
        where = f"{where}.arguments"
        raise InvalidRequestError(f"{where}: Expected a JSON object.", param=where) from None
    return Part(function_call=FunctionCall(called.name, Raw(arguments.encode()), id))
