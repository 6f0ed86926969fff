"""What dialects ask of the messages of a request, whatever they then write.

In: messages as `wire.conversations` reads them. Out: the same, or names and paths.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Sequence
from hashlib import sha256
from typing import NoReturn

from ..exceptions import InvalidRequestError
from ..wire.conversations import Message, Part, ToolCall
from ..wire.fields import Fields

_LOST = ("name", "cache_control", "audio", "is_error")


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


def note_foreign(messages: Sequence[Message], fields: Fields, own: str | None = None) -> None:
    """Drop by name what is said to another provider: what only that one needs to continue.

    `own` is the member of `extra_content` that is read here.
    """
    for message in messages:
        if _is_foreign(message.extra_content, own):
            fields.drop("messages[].extra_content")
        if any(_is_foreign(call.extra_content, own) for call in message.tool_calls or ()):
            fields.drop("messages[].tool_calls[].extra_content")
        if any(part.prompt_cache_breakpoint is not None for part in message.parts):
            fields.drop("messages[].content[].prompt_cache_breakpoint")


def _is_foreign(extra: object, own: str | None) -> bool:
    return isinstance(extra, dict) and any(name != own and said for name, said in extra.items())


def note_lost(messages: Sequence[Message], fields: Fields, form: str | None = None) -> None:
    """Drop by name what a provider cannot take that knows text, calls and reasoning only.

    `form` is the format of the details of reasoning that are read here.
    """
    for message in messages:
        for name in _LOST:
            if getattr(message, name):
                fields.drop(f"messages[].{name}")
        if any(form is None or detail.format != form for detail in message.reasoning_details or ()):
            fields.drop("messages[].reasoning_details")
        if any(part.cache_control is not None for part in message.parts):
            fields.drop("messages[].content[].cache_control")
        if message.images:
            fields.drop("messages[].images")


def called(messages: Sequence[Message]) -> dict[str, str]:
    """The name of the function in each call, by the call's id."""
    return {call.id: call.function.name for m in messages for call in m.tool_calls or ()}


def refuse_part(part: Part, path: str, taken: str) -> NoReturn:
    """Raise `InvalidRequestError` for a content part of a type that the provider does not take."""
    refuse(f"{path}.type", f"{part.type!r} is not taken by the provider, which takes {taken}")


class CallIds:
    """The ids of calls as a provider takes them: in its characters, and none of them twice.

    Other providers, whose calls stand in the history, know neither rule. The provider's own ids are
    right as they are.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self._written: Counter[str] = Counter()
        self._open: dict[str, deque[str]] = {}

    def begin(self) -> None:
        """Another answer begins: the calls before it can come to nothing any more."""
        self._open.clear()

    def call(self, id: str) -> str:
        """The id of one more call."""
        own = id if id.startswith(_OWN_IDS) else self._write(id)
        self._open.setdefault(id, deque()).append(own)
        return own

    def result(self, id: str) -> str | None:
        """The id of the call that came to something, or None where there is none."""
        found = self._open.get(id)
        return found.popleft() if found else None

    def _write(self, id: str) -> str:
        known = self._pattern.fullmatch(id)
        own = id if known else f"call_{sha256(id.encode()).hexdigest()[:32]}"
        self._written[own] += 1
        count = self._written[own]
        return own if count == 1 else f"{own[:_MOST_OF_AN_ID]}_{count}"


_OWN_IDS = ("toolu_", "tooluse_")  # Of Claude, and of Bedrock.
_MOST_OF_AN_ID = 54  # Of 64, of which a number may need some.
