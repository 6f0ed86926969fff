"""One timer a connection, however many deadlines it has.

A deadline comes in before each wait, and almost never passes. Moving it further away is therefore
an assignment; the event loop's timer is touched only when it has fired, or would fire too late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

NEVER = float("inf")


class Alarm:
    """Calls `ring` once `deadline`, in the loop's time, has passed.

    A deadline that is not before `when` may be assigned as it is; any may be `set`.
    """

    __slots__ = ("_handle", "_loop", "_ring", "deadline", "when")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self.deadline = NEVER
        self._loop = loop
        self._ring = ring
        self.when = NEVER
        self._handle: asyncio.TimerHandle | None = None

    def set(self, deadline: float) -> None:
        """Replace the deadline."""
        self.deadline = deadline
        if deadline < self.when:
            self._arm(deadline)

    def cancel(self) -> None:
        """Never ring again, and forget whom to call, who refers to this object."""
        self._ring = _silence
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self.when = when
        self._handle = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self.when = NEVER
        if self._loop.time() < self.deadline:
            self._arm(self.deadline)
        else:
            self._ring()


def _silence() -> None:
    pass
