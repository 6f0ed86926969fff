"""Users, groups and links in a SQLite file.

In: merges and links. Out: layers as the file has them. A merge that changes something holds the
file's write lock from its beginning, so merges of several processes at once all count. It must not
run on the event loop: one worker thread makes every call.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from ..exceptions import ConfigurationError
from ..records import Source
from ..sqlite import begin, write_ahead
from ..types import JSONObject, Layers
from .layers import NO_LAYERS, SOURCES, decode, encode, merge

_BUSY_SECONDS = 4.0

_TABLES = """
CREATE TABLE IF NOT EXISTS waystone_entities (
    kind TEXT NOT NULL, id TEXT NOT NULL, "host" TEXT, "key" TEXT, "claimed" TEXT,
    PRIMARY KEY (kind, id)
);
CREATE TABLE IF NOT EXISTS waystone_links (
    "user" TEXT NOT NULL, "group" TEXT NOT NULL, PRIMARY KEY ("user", "group")
) WITHOUT ROWID
"""
_READ = 'SELECT "host", "key", "claimed" FROM waystone_entities WHERE kind = ? AND id = ?'
_WRITE = """
INSERT INTO waystone_entities VALUES (?, ?, ?, ?, ?) ON CONFLICT DO
UPDATE SET "host" = excluded."host", "key" = excluded."key", "claimed" = excluded."claimed"
"""
_LINK = "INSERT OR IGNORE INTO waystone_links VALUES (?, ?)"
_LINKED = 'SELECT 1 FROM waystone_links WHERE "user" = ? AND "group" = ?'

T = TypeVar("T")


class SQLiteStore:
    """An `EntityStore` in the SQLite file at `path`, which may hold the ledger and counters too.

    `open` or the first call creates the file and the two tables. `busy_timeout` is how many seconds
    a call waits for other processes.
    """

    def __init__(self, path: str | Path, *, busy_timeout: float = _BUSY_SECONDS) -> None:
        self.path = Path(path)
        self.busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._limiter = anyio.CapacityLimiter(1)

    async def open(self) -> None:
        """See `types.EntityStore`."""
        try:
            await self._do(lambda connection: None)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise
            raise ConfigurationError(
                f"The users and groups in {self.path} cannot be opened: {error}."
            ) from error

    async def read(self, kind: str, id: str) -> Layers | None:
        """See `types.EntityStore`."""
        return await self._do(lambda connection: _read(connection, kind, id))

    async def merge(self, kind: str, id: str, source: Source, changes: JSONObject) -> Layers:
        """See `types.EntityStore`."""

        def work(connection: sqlite3.Connection) -> Layers:
            layers = _read(connection, kind, id)
            if layers is not None and merge(kind, layers, source, changes) is layers:
                return layers
            begin(connection, self.busy_timeout)
            with connection:
                return _merge(connection, kind, id, source, changes)

        return await self._do(work)

    async def link(self, user: str, group: str) -> None:
        """See `types.EntityStore`."""

        def work(connection: sqlite3.Connection) -> None:
            begin(connection, self.busy_timeout)
            with connection:
                connection.execute(_LINK, (user, group))

        await self._do(work)

    async def linked(self, user: str, group: str) -> bool:
        """See `types.EntityStore`."""
        return await self._do(
            lambda connection: connection.execute(_LINKED, (user, group)).fetchone() is not None
        )

    async def aclose(self) -> None:
        """See `types.EntityStore`."""
        await anyio.to_thread.run_sync(self._close, limiter=self._limiter)

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await anyio.to_thread.run_sync(lambda: work(self._opened()), limiter=self._limiter)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self.path, self.busy_timeout)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        write_ahead(connection, timeout)
        begin(connection, timeout)
        with connection:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _read(connection: sqlite3.Connection, kind: str, id: str) -> Layers | None:
    row = connection.execute(_READ, (kind, id)).fetchone()
    if row is None:
        return None
    return {name: decode(text) for name, text in zip(SOURCES, row, strict=True) if text is not None}


def _merge(
    connection: sqlite3.Connection, kind: str, id: str, source: Source, changes: JSONObject
) -> Layers:
    layers = merge(kind, _read(connection, kind, id) or NO_LAYERS, source, changes)
    columns = [encode(layers[name]).decode() if name in layers else None for name in SOURCES]
    connection.execute(_WRITE, (kind, id, *columns))
    return layers
