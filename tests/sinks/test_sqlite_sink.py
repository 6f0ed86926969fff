from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import anyio
import msgspec
import pytest

import waystone_asgi
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks.sqlite import SQLiteSink, read_totals

from .conftest import NOON

MakeRecord = Callable[..., UsageRecord]

pytestmark = pytest.mark.anyio

WRITER = """
import itertools, sys
from datetime import UTC, datetime
import anyio
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import SQLiteSink

name, path, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])

async def main():
    sink = SQLiteSink(path)
    await sink.open()
    for batch in itertools.islice(itertools.count(), batches or None):
        await sink.emit([
            UsageRecord(id=f"{name}-{batch}-{number}", time=datetime.now(UTC), request_id="r",
                        operation="chat", principal="p")
            for number in range(10)
        ])
        print(batch, flush=True)

anyio.run(main)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "waystone.db"


@pytest.fixture
def holder(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the same file, without write-ahead logging."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE other (x)")
        yield connection


def rows(path: Path) -> list[dict[str, object]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM usage_records ORDER BY time, id")
        return [dict(row) for row in found]


def ids(path: Path) -> list[object]:
    return [row["id"] for row in rows(path)]


def start_writer(name: str, path: Path, batches: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, name, str(path), str(batches)],
        cwd=Path(waystone_asgi.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_a_row_a_record(path: Path, make_record: MakeRecord, least: UsageRecord) -> None:
    sink = SQLiteSink(path)
    await sink.open()
    await sink.emit([make_record(), least])
    await sink.emit([])
    await sink.aclose()
    bare, full = rows(path)
    assert list(full) == list(UsageRecord.__struct_fields__)
    assert full["time"] == "2026-11-23T12:00:01.000000Z"
    assert full["cost_usd"] == "0.000123450"
    assert full["stream"] == 1
    assert bare["cost_usd"] is None
    for row, record in ((full, make_record()), (bare, least)):
        lists = {
            name: json.loads(str(row[name])) for name in ("tags", "finish_reasons", "attempts")
        }
        values = row | lists | {"stream": bool(row["stream"])}
        assert msgspec.convert(values, UsageRecord) == record


async def test_the_table_is_one_tree(path: Path) -> None:
    sink = SQLiteSink(path)
    await sink.open()
    with closing(sqlite3.connect(path)) as connection:
        columns = connection.execute("PRAGMA table_info (usage_records)").fetchall()
        indexes = connection.execute("PRAGMA index_list (usage_records)").fetchall()
        roots = connection.execute("SELECT DISTINCT rootpage FROM sqlite_schema").fetchall()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA page_size").fetchone() == (16384,)
    await sink.aclose()
    kinds = {name: kind for _, name, kind, *_ in columns}
    assert kinds["id"] == kinds["time"] == kinds["cost_usd"] == kinds["attempts"] == "TEXT"
    assert kinds["stream"] == kinds["status"] == kinds["input_tokens"] == "INTEGER"
    assert kinds["duration"] == kinds["time_to_first_chunk"] == "REAL"
    assert [origin for _, _, _, origin, _ in indexes] == ["pk"]
    assert len([root for (root,) in roots if root]) == 1


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (NOON, "2026-11-23T12:00:00.000000Z"),
        (NOON.replace(microsecond=1), "2026-11-23T12:00:00.000001Z"),
        (NOON.replace(microsecond=123000), "2026-11-23T12:00:00.123000Z"),
        (NOON.astimezone(timezone(timedelta(hours=14))), "2026-11-23T12:00:00.000000Z"),
        (
            datetime(2026, 11, 23, 1, 30, 0, 5, timezone(timedelta(hours=2))),
            "2026-11-22T23:30:00.000005Z",
        ),
    ],
)
async def test_times_are_kept_in_utc_and_of_one_width(
    path: Path, make_record: MakeRecord, time: datetime, text: str
) -> None:
    sink = SQLiteSink(path)
    await sink.emit([make_record(1, time=time), make_record(2)])
    await sink.aclose()
    assert [row["time"] for row in rows(path) if row["id"] == make_record(1).id] == [text]


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (Decimal("0.0000001"), "0.0000001"),
        (Decimal("0.00"), "0.00"),
        (Decimal("1E+3"), "1000"),
        (Decimal("12.340"), "12.340"),
    ],
)
async def test_money_is_decimal_text(
    path: Path, make_record: MakeRecord, cost: Decimal, text: str
) -> None:
    sink = SQLiteSink(path)
    await sink.emit([make_record(cost_usd=cost)])
    await sink.aclose()
    assert rows(path)[0]["cost_usd"] == text


@pytest.mark.parametrize("leisure", [-1.0, 60.0])
async def test_batches_of_every_size(path: Path, make_record: MakeRecord, leisure: float) -> None:
    sink = SQLiteSink(path)
    sink._leisure_seconds = leisure
    expected: list[object] = []
    for size in (0, 1, 2, 3, 15, 16, 17, 31, 33, 127, 128, 129, 300):
        batch = [make_record(len(expected) + number) for number in range(size)]
        expected += [record.id for record in batch]
        await sink.emit(batch)
    await sink.aclose()
    assert ids(path) == expected


async def test_a_known_id_is_left_alone(path: Path, make_record: MakeRecord) -> None:
    sink = SQLiteSink(path)
    await sink.emit([make_record(1)])
    await sink.emit([make_record(1, status=500), make_record(2)])
    await sink.aclose()
    assert [row["status"] for row in rows(path)] == [200, 200]


async def test_emit_opens_and_aclose_may_come_twice(path: Path, make_record: MakeRecord) -> None:
    sink = SQLiteSink(path)
    for number in (1, 2):
        await sink.emit([make_record(number)])
        await sink.aclose()
        await sink.aclose()
    assert len(rows(path)) == 2
    assert not path.with_name("waystone.db-wal").exists()


async def test_batches_of_many_tasks(path: Path, make_record: MakeRecord) -> None:
    sink = SQLiteSink(path)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(sink.emit, [make_record(number)])
    await sink.aclose()
    assert len(rows(path)) == 20


async def test_an_older_table_gets_the_new_columns(path: Path, make_record: MakeRecord) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE usage_records (id TEXT PRIMARY KEY, time TEXT, extra TEXT)"
        )
        connection.execute("INSERT INTO usage_records VALUES ('old', '2025-01-01T00:00:00Z', 'x')")
    sink = SQLiteSink(path)
    await sink.emit([make_record()])
    await sink.aclose()
    old, new = rows(path)
    assert (old["id"], old["extra"], old["cost_usd"]) == ("old", "x", None)
    assert (new["extra"], new["cost_usd"]) == (None, "0.000123450")


async def test_a_former_table_keeps_its_rows_and_loses_its_indexes(
    path: Path, make_record: MakeRecord
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            'CREATE TABLE usage_records (id TEXT PRIMARY KEY, time TEXT, "user" TEXT, "group" TEXT)'
        )
        for name in ("time", "user", "group"):
            connection.execute(
                f'CREATE INDEX usage_records_{name} ON usage_records ("{name}")',
            )
        connection.execute("CREATE INDEX own ON usage_records (time)")
        connection.execute("INSERT INTO usage_records (id, time) VALUES ('old', '2025')")
    sink = SQLiteSink(path)
    await sink.emit([make_record(1), make_record(1), make_record(2)])
    await sink.aclose()
    assert ids(path) == ["old", make_record(1).id, make_record(2).id]
    with closing(sqlite3.connect(path)) as connection:
        indexes = connection.execute("PRAGMA index_list (usage_records)").fetchall()
    assert {name for _, name, *_ in indexes} == {"own", "sqlite_autoindex_usage_records_1"}


@pytest.mark.parametrize("fields", [{"input_tokens": 2**63}, {"user": "\ud800"}])
async def test_a_record_that_cannot_be_kept_takes_no_other_with_it(
    path: Path, make_record: MakeRecord, fields: dict[str, object]
) -> None:
    sink = SQLiteSink(path)
    with pytest.raises((OverflowError, UnicodeError)):
        await sink.emit([make_record(1), make_record(2, **fields), make_record(3)])
    await sink.aclose()
    assert ids(path) == [make_record(1).id, make_record(3).id]


@pytest.mark.parametrize("leisure", [-1.0, 60.0])
async def test_nor_any_record_of_a_long_batch(
    path: Path, make_record: MakeRecord, leisure: float
) -> None:
    unkept = {0, 17, 127, 128, 299}
    batch = [make_record(n, input_tokens=2**63 if n in unkept else n) for n in range(300)]
    sink = SQLiteSink(path)
    sink._leisure_seconds = leisure
    with pytest.raises(OverflowError):
        await sink.emit(batch)
    await sink.aclose()
    assert [row["input_tokens"] for row in rows(path)] == sorted(set(range(300)) - unkept)


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
async def test_open_waits_for_another_writer(
    path: Path, holder: sqlite3.Connection, lock: str
) -> None:
    holder.execute(f"BEGIN {lock}")
    sink = SQLiteSink(path)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sink.open)
        await anyio.wait_all_tasks_blocked()
        holder.execute("COMMIT")
    await sink.aclose()
    assert rows(path) == []


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
async def test_open_waits_a_limited_time(path: Path, holder: sqlite3.Connection, lock: str) -> None:
    holder.execute(f"BEGIN {lock}")
    sink = SQLiteSink(path, busy_timeout=0.05)
    with pytest.raises(ConfigurationError, match=r"waystone\.db cannot be opened: .*locked"):
        await sink.open()
    holder.execute("COMMIT")
    await sink.open()
    await sink.aclose()


async def test_emit_waits_for_another_writer(path: Path, make_record: MakeRecord) -> None:
    sink = SQLiteSink(path)
    await sink.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.emit, [make_record()])
            await anyio.wait_all_tasks_blocked()
            assert holder.execute("SELECT count(*) FROM usage_records").fetchone() == (0,)
            holder.execute("COMMIT")
    await sink.aclose()
    assert len(rows(path)) == 1


async def test_emit_waits_a_limited_time(path: Path, make_record: MakeRecord) -> None:
    sink = SQLiteSink(path, busy_timeout=0.05)
    await sink.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await sink.emit([make_record(1)])
        holder.execute("ROLLBACK")
    await sink.emit([make_record(2)])
    await sink.aclose()
    assert ids(path) == [make_record(2).id]


async def test_a_cancelled_caller_does_not_cut_a_batch(path: Path, make_record: MakeRecord) -> None:
    sink = SQLiteSink(path)
    await sink.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.emit, [make_record(1), make_record(2)])
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            holder.execute("COMMIT")
    await sink.aclose()
    assert len(rows(path)) == 2


async def test_readers_do_not_wait_for_writers(path: Path, make_record: MakeRecord) -> None:
    sink = SQLiteSink(path)
    await sink.emit([make_record()])
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        (total,) = read_totals(path, "user")
        holder.execute("ROLLBACK")
    assert total.requests == 1
    await sink.aclose()


def v7(time: datetime, number: int = 0) -> str:
    """A UUIDv7 of that time."""
    digits = f"{round(time.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-{number:012x}"


@pytest.mark.parametrize("offset", [-1, 0, 1, 999])
async def test_since_goes_by_the_ids_where_they_tell_the_time(
    path: Path, make_record: MakeRecord, offset: int
) -> None:
    times = [NOON + timedelta(milliseconds=number) for number in range(100)]
    sink = SQLiteSink(path)
    await sink.emit([make_record(id=v7(time), time=time) for time in times])
    # As former versions rounded times: up, past the millisecond in the id.
    await sink.emit([make_record(id=v7(times[49], 1), time=times[50])])
    await sink.aclose()
    since = times[50] + timedelta(microseconds=offset)
    (total,) = read_totals(path, "group", since)
    expected = sum(time >= since for time in [*times, times[50]])
    assert total.requests == expected


@pytest.mark.parametrize("first", ["00000000-0000-7000-8000-000000000000", "0", "", v7(NOON)])
async def test_since_looks_at_every_row_where_ids_do_not_tell_the_time(
    path: Path, make_record: MakeRecord, first: str
) -> None:
    sink = SQLiteSink(path)
    await sink.emit([make_record(1, id=first), make_record(2, id=v7(NOON, 1)), make_record(3)])
    await sink.aclose()
    (total,) = read_totals(path, "group", make_record().time)
    assert total.requests == 3


async def test_since_in_a_former_table_of_anything(path: Path, make_record: MakeRecord) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE usage_records (id TEXT PRIMARY KEY, time TEXT)")
        connection.execute("INSERT INTO usage_records VALUES (NULL, NULL)")
    sink = SQLiteSink(path)
    await sink.emit([make_record()])
    await sink.aclose()
    (total,) = read_totals(path, "user", NOON)
    assert total.requests == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [("missing/waystone.db", None), ("waystone.db", b"This is a letter, not a database. " * 200)],
)
async def test_open_says_what_is_wrong(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"waystone\.db cannot be opened: "):
        await SQLiteSink(path).open()
    with pytest.raises(ConfigurationError, match=r"waystone\.db cannot be read: "):
        read_totals(path, "user")


def test_a_killed_writer_loses_no_batch_that_it_was_told_of(path: Path) -> None:
    with start_writer("a", path, 0) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(50)]
        process.kill()
        acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
    assert process.returncode == -signal.SIGKILL
    kept = set(ids(path))
    assert {f"a-{batch}-{number}" for batch in acknowledged for number in range(10)} <= kept
    assert len(kept) % 10 == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_two_processes_lose_nothing(path: Path) -> None:
    writers = [start_writer(name, path, 40) for name in ("a", "b")]
    for writer in writers:
        with writer:
            writer.communicate()
        assert writer.returncode == 0
    assert len(rows(path)) == 2 * 40 * 10
