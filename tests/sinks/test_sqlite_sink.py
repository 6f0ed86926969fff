from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import anyio
import msgspec
import pytest

import waystone_asgi
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks.sqlite import SQLiteSink, read_totals

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


async def test_columns_and_indexes(path: Path) -> None:
    sink = SQLiteSink(path)
    await sink.open()
    with closing(sqlite3.connect(path)) as connection:
        columns = connection.execute("PRAGMA table_info (usage_records)").fetchall()
        indexes = connection.execute("PRAGMA index_list (usage_records)").fetchall()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await sink.aclose()
    kinds = {name: kind for _, name, kind, *_ in columns}
    assert kinds["id"] == kinds["time"] == kinds["cost_usd"] == kinds["attempts"] == "TEXT"
    assert kinds["stream"] == kinds["status"] == kinds["input_tokens"] == "INTEGER"
    assert kinds["duration"] == kinds["time_to_first_chunk"] == "REAL"
    assert {"usage_records_time", "usage_records_user", "usage_records_group"} <= {
        name for _, name, *_ in indexes
    }


async def test_times_are_kept_in_utc(path: Path, make_record: MakeRecord) -> None:
    sink = SQLiteSink(path)
    elsewhere = datetime(2026, 11, 23, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    await sink.emit([make_record(1, time=elsewhere)])
    await sink.aclose()
    assert rows(path)[0]["time"] == "2026-11-22T23:30:00.000000Z"


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


@pytest.mark.parametrize("fields", [{"input_tokens": 2**63}, {"user": "\ud800"}])
async def test_a_record_that_cannot_be_kept_takes_no_other_with_it(
    path: Path, make_record: MakeRecord, fields: dict[str, object]
) -> None:
    sink = SQLiteSink(path)
    with pytest.raises((OverflowError, UnicodeError)):
        await sink.emit([make_record(1), make_record(2, **fields), make_record(3)])
    await sink.aclose()
    assert ids(path) == [make_record(1).id, make_record(3).id]


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
