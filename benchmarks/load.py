"""The load: callers on keep-alive connections, over a raw asyncio Protocol that parses next to
nothing.

In: whole HTTP requests as bytes. Out: an `Outcome` with counts and latencies. In a closed loop each
caller sends its next request when it has its answer; in an open loop requests are due at a steady
rate, and the time of an answer counts from when its request was due. It decodes no answer: that is
`checks`.
"""

from __future__ import annotations

import asyncio
import gc
import os
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter
from typing import cast

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_EVENT = b"data: "
_GIVE_UP_SECONDS = 60.0
_ONE_CORE = len(os.sched_getaffinity(0)) == 1

Address = tuple[str, int]


@dataclass
class Outcome:
    """What came back. Latencies are in seconds, one a request; `arrivals` counts the reads in which
    the events of streams came.
    """

    requests: int = 0
    failures: int = 0
    events: int = 0
    arrivals: int = 0
    seconds: float = 0.0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    first_bytes: array[float] = field(default_factory=lambda: array("d"))

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0


class Caller(asyncio.Protocol):
    """One connection with at most one request under way; `finished` is called with each answer."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.finished: Callable[[Caller], None] = _nothing
        self.busy = False
        self._head = b""
        self._missing = -1
        self._chunked = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, due: float = 0.0) -> None:
        """Send the request; its time counts from `due`, or from now."""
        self.busy = True
        self._due = due or perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0 and not self._chunked:
            data = self._head + data
            end = data.find(_HEAD_END)
            if end < 0:
                self._head = data
                return
            self._read_head(data[:end].lower())
            data = data[end + 4 :]
        if self._chunked:
            if data and not self._first_byte:
                self._first_byte = perf_counter()
            data = self._tail + data
            self._arrivals += 1
            self.events += data.count(_EVENT)
            self._tail = b"" if data.endswith(_EVENT) else data[-6:]
            if data.endswith(_LAST_CHUNK):
                self._finish()
        else:
            self._missing -= len(data)
            if self._missing <= 0:
                self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            self._ok = False
            self._finish()

    def _read_head(self, head: bytes) -> None:
        self._head = b""
        self._tail = b""
        self.events = self._arrivals = 0
        self._first_byte = 0.0
        self._ok = head.startswith(b"http/1.1 200")
        at = head.find(_LENGTH)
        self._chunked = at < 0
        if at >= 0:
            stop = head.find(b"\r", at)
            self._missing = int(head[at + len(_LENGTH) : stop if stop >= 0 else None])

    def _finish(self) -> None:
        now = perf_counter()
        outcome = self.outcome
        outcome.requests += 1
        outcome.failures += not self._ok
        outcome.latencies.append(now - self._due)
        if self._chunked:
            outcome.events += self.events
            outcome.arrivals += self._arrivals
            outcome.first_bytes.append(self._first_byte - self._due)
        self._missing = -1
        self._chunked = False
        self.busy = False
        self.finished(self)

    _ok = False
    events = 0
    _arrivals = 0
    _first_byte = 0.0


class Crowd:
    """Callers whose connections are open."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._callers: list[Caller] = []

    async def grow(self, size: int) -> None:
        """Open connections until there are `size`, in place of those that the server has closed."""
        loop = asyncio.get_running_loop()
        outcome = Outcome()
        self._callers = [c for c in self._callers if not c.transport.is_closing()]
        while len(self._callers) < size:
            _, caller = await loop.create_connection(lambda: Caller(outcome), *self._address)
            self._callers.append(caller)

    def leave(self) -> None:
        """Close all connections."""
        for caller in self._callers:
            caller.finished = _nothing
            caller.busy = False
            caller.transport.abort()

    def events(self) -> int:
        """Events that have arrived so far in the streams that are open."""
        return sum(caller.events for caller in self._callers if caller.busy)

    async def closed_loop(
        self, requests: Sequence[bytes], *, seconds: float = 0.0, awake: bool = True
    ) -> Outcome:
        """Each caller sends one request after the other, the last within `seconds`, and at least
        one.
        """
        outcome, done = await self._begin()
        left = len(self._callers)
        following = cycle(requests)

        def finished(caller: Caller) -> None:
            nonlocal left
            if perf_counter() < deadline and not caller.transport.is_closing():
                caller.send(next(following))
                return
            left -= 1
            if not left and not done.done():
                done.set_result(None)

        started = perf_counter()
        deadline = started + seconds
        for caller in self._callers:
            caller.finished = finished
            caller.send(next(following))
        with _Awake() if awake else nullcontext():
            return await _ended(outcome, done, started, seconds)

    async def open_loop(self, requests: Sequence[bytes], *, rate: float, seconds: float) -> Outcome:
        """`rate` requests a second, evenly spaced, whether or not there are answers."""
        outcome, done = await self._begin()
        idle = list(self._callers)
        alive = len(idle)
        waiting: deque[float] = deque()
        following = cycle(requests)
        left = max(1, int(rate * seconds))
        due = started = perf_counter()

        def finished(caller: Caller) -> None:
            nonlocal alive
            if caller.transport.is_closing():
                alive -= 1
            elif waiting:
                caller.send(next(following), waiting.popleft())
                return
            else:
                idle.append(caller)
            if not left and len(idle) == alive and not done.done():
                done.set_result(None)

        def turn() -> None:
            nonlocal due, left
            while left and due <= perf_counter():
                left -= 1
                if idle:
                    idle.pop().send(next(following), due)
                else:
                    waiting.append(due)
                due += 1 / rate

        for caller in self._callers:
            caller.finished = finished
        with _Awake(turn):
            return await _ended(outcome, done, started, seconds)

    async def _begin(self) -> tuple[Outcome, asyncio.Future[None]]:
        await self.grow(len(self._callers))
        outcome = Outcome()
        for caller in self._callers:
            caller.outcome = outcome
        return outcome, asyncio.get_running_loop().create_future()


class _Awake:
    """Keeps the event loop turning, with `turn` called each time, so that it never sleeps.

    To wake a sleeping process costs its peer 3 to 6 µs a message: a contender whose callers and
    provider have time to sleep would pay for it, and the floor, which keeps them busy, would not.
    Where there is but one core for all, nobody may keep it.
    """

    def __init__(self, turn: Callable[[], None] | None = None) -> None:
        self._turn = turn
        self._ended = False

    def __enter__(self) -> None:
        if self._turn is not None or not _ONE_CORE:
            self._call()

    def __exit__(self, *_: object) -> None:
        self._ended = True

    def _call(self) -> None:
        if self._turn is not None:
            self._turn()
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._call)


@asynccontextmanager
async def crowd(address: Address, size: int, warm_up: Sequence[bytes]) -> AsyncIterator[Crowd]:
    """`size` callers with open connections, each of which has had one answer."""
    there = Crowd(address)
    gc.disable()
    try:
        await there.grow(size)
        if warm_up:
            await there.closed_loop(warm_up)
        yield there
    finally:
        gc.enable()
        gc.collect()
        there.leave()
        await asyncio.sleep(0)


async def _ended(
    outcome: Outcome, done: asyncio.Future[None], started: float, seconds: float
) -> Outcome:
    try:
        async with asyncio.timeout(seconds + _GIVE_UP_SECONDS):
            await done
    except TimeoutError:
        outcome.failures += 1
    outcome.seconds = perf_counter() - started
    return outcome


def _nothing(caller: Caller) -> None:
    pass
