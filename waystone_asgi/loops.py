"""Which kind of event loop runs, and how to reach it from a thread: what anyio has no word for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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
