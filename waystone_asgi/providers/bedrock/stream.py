"""ConverseStream: frames in any cut to OpenAI's events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import UNSET

from ...eventstream import FrameError, FrameSplitter, decode_frame
from ...exceptions import UpstreamError
from ...wire.answers import Call, Delta, Function
from ...wire.bedrock import (
    BLOCK_DELTA,
    BLOCK_START,
    BLOCK_STOP,
    MESSAGE_STOP,
    TRAILER,
    Citation,
    ContentBlock,
    MessageStop,
    ReasoningContent,
    ReasoningDelta,
    ReasoningText,
    Trailer,
)
from ...wire.chat import DOCUMENT, ChatCompletionRequest
from ...wire.members import MALFORMED, encode
from ..dialects import Head
from ..streams import TranslatedStream
from .errors import parse_exception
from .families import family_of
from .reasoning import read_reasoning
from .tokens import parse_usage
from .trailers import (
    ID_HEADER,
    SERVER_TOOL,
    annotation,
    extra_content,
    finish_reason,
    invoked_model,
    service_tier,
)


class _Block:
    """A block that has begun: what is told of it only when it ends."""

    __slots__ = (
        "call",
        "citations",
        "other",
        "pieces",
        "redacted",
        "results",
        "signature",
        "start",
    )

    def __init__(self, start: int) -> None:
        self.start = start
        self.call: int | None = None
        self.pieces: list[str] = []
        self.signature = ""
        self.redacted = b""
        self.citations: list[Citation] = []
        self.other: ContentBlock | None = None
        self.results: list[Any] = []


class ConverseStream(TranslatedStream):
    """Follows one answer. The end is told once the usage is, which comes behind it."""

    def __init__(self, request: ChatCompletionRequest, head: Head) -> None:
        super().__init__(request, head)
        self.open(head.headers.get(ID_HEADER), head.model)
        self._family = family_of(head.model)
        self._frames = FrameSplitter()
        self._blocks: dict[int, _Block] = {}
        self._length = 0
        self._calls = 0
        self._details = 0
        self._citations: list[Citation] = []
        self._others: list[ContentBlock] = []
        self._stop: MessageStop | None = None

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""
        return self.error is None and (self.done or self._stop is not None)

    def finish(self) -> bytes:
        """What is still to relay when the provider has closed, with `[DONE]` if complete."""
        if self._stop is not None and self.complete and not self.done:
            self._end(self._stop, Trailer())
        return super().finish()

    def payloads(self, data: bytes) -> Iterable[bytes]:
        """The frames that `data` completes."""
        yield from self._frames.feed(data)
        if (error := self._frames.error) is not None:
            self.fail(_unreadable(error))

    def last_payloads(self) -> Iterable[bytes]:
        """None: a frame without its end is none."""
        return ()

    def read(self, payload: bytes) -> None:
        """Take one frame. Raises one of `MALFORMED` for an event that is none."""
        try:
            frame = decode_frame(payload)
        except FrameError as error:
            self.fail(_unreadable(error))
            return
        if frame.headers.get(":message-type", "event") != "event":
            self.fail(parse_exception(frame))
        elif (take := _EVENTS.get(str(frame.headers.get(":event-type")))) is not None:
            take(self, frame.payload)

    # What each event does.

    def _begin(self, payload: bytes) -> None:
        self.write(Delta())

    def _begin_block(self, payload: bytes) -> None:
        event = BLOCK_START.decode(payload)
        block = self._blocks[event.content_block_index] = _Block(self._length)
        use, result = event.start.tool_use, event.start.tool_result
        if use is not None and use.type != SERVER_TOOL:
            block.call = self._calls
            self._calls += 1
            self._call(Call(block.call, use.tool_use_id, "function", Function(use.name, "")))
        elif use is not None or result is not None:
            block.other = ContentBlock(tool_use=use, tool_result=result)

    def _go_on(self, payload: bytes) -> None:
        event = BLOCK_DELTA.decode(payload)
        delta = event.delta
        block = self._blocks.get(event.content_block_index)
        if block is None:
            block = self._blocks[event.content_block_index] = _Block(self._length)
        if delta.text is not None:
            if delta.text:
                self._length += len(delta.text)
                self.write(Delta(content=delta.text))
        elif delta.tool_use is not None:
            self._go_on_calling(block, delta.tool_use.input)
        elif delta.reasoning_content is not None:
            self._reason(block, delta.reasoning_content)
        elif delta.citation is not None:
            block.citations.append(delta.citation)
        elif delta.tool_result is not None:
            block.results += delta.tool_result

    def _go_on_calling(self, block: _Block, piece: str) -> None:
        block.pieces.append(piece)
        if piece and block.call is not None:
            self._call(Call(block.call, function=Function(arguments=piece)))

    def _reason(self, block: _Block, piece: ReasoningDelta) -> None:
        if piece.text:
            block.pieces.append(piece.text)
            self.write(Delta(reasoning_content=piece.text))
        block.signature += piece.signature or ""
        block.redacted += piece.redacted_content or b""

    def _call(self, call: Call) -> None:
        self.write(Delta(tool_calls=[call]))

    def _end_block(self, payload: bytes) -> None:
        block = self._blocks.pop(BLOCK_STOP.decode(payload).content_block_index, None)
        if block is not None:
            self._conclude(block)

    def _end_message(self, payload: bytes) -> None:
        self._stop = MESSAGE_STOP.decode(payload)
        for block in self._blocks.values():
            self._conclude(block)
        self._blocks.clear()

    def _end_stream(self, payload: bytes) -> None:
        trailer = TRAILER.decode(payload)
        self.usage = parse_usage(trailer.usage)
        if self._stop is not None:
            self._end(self._stop, trailer)
            self.close()

    # What is told at the end of a block, and of the answer.

    def _conclude(self, block: _Block) -> None:
        text = "".join(block.pieces)
        if block.call is not None and not text:
            self._call(Call(block.call, function=Function(arguments="{}")))
        shown = ReasoningText(text, block.signature) if block.signature else None
        reasoning = ReasoningContent(shown, block.redacted)
        if (detail := read_reasoning(reasoning, self._family, self._details)) is not None:
            self._details += 1
            self.write(Delta(reasoning_details=[detail]))
        found = [(annotation(said, block.start, self._length), said) for said in block.citations]
        self._citations += [citation for remark, citation in found if remark is None]
        if remarks := [remark for remark, _ in found if remark is not None]:
            self.write(Delta(annotations=remarks))
        if (other := block.other) is not None:
            if other.tool_use is not None:
                other.tool_use.input = _input(text or "{}")
            else:
                other.tool_result["content"] = block.results
            self._others.append(other)

    def _end(self, stop: MessageStop, trailer: Trailer) -> None:
        self.open(None, invoked_model(trailer))
        self.chunks.service_tier = service_tier(trailer)
        extra = extra_content(
            stop.stop_reason,
            stop.additional_model_response_fields,
            trailer,
            citations=self._citations,
            content=self._others,
        )
        if extra is not UNSET:
            self.write(Delta(extra_content=extra))
        self.end(finish_reason(stop.stop_reason))


_EVENTS: dict[str, Callable[[ConverseStream, bytes], None]] = {
    "messageStart": ConverseStream._begin,
    "contentBlockStart": ConverseStream._begin_block,
    "contentBlockDelta": ConverseStream._go_on,
    "contentBlockStop": ConverseStream._end_block,
    "messageStop": ConverseStream._end_message,
    "metadata": ConverseStream._end_stream,
}
"""What is not named here is skipped."""


def _input(text: str) -> msgspec.Raw:
    """The input of a call as a value; as a string, where it is no JSON."""
    try:
        DOCUMENT.decode(text)
    except MALFORMED:
        return msgspec.Raw(encode(text))
    return msgspec.Raw(text.encode())


def _unreadable(error: FrameError) -> UpstreamError:
    return UpstreamError(f"The provider's stream cannot be read: {error}.")
