"""A stream decoder that looks at every event in the same plain way.

`StreamDecoder` takes short cuts where an event goes on and tells nothing new; this one takes none,
and both must come to the same, whatever a provider sends and wherever the network cuts it.
"""

from __future__ import annotations

import msgspec

from waystone_asgi.exceptions import GatewayError
from waystone_asgi.providers.openai.errors import parse_error, parse_refusal
from waystone_asgi.providers.openai.tokens import parse_usage
from waystone_asgi.records import Usage
from waystone_asgi.sse import DONE, EventSplitter, event_data
from waystone_asgi.wire.chat import CHUNK, ChatCompletionChunk
from waystone_asgi.wire.members import MALFORMED


class NaiveDecoder:
    """As `StreamDecoder`, for one choice."""

    def __init__(self, *, include_usage: bool) -> None:
        self.started = False
        self.done = False
        self.error: GatewayError | None = None
        self.usage: Usage | None = None
        self.response_id: str | None = None
        self.response_model: str | None = None
        self.events = 0
        self.malformed = 0
        self._include_usage = include_usage
        self._reasons: dict[int, str] = {}
        self._splitter = EventSplitter()

    @property
    def complete(self) -> bool:
        return self.error is None and (self.done or bool(self._reasons))

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        return tuple(self._reasons[index] for index in sorted(self._reasons))

    def feed(self, data: bytes) -> bytes:
        return b"".join(event for event in self._splitter.feed(data) if self._look(event))

    def finish(self) -> bytes:
        rest = self._splitter.flush() + b"\n\n"
        if not self.started and rest.startswith(b"{"):
            self.error = self.error or parse_refusal(rest)
        relayed = rest if event_data(rest) is not None and self._look(rest) else b""
        if not self.done and self.complete:
            self.done = True
            relayed += DONE
        return relayed

    def _look(self, event: bytes) -> bool:
        under_way = not self.done and self.error is None
        data = event_data(event)
        if data is None:
            return under_way
        if data == b"[DONE]":
            self.started = self.done = True
            return under_way
        try:
            chunk = CHUNK.decode(data)
        except MALFORMED:
            self.malformed += 1
            return False
        told = parse_usage(chunk.usage)
        aside = parse_usage(chunk.x_groq.usage) if chunk.x_groq is not None else None
        self.usage = told or aside or self.usage
        if chunk.x_groq is not None and chunk.x_groq.error is not None:
            document = msgspec.json.encode({"error": chunk.x_groq.error})
            self.error = self.error or parse_error(200, document)
        if chunk.error is not None:
            self.error = self.error or parse_error(200, data)
        if not under_way or self.error is not None:
            return False
        self._take(chunk)
        if self.error is not None:
            return False
        self.started = True
        hidden = told is not None and not chunk.choices and not self._include_usage
        self.events += 0 if hidden else 1
        return not hidden

    def _take(self, chunk: ChatCompletionChunk) -> None:
        if self.response_id is None and isinstance(chunk.id, str) and chunk.id:
            self.response_id = chunk.id
        if isinstance(chunk.model, str) and chunk.model:
            self.response_model = chunk.model
        for choice in chunk.choices or ():
            if choice.error is not None:
                document = msgspec.json.encode({"error": choice.error})
                self.error = self.error or parse_error(200, document)
            elif choice.finish_reason and isinstance(choice.finish_reason, str):
                self._reasons[choice.index] = choice.finish_reason
