"""Between requests and sinks: nothing is lost that need not be, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks.memory import MemorySink
from waystone_asgi.sinks.outbox import BATCH_RECORDS, CANCELLED_RECORDS, Outbox

pytestmark = pytest.mark.anyio

native = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""For asyncio's own cancellation, which passes shields; trio has one kind."""


def record(number: int) -> UsageRecord:
    return UsageRecord(
        id=str(number),
        time=datetime.now(UTC),
        request_id=f"r{number}",
        operation="chat",
        principal="p",
    )


def records(*numbers: int) -> list[UsageRecord]:
    return [record(number) for number in numbers]


def ids(sink: MemorySink) -> list[int]:
    return [int(record.id) for record in sink.records]


class Sink(MemorySink):
    """Remembers records and batches; `before` runs before each batch is taken."""

    def __init__(self, before: Callable[[], Awaitable[object]] | None = None) -> None:
        super().__init__(limit=100_000)
        self.batches: list[int] = []
        self.life: list[str] = []
        self._before = before

    async def open(self) -> None:
        self.life.append("open")

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        if self._before is not None:
            await self._before()
        self.batches.append(len(records))
        await super().emit(records)

    async def aclose(self) -> None:
        self.life.append("closed")


async def fail() -> None:
    raise RuntimeError("no room")


async def test_records_come_to_every_sink_in_order() -> None:
    first, second = Sink(), MemorySink()
    outbox = Outbox([first, second])
    await outbox.open()
    assert all(outbox.offer(entry) for entry in records(1, 2, 3))
    assert len(outbox) == 3
    await outbox.flush()
    assert len(outbox) == 0
    assert outbox.offer(record(4))
    await outbox.aclose()
    assert ids(first) == ids(second) == [1, 2, 3, 4]
    assert first.batches == [3, 1]
    assert first.life == ["open", "closed"]
    assert (outbox.dropped, outbox.failed) == (0, 0)


async def test_records_gather_and_go_without_being_asked() -> None:
    sink, emitted = Sink(), anyio.Event()
    sink._before = lambda: _set(emitted)
    outbox = Outbox([sink])
    await outbox.open()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        for number in (1, 2):
            await anyio.wait_all_tasks_blocked()
            outbox.offer(record(number))
            outbox.offer(record(number + 10))
            with anyio.fail_after(5):
                await emitted.wait()
            emitted = anyio.Event()
        tasks.cancel_scope.cancel()
    assert ids(sink) == [1, 11, 2, 12]
    assert sink.batches == [2, 2]


async def _set(event: anyio.Event) -> None:
    event.set()


async def test_batches_are_bounded() -> None:
    sink = Sink()
    outbox = Outbox([sink])
    for number in range(2 * BATCH_RECORDS + 5):
        outbox.offer(record(number))
    await outbox.aclose()
    assert sink.batches == [BATCH_RECORDS, BATCH_RECORDS, 5]
    assert ids(sink) == list(range(2 * BATCH_RECORDS + 5))


async def test_without_sinks_nothing_stays() -> None:
    outbox = Outbox([])
    await outbox.open()
    outbox.offer(record(1))
    await outbox.aclose()
    assert len(outbox) == 0


