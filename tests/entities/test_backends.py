"""What is particular to each store: its file, its database, its server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import anyio
import psycopg
import pytest

from waystone_asgi.entities import open_store
from waystone_asgi.entities.redis import RedisStore
from waystone_asgi.entities.sqlite import SQLiteStore
from waystone_asgi.exceptions import ConfigurationError

from .conftest import Name

pytestmark = pytest.mark.anyio

CANARY = "canary-90ab"


def changed(url: str, *, netloc: str | None = None, path: str | None = None) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=netloc or parts.netloc, path=path or parts.path))


# SQLite.


@pytest.mark.parametrize(
    ("name", "content"),
    [("missing/waystone.db", None), ("waystone.db", b"This is a letter, not a database. " * 200)],
)
async def test_a_file_that_is_none(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"in .*waystone\.db cannot be opened: "):
        await SQLiteStore(path).open()


async def test_a_file_that_is_locked_may_be_opened_later(tmp_path: Path) -> None:
    path = tmp_path / "waystone.db"
    store = SQLiteStore(path, busy_timeout=0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("CREATE TABLE other (x)")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await store.open()
        holder.execute("COMMIT")
    await store.merge("user", "ann", "key", {"a": 1})
    await store.aclose()
    with closing(sqlite3.connect(path)) as reader:
        rows = reader.execute("SELECT * FROM waystone_entities").fetchall()
    assert rows == [("user", "ann", None, '{"a":1}', None)]


async def test_what_does_not_fit_leaves_no_lock(tmp_path: Path) -> None:
    first, second = SQLiteStore(tmp_path / "waystone.db"), SQLiteStore(tmp_path / "waystone.db")
    await first.merge("user", "ann", "key", {"a": "x" * 40_000})
    with pytest.raises(Exception, match="65536"):
        await first.merge("user", "ann", "key", {"b": "x" * 40_000})
    await second.merge("user", "ann", "key", {"b": 1})
    await first.aclose()
    await second.aclose()


# PostgreSQL.


@pytest.fixture
def admin(postgresql_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def database(admin: psycopg.Connection, postgresql_url: str) -> Iterator[str]:
    """The URL of a database that is empty."""
    name = f"waystone_{uuid4().hex}"
    admin.execute(f"CREATE DATABASE {name}".encode())
    yield changed(postgresql_url, path=f"/{name}")
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def test_many_may_create_the_tables_at_once(database: str) -> None:
    stores = [open_store(database) for _ in range(8)]
    async with anyio.create_task_group() as tasks:
        for store in stores:
            tasks.start_soon(store.open)
    await stores[0].merge("user", "ann", "key", {"a": 1})
    assert await stores[1].read("user", "ann") == {"key": {"a": 1}}
    for store in stores:
        await store.aclose()


async def test_tables_that_are_there_need_no_right_to_create(
    admin: psycopg.Connection, database: str
) -> None:
    store = open_store(database)
    await store.open()
    await store.aclose()
    role = f"waystone_{uuid4().hex}"
    admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'".encode())
    with psycopg.connect(database) as owner:
        owner.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        owner.execute(
            f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}".encode()
        )
    parts = urlsplit(database)
    other = open_store(changed(database, netloc=f"{role}:secret@{parts.hostname}:{parts.port}"))
    await other.open()
    await other.merge("user", "ann", "key", {"a": 1})
    await other.link("ann", "acme")
    assert await other.linked("ann", "acme")
    await other.aclose()
    with psycopg.connect(database) as owner:
        owner.execute(f"DROP OWNED BY {role}".encode())
    admin.execute(f"DROP ROLE {role}".encode())


async def test_rows_can_be_read_by_others(database: str) -> None:
    store = open_store(database)
    await store.merge("user", "a\x00\\b", "claimed", {"tier": "free"})
    with psycopg.connect(database) as reader:
        found = reader.execute(
            "SELECT kind, id, claimed->>'tier' FROM waystone_entities"
        ).fetchall()
    assert found == [("user", r"a\0\\b", "free")]
    await store.aclose()


async def test_a_database_of_another_encoding(
    admin: psycopg.Connection, postgresql_url: str
) -> None:
    name = f"waystone_{uuid4().hex}"
    options = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    admin.execute(f"CREATE DATABASE {name} {options}".encode())
    with pytest.raises(ConfigurationError, match="encoded in UTF8"):
        await open_store(changed(postgresql_url, path=f"/{name}")).open()
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def test_a_password_that_is_wrong_is_not_shown(postgresql_url: str) -> None:
    parts = urlsplit(postgresql_url)
    url = changed(postgresql_url, netloc=f"{parts.username}:{CANARY}@{parts.hostname}:{parts.port}")
    with pytest.raises(psycopg.OperationalError) as caught:
        await open_store(url).open()
    assert CANARY not in str(caught.value)


async def test_connections_that_the_server_has_ended_are_replaced(
    admin: psycopg.Connection, postgresql_url: str, name: Name
) -> None:
    application = f"waystone-{uuid4().hex}"
    store = open_store(f"{postgresql_url}?application_name={application}")
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(store.merge, "user", name("ann"), "key", {f"n{number}": number})
    ended = admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        (application,),
    ).fetchall()
    assert 1 < len(ended) <= 8
    layers = await store.merge("user", name("ann"), "key", {"a": 1})
    assert set(layers["key"]) == {"a", *(f"n{number}" for number in range(10))}
    await store.aclose()


async def test_a_statement_that_takes_too_long(
    admin: psycopg.Connection, postgresql_url: str, name: Name
) -> None:
    store = open_store(f"{postgresql_url}?options=-c%20lock_timeout%3D50")
    await store.merge("user", name("ann"), "key", {"a": 1})
    with admin.transaction():
        admin.execute("SELECT * FROM waystone_entities WHERE id = %s FOR UPDATE", (name("ann"),))
        with pytest.raises(psycopg.OperationalError):
            await store.merge("user", name("ann"), "key", {"a": 2})
        assert await store.read("user", name("ann")) == {"key": {"a": 1}}
    await store.merge("user", name("ann"), "key", {"a": 2})
    assert await store.read("user", name("ann")) == {"key": {"a": 2}}
    await store.aclose()


async def test_who_is_cancelled_does_not_wait(
    admin: psycopg.Connection, postgresql_url: str, name: Name
) -> None:
    store = open_store(postgresql_url)
    await store.merge("user", name("ann"), "key", {"a": 1})
    with admin.transaction():
        admin.execute("SELECT * FROM waystone_entities WHERE id = %s FOR UPDATE", (name("ann"),))
        with anyio.move_on_after(0.05) as scope:
            await store.merge("user", name("ann"), "key", {"a": 2})
        assert scope.cancelled_caught
        await store.aclose()
    assert await store.read("user", name("bob")) is None
    await store.aclose()


# Redis.


async def test_a_credential_that_redis_does_not_take(redis_url: str) -> None:
    parts = urlsplit(redis_url)
    for credential in (f"default:{CANARY}@", f"nobody:{CANARY}@", ""):
        url = changed(redis_url, netloc=f"{credential}{parts.hostname}:{parts.port}")
        with pytest.raises(ConfigurationError, match="credential") as caught:
            await open_store(url).open()
        assert CANARY not in str(caught.value)


async def test_scripts_that_redis_has_forgotten(redis_url: str, name: Name) -> None:
    store = open_store(redis_url)
    assert isinstance(store, RedisStore)
    await store.open()
    await store.merge("user", name("ann"), "key", {"a": 1})
    await store._call(b"SCRIPT FLUSH")
    assert await store.merge("user", name("ann"), "key", {"b": 2}) == {"key": {"a": 1, "b": 2}}
    await store.aclose()


async def test_a_connection_that_does_not_answer_is_made_anew(redis_url: str, name: Name) -> None:
    store = open_store(f"{redis_url}?stream_timeout=0.05")
    assert isinstance(store, RedisStore)
    await store.open()
    with pytest.raises(TimeoutError):
        await store._call(b"BLPOP", name("nothing").encode(), b"1")
    with anyio.fail_after(10):
        while True:
            try:
                await store.link(name("ann"), name("acme"))
                break
            except Exception:
                await anyio.sleep(0.01)
    assert await store.linked(name("ann"), name("acme"))
    await store.aclose()


async def test_a_server_that_is_not_there() -> None:
    store = open_store(f"redis://:{CANARY}@127.0.0.1:1/0")
    for _ in range(2):
        with pytest.raises(Exception, match="no connection to Redis") as caught:
            await store.open()
        assert not isinstance(caught.value, ConfigurationError)
        await store.aclose()
    with pytest.raises(Exception, match="no connection to Redis"):
        await store.read("user", "ann")
