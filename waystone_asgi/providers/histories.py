"""What dialects ask of the messages of a request, whatever they then write.

In: messages as `wire.conversations` reads them. Out: the same, or names and paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ..exceptions import InvalidRequestError
from ..wire.conversations import Message, Part, ToolCall
from ..wire.fields import Fields

_LOST = ("name", "cache_control", "audio")


def refuse(path: str, what: str) -> NoReturn:
    """Raise `InvalidRequestError` for what stands at the path."""
    raise InvalidRequestError(f"{path}: {what}.", param=path)


def modernise(messages: Sequence[Message]) -> None:
    """Write function calls and their results, which OpenAI deprecates, as tool calls and theirs.

    They have no ids: what follows a call is its result.
    """
    for message in messages:
        if message.function_call is not None:
            call = message.function_call
            message.tool_calls = [ToolCall(id=f"call_{call.name}", function=call)]
            message.function_call = None
        elif message.role == "function":
            message.role, message.tool_call_id = "tool", f"call_{message.name}"
            message.name = None


def note_lost(messages: Sequence[Message], fields: Fields) -> None:
    """Drop by name what a provider cannot take that knows text, calls and reasoning only."""
    for message in messages:
        for name in _LOST:
            if getattr(message, name) is not None:
                fields.drop(f"messages[].{name}")
        if any(part.cache_control is not None for part in message.parts):
            fields.drop("messages[].content[].cache_control")


def called(messages: Sequence[Message]) -> dict[str, str]:
    """The name of the function in each call, by the call's id."""
    return {call.id: call.function.name for m in messages for call in m.tool_calls or ()}


def refuse_part(part: Part, path: str, taken: str) -> NoReturn:
    """Raise `InvalidRequestError` for a content part of a type that the provider does not take."""
    refuse(f"{path}.type", f"{part.type!r} is not taken by the provider, which takes {taken}")