async def test_a_full_queue_drops_when_told_so(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    outbox = Outbox([sink], limit=2, overflow="drop")
    for entry in records(1, 2):
        assert outbox.offer(entry)
    for entry in records(3, 4):
        assert not outbox.offer(entry)
        await outbox.wait(entry)
    assert outbox.dropped == 2
    assert "2 dropped" in caplog.text
    await outbox.aclose()
    assert ids(sink) == [1, 2]


async def test_everyone_who_waits_for_room_gets_it(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    outbox = Outbox([sink], limit=1)
    await outbox.open()
    assert outbox.offer(record(0))
    with anyio.fail_after(4):
        async with anyio.create_task_group() as tasks:
            for number in range(1, 6):
                assert not outbox.offer(record(number))
                tasks.start_soon(outbox.wait, record(number))
            await anyio.wait_all_tasks_blocked()
            assert len(outbox) == 1
            tasks.start_soon(_flush_until, outbox, sink, 6)
    assert sorted(ids(sink)) == [0, 1, 2, 3, 4, 5]
    assert outbox.dropped == 0
    assert caplog.text == ""


async def _flush_until(outbox: Outbox, sink: MemorySink, count: int) -> None:
    while len(sink.records) < count:
        await outbox.flush()
        await anyio.wait_all_tasks_blocked()


async def test_who_waits_in_vain_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox([], limit=1, wait_seconds=0.01)
    outbox.offer(record(1))
    await outbox.wait(record(2))
    assert outbox.dropped == 1
    assert "1 dropped" in caplog.text


async def test_who_waits_is_not_disturbed_by_a_cancellation() -> None:
    outbox = Outbox([], limit=1)
    await outbox.open()
    outbox.offer(record(1))
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            scope.cancel()
            tasks.start_soon(outbox.flush)
            await outbox.wait(record(2))
    assert (len(outbox), outbox.dropped) == (1, 0)


async def wait_and_cancel(outbox: Outbox, number: int) -> None:
    waiting = asyncio.create_task(outbox.wait(record(number)))
    await anyio.wait_all_tasks_blocked()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@native
async def test_a_cancellation_of_asyncios_own_queues_what_waits() -> None:
    sink = Sink()
    outbox = Outbox([sink], limit=1)
    await outbox.open()
    outbox.offer(record(1))
    await wait_and_cancel(outbox, 2)
    assert (len(outbox), outbox.dropped) == (2, 0)
    assert not outbox.offer(record(3))
    await outbox.aclose()
    assert ids(sink) == [1, 2]


@native
async def test_there_is_an_end_to_what_cancellations_queue(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outbox = Outbox([], limit=1)
    await outbox.open()
    outbox.offer(record(1))
    for _ in range(CANCELLED_RECORDS):
        outbox._queue.append(record(2))
    await wait_and_cancel(outbox, 3)
    assert (len(outbox), outbox.dropped) == (1 + CANCELLED_RECORDS, 1)
    assert "1 dropped" in caplog.text


@pytest.mark.parametrize("waiting", [1, 3])
async def test_the_end_does_not_come_before_what_waits_for_room(waiting: int) -> None:
    """Sinks that wait for nothing leave them no other time."""
    sink = MemorySink()
    outbox = Outbox([sink], limit=1)
    await outbox.open()
    outbox.offer(record(0))
    async with anyio.create_task_group() as tasks:
        for number in range(1, waiting + 1):
            tasks.start_soon(outbox.wait, record(number))
        await anyio.wait_all_tasks_blocked()
        await outbox.aclose()
    assert sorted(ids(sink)) == [*range(waiting + 1)]
    assert (len(outbox), outbox.dropped, outbox.failed) == (0, 0, 0)


async def test_a_sink_that_fails_is_counted_and_spoils_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = Sink()
    outbox = Outbox([Sink(fail), good])
    for entry in records(1, 2):
        outbox.offer(entry)
    await outbox.flush()
    assert ids(good) == [1, 2]
    assert outbox.failed == 2
    assert "Sink did not take 2 records" in caplog.text
    outbox.offer(record(3))
    await outbox.aclose()
    assert ids(good) == [1, 2, 3]
    assert outbox.failed == 3


async def test_a_sink_that_hangs_holds_up_nothing_for_long() -> None:
    good = Sink()
    outbox = Outbox([Sink(anyio.sleep_forever), good], emit_seconds=0.01)
    outbox.offer(record(1))
    with anyio.fail_after(5):
        await outbox.aclose()
    assert ids(good) == [1]
    assert outbox.failed == 1


async def test_a_batch_on_its_way_is_finished_though_cancelled() -> None:
    on_its_way, go = anyio.Event(), anyio.Event()

    async def wait() -> None:
        on_its_way.set()
        await go.wait()

    sink, second = Sink(wait), Sink()
    outbox = Outbox([sink, second])
    await outbox.open()
    outbox.offer(record(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        await on_its_way.wait()
        outbox.offer(record(2))
        tasks.cancel_scope.cancel()
        go.set()
    assert (ids(sink), ids(second)) == ([1], [])
    await outbox.aclose()
    assert (ids(sink), ids(second)) == ([1, 2], [1, 2])


@native
async def test_what_asyncios_own_cancellation_cuts_short_is_handed_over_at_the_end() -> None:
    on_its_way = anyio.Event()

    async def wait() -> None:
        if not on_its_way.is_set():
            on_its_way.set()
            await anyio.sleep_forever()

    first, second, third = Sink(), Sink(wait), Sink()
    outbox = Outbox([first, second, third])
    await outbox.open()
    running = asyncio.create_task(outbox.run())
    for entry in records(1, 2):
        outbox.offer(entry)
    await on_its_way.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await outbox.aclose()
    assert ids(first) == ids(second) == ids(third) == [1, 2]


async def test_what_is_left_over_is_said_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    outbox = Outbox([sink], close_seconds=0.0)
    for number in range(5):
        outbox.offer(record(number))
    await outbox.aclose()
    assert "5 usage records were not handed over in time" in caplog.text
    assert sink.life == ["closed"]
    assert len(outbox) == 5
    await outbox.flush()
    assert ids(sink) == [0, 1, 2, 3, 4]


class Stubborn(Sink):
    """Does not close."""

    def __init__(self, closing: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self._closing = closing

    async def aclose(self) -> None:
        await self._closing()


@pytest.mark.parametrize("closing", [fail, anyio.sleep_forever])
async def test_a_sink_that_does_not_close_keeps_no_other_open(
    closing: Callable[[], Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    last = Sink()
    outbox = Outbox([Stubborn(closing), MemorySink(), last], emit_seconds=0.05)
    outbox.offer(record(1))
    with caplog.at_level(logging.ERROR), anyio.fail_after(5):
        await outbox.aclose()
    assert "Stubborn could not be closed" in caplog.text
    assert last.life == ["closed"]
    assert ids(last) == [1]


async def test_what_opening_raises_is_the_hosts_to_see() -> None:
    class Locked(Sink):
        async def open(self) -> None:
            raise RuntimeError("locked")

    with pytest.raises(RuntimeError, match="locked"):
        await Outbox([Sink(), Locked()]).open()


async def test_a_box_that_was_closed_can_be_opened_again() -> None:
    sink = Sink()
    outbox = Outbox([sink])
    for number in (1, 2):
        await outbox.open()
        outbox.offer(record(number))
        await outbox.aclose()
    assert ids(sink) == [1, 2]
    assert sink.life == ["open", "closed"] * 2


async def test_settled_returns_when_what_was_offered_is_handed_over() -> None:
    """What is offered later is not waited for."""
    begun, go_on = anyio.Event(), anyio.Event()

    async def before() -> None:
        begun.set()
        await go_on.wait()

    sink = Sink(before)
    outbox = Outbox([sink])
    await outbox.settled()
    assert outbox.offer(record(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.flush)
        await begun.wait()
        with anyio.move_on_after(0) as hasty:
            await outbox.settled()
        assert hasty.cancelled_caught
        tasks.start_soon(_let_go_on, outbox, go_on)
        await outbox.settled()
    assert ids(sink)[:1] == [1]


async def _let_go_on(outbox: Outbox, go_on: anyio.Event) -> None:
    assert outbox.offer(record(2))
    go_on.set()


async def test_settled_waits_for_each_batch_anew() -> None:
    sink = Sink()
    outbox = Outbox([sink])
    await outbox.open()
    for number in (1, 2):
        assert outbox.offer(record(number))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.settled)
            await anyio.wait_all_tasks_blocked()
            await outbox.flush()
        assert ids(sink)[-1] == number


async def test_settled_does_not_wait_for_ever() -> None:
    outbox = Outbox([Sink(anyio.sleep_forever)], wait_seconds=0.01)
    assert outbox.offer(record(1))
    await outbox.settled()
    assert len(outbox) == 1
