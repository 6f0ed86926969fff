"""Streams of vendors that say some things otherwise: restated, then followed as OpenAI's are."""

from __future__ import annotations

from ...sse import EventSplitter, EventTooLongError, encode_event, event_data, split_events
from ...wire.chat import ChatCompletionRequest
from ..forms import Preset, Quirks
from .restating import Restatement
from .stream import StreamDecoder


class VendorStream(StreamDecoder):
    """As `StreamDecoder`, of events that are told in OpenAI's words."""

    def __init__(self, request: ChatCompletionRequest, quirks: Quirks) -> None:
        super().__init__(request)
        self._restatement = Restatement(quirks)
        self._arriving = EventSplitter()

    def feed(self, data: bytes) -> bytes:
        """The bytes to relay now; after `done` or an error nothing but usage is taken."""
        try:
            whole = self._arriving.take(data)
        except EventTooLongError:
            return super().feed(self._arriving.flush())  # It says so.
        if not whole:
            return b""
        if self._restatement.concerns(whole):
            whole = b"".join([self._restated(event) for event in split_events(whole)])
        return super().feed(whole)

    def finish(self) -> bytes:
        """What is still to relay when the provider has closed, with `[DONE]` if complete."""
        rest = self._arriving.flush()
        if event_data(rest + b"\n\n") is not None:
            rest = self._restated(rest + b"\n\n")
        relayed = super().feed(rest) if rest else b""
        return relayed + super().finish()

    def _restated(self, event: bytes) -> bytes:
        data = event_data(event)
        if data is None:
            return event
        restated = self._restatement.restate(data)
        # In JSON a line end is white space.
        return event if restated is data else encode_event(restated.replace(b"\n", b" "))


def open_stream(request: ChatCompletionRequest, preset: Preset) -> StreamDecoder:
    """What follows a stream of the provider that has this preset."""
    quirks = preset.quirks
    if quirks is None or not quirks.in_answers:
        return StreamDecoder(request)
    return VendorStream(request, quirks)


def restate_answer(body: bytes, preset: Preset) -> bytes:
    """A whole answer of the provider that has this preset, in OpenAI's words."""
    quirks = preset.quirks
    if quirks is None or not quirks.in_answers:
        return body
    restatement = Restatement(quirks)
    return restatement.restate(body) if restatement.concerns(body) else body
