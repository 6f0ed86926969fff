"""Users, groups and links in a PostgreSQL database.

In: merges and links. Out: layers as the database has them. A merge locks its row, so merges of
several processes at once all count. Nothing is built into a statement but parameters. It must not
run on the event loop: threads do, each with a connection that goes back when it was of use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import psycopg

from ..exceptions import ConfigurationError, RequestTooLargeError
from ..records import Source
from ..types import JSONObject, Layers
from .layers import SOURCES, decode, encode, merge

CONNECTIONS = 8

_SETTINGS = {"connect_timeout": 2, "tcp_user_timeout": 5000, "keepalives_idle": 5}
# A process that hangs, or is cut off from the server, must not keep its locks for long.
_LIMITS = """
SET statement_timeout = '5s';
SET idle_in_transaction_session_timeout = '5s'
"""
_TABLES = """
CREATE TABLE IF NOT EXISTS waystone_entities (
    kind text COLLATE "C", id text COLLATE "C", "host" json, "key" json, "claimed" json,
    PRIMARY KEY (kind, id)
);
CREATE TABLE IF NOT EXISTS waystone_links (
    "user" text COLLATE "C", "group" text COLLATE "C", PRIMARY KEY ("user", "group")
)
"""
_EXIST = "SELECT to_regclass('waystone_entities'), to_regclass('waystone_links')"
_LOCK = "SELECT pg_advisory_xact_lock(%s)"
_LOCK_NUMBER = 0x57415953_454E5401
_READ = """
SELECT "host"::text, "key"::text, "claimed"::text FROM waystone_entities
WHERE kind = %s AND id = %s
"""
_CREATE = "INSERT INTO waystone_entities (kind, id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_WRITE = """
UPDATE waystone_entities SET "host" = %s, "key" = %s, "claimed" = %s WHERE kind = %s AND id = %s
"""
_LINK = "INSERT INTO waystone_links VALUES (%s, %s) ON CONFLICT DO NOTHING"
_LINKED = 'SELECT 1 FROM waystone_links WHERE "user" = %s AND "group" = %s'

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]


class PostgreSQLStore:
    """An `EntityStore` in the database at `url`, which is encoded in UTF-8.

    Ids are text as they are, but for NUL and the backslash, which are `\\0` and `\\\\`. It makes
    connections as they are needed, and creates its two tables where they are missing.
    """

    def __init__(self, url: str) -> None:
        self._settings = _SETTINGS | _parse(url)
        self._limiter = anyio.CapacityLimiter(CONNECTIONS)
        self._idle: list[Connection] = []

    async def open(self) -> None:
        """See `types.EntityStore`."""
        await self._do(lambda connection: None)

    async def read(self, kind: str, id: str) -> Layers | None:
        """See `types.EntityStore`."""
        return await self._do(lambda connection: _read(connection, kind, id))

    async def merge(self, kind: str, id: str, source: Source, changes: JSONObject) -> Layers:
        """See `types.EntityStore`."""
        return await self._do(lambda connection: _merge(connection, kind, id, source, changes))

    async def link(self, user: str, group: str) -> None:
        """See `types.EntityStore`."""
        await self._do(lambda connection: connection.execute(_LINK, (_text(user), _text(group))))

    async def linked(self, user: str, group: str) -> bool:
        """See `types.EntityStore`."""
        parameters = (_text(user), _text(group))
        return await self._do(
            lambda connection: connection.execute(_LINKED, parameters).fetchone() is not None
        )

    async def aclose(self) -> None:
        """See `types.EntityStore`."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    async def _do(self, work: Callable[[Connection], T]) -> T:
        # Whoever waits for too long leaves; the thread is rid of its connection in some seconds.
        return await anyio.to_thread.run_sync(
            self._work, work, limiter=self._limiter, abandon_on_cancel=True
        )

    def _work(self, work: Callable[[Connection], T]) -> T:
        idle = self._idle
        if idle:
            connection = idle.pop()
            try:
                return self._use(connection, work, idle)
            except psycopg.OperationalError:
                if not connection.broken:
                    raise
            # The server was restarted, and the other connections are broken too.
            while idle:
                idle.pop().close()
        return self._use(self._connect(), work, idle)

    def _use(
        self, connection: Connection, work: Callable[[Connection], T], idle: list[Connection]
    ) -> T:
        usable = False
        try:
            done = work(connection)
            usable = True
        except RequestTooLargeError:
            usable = True
            raise
        finally:
            if usable and idle is self._idle:
                idle.append(connection)
            else:
                connection.close()
        return done

    def _connect(self) -> Connection:
        connection = psycopg.connect(**self._settings, autocommit=True, prepare_threshold=None)
        try:
            if connection.info.parameter_status("server_encoding") != "UTF8":
                raise ConfigurationError("The PostgreSQL database must be encoded in UTF8.")
            connection.execute("SET client_encoding = 'UTF8'")
            connection.execute(_LIMITS)
            if None in (connection.execute(_EXIST).fetchone() or ()):
                with connection.transaction():
                    # Two that create the same table at the same time would fail.
                    connection.execute(_LOCK, (_LOCK_NUMBER,))
                    connection.execute(_TABLES)
        except BaseException:
            connection.close()
            raise
        return connection


def _read(connection: Connection, kind: str, id: str) -> Layers | None:
    row = connection.execute(_READ, (kind, _text(id))).fetchone()
    return None if row is None else _layers(row)


def _merge(
    connection: Connection, kind: str, id: str, source: Source, changes: JSONObject
) -> Layers:
    layers = _read(connection, kind, id)
    if layers is not None and merge(kind, layers, source, changes) is layers:
        return layers
    key = (kind, _text(id))
    with connection.pipeline():
        connection.execute("BEGIN")
        connection.execute(_CREATE, key)
        found = connection.execute(_READ + "FOR UPDATE", key)
    try:
        layers = merge(kind, _layers(found.fetchone() or ()), source, changes)
    except RequestTooLargeError:
        connection.execute("ROLLBACK")
        raise
    columns = [encode(layers[name]).decode() if name in layers else None for name in SOURCES]
    with connection.pipeline():
        connection.execute(_WRITE, (*columns, *key))
        connection.execute("COMMIT")
    return layers


def _layers(row: tuple[str | None, ...]) -> Layers:
    return {name: decode(text) for name, text in zip(SOURCES, row, strict=True) if text is not None}


def _text(id: str) -> str:
    return id.replace("\\", r"\\").replace("\0", r"\0")


def _parse(url: str) -> dict[str, Any]:
    try:
        parsed = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # The error would quote the URL, and a password with it.
        raise ConfigurationError("The URL of the PostgreSQL database is not valid.") from None
    # What a password has of these signs would be taken for a host, and shown in errors.
    port = str(parsed.get("port", "")).replace(",", "")
    if "@" in f"{parsed.get('host')}{parsed.get('dbname')}" or not (port.isdigit() or not port):
        raise ConfigurationError(
            "The URL of the PostgreSQL database is not valid: in a password @ is %40, and / is %2F."
        )
    return dict(parsed)
