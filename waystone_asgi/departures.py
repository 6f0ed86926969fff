"""Notices callers who leave, and cancels what is done for them.

In: the `receive` of a request whose body has been read. Out: cancellation of the visit once
`http.disconnect` comes. One ticker serves all requests: only a visit longer than `PATIENCE_SECONDS`
costs a task. It writes no record and sends nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from .types import Receive

PATIENCE_SECONDS = 0.03


class Visit:
    """One request from its body's end to the answer's; a context that is cancelled when `gone`."""

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

    async def watch(self) -> None:
        """Wait for the caller to leave."""
        if self.ended:
            return
        with anyio.CancelScope() as self._watch:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            if not self.ended:
                self.gone = True
                self._cancel()

    def _cancel(self) -> None:
        self._scope.cancel()


class TaskVisit(Visit):
    """A visit on asyncio: the request's task is cancelled itself, which costs nothing until then.

    It does what `asyncio.timeout` does: cancels once, and takes that one cancellation back.
    """

    __slots__ = ("_cancelling", "_task")

    def __init__(self, departures: Departures, receive: Receive) -> None:
        self._departures = departures
        self._receive = receive
        self._watch = None
        self.gone = False
        self.ended = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._departures.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self.end()
        if not self.gone:
            return None
        return self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError

    def _cancel(self) -> None:
        self._task.cancel()


class Departures:
    """The visits under way, watched from the gateway's own task group."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Visit]] = deque()
        self._filled = anyio.Event()
        self._kind: type[Visit] = Visit

    def visit(self, receive: Receive) -> Visit:
        """A visit that is cancelled when its caller leaves."""
        return self._kind(self, receive)

    def add(self, visit: Visit) -> None:
        """Have the visit watched when it lasts."""
        self._waiting.append((monotonic() + PATIENCE_SECONDS, visit))
        if len(self._waiting) == 1:
            self._filled.set()

    async def run(self, tasks: TaskGroup) -> None:
        """Start the watch of each visit that lasts, in `tasks`, until cancelled."""
        self._kind = TaskVisit if _on_asyncio() else Visit
        while True:
            if not self._waiting:
                self._filled = anyio.Event()
                await self._filled.wait()
            due, visit = self._waiting[0]
            if not visit.ended:
                await anyio.sleep(due - monotonic())
                tasks.start_soon(visit.watch)
            self._waiting.popleft()


def _on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
