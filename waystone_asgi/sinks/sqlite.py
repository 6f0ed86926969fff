"""Finished records come in; rows of the table `usage_records` in a SQLite file come out.

One column a field of `UsageRecord`, in its order: times and money are text, so that times sort and
sums are exact, lists are JSON. A batch is one transaction, written ahead and not synced: a killed
process loses nothing that `emit` has returned for. It must not run on the event loop: every call
into SQLite is made by one worker thread, and waits a limited time for other processes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import get_args

import anyio
import anyio.to_thread
import msgspec

from ..exceptions import ConfigurationError
from ..records import UsageRecord
from .totals import Dimension, Row, Total, add_up

_BUSY_SECONDS = 5.0
_RETRY_SECONDS = 0.01

_FIELDS = msgspec.structs.fields(UsageRecord)
_NAMES = [field.name for field in _FIELDS]
_TIME = _NAMES.index("time")
_COST = _NAMES.index("cost_usd")
_LISTS = [_NAMES.index(name) for name in ("tags", "finish_reasons", "attempts")]
_AFFINITIES = {int: "INTEGER", bool: "INTEGER", float: "REAL"}
_INDEXED = ("time", "user", "group")
_KEYS: dict[Dimension, str] = {
    "user": '"user"',
    "group": '"group"',
    "model": "coalesce(provider || '/' || response_model, request_model)",
    "day": "substr(time, 1, 10)",
}

_encoder = msgspec.json.Encoder()


class SQLiteSink:
    """Keeps a row a record in the SQLite file at `path`; a record whose id is there is left alone.

    `open` or the first `emit` creates the file, the table, and the columns that an older version of
    the table does not have. Other processes may write to the same file; `busy_timeout` is how many
    seconds a call waits for them.
    """

    def __init__(self, path: str | Path, *, busy_timeout: float = _BUSY_SECONDS) -> None:
        self.path = Path(path)
        self.busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._limiter = anyio.CapacityLimiter(1)

    async def open(self) -> None:
        """Create what is missing; raises `ConfigurationError` when the file is not usable."""
        try:
            await anyio.to_thread.run_sync(self._opened, limiter=self._limiter)
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"The ledger {self.path} cannot be opened: {error}."
            ) from error

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Insert the batch in one transaction; raises `sqlite3.Error`.

        A record that SQLite cannot hold (an integer past 64 bits) raises after the others are in.
        """
        await anyio.to_thread.run_sync(self._write, records, limiter=self._limiter)

    async def aclose(self) -> None:
        """Move what was written ahead into the file, and close it."""
        await anyio.to_thread.run_sync(self._close, limiter=self._limiter)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self.path, self.busy_timeout)
        return self._connection

    def _write(self, records: Sequence[UsageRecord]) -> None:
        connection = self._opened()
        try:
            with connection:
                connection.executemany(_INSERT, map(_row, records))
        except (OverflowError, UnicodeError):
            _write_each(connection, records)
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def read_totals(path: str | Path, by: Dimension, since: datetime | None = None) -> list[Total]:
    """The totals of the records in the ledger, from `since` on; raises `ConfigurationError`."""
    query = f"""
        SELECT {_KEYS[by]}, input_tokens, cache_read_input_tokens, output_tokens,
               reasoning_output_tokens, cost_usd
        FROM usage_records WHERE time >= ?
    """
    try:
        location = f"{Path(path).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(location, uri=True, timeout=_BUSY_SECONDS)) as connection:
            rows = connection.execute(query, ("" if since is None else _text(since),))
            return add_up(map(_priced, rows), by)
    except sqlite3.Error as error:
        raise ConfigurationError(f"The ledger {path} cannot be read: {error}.") from error


def _priced(row: tuple[str | None, int, int, int, int, str | None]) -> Row:
    *_, cost = row
    return (*row[:5], None if cost is None else Decimal(cost))


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=timeout, isolation_level="IMMEDIATE", check_same_thread=False
    )
    try:
        _write_ahead(connection, timeout)
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, timeout: float) -> None:
    # SQLite's own timeout does not cover this switch while another process is about to write.
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(_RETRY_SECONDS)


def _create(connection: sqlite3.Connection) -> None:
    columns = {field.name: _column(field) for field in _FIELDS}
    connection.execute(f"CREATE TABLE IF NOT EXISTS usage_records ({', '.join(columns.values())})")
    for _, name, *_ in connection.execute("PRAGMA table_info (usage_records)").fetchall():
        columns.pop(name, None)
    for column in columns.values():
        connection.execute(f"ALTER TABLE usage_records ADD COLUMN {column}")
    for name in _INDEXED:
        connection.execute(
            f'CREATE INDEX IF NOT EXISTS usage_records_{name} ON usage_records ("{name}")'
        )


def _column(field: msgspec.structs.FieldInfo) -> str:
    if field.name == "id":
        return '"id" TEXT PRIMARY KEY'
    kind, *_ = get_args(field.type) or (field.type,)
    return f'"{field.name}" {_AFFINITIES.get(kind, "TEXT")}'


def _insertion() -> str:
    names = ", ".join(f'"{name}"' for name in _NAMES)
    return f"INSERT OR IGNORE INTO usage_records ({names}) VALUES ({', '.join('?' * len(_NAMES))})"


_INSERT = _insertion()


def _write_each(connection: sqlite3.Connection, records: Sequence[UsageRecord]) -> None:
    with connection:
        for record in records:
            with suppress(OverflowError, UnicodeError):
                connection.execute(_INSERT, _row(record))


def _row(record: UsageRecord) -> list[object]:
    row = list(msgspec.structs.astuple(record))
    row[_TIME] = _text(record.time)
    for index in _LISTS:
        row[index] = _encoder.encode(row[index]).decode() if row[index] else "[]"
    if row[_COST] is not None:
        row[_COST] = str(row[_COST])
    return row


def _text(moment: datetime) -> str:
    # Of one width, so that text sorts as time does.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
