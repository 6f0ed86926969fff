"""Who goes on, when more requests have come than may be under way at once.

In: principals who ask for a place. Out: a place for each, at once or after a while, or a refusal.
Principals take turns, and of each the one who came first goes on; where too many wait, the refused
one is the newest of whoever has most waiting. So nobody is kept out by another's flood. It proves
nobody and reads nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import ceil, inf
from typing import Literal, Protocol

import anyio

from .exceptions import CallerLeft, OverloadedError

STOPPING = "The gateway is shutting down; try again elsewhere."

_CROWDED = "Too many requests are in flight; try again shortly."


class Presence(Protocol):
    """Tells whether a caller who waits is still there."""

    async def watch(self) -> bool:
        """Return once the caller has left, or false when that can be told no longer."""

    def release(self) -> bool:
        """The caller waits no more: whether `watch` may be cancelled; if not, it ends by itself."""


class Waiter:
    """One request in line. `decided` is set when its `state` has become final."""

    __slots__ = ("decided", "principal", "state")

    def __init__(self, principal: str) -> None:
        self.principal = principal
        self.state: Literal["waiting", "admitted", "refused", "left"] = "waiting"
        self.decided = anyio.Event()

    def decide(self, state: Literal["admitted", "refused", "left"]) -> None:
        """The waiting is over."""
        self.state = state
        self.decided.set()


class Line:
    """Those who wait, at most `limit` of them; `count` is how many. Nothing here takes longer with
    their number.
    """

    def __init__(self, limit: int) -> None:
        self.count = 0
        self._limit = limit
        # Principals in the order of their turns, and of each those who wait in the order they came.
        self._turns: OrderedDict[str, OrderedDict[Waiter, None]] = OrderedDict()
        # The principals that have so many waiting, by that number.
        self._having: dict[int, OrderedDict[str, None]] = {}
        self._most = 0

    def join(self, waiter: Waiter) -> Waiter | None:
        """Put the waiter last of its principal. Returns who must go for that, if anybody.

        It is the newest of a principal with most waiting, which may be the waiter itself: nobody
        goes unless the two principals are closer to each other afterwards.
        """
        leaver: Waiter | None = None
        if self.count >= self._limit:
            if len(self._turns.get(waiter.principal, ())) + 1 >= self._most:
                return waiter
            crowd = next(iter(self._having[self._most]))
            leaver = next(reversed(self._turns[crowd]))
            self.remove(leaver)
        waiting = self._turns.setdefault(waiter.principal, OrderedDict())
        waiting[waiter] = None
        self.count += 1
        self._moved(waiter.principal, len(waiting) - 1, len(waiting))
        return leaver

    def next(self) -> Waiter:
        """Take out whose turn it is; there must be somebody."""
        principal, waiting = next(iter(self._turns.items()))
        waiter = next(iter(waiting))
        self._turns.move_to_end(principal)
        self.remove(waiter)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """Take out somebody who is in line."""
        principal = waiter.principal
        waiting = self._turns[principal]
        del waiting[waiter]
        self.count -= 1
        self._moved(principal, len(waiting) + 1, len(waiting))
        if not waiting:
            del self._turns[principal]

    def _moved(self, principal: str, before: int, after: int) -> None:
        """Keep the books: a principal has one more waiting, or one less."""
        if before:
            same = self._having[before]
            del same[principal]
            if not same:
                del self._having[before]
        if after:
            self._having.setdefault(after, OrderedDict())[principal] = None
        if after > self._most or self._most not in self._having:
            self._most = after


class Places:
    """The places of requests under way, `free` of them left, and the line for them.

    A place is free only while nobody waits. At most `max_waiting` wait, each at most `max_wait`
    seconds, which `within` measures.
    """

    def __init__(
        self,
        limit: int,
        *,
        max_waiting: int,
        max_wait: float,
        within: Callable[[float], anyio.CancelScope] = anyio.move_on_after,
    ) -> None:
        self.free = limit
        self._line = Line(max_waiting)
        self._max_wait = max_wait
        self._within = within
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._line.count

    def open(self) -> None:
        """Let requests wait."""
        self._closed = False

    def close(self) -> None:
        """Refuse those who wait, and who would from now on."""
        self._closed = True
        while self._line.count:
            self._line.next().decide("refused")

    async def take(self, principal: str, presence: Callable[[], Presence]) -> None:
        """Take a free place, or `wait` for one; whoever has it must `leave`."""
        if self.free:
            self.free -= 1
        else:
            await self.wait(principal, presence)

    async def wait(self, principal: str, presence: Callable[[], Presence]) -> None:
        """Return with a place, when none was free; whoever has it must `leave`.

        Raises `OverloadedError`, or `CallerLeft` when the caller does not stay.
        """
        waiter = self._join(principal)
        caller = presence()
        admitted = False
        try:
            with self._within(self._max_wait) as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._watch, caller, waiter)
                    await waiter.decided.wait()
                    if waiter.state == "admitted" and not caller.release():
                        scope.deadline = inf
                    else:
                        tasks.cancel_scope.cancel()
            admitted = waiter.state == "admitted" and not scope.cancelled_caught
        finally:
            if not admitted:
                self._give_up(waiter)
        if waiter.state == "left":
            raise CallerLeft
        if not admitted:
            raise self._refusal()

    def leave(self) -> None:
        """Give a place back: to whose turn it is, if anybody waits."""
        if self._line.count:
            self._line.next().decide("admitted")
        else:
            self.free += 1

    def _join(self, principal: str) -> Waiter:
        waiter = Waiter(principal)
        if self._closed or not self._max_wait:
            raise self._refusal()
        leaver = self._line.join(waiter)
        if leaver is waiter:
            raise self._refusal()
        if leaver is not None:
            leaver.decide("refused")
        return waiter

    async def _watch(self, caller: Presence, waiter: Waiter) -> None:
        if await caller.watch() and waiter.state == "waiting":
            self._line.remove(waiter)
            waiter.decide("left")

    def _give_up(self, waiter: Waiter) -> None:
        """Whoever waited does not go on, for whatever reason."""
        if waiter.state == "waiting":
            self._line.remove(waiter)
        elif waiter.state == "admitted":
            self.leave()

    def _refusal(self) -> OverloadedError:
        if self._closed:
            return OverloadedError(STOPPING)
        return OverloadedError(_CROWDED, retry_after=max(1, ceil(self._max_wait)))
