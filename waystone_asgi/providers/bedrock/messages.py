"""The messages of a request as Converse has them: what is told beforehand, and turns.

In: messages in OpenAI's form. Out: a `Conversation`. Turns alternate, so that what follows in the
same role is one; results of tools are of the user's. Blank text is left out: Bedrock refuses it,
and it says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ...exceptions import InvalidRequestError
from ...wire.bedrock import ContentBlock, ToolUse
from ...wire.bedrock import Message as Turn
from ...wire.chat import DOCUMENT
from ...wire.conversations import FunctionCall, Message, Part, decode_messages
from ...wire.fields import Fields
from ...wire.members import MALFORMED
from ...wire.requests import ChatRequest
from ..histories import CallIds, note_foreign
from .blocks import is_served, read_blocks, read_extra
from .families import Family
from .media import audio_block, file_block, media_block
from .reasoning import write_reasoning

OWN = {
    "image": "image",
    "document": "document",
    "video": "video",
    "audio": "audio",
    "guardContent": "guard_content",
    "searchResult": "search_result",
    "cachePoint": "cache_point",
}
"""Parts that are Converse's own blocks: the member of that name passes as it is."""

_ID = r"[a-zA-Z0-9_.:-]{1,64}"
_ARGUMENTS = msgspec.json.Decoder(dict[str, Any])
_TTLS = ("5m", "1h")
_LONGEST_NAME = 190  # Bedrock takes 200, of which a number may need some.


