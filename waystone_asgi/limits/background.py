"""Work beside the requests, from `start` to `aclose`, whichever tasks call the two.

In: a coroutine function that returns when it is cancelled. Out: nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio

from ..loops import spawn

logger = logging.getLogger("waystone_asgi")


class Background:
    """Runs `work` once for each `start`; what it raises is logged."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._scope: anyio.CancelScope | None = None
        self._ended = anyio.Event()
        self._task: object = None

    def start(self) -> None:
        """Begin to work on this event loop."""
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._task = spawn(self._run, self._scope, self._ended)

    async def aclose(self) -> None:
        """Cancel the work, and return when it has ended."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await self._ended.wait()

    async def _run(self, scope: anyio.CancelScope, ended: anyio.Event) -> None:
        try:
            with scope:
                await self._work()
        except Exception:
            logger.exception("The work in the background of the counters stopped.")
        finally:
            ended.set()
