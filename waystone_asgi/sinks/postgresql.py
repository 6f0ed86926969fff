"""Finished records come in; rows of the table `usage_records` in a PostgreSQL database come out.

The names are those of the ledger in a file. Money is decimal text, so that sums are exact, the time
is a `timestamptz`, lists are `jsonb`. A batch is one statement with one parameter, which the server
takes apart, so that the event loop is kept from running for as long as it takes to encode it. It is
sent by one worker thread, which waits a limited time; `emit` connects where there is no connection.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal

import anyio
import anyio.to_thread
import msgspec
import psycopg

from ..exceptions import ConfigurationError
from ..records import Secret, UsageRecord
from .refusals import RecordsRefusedError
from .rows import COLUMNS
from .totals import Dimension, Row, Total, add_up

CONNECT_SECONDS = 3
ANSWER_SECONDS = 5.0

_EXPIRE_SECONDS = 3600.0

_KINDS = {"INTEGER": "bigint", "REAL": "double precision"}
_OWN = {
    "time": "timestamptz",
    "stream": "boolean",
    "tags": "jsonb",
    "finish_reasons": "jsonb",
    "attempts": "jsonb",
}
_TYPES = {name: _OWN.get(name) or _KINDS.get(kind, "text") for name, kind in COLUMNS.items()}
_NAMES = ", ".join(f'"{name}"' for name in _TYPES)
_INSERT = f"""
INSERT INTO usage_records ({_NAMES})
SELECT {_NAMES} FROM json_to_recordset(%s::json)
    AS record ({", ".join(f'"{name}" {kind}' for name, kind in _TYPES.items())})
