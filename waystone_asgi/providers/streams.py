"""What streams in another dialect have in common: framing, the end, and what the record takes.

In: bytes in any cut. Out: OpenAI's events. A dialect says what each payload means. No await, no
client, no clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from ..exceptions import GatewayError, UpstreamError
from ..records import Usage
from ..sse import DONE, EventSplitter, EventTooLongError, event_data
from ..wire.answers import ChunkEncoder, Delta
from ..wire.chat import ChatCompletionRequest
from ..wire.members import MALFORMED
from .dialects import Head


class TranslatedStream(ABC):
    """A `dialects.Stream` whose events are written anew.

    A dialect overrides `read`, which takes one payload and calls `write`, `end` and `fail`; and
    `payloads` where the provider frames by something else than server-sent events. The usage that
    it sets is sent to callers who asked for it, before `[DONE]`, which follows the provider's
    closing where the answer is complete, or `close`.
    """

    def __init__(self, request: ChatCompletionRequest, head: Head) -> None:
        self.started = False
        self.done = False
        self.error: GatewayError | None = None
        self.usage: Usage | None = None
        self.response_id: str | None = None
        self.response_model: str | None = None
        self.events = 0
        self.malformed = 0
        self.chunks = ChunkEncoder("", head.received, head.model)
        options = request.stream_options
        self._include_usage = options is not None and bool(options.include_usage)
        self._reasons: dict[int, str] = {}
        self._roles: set[int] = set()
        self._splitter = EventSplitter()
        self._out: list[bytes] = []

    # What the relay sees.

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""
        return self.error is None and (self.done or bool(self._reasons))

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """The finish reason of each choice that has one, by index."""
        return tuple(self._reasons[index] for index in sorted(self._reasons))

    @property
    def estimated_output_tokens(self) -> int:
        """One for each event: providers send a token or a few in each."""
        return self.events

    def feed(self, data: bytes) -> bytes:
        """The bytes to relay now; after `done` or an error nothing but usage is taken."""
        try:
            for payload in self.payloads(data):
                self._take(payload)
        except EventTooLongError as error:
            self.fail(UpstreamError(f"The provider's stream cannot be read: {error}."))
        return self._written()

    def finish(self) -> bytes:
        """What is still to relay when the provider has closed, with `[DONE]` if complete."""
        for payload in self.last_payloads():
            self._take(payload)
        if self.complete:
            self.close()
        return self._written()

    # What a dialect overrides.

    @abstractmethod
    def read(self, payload: bytes) -> None:
        """Take one payload. Raises one of `MALFORMED` for what is none."""

    def payloads(self, data: bytes) -> Iterable[bytes]:
        """The payloads that `data` completes. Raises `EventTooLongError`."""
        for event in self._splitter.feed(data):
            if (payload := event_data(event)) is not None:
                yield payload

    def last_payloads(self) -> Iterable[bytes]:
        """Those that only the end completes."""
        payload = event_data(self._splitter.flush() + b"\n\n")
        return () if payload is None else (payload,)

    # What a dialect calls.

    def open(self, id: str | None, model: str | None, created: int | None = None) -> None:
        """The provider has said who answers, and when."""
        if id:
            self.response_id = self.chunks.id = id
        if model:
            self.response_model = self.chunks.model = model
        if created is not None:
            self.chunks.created = created

    def write(
        self,
        delta: Delta,
        finish_reason: str | None = None,
        index: int = 0,
        logprobs: object = None,
    ) -> None:
        """Relay what is added to a choice. The first of each tells the role."""
        if self.done or self.error is not None:
            return
        if index not in self._roles:
            self._roles.add(index)
            delta.role = "assistant"
        self.started = True
        self.events += 1
        self._out.append(self.chunks.encode(delta, finish_reason, index, logprobs))

    def end(self, finish_reason: str, index: int = 0) -> None:
        """A choice has come to its end, unless the answer has failed before."""
        if self.error is None and index not in self._reasons:
            self.write(Delta(), finish_reason, index)
            self._reasons[index] = finish_reason

    def close(self) -> None:
        """The answer is complete: tell the usage, if that was asked for, and that it is done."""
        if self.done or self.error is not None:
            return
        if self._include_usage and self.usage is not None:
            self._out.append(self.chunks.encode_usage(self.usage))
        self._out.append(DONE)
        self.done = True

    def fail(self, error: GatewayError) -> None:
        """The provider sent an error; the first is the one."""
        self.error = self.error or error

    def _take(self, payload: bytes) -> None:
        try:
            self.read(payload)
        except MALFORMED:
            self.malformed += 1

    def _written(self) -> bytes:
        written = self._out
        self._out = []
        return written[0] if len(written) == 1 else b"".join(written)
