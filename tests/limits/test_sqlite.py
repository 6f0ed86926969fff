from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.limits.backends import LEASE, NOON, Names, held, take
from waystone_asgi.charges import Window
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.limits.sqlite import SQLiteCounters

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counters.db"


@pytest.fixture
def holder(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE other (x)")
        yield connection


@pytest.mark.parametrize(
    ("name", "content"), [("missing/counters.db", None), ("counters.db", b"A letter. " * 500)]
)
async def test_open_says_what_is_wrong(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    counters = SQLiteCounters(path)
    with pytest.raises(ConfigurationError, match=r"counters\.db cannot be opened: "):
        await counters.open()
    await counters.aclose()


async def test_it_waits_for_other_writers(
    path: Path, holder: sqlite3.Connection, names: Names
) -> None:
    counters = SQLiteCounters(path)
    await counters.open()
    holder.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(take, counters, names.charge(1, 100))
        await anyio.wait_all_tasks_blocked()
        holder.execute("COMMIT")
    assert await held(counters, names.charge()) == 10
    await counters.aclose()


async def test_it_waits_a_limited_time(
    path: Path, holder: sqlite3.Connection, names: Names
) -> None:
    counters = SQLiteCounters(path, busy_timeout=0.05)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(ConfigurationError, match="locked"):
        await counters.open()
    holder.execute("ROLLBACK")
    await counters.open()
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await take(counters, names.charge())
    holder.execute("ROLLBACK")
    assert await held(counters, names.charge()) == 0
    await counters.aclose()


async def test_who_leaves_before_its_turn_takes_nothing(
    path: Path, holder: sqlite3.Connection, names: Names
) -> None:
    counters = SQLiteCounters(path)
    taken = await take(counters, names.charge(5))
    holder.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(counters.settle, taken, [3])  # the batch that waits for the lock
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(take, counters, names.charge(1))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    holder.execute("COMMIT")
    assert await held(counters, names.charge()) == 3
    await counters.aclose()


async def test_it_may_be_opened_and_closed_again_and_again(path: Path, names: Names) -> None:
    counters = SQLiteCounters(path)
    for n in range(1, 4):
        await counters.open()
        await take(counters, names.charge())
        assert await held(counters, names.charge()) == n
        await counters.aclose()
        await counters.aclose()
    assert [thread.name for thread in threading.enumerate() if "_run" in thread.name] == []
    assert not path.with_name("counters.db-wal").exists()


async def test_rows_that_count_no_more_go(path: Path, names: Names) -> None:
    counters = SQLiteCounters(path)
    await counters.open()
    now = time.time()
    await take(counters, names.charge(1, window=Window(per="minute")), now=now)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE waystone_counters SET ends = ends - 86400")
        connection.executemany(
            "INSERT INTO waystone_counters VALUES (?, 0, 1, 1)", [(f"{n}",) for n in range(1500)]
        )
        connection.execute("INSERT INTO waystone_reservations VALUES ('x', 'lapsed', 0, 1, '[]')")
    await counters.aclose()
    fresh = SQLiteCounters(path)
    await fresh.open()
    await take(fresh, names.charge(1), now=now)
    await fresh.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM waystone_counters").fetchone() == (1,)
        rows = connection.execute("SELECT count(*) FROM waystone_reservations").fetchone()
        assert rows == (2,)


async def test_what_a_row_outlives(path: Path, names: Names) -> None:
    counters = SQLiteCounters(path)
    for per, seconds in (("minute", 60), ("month", 31 * 86400)):
        window = Window(per=per)  # type: ignore[arg-type]
        await take(counters, names.charge(1, name=per, window=window), now=NOON)
        with closing(sqlite3.connect(path)) as connection:
            [(ends,)] = connection.execute(
                "SELECT ends FROM waystone_counters WHERE counter LIKE ?", (f"%:{per}",)
            )
        assert ends == pytest.approx(time.time() + seconds + LEASE + 60, abs=5)
    await counters.aclose()


def test_an_event_loop_that_ended_disturbs_nobody(path: Path, names: Names) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("CREATE TABLE other (x)")
        counters = SQLiteCounters(path)

        async def leave() -> None:
            await counters.open()
            holder.execute("BEGIN IMMEDIATE")
            with anyio.move_on_after(0.01):
                await take(counters, names.charge())

        async def come() -> None:
            assert await held(counters, names.charge()) in {0, 1}
            await counters.aclose()

        anyio.run(leave)
        holder.execute("COMMIT")
        anyio.run(come, backend="trio")
