from __future__ import annotations

import logging

import pytest

from tests.limits.backends import DAY, LEASE, NOON, Names, held, refuse, take
from waystone_asgi.charges import Taken, Window
from waystone_asgi.limits import MemoryCounters

pytestmark = pytest.mark.anyio

MINUTE = Window(per="minute")


class Clock:
    """Stands still unless it is turned."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def use(counters: MemoryCounters, names: Names, *users: int, window: Window = DAY) -> None:
    for user in users:
        charge = names.charge(1, name=f"user {user}", window=window)
        await counters.settle(await take(counters, charge), [1])


async def holds(counters: MemoryCounters, names: Names, user: int) -> int:
    return await held(counters, names.charge(name=f"user {user}"))


async def test_it_keeps_no_more_than_its_limit(
    names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    counters = MemoryCounters(limit=100)
    for user in range(300):
        await use(counters, names, 7, user)
    assert len(counters) == 100
    assert await holds(counters, names, 7) == 301
    assert await holds(counters, names, 299) == 1
    assert await holds(counters, names, 150) == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_the_oldest_of_all_windows_go_first(names: Names) -> None:
    clock = Clock()
    counters = MemoryCounters(limit=4, clock=clock)
    for user, window in enumerate((DAY, MINUTE, DAY, MINUTE, DAY)):
        clock.now += 1
        await use(counters, names, user, window=window)
    assert len(counters) == 4
    assert [await holds(counters, names, user) for user in (2, 4)] == [1, 1]


async def test_what_is_reserved_from_stays(names: Names) -> None:
    counters = MemoryCounters(limit=5)
    taken = [await take(counters, names.charge(1, name=f"user {user}")) for user in range(5)]
    await use(counters, names, *range(10, 30))
    assert len(counters) == 6
    for one in taken:
        await counters.settle(one, [1])
    assert [await holds(counters, names, user) for user in range(5)] == [1] * 5
    await use(counters, names, *range(40, 60))
    assert len(counters) <= 6
    assert await holds(counters, names, 0) == 0


async def test_all_are_reserved_from(names: Names) -> None:
    counters = MemoryCounters(limit=2)
    taken = [await take(counters, names.charge(1, name=f"user {user}")) for user in range(5)]
    assert len(counters) == 5
    for one in taken:
        await counters.settle(one, [2])
    assert await holds(counters, names, 4) == 2


async def test_those_that_are_over_make_room_for_new_ones(names: Names) -> None:
    clock = Clock()
    counters = MemoryCounters(clock=clock)
    await use(counters, names, *range(1000), window=MINUTE)
    await use(counters, names, *range(1000, 1100))
    clock.now += 100
    await use(counters, names, 3, window=MINUTE)
    clock.now += 21
    await use(counters, names, *range(2000, 2600), window=MINUTE)
    assert len(counters) == 100 + 1 + 600


async def test_late_settlements_are_remembered_within_a_bound(names: Names) -> None:
    counters = MemoryCounters()
    charge = names.charge(1)
    first, *_, last = [await take(counters, charge) for _ in range(10_001)]
    later = NOON + LEASE
    assert await held(counters, charge, later) == 0
    await counters.settle(last, [1])
    await counters.settle(first, [1])
    assert await held(counters, charge, later) == 1


async def test_a_late_settlement_of_a_counter_that_went(names: Names) -> None:
    counters = MemoryCounters(limit=1)
    charge = names.charge(3)
    taken = await take(counters, charge)
    await use(counters, names, 1)
    await held(counters, charge, NOON + LEASE)
    await use(counters, names, 2, 3)
    await counters.settle(taken, [2])
    assert await held(counters, charge, NOON + LEASE) == 2


async def test_what_another_took_over_a_window_not_seen_before(names: Names) -> None:
    counters = MemoryCounters()
    charge = names.charge(3, window=MINUTE)
    await counters.settle(Taken("elsewhere", (charge,), (3,), (3,), (int(NOON),), True), [2])
    assert await held(counters, charge) == 2


async def test_gateways_share_nothing(names: Names) -> None:
    one, other = MemoryCounters(), MemoryCounters()
    await take(one, names.charge(1, 1))
    await take(other, names.charge(1, 1))
    await refuse(one, names.charge(1, 1))
