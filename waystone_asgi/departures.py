"""Notices callers who leave, and cancels what is done for them.

In: the `receive` of a request whose body has been read. Out: cancellation of the visit's scope once
`http.disconnect` comes. One ticker serves all requests: only a visit longer than
`PATIENCE_SECONDS`, or a stream, costs a task. It writes no record and sends nothing.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from .types import Receive

PATIENCE_SECONDS = 0.03


class Visit:
    """One request from its body's end to the answer's. As a context it is cancelled when `gone`."""

    __slots__ = ("_departures", "_receive", "_scope", "_watch", "ended", "gone")

    def __init__(self, departures: Departures, receive: Receive) -> None:
        self._departures = departures
        self._receive = receive
        self._scope = anyio.CancelScope()
        self._watch: anyio.CancelScope | None = None
        self.gone = False
        self.ended = False

    def __enter__(self) -> Self:
        self._scope.__enter__()
        self._departures.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self.end()
        return self._scope.__exit__(kind, error, traceback)

    def end(self) -> None:
        """The answer is complete: a caller who leaves now cancels nothing."""
        self.ended = True
        if self._watch is not None:
            self._watch.cancel()

    def watch(self) -> None:
        """Watch from now on, without waiting for the ticker."""
        self._departures.watch(self)

    async def run(self) -> None:
        """Wait for the caller to leave."""
        if self.ended or self._watch is not None:
            return
        with anyio.CancelScope() as self._watch:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            if not self.ended:
                self.gone = True
                self._scope.cancel()


class Departures:
    """The visits under way, watched from the gateway's own task group."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Visit]] = deque()
        self._filled = anyio.Event()
        self._tasks: TaskGroup | None = None

    def visit(self, receive: Receive) -> Visit:
        """A visit that is cancelled when its caller leaves."""
        return Visit(self, receive)

    def add(self, visit: Visit) -> None:
        self._waiting.append((anyio.current_time() + PATIENCE_SECONDS, visit))
        if len(self._waiting) == 1:
            self._filled.set()

    def watch(self, visit: Visit) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(visit.run)

    async def run(self, tasks: TaskGroup) -> None:
        """Start the watch of each visit that lasts, in `tasks`, until cancelled."""
        self._tasks = tasks
        try:
            while True:
                if not self._waiting:
                    self._filled = anyio.Event()
                    await self._filled.wait()
                due, visit = self._waiting[0]
                if not visit.ended:
                    await anyio.sleep_until(due)
                    self.watch(visit)
                self._waiting.popleft()
        finally:
            self._tasks = None
