"""Counters in a SQLite file, for the processes of one machine.

In: charges. Out: what was taken, or what refused. One thread has the only connection and does what
has queued in one transaction, which holds the file's write lock from its beginning: processes take
turns. It must not run on the event loop.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import cast

from ..charges import Charge, Refused, Taken
from ..exceptions import ConfigurationError
from ..sqlite import begin, write_ahead
from .books import Books
from .operations import NOTHING, Operation, Reserve, reservation, settlement
from .worker import Job, Worker

BUSY_SECONDS = 5.0

_PURGE_ROWS = 1000
_PURGE_SECONDS = 60.0

_TABLES = """
CREATE TABLE IF NOT EXISTS waystone_counters (
    counter TEXT NOT NULL, bucket INTEGER NOT NULL, amount INTEGER NOT NULL, ends INTEGER NOT NULL,
    PRIMARY KEY (counter, bucket)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waystone_counters_ends ON waystone_counters (ends);
CREATE TABLE IF NOT EXISTS waystone_reservations (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, expires REAL NOT NULL, ends INTEGER NOT NULL,
    parts TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waystone_reservations_open ON waystone_reservations (expires)
    WHERE state = 'open';
CREATE INDEX IF NOT EXISTS waystone_reservations_ends ON waystone_reservations (ends);
"""
_READ_COUNTERS = "SELECT counter, bucket, amount FROM waystone_counters WHERE counter IN ({})"
_READ_HELD = """
SELECT id, state, expires, parts FROM waystone_reservations
WHERE state = 'open' AND expires <= ? OR id IN ({})
"""
_WRITE_COUNTERS = """
INSERT INTO waystone_counters VALUES {} ON CONFLICT DO
UPDATE SET amount = excluded.amount, ends = max(ends, excluded.ends)
"""
_WRITE_HELD = "INSERT OR REPLACE INTO waystone_reservations VALUES {}"
_DELETE_HELD = "DELETE FROM waystone_reservations WHERE id IN ({})"
_PURGES = (
    """
DELETE FROM waystone_counters WHERE (counter, bucket) IN (
    SELECT counter, bucket FROM waystone_counters WHERE ends < ? LIMIT ?)
    """,
    """
DELETE FROM waystone_reservations WHERE id IN (
    SELECT id FROM waystone_reservations WHERE ends < ? LIMIT ?)
    """,
)


class SQLiteCounters:
    """Keeps counters in the SQLite file at `path`, which may hold the ledger too.

    `busy_timeout` is how many seconds a transaction waits for those of other processes.
    """

    def __init__(self, path: str | Path, *, busy_timeout: float = BUSY_SECONDS) -> None:
        self.path = Path(path)
        self._worker = _File(self.path, busy_timeout)

    async def open(self) -> None:
        """Create what is missing; raises `ConfigurationError` when the file is not usable."""
        try:
            await self.settle(NOTHING, ())
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"The counters in {self.path} cannot be opened: {error}."
            ) from error

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        """See `types.Counters`. Raises `sqlite3.Error`."""
        answer = await self._worker.do(reservation(charges, now, lease, id))
        return cast(Taken | Refused, answer)

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """See `types.Counters`. Raises `sqlite3.Error`."""
        await self._worker.do(settlement(taken, amounts))

    async def aclose(self) -> None:
        """Do what has queued, and close the file."""
        await self._worker.aclose()


class _File(Worker[Operation, sqlite3.Connection]):
    """The thread that has the connection."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout
        self._purge_at = 0.0

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            write_ahead(connection, self._timeout)
            begin(connection, self._timeout)
            with connection:
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        connection.close()

    def work(self, connection: sqlite3.Connection, jobs: Sequence[Job[Operation]]) -> None:
        begin(connection, self._timeout)
        with connection:
            # Those who left before their turn take nothing.
            jobs = [job for job in jobs if not (job.left and isinstance(job.operation, Reserve))]
            books = Books([job.operation for job in jobs])
            query = _READ_HELD.format(_marks(len(books.ids)))
            books.load_held(connection.execute(query, (books.latest, *books.ids)))
            query = _READ_COUNTERS.format(_marks(len(books.keys)))
            books.load_counters(connection.execute(query, (*books.keys,)))
            answers = books.apply()
            _write(connection, books)
            self._purge(connection)
        for job, answer in zip(jobs, answers, strict=True):
            job.answer = answer

    def _purge(self, connection: sqlite3.Connection) -> None:
        """Now and then, delete some of what counts no more."""
        if time.monotonic() >= self._purge_at:
            parameters = (int(time.time()), _PURGE_ROWS)
            purged = [connection.execute(query, parameters).rowcount for query in _PURGES]
            pause = 0.0 if max(purged) == _PURGE_ROWS else _PURGE_SECONDS
            self._purge_at = time.monotonic() + pause


def _write(connection: sqlite3.Connection, books: Books) -> None:
    now = int(time.time())
    # One statement each: the thread may have to wait for the event loop after each of them.
    if rows := books.rows:
        values = [(row.counter, row.bucket, row.amount, now + row.keeps) for row in rows]
        connection.execute(_WRITE_COUNTERS.format(_tuples(values)), [*chain(*values)])
    if put := books.put:
        held = [(row.id, row.state, row.expires, now + row.keeps, row.parts) for row in put]
        connection.execute(_WRITE_HELD.format(_tuples(held)), [*chain(*held)])
    if gone := books.gone:
        connection.execute(_DELETE_HELD.format(_marks(len(gone))), gone)


def _marks(number: int) -> str:
    return ", ".join("?" * number)


def _tuples(rows: Sequence[tuple[object, ...]]) -> str:
    return ", ".join([f"({_marks(len(rows[0]))})"] * len(rows))
