"""Requests as most clients write them, read in one pass over their bytes.

In: a body. Out: its `PlainRequest`, in which all is right that is checked; of what is said in it
nothing is decoded or copied. It says no word of what is wrong elsewhere: `requests` does.

Written again without white space, a request is as long as it was only where no member was left
out, no key stood twice, and no key was longer than it need be: encoding makes no part of it longer.
A fraction it might, so that is carried as it was written.
"""

from __future__ import annotations

import struct
from math import isfinite
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from .chat import ABSENT, DOCUMENT, ChatCompletionRequest, Said
from .messages import PARTS, TOOL_PARTS

LONG = 65536
"""The length from which on a body is carried without a look at its text: whether all of that is
UTF-8, and none of its numbers beyond a computer's, is left to the provider, who reads it."""

_NULL = Raw(b"null")
_QUOTE, _BRACKET, _N = b'"[n'
_first = struct.Struct("B").unpack_from
_Whole = Annotated[int, Meta(gt=0, lt=1 << 53)]


class Message(Said, Struct, omit_defaults=True, gc=False):
    """One message, with what clients send back of answers that they got."""

    role: Literal["developer", "system", "user", "assistant", "function", "tool"]
    content: Raw = _NULL
    name: str | UnsetType | None = UNSET
    tool_call_id: str | UnsetType | None = UNSET
    tool_calls: list[Any] | UnsetType | None = UNSET
    function_call: Any = UNSET
    refusal: Any = UNSET
    annotations: Any = UNSET
    audio: Any = UNSET
    contents: Any = UNSET
    reasoning_content: Any = UNSET


class PlainRequest(ChatCompletionRequest, kw_only=True, omit_defaults=True, gc=False):
    """The view, what else is checked, and what clients most often send beside it."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    temperature: Raw = ABSENT
    max_completion_tokens: _Whole | None = None
    frequency_penalty: Raw = ABSENT
    n: _Whole | None = None
    presence_penalty: Any = UNSET
    reasoning_effort: Any = UNSET
    response_format: Any = UNSET
    seed: Any = UNSET
    stop: Any = UNSET
    tool_choice: Any = UNSET
    tools: Any = UNSET
    top_p: Any = UNSET


def _fraction(text: str) -> Raw:
    """An untyped number that is no integer, as it is written."""
    if not isfinite(float(text)):
        raise ValueError
    return Raw(text.encode())


PLAIN = msgspec.json.Decoder(PlainRequest, float_hook=_fraction)
DEFAULTS = {
    field.name: field.default
    for field in msgspec.structs.fields(PlainRequest)
    if not field.required
}
"""What stands in the view for a member that is not there."""

FIELDS = DEFAULTS.keys() | {"model", "messages"}


def inspect(request: PlainRequest, *, carried: bool) -> int | None:
    """Look at what the types of a request do not tell; None where something is wrong.

    What is `carried` is not looked at: it is taken out of the messages, and how much shorter that
    makes them in writing is returned. Raises one of `MALFORMED`, or `ValueError`, for what is no
    number or value.
    """
    taken = 0
    for message in request.messages:
        content = message.content
        (kind,) = _first(content)
        if (kind != _QUOTE or message.role == "tool") and not _is_right(message, kind, carried):
            return None
        if carried and content is not _NULL:
            taken += len(content) + len(b',"content":')
            message.content = _NULL
    if request.temperature and not 0 <= float(request.temperature) <= 2:
        return None
    penalty = request.frequency_penalty
    return taken if not penalty or -2 <= float(penalty) <= 2 else None


def _is_right(message: Message, kind: int, carried: bool) -> bool:
    """Whether the content of a message is one, where it is no string or the message a tool's."""
    is_tool = message.role == "tool"
    if is_tool and not isinstance(message.tool_call_id, str):
        return False
    if kind == _N:
        is_call = message.tool_calls or message.function_call not in (None, UNSET)
        return message.role == "assistant" and bool(is_call)
    if kind == _BRACKET:
        if not carried:
            DOCUMENT.decode(message.content)
        parts: list[Any] = (TOOL_PARTS if is_tool else PARTS).decode(message.content)
        return str not in map(type, parts)  # Providers take no strings here.
    return kind == _QUOTE
