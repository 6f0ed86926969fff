"""The load: callers on keep-alive connections, over a raw asyncio Protocol that parses next to
nothing.

In: whole HTTP requests as bytes. Out: an `Outcome` with counts and latencies. In a closed loop each
caller sends its next request when it has its answer; in an open loop requests are due at a steady
rate, and a late answer's time counts from when its request was due. It decodes no answer: that is
`checks`.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter
from typing import cast

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_EVENT = b"data: "
_GIVE_UP_SECONDS = 60.0
_CLOCK_MONOTONIC = 1

Address = tuple[str, int]


@dataclass
class Outcome:
    """What came back. Latencies are in seconds, one a request."""

    requests: int = 0
    failures: int = 0
    events: int = 0
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
            self._events += data.count(_EVENT)
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
        self._events = 0
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
            outcome.events += self._events
            outcome.first_bytes.append(self._first_byte - self._due)
        self._missing = -1
        self._chunked = False
        self.busy = False
        self.finished(self)

    _ok = False
    _events = 0
    _first_byte = 0.0


class Crowd:
    """Callers whose connections are open, one request each behind them."""

    def __init__(self, callers: Sequence[Caller]) -> None:
        self._callers = callers

    async def closed_loop(self, requests: Sequence[bytes], *, seconds: float = 0.0) -> Outcome:
        """Each caller sends one request after the other, the last within `seconds`, and at least
        one.
        """
        outcome, done = self._begin()
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
        return await _ended(outcome, done, started, seconds)

    async def open_loop(self, requests: Sequence[bytes], *, rate: float, seconds: float) -> Outcome:
        """`rate` requests a second, evenly spaced, whether or not there are answers."""
        outcome, done = self._begin()
        idle = list(self._callers)
        waiting: deque[float] = deque()
        following = cycle(requests)
        left = max(1, int(rate * seconds))

        def finished(caller: Caller) -> None:
            if waiting:
                caller.send(next(following), waiting.popleft())
                return
            idle.append(caller)
            if not left and len(idle) == len(self._callers) and not done.done():
                done.set_result(None)

        def tick(count: int) -> None:
            nonlocal left
            now = perf_counter()
            for number in range(count):
                if not left:
                    return
                left -= 1
                due = now - (count - 1 - number) / rate
                if idle:
                    idle.pop().send(next(following), due)
                else:
                    waiting.append(due)

        for caller in self._callers:
            caller.finished = finished
        started = perf_counter()
        with _Ticks(1 / rate, tick):
            return await _ended(outcome, done, started, seconds)

    def _begin(self) -> tuple[Outcome, asyncio.Future[None]]:
        outcome = Outcome()
        for caller in self._callers:
            caller.outcome = outcome
        return outcome, asyncio.get_running_loop().create_future()


@asynccontextmanager
async def crowd(address: Address, size: int, warm_up: Sequence[bytes]) -> AsyncIterator[Crowd]:
    """`size` callers with open connections, each of which has had one answer."""
    loop = asyncio.get_running_loop()
    outcome = Outcome()
    callers: list[Caller] = []
    gc.disable()
    try:
        for _ in range(size):
            _, caller = await loop.create_connection(lambda: Caller(outcome), *address)
            callers.append(caller)
        crowd = Crowd(callers)
        if warm_up:
            await crowd.closed_loop(warm_up)
        yield crowd
    finally:
        gc.enable()
        gc.collect()
        for caller in callers:
            caller.finished = _nothing
            caller.busy = False
            caller.transport.abort()
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


class _Ticks:
    """Calls `tick(count)` every `interval` seconds by a timer of the kernel (timerfd_create(2)).

    The timers of event loops come in milliseconds, and would send in bursts.
    """

    def __init__(self, interval: float, tick: Callable[[int], None]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK)
        seconds, rest = divmod(int(interval * 1e9), 10**9)
        times = (ctypes.c_long * 4)(seconds, rest, seconds, rest)
        if self._fd < 0 or libc.timerfd_settime(self._fd, 0, times, None):
            raise OSError(ctypes.get_errno(), "No timer.")
        self._tick = tick

    def __enter__(self) -> None:
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        self._tick(int.from_bytes(os.read(self._fd, 8), "little"))
