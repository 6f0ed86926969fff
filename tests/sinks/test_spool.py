"""A file before a sink: all that is in it arrives, whatever becomes of sinks and processes."""

from __future__ import annotations

import itertools
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

import waystone_asgi
from tests.asgi import KEY, request
from waystone_asgi import Gateway
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import MemorySink, RecordsRefusedError, Spool, open_sink
from waystone_asgi.sinks import spool as spools
from waystone_asgi.sinks.outbox import Outbox
from waystone_asgi.sinks.spool import SpoolFullError
from waystone_asgi.sinks.webhook import WebhookError

MakeRecord = Callable[..., UsageRecord]

pytestmark = pytest.mark.anyio


class Receiver:
    """A sink that keeps what it gets, and fails or refuses as it is told."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.calls = 0
        self.away = False
        self.poison: set[str] = set()
        self.refuses: set[str] = set()
        self.tells = False
        self.log: list[str] = []
        self._changed = anyio.Event()

    async def open(self) -> None:
        self.log.append("open")

    async def aclose(self) -> None:
        self.log.append("aclose")

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        self.calls += 1
        ids = [record.request_id for record in records]
        if self.away or not self.poison.isdisjoint(ids):
            raise OSError("not today")
        if not self.refuses.isdisjoint(ids):
            named = [r.id for r in records if r.request_id in self.refuses] if self.tells else []
            if self.tells:
                self.batches.append([id for id in ids if id not in self.refuses])
                self._changed.set()
            raise RecordsRefusedError("never", named)
        self.batches.append(ids)
        self._changed.set()

    @property
    def got(self) -> list[str]:
        return [id for batch in self.batches for id in batch]

    async def has(self, *ids: str) -> None:
        """Return when these have come."""
        while not set(ids) <= set(self.got):
            self._changed = anyio.Event()
            await self._changed.wait()


class Sleeper:
    """Sleeps as long as it takes to be woken, and notes how long it should have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._asleep = anyio.Event()
        self._wake = anyio.Event()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._asleep.set()
        await self._wake.wait()
        self._wake = anyio.Event()

    async def asleep(self) -> None:
        await self._asleep.wait()
        self._asleep = anyio.Event()

    def wake(self) -> None:
        self._wake.set()


async def no_pause(seconds: float) -> None:
    await anyio.lowlevel.checkpoint()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.spool"


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def names(*numbers: int) -> list[str]:
    return [f"req-{number}" for number in numbers]


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@asynccontextmanager
async def opened(spool: Spool) -> AsyncIterator[Spool]:
    """The spool between its opening and its end."""
    with anyio.fail_after(20):
        await spool.open()
        try:
            yield spool
        finally:
            await spool.aclose()


async def emptied(spool: Spool) -> None:
    while await spool.pending():
        await anyio.lowlevel.checkpoint()


async def settled(spool: Spool, receiver: Receiver, *numbers: int) -> None:
    """Return when all of these have come, and nothing waits."""
    await receiver.has(*names(*numbers))
    await emptied(spool)


async def test_delivers_in_order(path: Path, receiver: Receiver, make_record: MakeRecord) -> None:
    async with opened(Spool(receiver, path, batch=100)) as spool:
        await spool.emit([make_record(n) for n in range(150)])
        await spool.emit([])
        await spool.emit([make_record(n) for n in range(150, 200)])
        await settled(spool, receiver, *range(200))
        assert (spool.delivered, spool.refused, spool.failures) == (200, 0, 0)
    assert receiver.got == names(*range(200))
    assert receiver.log == ["open", "aclose"]
    assert rows(path, "SELECT * FROM spooled") == []


async def test_a_record_arrives_as_it_was(
    path: Path, make_record: MakeRecord, least: UsageRecord
) -> None:
    sink = MemorySink()
    odd = make_record(2, input_tokens=2**70, user="a\u2028\r\nb\0")
    async with opened(Spool(sink, path)) as spool:
        await spool.emit([make_record(), least, odd])
    assert sink.records == [make_record(), least, odd]


