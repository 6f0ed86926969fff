"""A streamed answer in OpenAI's events.

In: the provider's events. Out: chunks as the pieces come. What is only whole when its block is, a
signature or arguments that came with the call, follows then; what tells of all blocks comes last.
"""

from __future__ import annotations

from msgspec import UNSET

from ...wire.answers import Annotation, Call, Delta, Function
from ...wire.anthropic import (
    BLOCK,
    EVENT,
    OPENED,
    Change,
    Counts,
    Event,
    SaidText,
    SaidThinking,
    SaidToolUse,
)
from ...wire.chat import ChatCompletionRequest
from ...wire.conversations import ReasoningDetail
from ...wire.members import encode
from ..dialects import Head
from ..streams import TranslatedStream
from .blocks import Shape, annotate, extra_content, finish_reason, hidden, refusal, thought
from .errors import parse_error
from .opened import Opened
from .tokens import count, decode_counts, merge, service_tier

_KNOWN = ("text", "thinking", "redacted_thinking", "tool_use")
_COMPACTED = ("content", "encrypted_content", "signature")


class MessagesStream(TranslatedStream):
    """Follows one streamed answer."""

    def __init__(self, request: ChatCompletionRequest, head: Head) -> None:
        super().__init__(request, head)
        self.open(head.header(b"request-id"), None)
        self._counts = Counts()
        self._blocks: dict[int, Opened] = {}
        self._spoke = False
        self._length = 0
        self._calls = 0
        self._details = 0
        self._annotations: list[Annotation] = []
        # Whether a block was added to in a way that is not known here.
        self._lost = False

    def read(self, payload: bytes) -> None:
        """Take one event; kinds that are not known are skipped."""
        event = EVENT.decode(payload)
        if event.type == "content_block_delta":
            self._continue(event)
        elif event.type == "content_block_start":
            self._begin(event)
        elif event.type == "content_block_stop":
            self._complete(event.index)
        elif event.type == "message_start":
            self._start(event)
        elif event.type == "message_delta":
            self._conclude(event)
        elif event.type == "message_stop" and self.finish_reasons:
            self.close()
        elif event.type == "error":
            self.fail(parse_error(200, payload))

    def _start(self, event: Event) -> None:
        if (message := event.message) is None:
            return
        self.open(message.id, message.model)
        self._counts = decode_counts(message.usage) or self._counts
        self.chunks.service_tier = service_tier(self._counts)

    def _begin(self, event: Event) -> None:
        document = OPENED.decode(event.content_block)
        kind = str(document.get("type"))
        said = BLOCK.decode(event.content_block) if kind in _KNOWN else None
        number = self._calls if kind == "tool_use" else self._length
        block = self._blocks[event.index] = Opened(kind, document, number)
        if isinstance(said, SaidToolUse):
            self._calls += 1
            function = Function(said.name, "")
            self.write(Delta(tool_calls=[Call(number, said.id, "function", function)]))
        elif isinstance(said, SaidText):
            self._say(block, said.text, first=not self._spoke)
            self._spoke = True
        elif not self.started:
            self.write(Delta())
        if isinstance(said, SaidThinking):
            self._think(block, said.thinking)

    def _continue(self, event: Event) -> None:
        block, change = self._blocks.get(event.index), event.delta
        if block is None or change is None:
            self.malformed += 1
        elif change.type == "input_json_delta":
            self._call(block, change.partial_json)
        elif block.kind == "text":
            self._continue_text(block, change)
        elif block.kind == "thinking":
            self._continue_thinking(block, change)
        elif block.kind == "compaction":
            block.document |= {n: value for n in _COMPACTED if (value := getattr(change, n))}
        else:
            self._lost = True

    def _continue_text(self, block: Opened, change: Change) -> None:
        if change.citation is not None:
            block.cite(change.citation)
        else:
            self._say(block, change.text)

    def _continue_thinking(self, block: Opened, change: Change) -> None:
        if change.signature:
            block.document["signature"] = change.signature
        else:
            self._think(block, change.thinking)

    def _say(self, block: Opened, text: str, *, first: bool = False) -> None:
        if text or first:
            block.pieces.append(text)
            self._length += len(text)
            self.write(Delta(content=text))

    def _think(self, block: Opened, text: str) -> None:
        if text:
            block.pieces.append(text)
            self.write(Delta(reasoning_content=text))

    def _call(self, block: Opened, piece: str) -> None:
        if piece:
            block.pieces.append(piece)
            if block.kind == "tool_use":
                self._write_arguments(block, piece)

    def _write_arguments(self, block: Opened, piece: str) -> None:
        self.write(Delta(tool_calls=[Call(block.number, function=Function(arguments=piece))]))

    def _complete(self, index: int) -> None:
        block = self._blocks.get(index)
        if block is None or block.is_whole:
            return
        if block.kind == "tool_use" and not block.pieces:
            self._write_arguments(block, encode(block.document.get("input", {})).decode())
        block.complete()
        document = block.document
        if block.kind == "text":
            self._annotations += annotate(block.citations, block.number, self._length)
        elif block.kind == "thinking":
            text, signature = document["thinking"], document.get("signature")
            self._write_detail(thought(self._details, text, signature))
        elif block.kind == "redacted_thinking":
            self._write_detail(hidden(self._details, document["data"]))

    def _write_detail(self, detail: ReasoningDetail) -> None:
        self._details += 1
        self.write(Delta(reasoning_details=[detail]))

    def _conclude(self, event: Event) -> None:
        if (counts := decode_counts(event.usage)) is not None:
            self._counts = merge(self._counts, counts)
            self.usage = count(self._counts)
        change = event.delta
        if change is None or change.stop_reason is None:
            return
        for index in self._blocks:
            self._complete(index)
        self._write_last(change)
        self.end(finish_reason(change.stop_reason))

    def _write_last(self, change: Change) -> None:
        shape = Shape()
        for block in self._blocks.values():
            shape.add(block.kind, more=block.has_more)
        carried = not (shape.plain or self._lost)
        blocks = [block.document for block in self._blocks.values()] if carried else ()
        delta = Delta(
            refusal=refusal(change) or UNSET,
            annotations=self._annotations or UNSET,
            extra_content=extra_content(blocks, change),
        )
        if delta != Delta():
            self.write(delta)
