"""Notices callers who leave, and cancels what is done for them.

In: the `receive` of a request whose body has been read. Out: cancellation of the visit's scope once
`http.disconnect` comes, or when the gateway closes before the answer is complete. One ticker serves
all requests: only a visit longer than `PATIENCE_SECONDS` costs a task. It writes no record and
sends nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from .types import Receive

logger = logging.getLogger("waystone_asgi")

PATIENCE_SECONDS = 0.03
FAREWELL_SECONDS = 2.0


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
        self._departures.remove(self)
        return self._scope.__exit__(kind, error, traceback)

    def end(self) -> None:
        """The answer is complete: a caller who leaves now cancels nothing."""
        self.ended = True
        if self._watch is not None:
            self._watch.cancel()

    def cancel(self) -> None:
        """There is nobody to answer any more."""
        if not self.ended:
            self.gone = True
            self._scope.cancel()

    async def watch(self) -> None:
        """Wait for the caller to leave."""
        if self.ended:
            return
        with anyio.CancelScope() as self._watch:
            try:
                while (await self._receive())["type"] != "http.disconnect":
                    pass
            except Exception as error:
                # Of this request only: what watches is shared with all others.
                logger.warning("A caller cannot be watched: receive raised %r.", error)
            else:
                self.cancel()


class Departures:
    """The visits under way, watched from the gateway's own task group."""

    def __init__(self) -> None:
        self._visits: set[Visit] = set()
        self._waiting: deque[tuple[float, Visit]] = deque()
        self._filled = anyio.Event()
        self._emptied = anyio.Event()

    def visit(self, receive: Receive) -> Visit:
        """A visit that is cancelled when its caller leaves."""
        return Visit(self, receive)

    def add(self, visit: Visit) -> None:
        """A visit has begun."""
        self._visits.add(visit)
        self._waiting.append((anyio.current_time() + PATIENCE_SECONDS, visit))
        if len(self._waiting) == 1:
            self._filled.set()

    def remove(self, visit: Visit) -> None:
        """A visit is over."""
        self._visits.remove(visit)
        if not self._visits:
            self._emptied.set()

    async def run(self, tasks: TaskGroup) -> None:
        """Watch each visit that lasts, in `tasks`, until cancelled; then cancel those under way."""
        try:
            while True:
                if not self._waiting:
                    self._filled = anyio.Event()
                    await self._filled.wait()
                due, visit = self._waiting[0]
                if not visit.ended:
                    await anyio.sleep_until(due)
                    tasks.start_soon(visit.watch)
                self._waiting.popleft()
        finally:
            self._waiting.clear()
            await self._dismiss()

    async def _dismiss(self) -> None:
        """Cancel the visits under way and wait, within a bound, until they are over."""
        for visit in self._visits:
            visit.cancel()
        with anyio.move_on_after(FAREWELL_SECONDS, shield=True):
            while self._visits:
                self._emptied = anyio.Event()
                await self._emptied.wait()
