"""What holds for counters of every kind, on every event loop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import anyio
import pytest

from tests.limits.backends import LEASE, NOON, Names, held, opened, refuse, take
from waystone_asgi.charges import Charge, Refused, Taken, Window
from waystone_asgi.types import Counters

pytestmark = pytest.mark.anyio

CONCURRENT = Window()
MINUTE, DAY, WEEK, MONTH = (Window(per=per) for per in ("minute", "day", "week", "month"))
HOUR_PAST = Window(seconds=3600)
MONTH_PAST = Window(seconds=30 * 86400)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


async def test_what_was_used_takes_the_place_of_what_was_reserved(
    counters: Counters, names: Names
) -> None:
    tokens = names.charge(500, 1000)
    taken = await take(counters, tokens)
    assert (taken.amounts, taken.used) == ((500,), (500,))
    await counters.settle(taken, [120])
    assert await held(counters, tokens) == 120
    more = await take(counters, tokens)
    assert more.used == (620,)
    await counters.settle(more, [2000])
    assert await held(counters, tokens) == 2120
    assert (await refuse(counters, tokens)).used == (2120,)


TAKEN: dict[str, tuple[int, int, int | None, int, int | None]] = {
    # amount, least, limit, used before: what is taken
    "without a limit": (1, 1, None, 10**6, 1),
    "the last one": (1, 1, 10, 9, 1),
    "one too many": (1, 1, 10, 10, None),
    "all or nothing": (5, 5, 10, 6, None),
    "what is left": (5, 1, 10, 6, 4),
    "just the least": (5, 4, 10, 6, 4),
    "less than the least": (5, 4, 10, 7, None),
    "overspent": (5, 1, 10, 30, None),
    "limit 0": (1, 1, 0, 0, None),
    "limit 0, free": (0, 0, 0, 0, 0),
    "overspent, free": (0, 0, 10, 30, 0),
    "overspent, least 0": (5, 0, 10, 30, 0),
    "what is left, least 0": (5, 0, 10, 7, 3),
    "more than the limit": (20, 20, 10, 0, None),
    "large numbers": (2**52, 1, 2**52, 5, 2**52 - 5),
    "a limit without end": (3, 3, 10**40, 0, 3),
}


async def test_what_is_taken(counters: Counters, names: Names) -> None:
    for case, (amount, least, limit, used, expected) in TAKEN.items():
        await counters.settle(await take(counters, names.charge(0, name=case)), [used])
        charge = names.charge(amount, limit, name=case, least=least)
        if expected is None:
            refused = await refuse(counters, charge)
            assert (refused.indexes, refused.used) == ((0,), (used,)), case
            assert await held(counters, charge) == used, case
        else:
            taken = await take(counters, charge)
            assert (taken.amounts, taken.used) == ((expected,), (used + expected,)), case


async def test_all_charges_or_none(counters: Counters, names: Names) -> None:
    charges = [names.charge(n + 1, 100, name=f"counter {n}") for n in range(20)]
    await take(counters, names.charge(100, name="counter 7"), names.charge(95, name="counter 11"))
    refused = await refuse(counters, *charges)
    assert (refused.indexes, refused.used) == ((7, 11), (100, 95))
    kept = [await held(counters, charge) for charge in charges]
    assert kept == [{7: 100, 11: 95}.get(n, 0) for n in range(20)]
    taken = await take(counters, *charges[:7])
    assert taken.amounts == taken.used == (1, 2, 3, 4, 5, 6, 7)
    await counters.settle(taken, [10] * 7)
    assert [await held(counters, charge) for charge in charges[:8]] == [10] * 7 + [100]


async def test_no_charges(counters: Counters) -> None:
    taken = await take(counters)
    assert (taken.charges, taken.amounts, taken.used, taken.buckets) == ((), (), (), ())
    await counters.settle(taken, [])


async def test_a_counter_charged_twice(counters: Counters, names: Names) -> None:
    two = [names.charge(6, 10), names.charge(6, 10, least=1)]
    taken = await take(counters, *two)
    assert (taken.amounts, taken.used) == ((6, 4), (6, 10))
    await counters.settle(taken, [1, 2])
    assert await held(counters, two[0]) == 3
    assert (await refuse(counters, names.charge(6, 10), names.charge(6, 10))).indexes == (1,)
    assert await held(counters, two[0]) == 3


async def test_a_name_given_beforehand(counters: Counters, names: Names) -> None:
    id = f"{names.prefix} \0 名前"
    charge = names.charge(5)
    taken = await counters.reserve([charge], now=NOON, lease=LEASE, id=id)
    assert isinstance(taken, Taken)
    assert taken.id == id
    await counters.settle(taken, [2])
    assert await held(counters, charge) == 2


async def test_names_of_reservations_differ(counters: Counters, names: Names) -> None:
    ids = [(await take(counters, names.charge())).id for _ in range(5)]
    assert len(set(ids)) == 5


async def test_given_back_by_its_name_alone(counters: Counters, names: Names) -> None:
    charge = names.charge(5)
    taken = await take(counters, charge)
    await counters.settle(Taken(taken.id, (charge,), (0,), (0,), taken.buckets), [0])
    assert await held(counters, charge) == 0


async def test_settled_twice(counters: Counters, names: Names) -> None:
    charge = names.charge(5)
    taken = await take(counters, charge)
    for amount in (3, 3, 0, 9):
        await counters.settle(taken, [amount])
        assert await held(counters, charge) == 3


async def test_settled_with_the_wrong_number_of_amounts(counters: Counters, names: Names) -> None:
    with pytest.raises(ValueError, match=r"amounts|argument"):
        await counters.settle(await take(counters, names.charge()), [1, 2])


async def test_a_lease_that_ends(counters: Counters, names: Names) -> None:
    charge = names.charge(6, 10)
    await take(counters, charge)
    await refuse(counters, charge, now=NOON + LEASE - 1)
    taken = await take(counters, charge, now=NOON + LEASE)
    assert taken.used == (6,)
    await counters.settle(taken, [6])
    assert await held(counters, charge, NOON + LEASE) == 6


async def test_leases_that_end_together(counters: Counters, names: Names) -> None:
    charges = [names.charge(1, 10), names.charge(10, 1000, name="tokens")]
    abandoned = [await take(counters, *charges) for _ in range(10)]
    kept = [await take(counters, names.charge(1, name=f"{n}"), now=NOON + 60) for n in range(3)]
    later = NOON + LEASE + 1
    taken = await take(counters, *charges, now=later)
    assert taken.used == (1, 10)
    await counters.settle(abandoned[4], [1, 30])
    for n, other in enumerate(kept):
        assert await held(counters, other.charges[0], later) == 1, n
    assert [await held(counters, charge, later) for charge in charges] == [2, 40]


async def test_a_lease_that_ends_is_noticed_by_all(counters: Counters, names: Names) -> None:
    charge = names.charge(6, name="abandoned")
    await take(counters, charge)
    await take(counters, names.charge(1, name="another"), now=NOON + LEASE)
    assert await held(counters, charge) == 0


async def test_settled_late(counters: Counters, names: Names) -> None:
    charge = names.charge(6, 10)
    taken = await take(counters, charge)
    assert await held(counters, charge, NOON + LEASE) == 0
    for _ in range(2):
        await counters.settle(taken, [4])
        assert await held(counters, charge, NOON + LEASE) == 4


async def test_settled_late_before_anybody_noticed(counters: Counters, names: Names) -> None:
    charge = names.charge(6, 10)
    taken = await take(counters, charge)
    await counters.settle(taken, [4])
    assert await held(counters, charge, NOON + 2 * LEASE) == 4


async def test_taken_elsewhere(counters: Counters, names: Names) -> None:
    charge = names.charge(6, 10)
    await take(counters, charge)
    taken = Taken(f"{names.prefix}-elsewhere", (charge,), (6,), (6,), (int(NOON) - 43200,), True)
    for _ in range(2):
        await counters.settle(taken, [5])
        assert await held(counters, charge) == 11


async def test_slots(counters: Counters, names: Names) -> None:
    slot = names.charge(1, 2, window=CONCURRENT)
    first, _ = await take(counters, slot), await take(counters, slot)
    for now in (NOON, NOON - 86400, NOON + 300):
        refused = await refuse(counters, slot, now=now)
        assert (refused.used, refused.retry_after) == ((2,), (0.0,))
    await counters.settle(first, [0])
    await take(counters, slot, now=NOON + 86400)


COUNTS = (
    (MINUTE, "2026-11-23 12:00:00", "2026-11-23 12:00:59.9", True),
    (MINUTE, "2026-11-23 12:00:59.9", "2026-11-23 12:01:00", False),
    (DAY, "2026-11-23 00:00:00", "2026-11-23 23:59:59", True),
    (DAY, "2026-11-23 23:59:59", "2026-11-24 00:00:00", False),
    (WEEK, "2026-11-23 00:00:00", "2026-11-29 23:59:59", True),
    (WEEK, "2026-11-22 23:59:59", "2026-11-23 00:00:00", False),
    (WEEK, "2026-12-28 00:00:00", "2027-01-03 23:59:59", True),
    (MONTH, "2028-02-01 00:00:00", "2028-02-29 23:59:59", True),
    (MONTH, "2028-02-29 23:59:59", "2028-03-01 00:00:00", False),
    (MONTH, "2026-02-28 23:59:59", "2026-03-01 00:00:00", False),
    (MONTH, "2026-12-31 23:59:59", "2027-01-01 00:00:00", False),
    (HOUR_PAST, "2026-11-23 11:30:59", "2026-11-23 12:30:59", True),
    (HOUR_PAST, "2026-11-23 11:29:59", "2026-11-23 12:31:00", False),
    (MONTH_PAST, "2026-10-24 12:00:00", "2026-11-23 12:00:00", True),
    (MONTH_PAST, "2026-10-23 23:59:59", "2026-11-23 12:00:00", False),
    (CONCURRENT, "2026-11-23 12:00:00", "2026-11-23 12:00:00", True),
)


async def test_windows(counters: Counters, names: Names) -> None:
    for n, (window, used, now, counts) in enumerate(COUNTS):
        charge = names.charge(7, name=f"{n}", window=window)
        await counters.settle(await take(counters, charge, now=at(used)), [5])
        assert await held(counters, charge, at(now)) == (5 if counts else 0), (used, now)


async def test_a_rolling_window_adds_up(counters: Counters, names: Names) -> None:
    charge = names.charge(1, window=HOUR_PAST)
    for minute in range(90):
        now = NOON + 60 * minute
        await counters.settle(await take(counters, charge, now=now), [1])
    assert await held(counters, charge, NOON + 89 * 60) == 61
    assert await held(counters, charge, NOON + 100 * 60) == 50
    assert await held(counters, charge, NOON + 200 * 60) == 0


async def test_it_settles_where_it_was_reserved(counters: Counters, names: Names) -> None:
    charge = names.charge(5, 10, window=MINUTE)
    before = await take(counters, charge, now=NOON + 59)
    assert (await take(counters, charge, now=NOON + 61)).used == (5,)
    await counters.settle(before, [8])
    assert await held(counters, charge, NOON + 61) == 5
    assert await held(counters, charge, NOON + 59) == 13


@pytest.mark.parametrize("jump", [-90_000_000, -4000, 4000, 90_000_000])
async def test_a_clock_that_jumps_and_returns(counters: Counters, names: Names, jump: int) -> None:
    for n, window in enumerate((MINUTE, DAY, MONTH, HOUR_PAST, MONTH_PAST)):
        charge = names.charge(2, name=f"{n}", window=window)
        first = await take(counters, charge)
        second = await take(counters, charge, now=NOON + jump)
        await counters.settle(second, [1])
        await counters.settle(first, [3])
        third = await take(counters, charge)
        await counters.settle(third, [1])
        assert await held(counters, charge) >= 4, window
        assert await held(counters, charge, NOON + jump) >= 1, window


async def test_a_clock_that_leaps_again_and_again(counters: Counters, names: Names) -> None:
    charge = names.charge(1, window=HOUR_PAST)
    for n in range(200):
        now = NOON + (n * 7919 % 613) * 3600
        await counters.settle(await take(counters, charge, now=now), [1])
    assert 0 <= await held(counters, charge, NOON) <= 200


ODD = (
    "a", "A", "a ", " a", "a\0", "a\0b", "a:b", "a::b", "a/b", "%", "_", "'; DROP TABLE x; --",
    "\\", "\\\\", "\\x00", "\x7f", "\ud800", "\\ud800", "日本語", "e\u0301", "\u00e9", "\U0001f600",
    "{a}", "{a", "\n", "\r\n", "$1", "?", "%s", '"', "x" * 600, "x" * 601, "日" * 512, "日" * 513,
    "\\" * 256, "",
)  # fmt: skip


async def test_odd_names_are_kept_apart(counters: Counters, names: Names) -> None:
    charges = [names.charge(n + 1, name=name) for n, name in enumerate(ODD)]
    await counters.settle(await take(counters, *charges), range(1, len(ODD) + 1))
    assert [await held(counters, charge) for charge in charges] == [*range(1, len(ODD) + 1)]


WAITS = (
    (MINUTE, 5, 60),
    (DAY, 5, 43200),
    (WEEK, 0, 7 * 86400 - 43200),
    (HOUR_PAST, 14, 3600 - 540 + 60),
    (HOUR_PAST, 10, 3600 - 300 + 60),
    (HOUR_PAST, 0, 3600),
    (CONCURRENT, 10, 0),
)


async def test_when_to_come_back(counters: Counters, names: Names) -> None:
    for n, (window, limit, seconds) in enumerate(WAITS):
        for past in (540, 300, 0):
            charge = names.charge(5, name=f"{n}", window=window)
            if window in (HOUR_PAST, CONCURRENT) or not past:
                await take(counters, charge, now=NOON - past)
        refused = await refuse(counters, names.charge(1, limit, name=f"{n}", window=window))
        assert refused.retry_after == (pytest.approx(seconds),), (window, limit)


async def test_many_callers_pass_no_limit(counters: Counters, names: Names) -> None:
    slot = names.charge(1, 10, window=CONCURRENT)
    tokens = names.charge(7, 300, name="tokens", least=1)
    taken: list[Taken] = []

    async def call() -> None:
        outcome = await counters.reserve([slot, tokens], now=NOON, lease=LEASE)
        if isinstance(outcome, Taken):
            taken.append(outcome)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(call)
    assert len(taken) == 10
    assert sorted(one.used for one in taken) == [(n, 7 * n) for n in range(1, 11)]


async def test_another_one_on_the_same_place_sees_it(
    counters: Counters, names: Names, url: str
) -> None:
    if url == "memory:":
        pytest.skip("nothing is shared through memory")
    charge = names.charge(5, 10)
    async with opened(url) as others:
        taken = await take(others, charge)
        assert await held(counters, charge) == 5
        await counters.settle(taken, [3])
        assert await held(others, charge) == 3
        await counters.settle(taken, [9])
    async with opened(url) as others:
        assert await held(others, charge) == 3


async def test_one_who_leaves_disturbs_nobody(counters: Counters, names: Names) -> None:
    charge = names.charge(1, 1000)
    done: list[Taken | Refused] = []

    async def call(charges: Sequence[Charge]) -> None:
        done.append(await counters.reserve(charges, now=NOON, lease=LEASE))

    async with anyio.create_task_group() as tasks:
        for n in range(40):
            if n % 2:
                tasks.start_soon(call, [charge])
                continue
            leaving = anyio.CancelScope()

            async def leave(scope: anyio.CancelScope = leaving) -> None:
                with scope:
                    await counters.reserve([names.charge(1)], now=NOON, lease=LEASE)

            tasks.start_soon(leave)
            tasks.start_soon(anyio.lowlevel.checkpoint)
            leaving.cancel()
    assert len(done) == 20
    assert 20 <= await held(counters, charge) <= 40
