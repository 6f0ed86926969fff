"""What stands in for the transport below, for the source of tokens and for the clock."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import anyio.to_thread

from waystone_asgi.records import UpstreamRequest
from waystone_asgi.upstream.bearer import Token

from .scripted import PATIENCE


class Answer:
    """An `UpstreamResponse` of a status and nothing else."""

    headers: Sequence[tuple[bytes, bytes]] = ()

    def __init__(self, status: int) -> None:
        self.status = status

    async def receive(self) -> bytes:
        return b""

    async def aclose(self) -> None:
        """There is nothing to close."""


class Inner:
    """An `Upstream` that keeps what it is given, and answers with the status."""

    def __init__(self) -> None:
        self.sent: list[UpstreamRequest] = []
        self.status = 200
        self.closed = False

    @property
    def last(self) -> UpstreamRequest:
        """The latest request."""
        return self.sent[-1]

    @property
    def tokens(self) -> list[bytes]:
        """What the requests carried."""
        return [dict(sent.endpoint.headers)[b"authorization"] for sent in self.sent]

    async def send(self, request: UpstreamRequest) -> Answer:
        self.sent.append(request)
        return Answer(self.status)

    async def aclose(self) -> None:
        self.closed = True


class Clock:
    """Shows the time that the test sets."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Source:
    """Fetches `one`, `two`, … that last an hour, or raises; stands still while `gate` is shut."""

    NAMES = ("one", "two", "three", "four", "five")

    def __init__(self, clock: Clock, lifetime: float = 3600.0) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self.calls = 0
        self.most = 0
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._inside = 0

    def __call__(self) -> Token:
        self._inside += 1
        self.most = max(self.most, self._inside)
        self.calls += 1
        name = self.NAMES[self.calls - 1].encode()
        assert self.gate.wait(PATIENCE)
        self._inside -= 1
        if self.error is not None:
            raise self.error
        return Token(
            headers=((b"authorization", b"Bearer " + name), (b"x-goog-user-project", b"p")),
            expires=self.clock() + self.lifetime,
        )


async def fetched() -> None:
    """Wait until no token is being fetched."""
    for thread in threading.enumerate():
        if thread.name == "waystone token":
            await anyio.to_thread.run_sync(thread.join, PATIENCE)
