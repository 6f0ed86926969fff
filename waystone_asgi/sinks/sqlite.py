"""Finished records come in; rows of the table `usage_records` in a SQLite file come out.

One column a field of `UsageRecord`, in its order: times and money are text, so that times sort and
sums are exact, lists are JSON. A batch is a transaction, or some, written ahead and not synced: a
killed process loses nothing that `emit` has returned for. It must not run on the event loop: every
call into SQLite is made by one worker thread, which lets go of the interpreter and of the core
between portions of a batch, and waits a limited time for other processes.

A row is written once and read seldom. The table is one tree, in the order of the ids and so of
time, and has no index beside it: each would double the cost of a row.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import anyio
import anyio.to_thread

from ..exceptions import ConfigurationError
from ..records import UsageRecord
from ..sqlite import begin, write_ahead
from .retention import Retention
from .rows import COLUMNS, insertion, portions, time_text, values
from .totals import Dimension, Row, Total, add_up

_BUSY_SECONDS = 5.0

_PAGE_BYTES = 16384
"""Four times the usual: fewer writes, and a long record fits a page."""

_LEISURE_SECONDS = 0.02
"""How long the writing of a batch lets requests go first, where they share a core with it."""

_TRANSACTION = 128
"""How many rows keep other writers waiting meanwhile: in the same file may be what counts usage."""

_give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FORMER_INDEXES = ("time", "user", "group")
_KEYS: dict[Dimension, str] = {
    "user": '"user"',
    "group": '"group"',
    "model": "coalesce(provider || '/' || response_model, request_model)",
    "day": "substr(time, 1, 10)",
}


class SQLiteSink:
    """Keeps a row a record in the SQLite file at `path`; a record whose id is there is left alone.

    `open` or the first `emit` creates the file, the table, and the columns that an older version of
    the table does not have. Rows go some time after their `retain_days` have passed. Other
    processes may write to the same file; `busy_timeout` is how many seconds a call waits for them.
    """

    def __init__(self, path: str | Path, *, busy_timeout: float = _BUSY_SECONDS) -> None:
        self.path = Path(path)
        self.busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._limiter = anyio.CapacityLimiter(1)
        self._leisure_seconds = _LEISURE_SECONDS
        self._retention = Retention()

    async def open(self) -> None:
        """Create what is missing; raises `ConfigurationError` when the file is not usable."""
        try:
            await anyio.to_thread.run_sync(self._opened, limiter=self._limiter)
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"The ledger {self.path} cannot be opened: {error}."
            ) from error

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Insert the batch and commit it; raises `sqlite3.Error`.

        A record that SQLite cannot hold (an integer past 64 bits) raises after the others are in.
        """
        await anyio.to_thread.run_sync(self._write, records, limiter=self._limiter)

    async def aclose(self) -> None:
        """Move what was written ahead into the file, and close it."""
        await anyio.to_thread.run_sync(self._close, limiter=self._limiter)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self.path, self.busy_timeout)
        self._retention.step(self._connection)
        return self._connection

    def _write(self, records: Sequence[UsageRecord]) -> None:
        connection = self._opened()
        hurried_from = time.monotonic() + self._leisure_seconds
        failure: Exception | None = None
        done = 0
        while done < len(records):
            leisurely = time.monotonic() < hurried_from
            some = records[done : done + _TRANSACTION] if leisurely else records[done:]
            done += len(some)
            try:
                begin(connection, self.busy_timeout)
                with connection:
                    _insert(connection, some, _give_way if leisurely else None)
            except (OverflowError, UnicodeError) as error:
                failure = error
                begin(connection, self.busy_timeout)
                with connection:
                    _insert_each(connection, some)
        if failure is not None:
            raise failure

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def read_totals(path: str | Path, by: Dimension, since: datetime | None = None) -> list[Total]:
    """The totals of the records in the ledger, from `since` on; raises `ConfigurationError`."""
    query = f"""
        SELECT {_KEYS[by]}, input_tokens, cache_read_input_tokens, output_tokens,
               reasoning_output_tokens, cost_usd
        FROM usage_records WHERE time >= :time
    """
    try:
        location = f"{Path(path).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(location, uri=True, timeout=_BUSY_SECONDS)) as connection:
            bounds = {"time": "" if since is None else time_text(since)}
            if since is not None and _ids_tell_time(connection):
                bounds["id"] = _id_prefix(since, before=1)  # times of former versions are rounded
                query += " AND id >= :id"
            return add_up(map(_priced, connection.execute(query, bounds)), by)
    except sqlite3.Error as error:
        raise ConfigurationError(f"The ledger {path} cannot be read: {error}.") from error


def _ids_tell_time(connection: sqlite3.Connection) -> bool:
    """Whether the first id does: a ledger may have been written by others, with ids of theirs."""
    first = connection.execute("SELECT id, time FROM usage_records ORDER BY id LIMIT 1").fetchone()
    try:
        return first is not None and str(first[0]).startswith(
            _id_prefix(datetime.fromisoformat(first[1]))
        )
    except (TypeError, ValueError):
        return False


def _id_prefix(moment: datetime, *, before: int = 0) -> str:
    """How a UUIDv7 of that millisecond begins, or of so many before."""
    digits = f"{max((moment - _EPOCH) // _MILLISECOND - before, 0):012x}"
    return f"{digits[:8]}-{digits[8:]}-"


def _priced(row: tuple[str | None, int, int, int, int, str | None]) -> Row:
    *_, cost = row
    return (*row[:5], None if cost is None else Decimal(cost))


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file only
        write_ahead(connection, timeout)
        begin(connection, timeout)
        with connection:
            _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    columns = {name: f'"{name}" {kind}' for name, kind in COLUMNS.items()}
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS usage_records ({', '.join(columns.values())}) WITHOUT ROWID"
    )
    for _, name, *_ in connection.execute("PRAGMA table_info (usage_records)").fetchall():
        columns.pop(name, None)
    for column in columns.values():
        connection.execute(f"ALTER TABLE usage_records ADD COLUMN {column}")
    for name in _FORMER_INDEXES:
        connection.execute(f"DROP INDEX IF EXISTS usage_records_{name}")


def _insert(
    connection: sqlite3.Connection,
    records: Sequence[UsageRecord],
    between: Callable[[], None] | None = None,
) -> None:
    for portion in portions(records):
        connection.execute(insertion(len(portion)), values(portion))
        if between is not None:
            between()


def _insert_each(connection: sqlite3.Connection, records: Sequence[UsageRecord]) -> None:
    for record in records:
        with suppress(OverflowError, UnicodeError):
            _insert(connection, [record])
