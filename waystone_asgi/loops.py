"""Which kind of event loop runs, and what anyio has no word for on each of them.

That is to reach it from a thread, and to run beside the current task without a parent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Wake = Callable[[Callable[[], object]], object]
"""Has a function called on an event loop, from any thread. Raises `RuntimeError` after its end."""


def on_asyncio() -> bool:
    """Whether the event loop is asyncio's, or one in its place such as uvloop; if not, trio's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def waker() -> Wake:
    """What wakes the event loop that runs here."""
    if on_asyncio():
        return asyncio.get_running_loop().call_soon_threadsafe
    import trio

    return trio.lowlevel.current_trio_token().run_sync_soon


def spawn(function: Callable[[*Ts], Coroutine[Any, Any, None]], *arguments: *Ts) -> object:
    """Run the function in a task without a parent, which is returned to be kept from vanishing.

    It ends with its event loop at the latest. It must raise nothing: there is nobody to take it.
    """
    if on_asyncio():
        loop = asyncio.get_running_loop()
        return loop.create_task(function(*arguments), context=Context())
    import trio

    return trio.lowlevel.spawn_system_task(function, *arguments)


def call_later(
    start_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], object],
    seconds: float,
    function: Callable[[], Coroutine[Any, Any, None]],
) -> Callable[[], object]:
    """Start the function in so many seconds, in a task; what is returned takes that back.

    Until then there is no task on asyncio, which has timers of its own.
    """
    if on_asyncio():
        loop = asyncio.get_running_loop()
        return loop.call_later(seconds, start_soon, function).cancel
    import trio

    scope = trio.CancelScope()

    async def wait() -> None:
        with scope:
            await trio.sleep(seconds)
            start_soon(function)

    start_soon(wait)
    return scope.cancel


def by_itself(coroutine: Coroutine[Any, Any, T]) -> Awaitable[T]:
    """The coroutine, to be awaited at once: a task on asyncio, which is cancelled with its awaiter.

    Each time a coroutine goes on, it is reached through all that await it, but a task at once. That
    pays for the task where a coroutine goes on many times.
    """
    return asyncio.get_running_loop().create_task(coroutine) if on_asyncio() else coroutine
