"""OpenAI's streams: bytes as they arrive to bytes to relay, and what the record takes of them.

In: bytes in any cut. Out: whole events, unchanged. Each one is looked at, since it may carry usage,
an error or the end, or be no event at all. No await, no client, no clock.
"""

from __future__ import annotations

from ...exceptions import GatewayError, UpstreamError
from ...records import Usage
from ...sse import DONE, EventSplitter, EventTooLongError, event_data, split_events
from ...wire.chat import CHUNK, DELTA, ChatCompletionChunk, ChatCompletionRequest
from ...wire.members import MALFORMED, encode
from .errors import parse_error, parse_refusal
from .tokens import parse_usage

_CR = 0x0D
_decode_delta = DELTA.decode


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
        # Whether the answer is under way, and its last event was one that `DELTA` takes.
        self._flows = False

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
        # Most arrivals are one event in one line. What is done here for it is done in `_relays` for
        # any: a call is saved.
        if self._flows and not self._splitter.pending and _CR not in data:
            payload = data.removeprefix(b"data: ")
            line, _, rest = payload.partition(b"\n")
            if rest == b"\n" and payload is not data:
                try:
                    self.response_model = _decode_delta(line).model or self.response_model
                except MALFORMED:
                    return data if self._reads(line) else b""
                self.events += 1
                return data
        try:
            whole = self._splitter.take(data)
        except EventTooLongError as error:
            self._splitter.flush()
            self._fail(UpstreamError(f"The provider's stream cannot be read: {error}."))
            return b""
        lines = whole.split(b"\n")
        if _CR in whole or any(lines[1::2]):
            events = split_events(whole)
            return b"".join([event for event in events if self._relays(event_data(event))])
        # Each event is one line, with an empty one behind it.
        events = [
            line
            for line in lines[:-1:2]
            if self._relays(line[6:] if line[:6] == b"data: " else event_data(line))
        ]
        return whole if len(events) == len(lines) // 2 else b"\n\n".join([*events, b""])

    def finish(self) -> bytes:
        """What is still to relay when the provider has closed, with `[DONE]` if complete."""
        rest = self._splitter.flush() + b"\n\n"
        if not self.started and rest.startswith(b"{"):
            self._fail(parse_refusal(rest))
        data = event_data(rest)
        relayed = rest if data is not None and self._relays(data) else b""
        self._flows = False
        if not self.done and self.complete:
            self.done = True
            return relayed + DONE
        return relayed

    def _relays(self, data: bytes | None) -> bool:
        """Whether the caller gets the event that has this data."""
        if self._flows and data is not None:
            try:
                self.response_model = _decode_delta(data).model or self.response_model
            except MALFORMED:
                return self._reads(data)
            self.events += 1
            return True
        return self._reads(data)

    def _reads(self, data: bytes | None) -> bool:
        """The same, having taken from the event whatever it tells."""
        ended = self.done or self.error is not None
        if data is None:
            return not ended
        if data == b"[DONE]":
            self.started = self.done = True
            self._flows = False
            return not ended
        try:
            chunk = CHUNK.decode(data)
        except MALFORMED:
            self.malformed += 1
            return False
        usage = parse_usage(chunk.usage)
        hidden = usage is not None and not chunk.choices and not self._include_usage
        if chunk.x_groq is not None:
            usage = usage or parse_usage(chunk.x_groq.usage)
            if chunk.x_groq.error is not None:
                self._fail(parse_error(200, encode({"error": chunk.x_groq.error})))
        self.usage = usage or self.usage
        if chunk.error is not None:
            self._fail(parse_error(200, data))
        if ended or self.error is not None:
            return False
        self._read(chunk)
        if self.error is not None:
            return False
        self.started = True
        self.events += not hidden
        # Where one event tells something, the next often does.
        self._flows = usage is None and self.response_id is not None and not self._reasons
        return not hidden

    def _read(self, chunk: ChatCompletionChunk) -> None:
        """Take what else the record needs from an event of the answer."""
        if self.response_id is None and isinstance(chunk.id, str):
            self.response_id = chunk.id or None
        if chunk.model and isinstance(chunk.model, str):
            self.response_model = chunk.model
        for choice in chunk.choices or ():
            if choice.error is not None:
                self._fail(parse_error(200, encode({"error": choice.error})))
            elif choice.finish_reason and isinstance(choice.finish_reason, str):
                self._reasons[choice.index] = choice.finish_reason

    def _fail(self, error: GatewayError) -> None:
        """The first error is the one."""
        self.error = self.error or error
        self._flows = False
