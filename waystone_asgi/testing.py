"""For your own tests: a provider that answers from a script, and a sink that remembers.

    provider = FakeProvider(completion("Hello!"))
    sink = MemorySink()
    gateway = Gateway(providers=[Provider.openai(api_key="sk-test")], upstream=provider,
                      authenticate=BearerKeys(["wk_test"]), sinks=[sink])

No network is used. The package itself imports nothing from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import TypeAlias

from .exceptions import UpstreamError
from .records import UpstreamRequest
from .sinks.memory import MemorySink
from .sse import DONE, encode_event
from .wire.members import encode

__all__ = ("FakeAnswer", "FakeProvider", "MemorySink", "chunks", "completion")

Piece: TypeAlias = bytes | UpstreamError | Callable[[], Awaitable[object]]
"""Bytes to receive, an error to raise, or something to wait for, such as `event.wait`."""


class FakeAnswer:
    """One answer: a status, headers, and the pieces that `receive` gives one by one.

    A `FakeProvider` begins with the first piece for each request, however many run at once.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        *,
        status: int = 200,
        headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
    ) -> None:
        self.pieces = tuple(pieces)
        self.status = status
        self.headers = headers
        self._left = iter(self.pieces)
        self._counts = Counter[str]()

    @property
    def received(self) -> int:
        """How many pieces the gateway took, over all requests."""
        return self._counts["received"]

    @property
    def closed(self) -> int:
        """How often the gateway closed the answer, over all requests."""
        return self._counts["closed"]

    def begin(self) -> FakeAnswer:
        """The same answer from its first piece, with the same counts."""
        again = copy(self)
        again._left = iter(self.pieces)
        return again

    async def receive(self) -> bytes:
        """See `types.UpstreamResponse`."""
        for piece in self._left:
            self._counts["received"] += 1
            if isinstance(piece, bytes):
                return piece
            if isinstance(piece, UpstreamError):
                raise piece
            await piece()
        return b""

    async def aclose(self) -> None:
        """See `types.UpstreamResponse`."""
        self._counts["closed"] += 1


class FakeProvider:
    """An `Upstream` that gives its answers in turn, the last one again and again.

    An answer may be an `UpstreamError` to raise, or a function to await before the next one.
    `requests` holds what the gateway sent.
    """

    def __init__(self, *answers: FakeAnswer | UpstreamError | Callable[[], Awaitable[object]]):
        self.answers = list(answers)
        self.requests: list[UpstreamRequest] = []
        self.open = True

    async def send(self, request: UpstreamRequest) -> FakeAnswer:
        """See `types.Upstream`."""
        self.requests.append(request)
        while True:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, FakeAnswer):
                return answer.begin()
            if isinstance(answer, UpstreamError):
                raise answer
            await answer()

    async def aclose(self) -> None:
        """See `types.Upstream`."""
        self.open = False


def completion(text: str, *, prompt_tokens: int = 5, completion_tokens: int = 3) -> FakeAnswer:
    """A whole answer of OpenAI's form that says `text`."""
    message: dict[str, object] = {
        "role": "assistant",
        "content": text,
        "refusal": None,
        "annotations": [],
    }
    document = {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "test-model",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _usage(prompt_tokens, completion_tokens),
    }
    return FakeAnswer([encode(document)])


def chunks(*words: str, prompt_tokens: int = 5, completion_tokens: int = 3) -> FakeAnswer:
    """A streamed answer, one event a piece: the words, the end, usage and `[DONE]`."""
    deltas: list[tuple[dict[str, str], str | None]] = [({"content": word}, None) for word in words]
    events = [
        _chunk([{"index": 0, "delta": delta, "finish_reason": reason}])
        for delta, reason in [*deltas, ({}, "stop")]
    ]
    events.append(_chunk([], usage=_usage(prompt_tokens, completion_tokens)))
    return FakeAnswer([*events, DONE], headers=((b"content-type", b"text/event-stream"),))


def _chunk(choices: list[dict[str, object]], **more: object) -> bytes:
    document = {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "test-model",
        "choices": choices,
        **more,
    }
    return encode_event(encode(document))


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
