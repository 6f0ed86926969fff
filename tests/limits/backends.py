"""What the tests of counters share: charges that no other test has, and counters of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from waystone_asgi.charges import Charge, Refused, Taken, Window
from waystone_asgi.limits import MemoryCounters
from waystone_asgi.limits.postgresql import PostgreSQLCounters
from waystone_asgi.limits.redis import RedisCounters
from waystone_asgi.limits.sqlite import SQLiteCounters

Backend = MemoryCounters | PostgreSQLCounters | RedisCounters | SQLiteCounters

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


def unguarded(url: str) -> Backend:
    """The counters for a URL as they are without their guard."""
    kind, _, rest = url.partition(":")
    if kind == "sqlite":
        return SQLiteCounters(rest[3:])
    if kind == "postgresql":
        return PostgreSQLCounters(url)
    return RedisCounters(url) if kind == "redis" else MemoryCounters()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Backend]:
    """The same, opened."""
    counters = unguarded(url)
    if isinstance(counters, MemoryCounters):
        yield counters
        return
    await counters.open()
    try:
        yield counters
    finally:
        await counters.aclose()


async def take(counters: Backend, *charges: Charge, now: float = NOON) -> Taken:
    """Reserve what is sure to fit."""
    outcome = await counters.reserve(charges, now=now, lease=LEASE)
    assert isinstance(outcome, Taken), outcome
    return outcome


async def refuse(counters: Backend, *charges: Charge, now: float = NOON) -> Refused:
    """Try to reserve what is sure not to fit."""
    outcome = await counters.reserve(charges, now=now, lease=LEASE)
    assert isinstance(outcome, Refused), outcome
    return outcome


async def held(counters: Backend, charge: Charge, now: float = NOON) -> int:
    """What the charge's counter holds, used and reserved."""
    taken = await take(counters, Charge(charge.counter, charge.window, 0, 0), now=now)
    await counters.settle(taken, [0])
    return taken.used[0]