async def test_what_is_no_json_keeps_nothing_else_out(
    path: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    async with opened(Spool(receiver, path)) as spool:
        bad = make_record(2, user="\ud800")
        with pytest.raises(UnicodeError):
            await spool.emit([make_record(1), bad, make_record(3)])
        with pytest.raises(UnicodeError):
            await spool.emit([bad])
    assert receiver.got == names(1, 3)


async def test_goes_on_with_what_was_left(
    path: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    receiver.away = True
    async with opened(Spool(receiver, path)) as spool:
        await spool.emit([make_record(1), make_record(2)])
    receiver.away = False
    async with opened(Spool(receiver, path)) as spool:
        await spool.emit([make_record(3)])
        await settled(spool, receiver, 1, 2, 3)
    assert receiver.got == names(1, 2, 3)


async def test_emit_needs_no_opening(
    path: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    spool = Spool(receiver, path)
    await spool.emit([make_record(1)])
    await spool.aclose()
    assert receiver.got == []
    async with opened(spool):
        pass
    assert receiver.got == names(1)


async def fill(spool: Spool, make_record: MakeRecord, taken: list[str]) -> None:
    """Emit batches until one is not taken."""
    for start in itertools.count(step=10):
        await spool.emit([make_record(start + number) for number in range(10)])
        taken += names(*range(start, start + 10))


async def test_backs_off(
    path: Path,
    receiver: Receiver,
    make_record: MakeRecord,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sleeper = Sleeper()
    receiver.away = True
    spool = Spool(receiver, path, sleep=sleeper)
    async with opened(spool):
        await spool.emit([make_record(n) for n in range(10)])
        for _ in range(12):
            await sleeper.asleep()
            sleeper.wake()
        await sleeper.asleep()
        assert spool.failures == 13
        receiver.away = False
        sleeper.wake()
        await settled(spool, receiver, *range(10))
    assert receiver.got == names(*range(10))
    most = [min(0.5 * 2**n, 60.0) for n in range(13)]
    assert all(m / 2 <= s <= m for s, m in zip(sleeper.seconds, most, strict=True))
    assert len(set(sleeper.seconds)) == 13
    assert await spool.dead_letters() == 0
    await spool.aclose()
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"]


async def test_a_full_file_raises(path: Path, receiver: Receiver, make_record: MakeRecord) -> None:
    receiver.away = True
    spool = Spool(receiver, path, max_bytes=200_000)
    taken: list[str] = []
    async with opened(spool):
        with pytest.raises(SpoolFullError, match="200000 bytes"):
            await fill(spool, make_record, taken)
    assert os.stat(path).st_size <= 200_000
    assert len(taken) > 100
    receiver.away = False
    async with opened(spool):
        await receiver.has(*taken)
        await emptied(spool)
        await spool.emit([make_record(9999)])
    assert receiver.got == [*taken, "req-9999"]


async def test_the_outbox_counts_what_a_full_file_did_not_take(
    path: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    outbox = Outbox([Spool(receiver, path, max_bytes=10_000)])
    await outbox.open()
    for number in range(100):
        assert outbox.offer(make_record(number))
    await outbox.flush()
    await outbox.aclose()
    assert outbox.failed == 100


@pytest.mark.parametrize("tells", [False, True])
@pytest.mark.parametrize("refused", [[3], [0, 1, 49], [*range(50)], []])
async def test_what_is_refused_for_good_is_moved_aside(
    path: Path, receiver: Receiver, make_record: MakeRecord, refused: list[int], tells: bool
) -> None:
    receiver.refuses, receiver.tells = set(names(*refused)), tells
    good = [number for number in range(60) if number not in refused]
    async with opened(Spool(receiver, path, batch=50)) as spool:
        await spool.emit([make_record(n) for n in range(60)])
        await settled(spool, receiver, *good)
        assert await spool.dead_letters() == spool.refused == len(refused)
        assert spool.delivered == len(good)
        assert receiver.got == names(*good)
        receiver.refuses = set()
        assert await spool.revive() == len(refused)
        await settled(spool, receiver, *range(60))
        assert await spool.dead_letters() == 0
    assert receiver.got == names(*good, *refused)


async def test_the_reason_of_a_refusal_is_kept(
    path: Path, receiver: Receiver, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.refuses = {"req-1"}
    async with opened(Spool(receiver, path)) as spool:
        await spool.emit([make_record(1)])
    caplog.clear()
    async with opened(Spool(receiver, path)):
        assert f"1 records lie refused in the spool {path}" in caplog.text
    ((reason, record),) = rows(path, "SELECT reason, record FROM refused")
    assert reason == "RecordsRefusedError: never"
    assert json.loads(str(record, "utf-8"))["request_id"] == "req-1"  # type: ignore[call-overload]


@pytest.mark.parametrize("poison", [[0], [5, 9], [0, 1, 2, 3], [6, 7, 8, 9]])
async def test_what_always_fails_blocks_nothing(
    path: Path, receiver: Receiver, make_record: MakeRecord, poison: list[int]
) -> None:
    receiver.poison = set(names(*poison))
    good = [number for number in range(20) if number not in poison]
    async with opened(Spool(receiver, path, batch=10, attempts=2, sleep=no_pause)) as spool:
        await spool.emit([make_record(n) for n in range(20)])
        await settled(spool, receiver, *good)
        assert await spool.dead_letters() == len(poison)
    assert set(receiver.got) == set(names(*good))


async def test_a_lonely_failure_waits(
    path: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    sleeper = Sleeper()
    receiver.poison = {"req-1"}
    async with opened(Spool(receiver, path, attempts=1, sleep=sleeper)) as spool:
        await spool.emit([make_record(1)])
        for _ in range(5):
            await sleeper.asleep()
            sleeper.wake()
        await sleeper.asleep()
        assert await spool.dead_letters() == 0
        await spool.emit([make_record(2)])
        sleeper.wake()
        await settled(spool, receiver, 2)
        assert await spool.dead_letters() == 1


class Busy(Receiver):
    """Says so, and when to come back."""

    def __init__(self, *said: float | None) -> None:
        super().__init__()
        self.said = [*said]

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        if self.said:
            self.calls += 1
            raise WebhookError("busy", self.said.pop(0))
        await super().emit(records)


async def test_a_sink_that_says_when_it_is_back_is_waited_for(
    path: Path, make_record: MakeRecord
) -> None:
    receiver = Busy(90.0, 0.0, None, 1e6)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await anyio.lowlevel.checkpoint()

    async with opened(Spool(receiver, path, sleep=pause)) as spool:
        await spool.emit([make_record(1)])
        await settled(spool, receiver, 1)
    assert (pauses[0], pauses[3]) == (90.0, 600.0)
    assert 0.5 <= pauses[1] <= 1.0 <= pauses[2] <= 2.0


async def test_a_sink_that_says_when_it_is_back_is_not_asked_meanwhile(
    path: Path, make_record: MakeRecord
) -> None:
    receiver = Busy(*[1.0] * 8)
    async with opened(Spool(receiver, path, attempts=1, sleep=no_pause)) as spool:
        await spool.emit([make_record(n) for n in range(6)])
        await settled(spool, receiver, *range(6))
        assert spool.failures == 8
    assert receiver.batches == [names(*range(6))]


@pytest.mark.parametrize("calls", range(3, 16))
async def test_a_sink_that_goes_while_records_are_sifted_loses_none(
    path: Path, make_record: MakeRecord, calls: int
) -> None:
    class Fickle(Receiver):
        """Fails for a while, is there for some calls, and is away for another while."""

        async def emit(self, records: Sequence[UsageRecord]) -> None:
            self.away = self.calls < 2 or calls <= self.calls < calls + 8
            await super().emit(records)

    receiver = Fickle()
    async with opened(Spool(receiver, path, attempts=1, sleep=no_pause)) as spool:
        await spool.emit([make_record(n) for n in range(6)])
        await settled(spool, receiver, *range(6))
        assert await spool.dead_letters() == 0
    assert set(receiver.got) == set(names(*range(6)))


async def test_rows_that_cannot_be_read_are_moved_aside(
    path: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    spool = Spool(receiver, path)
    await spool.emit([make_record(1), make_record(2)])
    await spool.emit([make_record(3)])
    await spool.aclose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE spooled SET records = x'7B7D0A' || records WHERE number = 1")
        connection.execute("INSERT INTO spooled (count, records) VALUES (1, x'ff')")
    async with opened(spool):
        await settled(spool, receiver, 1, 2, 3)
        assert await spool.dead_letters() == 2
    assert receiver.got == names(1, 2, 3)


async def test_closing_leaves_the_rest(
    path: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    class Stuck(Receiver):
        async def emit(self, records: Sequence[UsageRecord]) -> None:
            entered.set()
            await anyio.sleep_forever()

    entered = anyio.Event()
    with anyio.fail_after(5):
        spool = Spool(Stuck(), path, close_seconds=0.01)
        await spool.open()
        await spool.emit([make_record(1)])
        await entered.wait()
        await spool.aclose()
    async with opened(Spool(receiver, path)):
        pass
    assert receiver.got == names(1)


async def test_closing_ends_a_pause_and_tries_once_more(
    path: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    sleeper = Sleeper()
    receiver.away = True
    async with opened(Spool(receiver, path, sleep=sleeper)) as spool:
        await spool.emit([make_record(1)])
        await sleeper.asleep()
        receiver.away = False
    assert receiver.got == names(1)


async def test_a_sink_that_hangs_is_a_sink_that_fails(path: Path, make_record: MakeRecord) -> None:
    class Hangs(Receiver):
        async def emit(self, records: Sequence[UsageRecord]) -> None:
            if not self.calls:
                self.calls += 1
                await anyio.sleep_forever()
            await super().emit(records)

    receiver = Hangs()
    async with opened(Spool(receiver, path, emit_seconds=0.01, sleep=no_pause)) as spool:
        await spool.emit([make_record(1)])
        await settled(spool, receiver, 1)
        assert spool.failures == 1


async def test_one_of_several_delivers(
    path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "_LOOK_SECONDS", 0.01)
    first, second = Receiver(), Receiver()
    async with opened(Spool(second, path)) as other:
        leader, follower = (other, second), None
        await other.emit([make_record(1)])
        await settled(*leader, 1)
        async with opened(Spool(first, path)) as spool:
            follower = spool
            await follower.emit([make_record(2)])
            await settled(*leader, 1, 2)
            await other.aclose()
            await follower.emit([make_record(3)])
            await settled(follower, first, 3)
    assert (first.got, second.got) == (names(3), names(1, 2))


async def test_a_file_that_cannot_be_opened(tmp_path: Path, receiver: Receiver) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await Spool(receiver, tmp_path / "none" / "x").open()
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await Spool(receiver, __file__).open()
    assert receiver.log == []


@pytest.fixture
def lock(path: Path) -> Path:
    """What is where a spool has its lock, and is none."""
    lock = Path(f"{path}.lock")
    lock.write_bytes(b"no database" * 100)
    return lock


async def test_a_lock_that_cannot_be_taken_is_a_failure(
    path: Path, lock: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    sleeper = Sleeper()
    async with opened(Spool(receiver, path, sleep=sleeper)) as spool:
        await spool.emit([make_record(1)])
        await sleeper.asleep()
        os.unlink(lock)
        sleeper.wake()
        await settled(spool, receiver, 1)


async def test_a_sink_that_cannot_be_opened(path: Path, receiver: Receiver) -> None:
    class Wrong(Receiver):
        async def open(self) -> None:
            raise ConfigurationError("no such thing")

    with pytest.raises(ConfigurationError, match="no such thing"):
        await Spool(Wrong(), path).open()
    assert os.listdir(path.parent) == [path.name]


async def test_sinks_need_neither_open_nor_aclose(path: Path, make_record: MakeRecord) -> None:
    sink = MemorySink()
    async with opened(Spool(sink, path, sync=True)) as spool:
        await spool.emit([make_record()])
    assert len(sink.records) == 1


def test_open_sink_puts_a_spool_before_a_sink(path: Path) -> None:
    spool = open_sink("memory:", path)
    assert isinstance(spool, Spool)
    assert isinstance(spool.sink, MemorySink)
    assert spool.path == path


async def test_a_sink_away_under_load(
    path: Path, receiver: Receiver, make_record: MakeRecord
) -> None:
    async def short(seconds: float) -> None:
        await anyio.sleep(0.002)

    outbox = Outbox([Spool(receiver, path, sleep=short)])
    await outbox.open()
    for number in range(2000):
        receiver.away = 400 <= number < 1600
        assert outbox.offer(make_record(number))
        if not number % 100:
            await outbox.flush()
            await anyio.sleep(0.005)
    await outbox.aclose()
    assert (outbox.dropped, outbox.failed) == (0, 0)
    assert receiver.got == names(*range(2000))


async def test_a_gateway_with_a_spool(path: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    usage = {"url": f"sqlite:///{ledger}", "spool": str(path)}
    document = {"api_keys": [KEY], "providers": {"echo": {}}, "usage": usage}
    body = {"model": "echo/echo", "messages": [{"role": "user", "content": "one two"}]}
    gateway = Gateway.from_config(document)
    for run in (1, 2):
        async with gateway.running():
            for _ in range(3):
                assert (await request(gateway, "/v1/chat/completions", body)).status == 200
        assert rows(ledger, "SELECT count(*) FROM usage_records") == [(3 * run,)]
    assert rows(path, "SELECT * FROM spooled") == []


KILLS = int(os.environ.get("WAYSTONE_TEST_KILLS", "6"))

WRITER = """
import sys
from datetime import UTC, datetime
import anyio
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import SQLiteSink, Spool

name, path, ledger = sys.argv[1:]

async def main():
    spool = Spool(SQLiteSink(ledger), path, batch=100)
    await spool.open()
    number = 0
    while True:
        ids = [f"{name}-{number + n}" for n in range(10)]
        number += 10
        await spool.emit([
            UsageRecord(id=id, time=datetime.now(UTC), request_id="r", operation="chat",
                        principal="p")
            for id in ids
        ])
        print(*ids, sep="\\n", flush=True)

anyio.run(main, backend=["asyncio", "trio"][len(name) % 2])
"""


def write_and_die(name: str, path: Path, ledger: Path, seconds: float) -> list[str]:
    """What a process that is killed after a while was told is in the file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, name, str(path), str(ledger)],
        cwd=Path(waystone_asgi.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        lines = [process.stdout.readline()]
        time.sleep(seconds)
        process.kill()
        lines += process.stdout.readlines()
    process.wait()
    # The last line may be cut short.
    return [line.strip() for line in lines if line.endswith("\n")]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_killed_at_random(path: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    chance = random.Random(5)
    acknowledged: list[str] = []
    for run in range(KILLS):
        name = "k" * (1 + run % 2) + str(run)
        acknowledged += write_and_die(name, path, ledger, chance.uniform(0, 0.3))
    spool = open_sink(f"sqlite:///{ledger}", path)
    assert isinstance(spool, Spool)
    await spool.open()
    await emptied(spool)
    await spool.aclose()
    arrived = [id for (id,) in rows(ledger, "SELECT id FROM usage_records")]
    print(  # noqa: T201
        f"{KILLS} kills: {len(acknowledged)} records acknowledged, {len(arrived)} arrived, "
        f"{len({*acknowledged} - {*arrived})} missing, {len(arrived) - len({*arrived})} twice"
    )
    assert len(acknowledged) >= KILLS * 10
    assert set(acknowledged) <= set(arrived)
    assert len(arrived) == len(set(arrived))
