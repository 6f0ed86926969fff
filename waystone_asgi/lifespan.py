"""Opens the gateway and closes it: under the host's lifespan, or by itself at the first request.

In: a function that holds everything open while it runs. Out: the state that `/ready` shows.
Constructing does nothing; entering opens; leaving waits for the requests in flight, within a bound,
cuts those that are left, and closes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal, Protocol

import anyio

from .loops import on_asyncio, spawn
from .types import Receive, Send

logger = logging.getLogger("waystone_asgi")

State = Literal["idle", "starting", "open", "draining", "closed"]

FAREWELL_SECONDS = 2.0


class Serve(Protocol):
    """Opens everything, calls `opened`, returns when `closing` is set, and closes everything."""

    def __call__(self, opened: Callable[[], None], closing: anyio.Event) -> Awaitable[None]: ...


class Life:
    """One opening and closing. Its events belong to one event loop, so the next life has its own.

    `kept` is true when a `running` will close it. `loop` is that of a life begun by a request.
    """

    def __init__(self, state: State = "starting") -> None:
        self.state = state
        self.kept = False
        self.error: Exception | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closing = anyio.Event()
        self.settled = anyio.Event()
        self.idle = anyio.Event()
        self.drained = False
        self.ended = anyio.Event()

    @property
    def abandoned(self) -> bool:
        """Whether its event loop was closed without giving it a chance to end."""
        return self.loop is not None and self.loop.is_closed()

    async def opened(self) -> None:
        """Wait until it is open. Raises what opening raised."""
        await self.settled.wait()
        if self.error is not None:
            raise self.error

    async def run(self, serve: Serve) -> None:
        """Open, stay open until `closing`, close. A failure is kept or logged, never raised."""
        with anyio.CancelScope() as scope:

            def opened() -> None:
                # From here on only `closing` ends it: what is in flight is waited for before.
                scope.shield = self.kept
                self.state = "open"
                self.settled.set()

            try:
                await serve(opened, self.closing)
            except Exception as error:
                if self.state == "starting":
                    self.error = error
                else:
                    logger.exception("The gateway stopped.")
            finally:
                self.state = "closed"
                if not self.settled.is_set():
                    self.error = self.error or RuntimeError("Opening the gateway was cancelled.")
                    self.settled.set()
                self.ended.set()


class Lifespan:
    """The life of one gateway, which can be lived again after it ended.

    When it is to end, `refuse` refuses requests that wait; after `max_drain` seconds `cut` ends
    those under way, and returns when they are over, or after a while.
    """

    def __init__(
        self,
        serve: Serve,
        *,
        refuse: Callable[[], None],
        cut: Callable[[], Awaitable[None]],
        max_drain: float,
    ) -> None:
        self._serve = serve
        self._refuse = refuse
        self._cut = cut
        self._max_drain = max_drain
        self._life = Life("idle")
        self._task: object = None
        self.in_flight = 0

    @property
    def state(self) -> State:
        """What `/ready` shows."""
        return "idle" if self._life.abandoned else self._life.state

    @property
    def is_open(self) -> bool:
        """Whether requests may pass."""
        life = self._life
        return life.state == "open" and (life.loop is None or not life.loop.is_closed())

    @property
    def is_alone(self) -> bool:
        """Whether a request opened it, so that nobody says when the process is about to end."""
        return not self._life.kept and self.is_open

    def enter(self) -> None:
        """A request has begun."""
        self.in_flight += 1

    def leave(self) -> None:
        """A request has ended."""
        self.in_flight -= 1
        if not self.in_flight and self._life.state == "draining":
            self._life.idle.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open on entering, drain and close on leaving; an exception of the body passes unchanged.

        Entered again while open it does nothing, and closes with the first one to have entered. A
        gateway that a request has opened is taken over. Raises what opening raised.
        """
        while self.state == "draining":
            if not self._life.kept:
                self._life.closing.set()
            await self._life.ended.wait()
        alive = self.state in ("starting", "open")
        if alive and self._life.kept:
            await self._life.opened()
            yield
            return
        failure: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            if not alive:
                self._life = Life()
                tasks.start_soon(self._life.run, self._serve)
            life = self._life
            life.kept = True
            # An exception that left the task group would reach the host as a group.
            try:
                await life.opened()
                yield
            except BaseException as error:
                failure = error
            with anyio.CancelScope(shield=True):
                try:
                    await self._drain(life, self._max_drain)
                finally:
                    # Asyncio's own cancellation passes the shield: then it closes at once.
                    life.closing.set()
                await life.ended.wait()
        if failure is not None:
            raise failure

    async def ensure(self) -> None:
        """Open without a lifespan, in the background of the event loop; returns when open.

        Raises what opening raised. The end of the event loop closes.
        """
        self.begin()
        await self._life.opened()

    def begin(self) -> None:
        """Begin to open in the background, unless that was done or the gateway has been closed."""
        if self.state == "idle":
            self._life = Life()
            if on_asyncio():
                self._life.loop = asyncio.get_running_loop()
            self._task = spawn(self._live_alone, self._life)

    async def _live_alone(self, life: Life) -> None:
        try:
            await life.run(self._serve)
        finally:
            if not life.kept:
                # The next request, on this event loop or on another one, may open again.
                life.state = "idle"
                if life.error is not None:
                    logger.error("The gateway could not open: %s", life.error)

    async def drain(self, within: float | None = None) -> None:
        """Refuse what comes, and return when nothing is in flight any more.

        What is not over `within` seconds, by default `max_drain`, is cut; also when that is asked
        for while the draining goes on.
        """
        await self._drain(self._life, self._max_drain if within is None else within)

    async def _drain(self, life: Life, within: float) -> None:
        if life.state == "open":
            life.state = "draining"
            self._refuse()
        if life.state != "draining":
            return
        with anyio.move_on_after(within):
            await self._emptied(life)
        if self.in_flight and not life.drained:
            await self._cut()
            with anyio.move_on_after(FAREWELL_SECONDS):
                await self._emptied(life)
        life.drained = True
        life.idle.set()

    async def _emptied(self, life: Life) -> None:
        while self.in_flight and not life.drained:
            if life.idle.is_set():
                life.idle = anyio.Event()
            await life.idle.wait()


async def serve_lifespan(
    running: Callable[[], AbstractAsyncContextManager[object]], receive: Receive, send: Send
) -> None:
    """Speak ASGI's lifespan protocol around `running`."""
    await receive()
    phase = "startup"
    try:
        async with running():
            await send({"type": "lifespan.startup.complete"})
            phase = "shutdown"
            await receive()
    except Exception as error:
        await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
    else:
        await send({"type": "lifespan.shutdown.complete"})