ON CONFLICT (id) DO NOTHING
"""
_PRESENT = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass('usage_records') AND attnum > 0 AND NOT attisdropped
"""
_EXPIRY = "(extract(epoch FROM time AT TIME ZONE 'UTC') + retain_days * 86400)"
_INDEX = f"""
CREATE INDEX IF NOT EXISTS usage_records_expiry ON usage_records ({_EXPIRY})
    WHERE retain_days IS NOT NULL
"""
_EXPIRE = f"""
DELETE FROM usage_records WHERE id = ANY(ARRAY(
    SELECT id FROM usage_records
    WHERE retain_days IS NOT NULL AND {_EXPIRY} < extract(epoch FROM now()) LIMIT 1000))
"""
_LOCK = "SELECT pg_advisory_xact_lock(1463900505, 64)"
_KEYS: dict[Dimension, str] = {
    "user": '"user"',
    "group": '"group"',
    "model": "coalesce(provider || '/' || response_model, request_model)",
    "day": "to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}

_encoder = msgspec.json.Encoder(decimal_format="string")
_NUL = "\\u0000"
_ESCAPES = re.compile(r"\\(?:u0000|.)")


class PostgreSQLSink:
    """Keeps a row a record in the database at `url`; a record whose id is there is left alone.

    The first `emit` creates the table, and the columns that an older version of it does not have.
    Rows whose `retain_days` have passed are deleted, within an hour or so.
    After `timeout` seconds without an answer it fails, and the next one connects anew.
    """

    def __init__(self, url: str, *, timeout: float = ANSWER_SECONDS) -> None:
        self._url = Secret(_checked(url))
        self._timeout = timeout
        self._expire_at = 0.0
        self._connection: psycopg.Connection | None = None
        self._limiter = anyio.CapacityLimiter(1)

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Insert the batch in one transaction; raises `psycopg.Error`.

        Records that the database cannot hold raise `RecordsRefusedError` after the others are in.
        """
        await anyio.to_thread.run_sync(self._write, records, limiter=self._limiter)

    async def aclose(self) -> None:
        """Disconnect."""
        await anyio.to_thread.run_sync(self._drop, limiter=self._limiter)

    def _write(self, records: Sequence[UsageRecord]) -> None:
        try:
            connection = self._connected()
            try:
                self._insert(connection, records)
            except (psycopg.DataError, UnicodeError):
                self._insert_each(connection, records)
            self._expire(connection)
        except psycopg.OperationalError:
            self._drop()
            raise

    def _insert(self, connection: psycopg.Connection, records: Sequence[UsageRecord]) -> None:
        with _deadline(connection, self._timeout), connection.transaction():
            connection.execute(_INSERT, [_text(records)])

    def _expire(self, connection: psycopg.Connection) -> None:
        """Now and then, delete some of the rows that have been kept for long enough."""
        if time.monotonic() < self._expire_at:
            return
        self._expire_at = time.monotonic() + _EXPIRE_SECONDS
        # The batch is in, whether this may be done or not.
        with suppress(psycopg.Error), _deadline(connection, self._timeout):
            if connection.execute(_EXPIRE).rowcount:
                self._expire_at = 0.0

    def _insert_each(self, connection: psycopg.Connection, records: Sequence[UsageRecord]) -> None:
        refused: dict[str, str] = {}
        for record in records:
            try:
                self._insert(connection, [record])
            except (psycopg.DataError, UnicodeError) as error:
                refused[record.id] = f"{type(error).__name__}: {error}".splitlines()[0]
        if refused:
            reason = next(iter(refused.values()))
            raise RecordsRefusedError(f"PostgreSQL cannot hold a record. {reason}", refused)

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            connection = _connect(self._url.reveal())
            try:
                with _deadline(connection, self._timeout), connection.transaction():
                    connection.execute(f"SET statement_timeout = {round(self._timeout * 1000)}")
                    _create(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _text(records: Sequence[UsageRecord]) -> str:
    """The records as JSON. PostgreSQL's text has no NUL: it becomes a replacement character, since
    who puts one into a name must not stay out of the ledger.
    """
    text = _encoder.encode(records).decode()
    return text if _NUL not in text else _ESCAPES.sub(_without_nul, text)


def _without_nul(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape[0] == _NUL else escape[0]


def read_totals(url: str, by: Dimension, since: datetime | None = None) -> list[Total]:
    """The totals of the records in the database, from `since` on; raises `ConfigurationError`."""
    query = f"""
        SELECT {_KEYS[by]}, input_tokens, cache_read_input_tokens, output_tokens,
               reasoning_output_tokens, cost_usd
        FROM usage_records WHERE time >= %s
    """
    moment = since or datetime.min.replace(tzinfo=UTC)
    try:
        with (
            closing(_connect(_checked(url))) as connection,
            connection.transaction(),
            connection.cursor("waystone_totals") as cursor,
        ):
            cursor.itersize = 5000
            return add_up(map(_priced, cursor.execute(query, [moment])), by)
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        raise ConfigurationError(f"The PostgreSQL ledger cannot be read: {reason}.") from None


def _priced(row: tuple[str | None, int, int, int, int, str | None]) -> Row:
    *_, cost = row
    return (*row[:5], None if cost is None else Decimal(cost))


def _checked(url: str) -> str:
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # The error would quote the URL, and a password with it.
        raise ConfigurationError("The URL of the PostgreSQL database is not valid.") from None
    return url


def _connect(url: str) -> psycopg.Connection:
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        tcp_user_timeout=round(ANSWER_SECONDS * 1000),
    )


def _create(connection: psycopg.Connection) -> None:
    # Two that create the same table at the same time would fail. One that may not create anything
    # can still write to a table that is there.
    connection.execute(_LOCK)
    present = {name for (name,) in connection.execute(_PRESENT)}
    missing = [f'"{name}" {kind}' for name, kind in _TYPES.items() if name not in present]
    if not present:
        connection.execute(f"CREATE TABLE usage_records ({', '.join(missing)}, PRIMARY KEY (id))")
    elif missing:
        added = ", ".join(f"ADD COLUMN {column}" for column in missing)
        connection.execute(f"ALTER TABLE usage_records {added}")
    if "retain_days" not in present:
        connection.execute(_INDEX)


@contextmanager
def _deadline(connection: psycopg.Connection, seconds: float) -> Iterator[None]:
    """Cut the connection after some seconds: a server that hangs keeps no deadline of its own."""

    def cut() -> None:
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(fileno)) as line:
            line.shutdown(socket.SHUT_RDWR)

    fileno = connection.fileno()
    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
