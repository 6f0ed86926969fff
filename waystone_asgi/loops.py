"""Which kind of event loop runs: the one thing that transports and departures must know of it."""

from __future__ import annotations

import asyncio


def on_asyncio() -> bool:
    """Whether the event loop is asyncio's, or one in its place such as uvloop; if not, trio's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
