"""Opens the gateway and closes it: under the host's lifespan, or by itself at the first request.

In: a function that holds everything open while it runs. Out: the state that `/ready` shows.
Constructing does nothing; entering opens; leaving waits for the requests in flight, within a bound,
and closes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context
from typing import Any, Literal, Protocol

import anyio

from .types import Receive, Send

logger = logging.getLogger("waystone_asgi")

State = Literal["idle", "starting", "open", "draining", "closed"]

DRAIN_SECONDS = 30.0


class Serve(Protocol):
    """Opens everything, calls `opened`, returns when `closing` is set, and closes everything."""

    def __call__(self, opened: Callable[[], None], closing: anyio.Event) -> Awaitable[None]: ...


class Lifespan:
    """The life of one gateway, which can be lived again after it ended."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._closing = anyio.Event()
        self._settled = anyio.Event()
        self._idle = anyio.Event()
        self._error: Exception | None = None
        self._task: object = None
        self.state: State = "idle"
        self.in_flight = 0

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    def enter(self) -> None:
        """A request has begun."""
        self.in_flight += 1

    def leave(self) -> None:
        """A request has ended."""
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open on entering, drain and close on leaving; an exception of the body passes unchanged.

        Entered again while open it does nothing, and closes with the first one to have entered.
        Raises what opening raised.
        """
        if self.state in ("starting", "open"):
            await self._opened()
            yield
            return
        failure: BaseException | None = None
        self._reset()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._live)
            # An exception that left the task group would reach the host as a group.
            try:
                await self._opened()
                yield
            except BaseException as error:
                failure = error
            with anyio.CancelScope(shield=True):
                await self._drain()
            self._closing.set()
        if failure is not None:
            raise failure

    async def ensure(self) -> None:
        """Open without a lifespan, in the background of the event loop; returns when open.

        Raises what opening raised. The end of the event loop closes.
        """
        self.begin()
        await self._opened()

    def begin(self) -> None:
        """Begin to open in the background, unless that was done or the gateway has been closed."""
        if self.state == "idle":
            self._reset()
            self._task = _spawn(self._live_alone)

    def _reset(self) -> None:
        self.state = "starting"
        self._error = None
        self._closing = anyio.Event()
        self._settled = anyio.Event()

    async def _opened(self) -> None:
        await self._settled.wait()
        if self._error is not None:
            raise self._error

    async def _live(self) -> None:
        try:
            await self._serve(self._open, self._closing)
        except Exception as error:
            if self.state != "starting":
                raise
            self._error = error
        finally:
            self.state = "closed"
            self._settled.set()

    async def _live_alone(self) -> None:
        try:
            await self._live()
        finally:
            # The next request, on this event loop or on another one, may open again.
            self.state = "idle"
            if self._error is not None:
                logger.error("The gateway could not open: %s", self._error)

    def _open(self) -> None:
        self.state = "open"
        self._settled.set()

    async def _drain(self) -> None:
        if self.state != "open":
            return
        self.state = "draining"
        with anyio.move_on_after(DRAIN_SECONDS):
            while self.in_flight:
                self._idle = anyio.Event()
                await self._idle.wait()


def _spawn(function: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """Run beside the current task without a parent: the one thing that anyio has no word for."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        return trio.lowlevel.spawn_system_task(function)
    return loop.create_task(function(), context=Context())


async def serve_lifespan(
    running: Callable[[], AbstractAsyncContextManager[object]], receive: Receive, send: Send
) -> None:
    """Speak ASGI's lifespan protocol around `running`."""
    await receive()
    try:
        async with running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.shutdown.complete"})
