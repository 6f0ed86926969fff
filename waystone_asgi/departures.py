"""Notices callers who leave, and cancels what is done for them.

In: the `receive` of a request whose body has been read. Out: cancellation of the visit's scope once
`http.disconnect` comes, or when the gateway waits no longer for the answer to be complete. One
ticker serves all requests: only a visit longer than `PATIENCE_SECONDS` costs a task. It writes no
record and sends nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from .exceptions import CallerLeft, OverloadedError
from .loops import on_asyncio
from .types import Receive

logger = logging.getLogger("waystone_asgi")

PATIENCE_SECONDS = 0.03
FAREWELL_SECONDS = 2.0

_CUT = "The gateway is shutting down and has cut the answer off; try again elsewhere."


class Visit:
    """One request until its answer has ended. As a context it is cancelled when `gone`, which is
    then why: `CallerLeft`, or `OverloadedError` when the gateway ends it.

    While the body is being `reading`, only `receive` itself can tell that the caller has left.
    """

    __slots__ = ("_departures", "_reading", "_receive", "_scope", "_watch", "ended", "gone")

    _scope: anyio.CancelScope

    def __init__(self, departures: Departures, receive: Receive, reading: bool) -> None:
        self._departures = departures
        self._receive = receive
        self._reading = reading
        self._watch: anyio.CancelScope | asyncio.Task[None] | None = None
        self.gone: CallerLeft | OverloadedError | None = None
        self.ended = False

    def __enter__(self) -> Self:
        self._scope = anyio.CancelScope().__enter__()
        self._departures.add(self, listen=not self._reading)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._leave()
        return self._scope.__exit__(kind, error, traceback)

    def listen(self) -> None:
        """The body has been read: have the caller watched."""
        self._departures.listen(self)

    def end(self) -> None:
        """The answer is complete: a caller who leaves now cancels nothing."""
        self.ended = True
        if self._watch is not None:
            self._watch.cancel()

    def _leave(self) -> None:
        self.ended = True
        if self._watch is not None:
            self._watch.cancel()
        self._departures.remove(self)
        # The ticker still has the visit for a while, and must not keep the whole request for it:
        # what lives that long is looked at by the garbage collector again and again.
        del self._receive

    def cancel(self, reason: CallerLeft | OverloadedError) -> None:
        """There is nobody to answer any more, or no time."""
        if not self.ended and self.gone is None:
            self.gone = reason
            self._interrupt()

    def _interrupt(self) -> None:
        self._scope.cancel()

    def watch(self, tasks: TaskGroup) -> None:
        """Have somebody wait for the caller to leave, in `tasks` or beside them."""
        tasks.start_soon(self._watch_in_scope)

    async def _watch_in_scope(self) -> None:
        if not self.ended:
            with anyio.CancelScope() as self._watch:
                await self._wait()

    async def _wait(self) -> None:
        receive = self._receive
        try:
            while (await receive())["type"] != "http.disconnect":
                # A server that never lets `receive` wait holds up nobody else.
                await anyio.lowlevel.checkpoint()
        except Exception as error:
            # Of this request only: what watches is shared with all others.
            logger.warning("A caller cannot be watched: receive raised %r.", error)
        else:
            self.cancel(CallerLeft())


class TaskVisit(Visit):
    """A visit on asyncio: the request's own task is cancelled, which costs nothing until then.

    It does what `asyncio.timeout` does: cancels once, and takes that one cancellation back.
    """

    __slots__ = ("_cancelling", "_task")

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._departures.add(self, listen=not self._reading)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._leave()
        task = self._task
        del self._task
        if self.gone is None:
            return None
        return task.uncancel() <= self._cancelling and kind is asyncio.CancelledError

    def watch(self, tasks: TaskGroup) -> None:
        """See `Visit`. A task group and its scopes cost more than the waiting."""
        self._watch = self._task.get_loop().create_task(self._wait())

    def _interrupt(self) -> None:
        self._task.cancel()


class Departures:
    """The visits under way, watched from the gateway's own task group."""

    def __init__(self) -> None:
        self._kind: type[Visit] = Visit
        self._dismissing = False
        self._visits: set[Visit] = set()
        self._waiting: deque[tuple[float, Visit]] = deque()
        self._filled = anyio.Event()
        self._emptied = anyio.Event()

    def visit(self, receive: Receive, *, reading: bool = False) -> Visit:
        """A visit, cancelled when its caller leaves; `reading` until it is told to listen."""
        return self._kind(self, receive, reading)

    def add(self, visit: Visit, *, listen: bool) -> None:
        """A visit has begun."""
        self._visits.add(visit)
        if listen:
            self.listen(visit)

    def listen(self, visit: Visit) -> None:
        """Nobody else takes from the visit's `receive` any more."""
        self._waiting.append((monotonic() + PATIENCE_SECONDS, visit))
        if len(self._waiting) == 1:
            self._filled.set()

    def remove(self, visit: Visit) -> None:
        """A visit is over."""
        self._visits.remove(visit)
        if self._dismissing and not self._visits:
            self._emptied.set()

    async def run(self, tasks: TaskGroup) -> None:
        """Watch each visit that lasts, in `tasks`, until cancelled; then cancel those under way."""
        self._kind = TaskVisit if on_asyncio() else Visit
        try:
            while True:
                if not self._waiting:
                    self._filled = anyio.Event()
                    await self._filled.wait()
                due, visit = self._waiting[0]
                delay = due - monotonic()
                if not visit.ended and delay > 0.0:
                    await anyio.sleep(delay)
                if not visit.ended:
                    visit.watch(tasks)
                self._waiting.popleft()
        finally:
            # On the next event loop a visit may begin before this runs there.
            self._kind = Visit
            self._waiting.clear()
            await self.dismiss()
            for visit in self._visits:
                visit.end()

    async def dismiss(self) -> None:
        """Cancel the visits under way and wait, within a bound, until they are over."""
        for visit in self._visits:
            visit.cancel(OverloadedError(_CUT))
        if not self._dismissing:
            self._dismissing = True
            self._emptied = anyio.Event()
        with anyio.move_on_after(FAREWELL_SECONDS, shield=True):
            while self._visits:
                if self._emptied.is_set():
                    self._emptied = anyio.Event()
                await self._emptied.wait()
        self._dismissing = False
