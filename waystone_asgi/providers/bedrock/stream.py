"""ConverseStream: frames in any cut to OpenAI's events."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import UNSET

from ...eventstream import FrameError, FrameSplitter, decode_frame
from ...exceptions import UpstreamError
from ...wire.answers import Annotation, Call, Delta, Function
from ...wire.bedrock import (
    BLOCK_DELTA,
    BLOCK_START,
    BLOCK_STOP,
    MESSAGE_STOP,
    TRAILER,
    ContentBlock,
    MessageStop,
    Trailer,
)
from ...wire.chat import ChatCompletionRequest
from ..dialects import Head
from ..streams import TranslatedStream
from .blocks import annotation, is_served
from .errors import parse_exception
from .families import family_of
from .growing import GrowingBlock
from .reasoning import read_reasoning
from .tokens import parse_usage
from .trailers import ID_HEADER, extra_content, finish_reason, invoked_model, service_tier


class ConverseStream(TranslatedStream):
    """Follows one answer. The end is told once the usage is, which comes behind it."""

    def __init__(self, request: ChatCompletionRequest, head: Head) -> None:
        super().__init__(request, head)
        self.open(head.header(ID_HEADER), head.model)
        self._family = family_of(head.model)
        self._frames = FrameSplitter()
        self._growing: dict[int, GrowingBlock] = {}
        self._grown: dict[int, ContentBlock] = {}
        self._length = 0
        self._calls = 0
        self._details = 0
        self._annotations: list[Annotation] = []
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

    def _begin_block(self, payload: bytes) -> None:
        event = BLOCK_START.decode(payload)
        use, result = event.start.tool_use, event.start.tool_result
        block = GrowingBlock(self._length, use, result)
        self._growing[event.content_block_index] = block
        if use is not None and not is_served(use):
            block.call = self._calls
            self._calls += 1
            self._call(Call(block.call, use.tool_use_id, "function", Function(use.name, "")))

    def _go_on(self, payload: bytes) -> None:
        event = BLOCK_DELTA.decode(payload)
        delta = event.delta
        block = self._growing.get(event.content_block_index)
        if block is None:
            block = self._growing[event.content_block_index] = GrowingBlock(self._length)
        if delta.text:
            block.add(delta.text)
            self._length += len(delta.text)
            self.write(Delta(content=delta.text))
        elif (piece := delta.tool_use) is not None:
            block.add(piece.input)
            if piece.input and block.call is not None:
                self._call(Call(block.call, function=Function(arguments=piece.input)))
        elif delta.reasoning_content is not None:
            block.reason(delta.reasoning_content)
            if delta.reasoning_content.text:
                self.write(Delta(reasoning_content=delta.reasoning_content.text))
        elif delta.citation is not None:
            block.citations.append(delta.citation)
        elif delta.tool_result is not None and block.result is not None:
            block.result["content"] += delta.tool_result

    def _call(self, call: Call) -> None:
        self.write(Delta(tool_calls=[call]))

    def _end_block(self, payload: bytes) -> None:
        self._conclude(BLOCK_STOP.decode(payload).content_block_index)

    def _end_message(self, payload: bytes) -> None:
        self._stop = MESSAGE_STOP.decode(payload)
        for index in tuple(self._growing):
            self._conclude(index)

    def _end_stream(self, payload: bytes) -> None:
        trailer = TRAILER.decode(payload)
        self.usage = parse_usage(trailer.usage)
        if self._stop is not None:
            self._end(self._stop, trailer)
            self.close()

    # What is told at the end of a block, and of the answer.

    def _conclude(self, index: int) -> None:
        growing = self._growing.pop(index, None)
        if growing is None:
            return
        self._grown[index] = block = growing.block()
        if growing.call is not None and not growing.text:
            self._call(Call(growing.call, function=Function(arguments="{}")))
        if block.reasoning_content is not None:
            detail = read_reasoning(block.reasoning_content, self._family, self._details)
            if detail is not None:
                self._details += 1
                self.write(Delta(reasoning_details=[detail]))
        found = [annotation(said, growing.start, self._length) for said in growing.citations]
        self._annotations += [remark for remark in found if remark is not None]

    def _end(self, stop: MessageStop, trailer: Trailer) -> None:
        self.open(None, invoked_model(trailer))
        self.chunks.service_tier = service_tier(trailer)
        blocks = [self._grown[index] for index in sorted(self._grown)]
        additional = stop.additional_model_response_fields
        extra = extra_content(stop.stop_reason, additional, trailer, blocks)
        if extra is not UNSET or self._annotations:
            # Told once: clients know no way to add to a list of what has no index.
            told = self._annotations or UNSET
            self.write(Delta(annotations=told, extra_content=extra))
        self.end(finish_reason(stop.stop_reason))


_EVENTS: dict[str, Callable[[ConverseStream, bytes], None]] = {
    "contentBlockStart": ConverseStream._begin_block,
    "contentBlockDelta": ConverseStream._go_on,
    "contentBlockStop": ConverseStream._end_block,
    "messageStop": ConverseStream._end_message,
    "metadata": ConverseStream._end_stream,
}
"""What is not named here is skipped: `messageStart` too, so that what fails right behind it can be
begun again elsewhere.
"""


def _unreadable(error: FrameError) -> UpstreamError:
    return UpstreamError(f"The provider's stream cannot be read: {error}.")
