"""The guard, over counters that fail, hang and come back as the test says."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import msgspec
import pytest

from tests.limits.backends import LEASE, NOON, Names, held
from waystone_asgi.charges import Charge, Refused, Taken, Window
from waystone_asgi.exceptions import CountersUnavailableError
from waystone_asgi.limits import GuardedCounters, MemoryCounters

pytestmark = pytest.mark.anyio

SOON = 0.02
"""A deadline for those that hang."""

NEVER = 3600.0


class Shaky:
    """Counters in memory, that fail or hang for as long as they are told to."""

    def __init__(self) -> None:
        self.inner = MemoryCounters()
        self.failure: Exception | None = None
        self.hangs = False
        self.hangs_after = False
        self.spoilt: set[str] = set()
        self.calls = 0
        self.asked = anyio.Event()
        self.open_now = False

    async def open(self) -> None:
        self.open_now = True

    async def aclose(self) -> None:
        self.open_now = False

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        await self._suffer()
        outcome = await self.inner.reserve(charges, now=now, lease=lease, id=id)
        if self.hangs_after:
            await anyio.sleep_forever()
        return outcome

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        await self._suffer()
        if taken.id in self.spoilt:
            raise ValueError("spoilt")
        await self.inner.settle(taken, amounts)
        if self.hangs_after:
            await anyio.sleep_forever()

    async def _suffer(self) -> None:
        self.calls += 1
        self.asked.set()
        if self.hangs:
            await anyio.sleep_forever()
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def backend() -> Shaky:
    return Shaky()


@asynccontextmanager
async def guard(backend: Shaky, **settings: float) -> AsyncIterator[GuardedCounters]:
    """Deadlines that are never met, and pauses that hardly are, unless the test says otherwise."""
    counters = GuardedCounters(
        backend,
        **{"deadline": NEVER, "patience": NEVER, "pause": 0.001} | settings,  # type: ignore[arg-type]
    )
    await counters.open()
    try:
        yield counters
    finally:
        backend.failure, backend.hangs, backend.hangs_after = None, False, False
        await counters.aclose()


async def reserve(counters: GuardedCounters, *charges: Charge) -> Taken:
    outcome = await counters.reserve(charges, now=NOON, lease=LEASE)
    assert isinstance(outcome, Taken)
    return outcome


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await anyio.lowlevel.checkpoint()


async def until_back(counters: GuardedCounters) -> None:
    await until(lambda: not (counters.away or counters.owed))


async def make_away(counters: GuardedCounters, backend: Shaky, names: Names) -> None:
    backend.failure = OSError("gone")
    for _ in range(3):
        await counters.settle(await reserve(counters, names.charge(0, name="other")), [0])
    assert counters.away


async def test_all_is_well(backend: Shaky, names: Names) -> None:
    charge = names.charge(6, 10)
    async with guard(backend) as counters:
        assert backend.open_now
        taken = await reserve(counters, charge)
        assert (taken.amounts, taken.used, taken.local) == ((6,), (6,), False)
        refused = await counters.reserve([charge], now=NOON, lease=LEASE)
        assert isinstance(refused, Refused)
        await counters.settle(taken, [4])
        await counters.settle(taken, [9])
        assert await held(backend.inner, charge) == 4
        assert (counters.away, counters.owed, counters.lost) == (False, 0, 0)
    assert not backend.open_now


async def test_no_call_waits_beyond_its_deadline(backend: Shaky, names: Names) -> None:
    charge = names.charge(6, 10)
    async with guard(backend, deadline=SOON, failures=100) as counters:
        taken = await reserve(counters, charge)
        backend.hangs = True
        with anyio.fail_after(5):
            await counters.settle(taken, [5])
            other = await reserve(counters, charge)
        assert (other.local, other.used) == (True, (6,))


@pytest.mark.parametrize("executed", [False, True])
async def test_a_reservation_without_an_answer_is_given_back(
    backend: Shaky, names: Names, executed: bool
) -> None:
    charge = names.charge(6, 10)
    async with guard(backend, deadline=SOON) as counters:
        backend.hangs, backend.hangs_after = not executed, executed
        taken = await reserve(counters, charge)
        assert taken.local
        backend.hangs = backend.hangs_after = False
        await until_back(counters)
        assert await held(backend.inner, charge) == 0
        await counters.settle(taken, [2])
        await until_back(counters)
        assert await held(backend.inner, charge) == 2


async def test_a_reservation_whose_caller_left_is_given_back(backend: Shaky, names: Names) -> None:
    charge = names.charge(6, 10)
    async with guard(backend) as counters:
        backend.hangs_after = True
        backend.asked = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reserve, counters, charge)
            await backend.asked.wait()
            tasks.cancel_scope.cancel()
        assert await held(backend.inner, charge) == 6
        backend.hangs_after = False
        await until_back(counters)
        assert await held(backend.inner, charge) == 0
        assert not counters.away


async def test_a_settlement_whose_caller_left_is_delivered(backend: Shaky, names: Names) -> None:
    charge = names.charge(6, 10)
    async with guard(backend) as counters:
        taken = await reserve(counters, charge)
        backend.hangs = True
        backend.asked = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(counters.settle, taken, [5])
            await backend.asked.wait()
            backend.hangs = False
            tasks.cancel_scope.cancel()
        await until_back(counters)
        assert await held(backend.inner, charge) == 5


async def test_after_some_failures_it_is_left_alone(
    backend: Shaky, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    async with guard(backend, pause=NEVER) as counters:
        backend.failure = OSError("gone\nand more")
        for n in range(1, 4):
            assert not counters.away
            await reserve(counters, names.charge(1))
            assert backend.calls >= 1 + n
        assert counters.away
        await until(lambda: backend.calls == 5)  # it is asked once more, and then there is a pause
        calls = backend.calls
        taken = await reserve(counters, names.charge(1))
        await counters.settle(taken, [1])
        assert backend.calls == calls
    assert [record.levelno for record in caplog.records if "are away" in record.message] == [
        logging.ERROR
    ]
    assert "OSError: gone" in caplog.text
    assert "more" not in caplog.text


async def test_those_held_up_together_count_as_one(backend: Shaky, names: Names) -> None:
    async with guard(backend, deadline=SOON) as counters:
        for _ in range(2):
            backend.hangs = True
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(reserve, counters, names.charge(1))
            assert not counters.away
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(reserve, counters, names.charge(1))
        assert counters.away


async def test_a_success_in_between_forgives(backend: Shaky, names: Names) -> None:
    async with guard(backend, failures=2) as counters:
        for _ in range(3):
            for action in (counters.reserve([], now=NOON, lease=1), reserve(counters)):
                backend.failure = OSError("gone")
                taken = await action
                assert isinstance(taken, Taken)
                backend.failure = None
                await counters.settle(msgspec.structs.replace(taken, local=False), [])
        assert not counters.away


async def test_while_it_is_away_this_process_counts(backend: Shaky, names: Names) -> None:
    charge = names.charge(6, 10)
    slot = names.charge(1, 1, name="slots", window=Window())
    async with guard(backend) as counters:
        before = await reserve(counters, charge)
        await make_away(counters, backend, names)
        taken = await reserve(counters, charge, slot)
        assert (taken.local, taken.used) == (True, (6, 1))
        outcome = await counters.reserve([charge, slot], now=NOON, lease=LEASE)
        assert isinstance(outcome, Refused)
        assert outcome.indexes == (0, 1)
        await counters.settle(taken, [5, 0])
        await counters.settle(taken, [5, 0])
        await counters.settle(before, [3])
        await counters.settle(await reserve(counters, slot), [0])
        assert counters.owed >= 3
        assert await held(backend.inner, charge) == 6
        backend.failure = None
        await until_back(counters)
        assert await held(backend.inner, charge) == 8
        assert (await reserve(counters, names.charge(2, 10))).used == (10,)


async def test_a_rule_may_refuse_for_so_long(backend: Shaky, names: Names) -> None:
    open_charge = names.charge(1, 10)
    closed = msgspec.structs.replace(names.charge(1, 10, name="closed"), closed=True)
    async with guard(backend) as counters:
        assert (await reserve(counters, closed, open_charge)).used == (1, 1)
        backend.failure = OSError("gone")
        for _ in range(5):
            with pytest.raises(CountersUnavailableError) as raised:
                await counters.reserve([open_charge, closed], now=NOON, lease=LEASE)
            assert raised.value.status == 503
        assert (await reserve(counters, open_charge)).used == (1,)


async def test_it_opens_without_its_backend(
    backend: Shaky, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    backend.failure = OSError("gone")
    async with guard(backend) as counters:
        assert counters.away
        assert (await reserve(counters, names.charge(1))).local
        backend.failure = None
        await until_back(counters)
        assert not (await reserve(counters, names.charge(1))).local
    assert "The counters are back" in caplog.text


async def test_it_waits_for_a_backend_that_hangs(backend: Shaky, names: Names) -> None:
    backend.hangs = True
    async with guard(backend, patience=SOON) as counters:
        assert counters.away
        backend.hangs = False
        await until_back(counters)
        taken = await reserve(counters, names.charge(1))
        backend.hangs = True
        with anyio.move_on_after(SOON):
            await counters.settle(taken, [1])
        assert counters.owed == 1
        calls = backend.calls
        await until(lambda: backend.calls == calls + 3)  # it is tried again and again
        backend.hangs = False
        await until_back(counters)
        assert await held(backend.inner, names.charge()) == 1


async def test_opening_that_is_cancelled(backend: Shaky) -> None:
    backend.hangs = True
    counters = GuardedCounters(backend, patience=NEVER)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(counters.open)
        await anyio.wait_all_tasks_blocked()
        assert backend.open_now
        tasks.cancel_scope.cancel()
    assert not backend.open_now


async def test_what_fails_by_itself_holds_nobody_up(backend: Shaky, names: Names) -> None:
    async with guard(backend, failures=10**6) as counters:
        taken = [await reserve(counters, names.charge(1)) for _ in range(200)]
        backend.spoilt = {taken[3].id}
        backend.failure = OSError("gone")
        for one in taken:
            await counters.settle(one, [2])
        backend.failure = None
        await until(lambda: counters.owed == 1)
        assert await held(backend.inner, names.charge()) == 199 * 2 + 1
        backend.spoilt = set()
        await until_back(counters)
        assert await held(backend.inner, names.charge()) == 400


async def test_what_is_owed_is_bounded(
    backend: Shaky, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    async with guard(backend, limit=5, pause=NEVER) as counters:
        before = [await reserve(counters, names.charge(1)) for _ in range(10)]
        await make_away(counters, backend, names)
        for taken in before:
            await counters.settle(taken, [2])
        for _ in range(3):
            for user in range(8):
                charge = names.charge(1, name=f"user {user}")
                await counters.settle(await reserve(counters, charge), [1])
        # Three are reservations to give back, made before it was seen to be away.
        assert (counters.owed, counters.lost) == (3 + 2 + 5, 8 + 9)
    assert caplog.text.count("usage is lost") == 1


async def test_a_long_outage_is_owed_by_counter(backend: Shaky, names: Names) -> None:
    charges = [names.charge(1, name=f"user {user}") for user in range(200)]
    async with guard(backend, pause=NEVER) as counters:
        await make_away(counters, backend, names)
        owed = counters.owed
        for n in range(1000):
            await counters.settle(await reserve(counters, charges[n % 200]), [n % 3])
        assert counters.owed == owed + 200
    expected = [sum(n % 3 for n in range(user, 1000, 200)) for user in range(200)]
    assert [await held(backend.inner, charge) for charge in charges] == expected


async def test_at_the_end_what_is_owed_is_delivered(backend: Shaky, names: Names) -> None:
    charge = names.charge(1)
    async with guard(backend, pause=NEVER) as counters:
        await make_away(counters, backend, names)
        for _ in range(100):
            await counters.settle(await reserve(counters, charge), [1])
        assert await held(backend.inner, charge) == 0
    assert await held(backend.inner, charge) == 100
    assert counters.lost == 0


async def test_at_the_end_what_cannot_be_delivered_is_told(
    backend: Shaky, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    counters = GuardedCounters(backend, pause=NEVER)
    await counters.open()
    await make_away(counters, backend, names)
    await counters.settle(await reserve(counters, names.charge(1)), [1])
    await counters.aclose()
    assert counters.lost == 4
    assert "4 settlements were not delivered" in caplog.text


async def test_over_counters_that_need_no_opening(names: Names) -> None:
    counters = GuardedCounters(MemoryCounters())
    await counters.open()
    await counters.settle(await reserve(counters, names.charge(1)), [1])
    await counters.aclose()
    await counters.aclose()
