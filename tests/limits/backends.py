"""What the tests of counters share: charges that no other test has, and counters of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from waystone_asgi.charges import Charge, Refused, Taken, Window
from waystone_asgi.limits import MemoryCounters
from waystone_asgi.types import Counters

if TYPE_CHECKING:
    from waystone_asgi.limits.postgresql import PostgreSQLCounters
    from waystone_asgi.limits.redis import RedisCounters
    from waystone_asgi.limits.sqlite import SQLiteCounters

    Openable = PostgreSQLCounters | RedisCounters | SQLiteCounters

DAY = Window(per="day")
NOON = 1_795_435_200.0  # 2026-11-23 12:00 UTC, a Monday
LEASE = 600.0


class Names:
    """Makes charges to counters that no other test has."""

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = prefix or uuid4().hex

    def charge(
        self,
        amount: int = 1,
        limit: int | None = None,
        *,
        name: str = "requests",
        least: int | None = None,
        window: Window = DAY,
    ) -> Charge:
        """A charge of which all must fit, unless `least` says otherwise."""
        counter = f"{self.prefix}:{name}"
        return Charge(counter, window, amount, amount if least is None else least, limit)


def unguarded(url: str) -> Openable:
    """The counters for a URL as they are without their guard."""
    # A process that makes a few calls imports what it needs.
    kind, _, rest = url.partition(":")
    if kind == "sqlite":
        from waystone_asgi.limits.sqlite import SQLiteCounters

        return SQLiteCounters(rest[3:])
    if kind == "postgresql":
        from waystone_asgi.limits.postgresql import PostgreSQLCounters

        return PostgreSQLCounters(url)
    from waystone_asgi.limits.redis import RedisCounters

    return RedisCounters(url)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Counters]:
    """The same, opened."""
    if url == "memory:":
        yield MemoryCounters()
        return
    counters = unguarded(url)
    await counters.open()
    try:
        yield counters
    finally:
        await counters.aclose()


async def take(counters: Counters, *charges: Charge, now: float = NOON) -> Taken:
    """Reserve what is sure to fit."""
    outcome = await counters.reserve(charges, now=now, lease=LEASE)
    assert isinstance(outcome, Taken), outcome
    return outcome


async def refuse(counters: Counters, *charges: Charge, now: float = NOON) -> Refused:
    """Try to reserve what is sure not to fit."""
    outcome = await counters.reserve(charges, now=now, lease=LEASE)
    assert isinstance(outcome, Refused), outcome
    return outcome


async def held(counters: Counters, charge: Charge, now: float = NOON) -> int:
    """What the charge's counter holds, used and reserved."""
    taken = await take(counters, Charge(charge.counter, charge.window, 0, 0), now=now)
    await counters.settle(taken, [0])
    return taken.used[0]
