"""Rows of the ledger go when their days have passed, a slice at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import SQLiteSink
from waystone_asgi.sinks.retention import PAUSE_SECONDS, SLICE_ROWS, STEP_SECONDS, Retention

from .conftest import NOON

pytestmark = pytest.mark.anyio

MakeRecord = Callable[..., UsageRecord]


class Clock:
    """Goes on by `tick` whenever it is asked."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.tick = 0.0

    def __call__(self) -> float:
        self.seconds += self.tick
        return self.seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "waystone.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        connection.execute("CREATE TABLE usage_records (id TEXT, time TEXT, retain_days INTEGER)")
        yield connection


def put(connection: sqlite3.Connection, count: int, days: int | None) -> None:
    """So many rows of noon."""
    rows = [(f"{number:06}", "2026-11-23T12:00:00.000000Z", days) for number in range(count)]
    with connection:
        connection.executemany("INSERT INTO usage_records VALUES (?, ?, ?)", rows)


def left(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM usage_records").fetchone()[0]
    return count


@pytest.mark.parametrize(
    ("days", "age", "kept"),
    [
        (None, 36_500, True),
        (60, 59.9, True),
        (60, 60.1, False),
        (0, -0.1, True),
        (0, 0.1, False),
        (36_500, 36_499, True),
    ],
)
def test_a_row_is_kept_for_its_days(
    connection: sqlite3.Connection, days: int | None, age: float, kept: bool
) -> None:
    put(connection, 1, days)
    now = NOON.timestamp() + age * 86_400
    Retention(clock=Clock(), now=lambda: now).step(connection)
    assert left(connection) == kept


def test_a_walk_goes_on_where_it_stopped_and_begins_anew_after_an_hour(
    connection: sqlite3.Connection,
) -> None:
    clock = Clock()
    retention = Retention(clock=clock, now=lambda: NOON.timestamp() + 2 * 86_400)
    put(connection, 2 * SLICE_ROWS + 1, 1)
    clock.tick = STEP_SECONDS * 0.9  # Time for one slice a call.
    remaining = []
    for _ in range(4):
        retention.step(connection)
        remaining.append(left(connection))
    assert remaining == [SLICE_ROWS + 1, 1, 0, 0]
    put(connection, 1, 1)
    retention.step(connection)
    assert left(connection) == 1
    clock.seconds += PAUSE_SECONDS
    retention.step(connection)
    assert left(connection) == 0


def test_a_file_that_is_locked_is_left_for_later(
    path: Path, connection: sqlite3.Connection
) -> None:
    clock = Clock()
    retention = Retention(clock=clock, now=lambda: NOON.timestamp() + 2 * 86_400)
    put(connection, 1, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        retention.step(connection)
    retention.step(connection)
    assert left(connection) == 1
    clock.seconds += STEP_SECONDS
    retention.step(connection)
    assert left(connection) == 0


async def test_the_ledger_lets_rows_go(path: Path, make_record: MakeRecord) -> None:
    old, now = datetime.now(UTC) - timedelta(days=61), datetime.now(UTC)
    records = [
        make_record(id="old", time=old, retain_days=60),
        make_record(id="new", time=now, retain_days=60),
        make_record(id="lasting", time=old, retain_days=None),
    ]
    for _ in range(2):  # Those that are there are deleted as it is opened.
        sink = SQLiteSink(path)
        await sink.open()
        await sink.emit(records)
        await sink.aclose()
        records = records[1:]
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT id, retain_days FROM usage_records ORDER BY id")
        assert found.fetchall() == [("lasting", None), ("new", 60)]


def test_a_record_says_its_days_last() -> None:
    assert msgspec.structs.fields(UsageRecord)[-1].name == "retain_days"
