"""A conversation as the provider takes it: the system prompt, and turns that alternate.

In: messages in OpenAI's form. Out: the system prompt and the turns. The results of tools are the
user's, and what one side says in several messages is one turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...wire.anthropic import (
    Block,
    CacheControl,
    Content,
    DocumentBlock,
    ImageBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
)
from ...wire.conversations import Message
from ...wire.fields import Fields
from ..histories import CallIds
from .models import Traits
from .parts import refuse
from .replies import blocks_of, is_reasoning, without_blanks, write_content, write_reply

_ID = r"[a-zA-Z0-9_-]+"


class Conversation:
    """What the provider is told of the messages that were added.

    System messages in the middle wait for the end of the user's turn, behind which they have to
    stand. Where the model or their place does not allow that, they join the system prompt, as they
    do in the provider's own endpoint for OpenAI's clients: then their place is lost.
    """

    def __init__(self, fields: Fields, traits: Traits) -> None:
        self.turns: list[Turn] = []
        self._fields = fields
        self._traits = traits
        self._system: list[Content] = []
        self._later: list[Block] = []
        self._ids = CallIds(_ID)

    @property
    def system(self) -> Content | None:
        """The system prompt; a string if it is one."""
        if len(self._system) < 2:
            return self._system[0] if self._system else None
        return [block for content in self._system for block in blocks_of(content)]

    @property
    def is_unproved(self) -> bool:
        """Whether the model goes on from an answer of which no reasoning is kept: one that has not
        ended, or whose calls have come to something.
        """
        answer = self.turns[-1]
        if answer.role != "assistant":
            if not any(isinstance(block, ToolResultBlock) for block in blocks_of(answer.content)):
                return False
            answer = self.turns[-2]
        return not is_reasoning(blocks_of(answer.content)[0])

    def add(self, messages: Sequence[Message]) -> None:
        """Take all messages. Raises `InvalidRequestError` with the path of what cannot be said."""
        for index, message in enumerate(messages):
            path = f"messages[{index}]"
            if message.name is not None and message.role != "function":
                self._fields.drop("messages[].name")
            content = self._cached(self._write(message, path), message)
            if not content:
                continue
            if message.role in ("system", "developer"):
                self._add_system(content, path)
            else:
                role = "assistant" if message.role == "assistant" else "user"
                self._add_turn(role, content)
        self._place_later()
        if not self.turns:
            refuse("messages", "the provider needs one that is not a system's or a developer's")

    def _write(self, message: Message, path: str) -> Content:
        if message.role == "assistant":
            return without_blanks(write_reply(message, path, self._fields), self._fields)
        content = without_blanks(write_content(message, path, self._fields), self._fields)
        if message.role not in ("tool", "function"):
            return content
        # A function has no id; its name stood for one in the call.
        said = message.tool_call_id if message.role == "tool" else message.name or ""
        if (id := self._ids.result(said)) is None:
            refuse(f"{path}.tool_call_id", "the answer before has no call with this id")
        control = _lift_cache_control(content)
        return [ToolResultBlock(id, content or None, message.is_error, control)]

    def _cached(self, content: Content, message: Message) -> Content:
        """The content with the message's `cache_control` on its last block."""
        if message.cache_control is None or not content:
            return content
        blocks = blocks_of(content)
        last = blocks[-1]
        if isinstance(last, ThinkingBlock | RedactedThinkingBlock | dict):
            self._fields.drop("messages[].cache_control")
        else:
            last.cache_control = message.cache_control
        return blocks

    def _add_system(self, content: Content, path: str) -> None:
        blocks = blocks_of(content)
        if not all(isinstance(block, TextBlock) for block in blocks):
            refuse(f"{path}.content", "only text can be told to the provider so")
        if self.turns:
            self._later += blocks
        else:
            self._system.append(content)

    def _add_turn(self, role: str, content: Content) -> None:
        if role == "assistant":
            self._place_later()
        goes_on = bool(self.turns) and self.turns[-1].role == role
        if role == "assistant":
            self._name_calls(content, goes_on=goes_on)
        if goes_on:
            last = self.turns[-1]
            last.content = [*blocks_of(last.content), *blocks_of(content)]
        else:
            self.turns.append(Turn(role, content))

    def _name_calls(self, content: Content, *, goes_on: bool) -> None:
        if not goes_on:
            self._ids.begin()
        for block in blocks_of(content):
            if isinstance(block, ToolUseBlock):
                block.id = self._ids.call(block.id)
            elif isinstance(block, dict) and block.get("type") == "tool_use":
                block["id"] = self._ids.call(str(block.get("id", "")))

    def _place_later(self) -> None:
        if not self._later:
            return
        if self._traits.told_later and self.turns[-1].role == "user":
            self.turns.append(Turn("system", self._later))
        else:
            self._system.append(self._later)
            self._fields.drop("messages[].role")
        self._later = []


def _lift_cache_control(content: Content) -> CacheControl | None:
    """That of the last block that has one: a result takes it, and nothing within."""
    lifted = None
    for block in blocks_of(content):
        if isinstance(block, TextBlock | ImageBlock | DocumentBlock) and block.cache_control:
            lifted, block.cache_control = block.cache_control, None
    return lifted