class Conversation:
    """What was said: `system`, `turns`, and the names of the functions that were `called`."""

    def __init__(self, request: ChatRequest, family: Family, fields: Fields) -> None:
        self.system: list[ContentBlock] = []
        self.turns: list[Turn] = []
        self.called: dict[str, None] = {}
        self._request = request
        self._family = family
        self._fields = fields
        self._ids = CallIds(_ID)
        self._names: dict[str, int] = {}
        self._document: list[Any] = []
        messages = decode_messages(request)
        note_foreign(messages, fields, "bedrock")
        for index, message in enumerate(messages):
            self._read(message, f"messages[{index}]", index)
        if not self.turns:
            path = "messages"
            raise InvalidRequestError(f"{path}: Bedrock needs one of the user's.", param=path)

    @property
    def is_unproved(self) -> bool:
        """Whether the model goes on from an answer of which no reasoning is kept: one that has not
        ended, or whose calls have come to something.
        """
        answer = self.turns[-1]
        if answer.role != "assistant":
            if not any(block.tool_result for block in answer.content):
                return False
            answer = self.turns[-2]
        return answer.content[0].reasoning_content is None

    def _read(self, message: Message, where: str, index: int) -> None:
        if message.name and message.role != "function":
            self._fields.drop("messages[].name")
        if message.role == "assistant":
            blocks = self._answer(message, where, index)
        elif message.role in ("tool", "function"):
            blocks = self._result(message, where)
        else:
            blocks = self._blocks(message, where, index)
        blocks += _cache_point(message.cache_control)
        if message.role in ("system", "developer"):
            self._tell(blocks, where)
        else:
            self._add("assistant" if message.role == "assistant" else "user", blocks)

    def _tell(self, blocks: list[ContentBlock], where: str) -> None:
        for block in blocks:
            if not (block.text or block.guard_content or block.cache_point):
                path = f"{where}.content"
                raise InvalidRequestError(f"{path}: Bedrock takes text only here.", param=path)
        self.system += blocks

    def _add(self, role: str, blocks: list[ContentBlock]) -> None:
        if not blocks:
            return
        if not self.turns or self.turns[-1].role != role:
            self.turns.append(Turn(role, []))
            if role == "assistant":
                self._ids.begin()
        self.turns[-1].content += blocks
        for use in [block.tool_use for block in blocks if block.tool_use is not None]:
            if not is_served(use):
                use.tool_use_id = self._ids.call(use.tool_use_id)
                self.called[use.name] = None

    def _blocks(self, message: Message, where: str, index: int) -> list[ContentBlock]:
        blocks: list[ContentBlock] = []
        for position, part in enumerate(message.parts):
            block = self._block(part, f"{where}.content[{position}]", (index, position))
            blocks += [] if block is None else [block]
            blocks += _cache_point(part.cache_control)
        return blocks

    def _block(self, part: Part, where: str, at: tuple[int, int]) -> ContentBlock | None:
        """The block of a part, or None where it is blank."""
        if part.type in ("text", "refusal"):
            text = part.text or part.refusal
            return ContentBlock(text=text) if text.strip() else None
        if part.type in ("image_url", "video_url"):
            media = part.image_url if part.type == "image_url" else part.video_url
            if media is None:
                path = f"{where}.{part.type}"
                raise InvalidRequestError(f"{path}: is missing.", param=path)
            if media.detail not in (None, "auto"):
                self._fields.drop(f"messages[].content[].{part.type}.detail")
            return media_block(media.url, f"{where}.{part.type}.url")
        if part.type == "file":
            return self._file(file_block(part.file, f"{where}.file"), part)
        if part.type == "input_audio":
            return audio_block(part.input_audio, f"{where}.input_audio")
        if part.type in OWN:
            return ContentBlock(**{OWN[part.type]: self._own(part.type, *at)})
        raise InvalidRequestError(
            f"{where}.type: {part.type[:64]!r} is no type of part that Bedrock takes.",
            param=f"{where}.type",
        )

    def _file(self, block: ContentBlock, part: Part) -> ContentBlock:
        """A file with what is asked of it, and a name that no other has: Bedrock refuses such."""
        if (document := block.document) is None:
            return block
        name = unique = document["name"]
        while (count := self._names.get(unique, 0)) > 0:
            self._names[name] += 1
            unique = f"{name[:_LONGEST_NAME]} ({self._names[name]})"
        self._names[unique] = count + 1
        document["name"] = unique
        if part.citations is not None:
            document["citations"] = part.citations
        return block

    def _own(self, type: str, index: int, position: int) -> Any:
        """A block as it was written."""
        self._document = self._document or DOCUMENT.decode(self._request.members["messages"])
        part = self._document[index]["content"][position]
        if not isinstance(part.get(type), dict):
            where = f"messages[{index}].content[{position}].{type}"
            raise InvalidRequestError(f"{where}: expected an object.", param=where)
        return part[type]

    def _answer(self, message: Message, where: str, index: int) -> list[ContentBlock]:
        """What the model said: how it came to it, what it said, what it wanted called."""
        for name in ("audio", "images"):
            if getattr(message, name):
                self._fields.drop(f"messages[].{name}")
        blocks = write_reasoning(message, self._family, self._fields, where)
        if kept := read_blocks(message, blocks):
            return kept
        blocks += self._blocks(message, where, index)
        if message.refusal and message.refusal.strip():
            blocks.append(ContentBlock(text=message.refusal))
        blocks += self._calls(message, where)
        return blocks

    def _calls(self, message: Message, where: str) -> Iterator[ContentBlock]:
        for index, call in enumerate(message.tool_calls or ()):
            path = f"{where}.tool_calls[{index}]"
            if call.type != "function":
                raise InvalidRequestError(
                    f"{path}.type: Bedrock has functions only.", param=f"{path}.type"
                )
            yield self._call(call.id, call.function, f"{path}.function.arguments")
        if message.function_call is not None:
            function = message.function_call
            yield self._call(function.name, function, f"{where}.function_call.arguments")

    def _call(self, id: str, function: FunctionCall, where: str) -> ContentBlock:
        arguments = function.arguments.strip() or "{}"
        try:
            _ARGUMENTS.decode(arguments)
        except MALFORMED:
            raise InvalidRequestError(f"{where}: expected a JSON object.", param=where) from None
        written = msgspec.Raw(arguments.encode())
        return ContentBlock(tool_use=ToolUse(id, function.name, written))

    def _result(self, message: Message, where: str) -> list[ContentBlock]:
        """What a call came to. `extra_content.bedrock.toolResult` has members that OpenAI has not,
        such as a `content` with JSON in it.
        """
        # A function has no id; its name stood for one in the call.
        said = message.tool_call_id if message.role == "tool" else message.name or ""
        if (id := self._ids.result(said)) is None:
            path = f"{where}.tool_call_id"
            raise InvalidRequestError(f"{path}: the answer before has no such call.", param=path)
        content = [{"text": part.text} for part in message.parts if part.text.strip()]
        result: dict[str, Any] = {"toolUseId": id, "content": content}
        if message.is_error:
            result["status"] = "error"
        if isinstance(extra := read_extra(message, "toolResult"), dict):
            result.update(extra)
        blocks = [ContentBlock(tool_result=result)]
        for part in message.parts:
            blocks += _cache_point(part.cache_control)
        return blocks


def _cache_point(control: dict[str, Any] | None) -> list[ContentBlock]:
    """The block that says: up to here, where a part or a message is marked so."""
    return [] if control is None else [ContentBlock(cache_point=cache_point(control))]


def cache_point(control: dict[str, Any]) -> dict[str, Any]:
    """What `cache_control` is to Bedrock."""
    ttl = control.get("ttl")
    return {"type": "default", "ttl": ttl} if ttl in _TTLS else {"type": "default"}
