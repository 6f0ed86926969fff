from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from waystone_asgi.sqlite import begin, write_ahead


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    path = tmp_path / "x.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as one,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other,
    ):
        write_ahead(one, 1)
        yield one, other


def test_it_is_written_ahead(pair: tuple[sqlite3.Connection, sqlite3.Connection]) -> None:
    assert pair[1].execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert pair[0].execute("PRAGMA synchronous").fetchone() == (1,)


def test_it_waits_for_the_other(pair: tuple[sqlite3.Connection, sqlite3.Connection]) -> None:
    one, other = pair
    begin(one, 1)
    timer = threading.Timer(0.05, one.execute, ["COMMIT"])
    timer.start()
    begin(other, 10)
    timer.join()
    assert other.in_transaction


def test_it_waits_a_limited_time(pair: tuple[sqlite3.Connection, sqlite3.Connection]) -> None:
    one, other = pair
    begin(one, 1)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        begin(other, 0.01)


def test_other_errors_are_raised_at_once(
    pair: tuple[sqlite3.Connection, sqlite3.Connection],
) -> None:
    one, _ = pair
    begin(one, 1)
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
        begin(one, 100)
