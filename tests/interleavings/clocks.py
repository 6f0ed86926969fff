"""Event loops whose time stands still until a test turns it, and the moment when all tasks wait."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import trio
import trio.testing

from waystone_asgi.loops import on_asyncio


class TurnedLoop(asyncio.SelectorEventLoop):
    """Asyncio's own event loop over a clock that is turned."""

    def __init__(self) -> None:
        self.moment = 0.0
        super().__init__()

    def time(self) -> float:
        return self.moment


BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {"loop_factory": TurnedLoop}),
    "trio": ("trio", {"clock": trio.testing.MockClock()}),
}


async def settled() -> None:
    """Return when every other task waits for something that does not come by itself."""
    if not on_asyncio():
        await trio.testing.wait_all_tasks_blocked()
        return
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    for _ in range(1000):
        if not ready:
            return
        await asyncio.sleep(0)
    raise AssertionError("something never waits")


async def turn(seconds: float) -> None:
    """Let so much time pass, in steps short enough for what depends on each other.

    Seconds are sums of powers of two, which add up to what they are.
    """
    end = anyio.current_time() + seconds
    while (left := end - anyio.current_time()) > 0.0:
        step = min(left, 0.5)
        if on_asyncio():
            loop = asyncio.get_running_loop()
            assert isinstance(loop, TurnedLoop)
            loop.moment += step
        else:
            clock = trio.lowlevel.current_clock()
            assert isinstance(clock, trio.testing.MockClock)
            clock.jump(step)
        await settled()


def living() -> int:
    """How many tasks there are."""
    if on_asyncio():
        return len(asyncio.all_tasks())
    return trio.lowlevel.current_statistics().tasks_living
