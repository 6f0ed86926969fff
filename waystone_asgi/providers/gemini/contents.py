"""The conversation as Gemini takes it: turns of two roles, and the instructions beside them.

In: OpenAI's messages. Out: contents, and the system instruction. Turns of one role that follow each
other are one, except the results of calls, which stand alone and in the order of their calls.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...exceptions import InvalidRequestError
from ...wire.conversations import Message
from ...wire.fields import Fields
from ...wire.gemini.contents import Content, FunctionResponse, Part, Raw
from ...wire.members import MALFORMED, encode
from .calls import given_id
from .media import write_parts
from .replay import write_turn

_OBJECT = msgspec.json.Decoder(dict[str, Any])
_SYSTEM = ("system", "developer")
_NAMED = ("tool", "function")  # Their name is that of the function.


def write_contents(
    messages: list[Message], fields: Fields, generation: tuple[int, int]
) -> tuple[list[Content], Content | None]:
    """The contents, and the system instruction if there is one. Raises `InvalidRequestError`."""
    conversation = _Conversation(fields, generation)
    for index, message in enumerate(messages):
        conversation.add(message, f"messages[{index}]")
    conversation.close_results()
    system = conversation.system
    return conversation.contents, Content(system) if system else None


class _Conversation:
    """Contents as they are written, and what later messages need of earlier ones."""

    def __init__(self, fields: Fields, generation: tuple[int, int]) -> None:
        self.contents: list[Content] = []
        self.system: list[Part] = []
        self._fields = fields
        self._generation = generation
        self._names: dict[str, tuple[int, str]] = {}
        self._results: list[tuple[int, Part]] = []

    def add(self, message: Message, where: str) -> None:
        """The next message."""
        self._note_losses(message)
        if message.role == "tool":
            return self._add_result(message, where)
        if message.role == "function":
            return self._results.append((0, _result(message.name or "", message)))
        self.close_results()
        if message.role == "assistant":
            parts = write_turn(message, where, self._fields, self._generation)
            self._note_calls(message)
            return self._say("model", parts)
        content = f"{where}.content"
        parts = write_parts(message.parts, content, self._fields)
        if message.role not in _SYSTEM:
            return self._say("user", parts)
        if any(part.text is None for part in parts):
            raise InvalidRequestError(f"{content}: Expected text only.", param=content)
        self.system += parts
        return None

    def close_results(self) -> None:
        """No more results of the last calls: they are said in the order of the calls."""
        if self._results:
            self._results.sort(key=lambda result: result[0])
            self.contents.append(Content([part for _, part in self._results], "user"))
            self._results = []

    def _add_result(self, message: Message, where: str) -> None:
        called = self._names.get(message.tool_call_id)
        if called is None:
            where = f"{where}.tool_call_id"
            raise InvalidRequestError(f"{where}: No call before has this id.", param=where)
        order, name = called
        id = given_id(message.tool_call_id)
        self._results.append((order, _result(name, message, id)))

    def _say(self, role: str, parts: list[Part]) -> None:
        last = self.contents[-1] if self.contents else None
        if last is not None and last.role == role and last.parts and not _is_result(last.parts[0]):
            last.parts += parts
        elif parts:
            self.contents.append(Content(parts, role))

    def _note_calls(self, message: Message) -> None:
        for call in message.tool_calls or ():
            self._names[call.id] = (len(self._names), call.function.name)

    def _note_losses(self, message: Message) -> None:
        if message.name is not None and message.role not in _NAMED:
            self._fields.drop("messages[].name")
        if message.cache_control is not None:
            self._fields.drop("messages[].cache_control")
        if message.audio is not None:
            self._fields.drop("messages[].audio")
        if message.reasoning_details:
            # They are signed for another provider.
            self._fields.drop("messages[].reasoning_details")


def _is_result(part: Part) -> bool:
    return part.function_response is not None


def _result(name: str, message: Message, id: str | None = None) -> Part:
    """What a call came to: an object is taken as it is, anything else is its `output`, or what
    went wrong its `error`.
    """
    text = message.text
    try:
        _OBJECT.decode(text)
        said: Raw | str = Raw(text.encode())
    except MALFORMED:
        said = text
    if message.is_error:
        response = Raw(encode({"error": said}))
    else:
        response = said if isinstance(said, Raw) else Raw(encode({"output": said}))
    return Part(function_response=FunctionResponse(name, response, id))
