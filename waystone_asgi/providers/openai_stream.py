"""OpenAI's streams: bytes as they arrive to bytes to relay, looking only where something can be.

In: bytes in any cut. Out: whole events, unchanged, and at the end what the record takes. An event
is decoded only when it can carry an id, usage, an error or the end. No await, no client, no clock.
"""

from __future__ import annotations

import msgspec

from ..exceptions import GatewayError, UpstreamError
from ..records import Usage
from ..sse import DONE, EventSplitter, EventTooLongError, event_data
from ..wire.chat import CHUNK, ChatCompletionChunk, ChatCompletionRequest
from ..wire.members import MALFORMED
from .openai import parse_error, parse_usage


class StreamDecoder:
    """Follows one streamed answer.

    `started` turns true with the first event of an answer, which a comment or an error is not, and
    `done` with `[DONE]`; `error` is set when the provider sent one or sent what is no event.
    `events` counts what was relayed, `malformed` what was skipped.
    """

    def __init__(self, request: ChatCompletionRequest) -> None:
        self.started = False
        self.done = False
        self.error: GatewayError | None = None
        self.usage: Usage | None = None
        self.response_id: str | None = None
        self.response_model: str | None = None
        self._reasons: dict[int, str] = {}
        self.events = 0
        self.malformed = 0
        options = request.stream_options
        self._include_usage = options is not None and bool(options.include_usage)
        self._choices = int(request.n or 1)
        self._splitter = EventSplitter()

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end: `[DONE]`, or a finish reason for each choice."""
        return self.error is None and (self.done or len(self._reasons) >= self._choices)

    @property
    def estimated_output_tokens(self) -> int:
        """One for each event: providers send a token or a few in each."""
        return self.events

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """The finish reason of each choice that has one, by index."""
        return tuple(self._reasons[index] for index in sorted(self._reasons))

    def feed(self, data: bytes) -> bytes:
        """The bytes to relay now; after `done` or an error nothing but usage is taken."""
        if self.response_id is not None and not self._splitter.pending and _is_plain(data):
            self.events += data.count(b"\n\n")
            return data
        try:
            events = self._splitter.feed(data)
        except EventTooLongError as error:
            self.error = UpstreamError(f"The provider's stream cannot be read: {error}.")
            return b""
        return b"".join([event for event in events if self._relays(event)])

    def finish(self) -> bytes:
        """What is still to relay when the provider has closed, with `[DONE]` if complete."""
        rest = self._splitter.flush()
        relayed = rest + b"\n\n" if rest.strip() and self._relays(rest + b"\n\n") else b""
        if not self.done and self.complete:
            self.done = True
            return relayed + DONE
        return relayed

    def _relays(self, event: bytes) -> bool:
        """Look at one event; whether the caller gets it."""
        ended = self.done or self.error is not None
        data = event_data(event)
        if data is None:
            return not ended
        if data == b"[DONE]":
            self.started = self.done = True
            return not ended
        try:
            chunk = CHUNK.decode(data)
        except MALFORMED:
            self.malformed += 1
            return False
        hidden = self._read(chunk, data)
        self.started = self.started or self.error is None
        if ended or self.error is not None or hidden:
            return False
        self.events += 1
        return True

    def _read(self, chunk: ChatCompletionChunk, data: bytes) -> bool:
        """Take what the record needs; whether the event is one that the caller did not ask for."""
        if isinstance(chunk.id, str) and chunk.id and self.response_id is None:
            self.response_id = chunk.id
        if isinstance(chunk.model, str) and chunk.model:
            self.response_model = chunk.model
        usage = counted = parse_usage(chunk.usage)
        if usage is None and chunk.x_groq is not None:
            usage = parse_usage(chunk.x_groq.usage)
        if usage is not None:
            self.usage = usage
        if self.error is None and chunk.error is not None:
            self.error = parse_error(200, data)
        for choice in chunk.choices or ():
            if self.error is None and choice.error is not None:
                self.error = parse_error(200, msgspec.json.encode({"error": choice.error}))
            if isinstance(choice.finish_reason, str) and not self.done and self.error is None:
                self._reasons[choice.index] = choice.finish_reason
        return counted is not None and not chunk.choices and not self._include_usage


def _is_plain(data: bytes) -> bool:
    """Whether the bytes are whole events of which none can carry usage, an error or the end."""
    return (
        data.startswith(b"data: {")
        and data.endswith(b"}\n\n")
        and b"\r" not in data
        and data.count(b'"usage"') == data.count(b'"usage":null')
        and data.count(b'"finish_reason"') == data.count(b'"finish_reason":null')
        and b'"error"' not in data
        and b"x_groq" not in data
        and b"[DONE]" not in data
        and b"\nevent:" not in data
    )
