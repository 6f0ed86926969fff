from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlencode
from uuid import uuid4

import anyio
import psycopg
import pytest

from tests.limits.backends import Names, held, take
from waystone_asgi.limits.postgresql import PostgreSQLCounters

pytestmark = pytest.mark.anyio


@pytest.fixture
def admin(postgresql_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def url(postgresql_url: str, admin: psycopg.Connection) -> Iterator[str]:
    """A schema of our own."""
    name = f"waystone_{uuid4().hex}"
    admin.execute(f"CREATE SCHEMA {name}")
    options = urlencode({"options": f"-csearch_path={name}", "application_name": name})
    yield f"{postgresql_url}?{options}"
    admin.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
async def counters(url: str) -> AsyncIterator[PostgreSQLCounters]:
    counters = PostgreSQLCounters(url)
    await counters.open()
    yield counters
    await counters.aclose()


async def test_many_begin_at_once(url: str, names: Names) -> None:
    many = [PostgreSQLCounters(url) for _ in range(5)]
    async with anyio.create_task_group() as tasks:
        for counters in many:
            tasks.start_soon(take, counters, names.charge())
    assert await held(many[0], names.charge()) == 5
    for counters in many:
        await counters.aclose()


async def test_it_connects_again(
    counters: PostgreSQLCounters, url: str, admin: psycopg.Connection, names: Names
) -> None:
    taken = await take(counters, names.charge(5))
    name = url.rpartition("=")[2]
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    assert admin.execute(query, (name,)).fetchall() == [(True,)]
    with pytest.raises(psycopg.Error):
        await counters.settle(taken, [3])
    await counters.settle(taken, [3])
    assert await held(counters, names.charge()) == 3


async def test_nobody_listens(names: Names) -> None:
    counters = PostgreSQLCounters("postgresql://ann:hunter2@127.0.0.1:1/x")
    await counters.open()
    with pytest.raises(psycopg.OperationalError, match="refused") as raised:
        await take(counters, names.charge())
    assert "hunter2" not in str(raised.value)
    await counters.aclose()


async def test_an_error_leaves_no_transaction_open(
    counters: PostgreSQLCounters, admin: psycopg.Connection, url: str, names: Names
) -> None:
    await take(counters, names.charge())
    schema = url.rpartition("=")[2]
    admin.execute(f"ALTER TABLE {schema}.waystone_counters RENAME TO elsewhere")
    with pytest.raises(psycopg.Error):
        await take(counters, names.charge())
    admin.execute(f"ALTER TABLE {schema}.elsewhere RENAME TO waystone_counters")
    assert await held(counters, names.charge()) == 1


async def test_rows_that_count_no_more_go(
    counters: PostgreSQLCounters, admin: psycopg.Connection, url: str, names: Names
) -> None:
    await take(counters, names.charge())
    await counters.aclose()
    schema = url.rpartition("=")[2]
    admin.execute(
        f"INSERT INTO {schema}.waystone_counters"
        " SELECT n::text, 0, 1, 1 FROM generate_series(1, 1500) AS n"
    )
    admin.execute(f"INSERT INTO {schema}.waystone_reservations VALUES ('x', 'lapsed', 0, 1, '[]')")
    fresh = PostgreSQLCounters(url)
    for _ in range(3):
        await take(fresh, names.charge())
    await fresh.aclose()
    query = f"SELECT (SELECT count(*) FROM {schema}.waystone_counters), count(*)"
    rows = admin.execute(f"{query} FROM {schema}.waystone_reservations").fetchall()
    assert rows == [(1, 4)]
