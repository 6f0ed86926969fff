"""Counters in a PostgreSQL database, for processes on many machines.

In: charges. Out: what was taken, or what refused. One thread a process has the only connection and
does what has queued in one transaction of two round trips. Transactions about the same counters
take turns by advisory locks, always taken in one order, so that none waits for another in a circle.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from typing import cast

import msgspec
import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from ..charges import Charge, Refused, Taken
from ..exceptions import ConfigurationError
from .books import Books
from .operations import Operation, Reserve, reservation, settlement
from .worker import Job, Worker

_CONNECT_SECONDS = 2
_ANSWER_SECONDS = 5
_STRIPES = 64  # as many locks as the server has room for in each transaction, by default
_LOCKS = 0x57415953
_PURGE_ROWS = 1000
_PURGE_SECONDS = 60.0

# A process that hangs or is cut off from the server must not keep its locks for long. A plan made
# for an empty table is not used when it is full.
_SETTINGS = f"""
SET idle_in_transaction_session_timeout = '{_ANSWER_SECONDS}s';
SET statement_timeout = '{_ANSWER_SECONDS}s';
SET enable_seqscan = off;
"""
_TABLES = """
CREATE TABLE IF NOT EXISTS waystone_counters (
    counter text COLLATE "C", bucket bigint, amount bigint NOT NULL, ends bigint NOT NULL,
    PRIMARY KEY (counter, bucket)
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS waystone_counters_ends ON waystone_counters (ends);
CREATE TABLE IF NOT EXISTS waystone_reservations (
    id text COLLATE "C" PRIMARY KEY, state text NOT NULL, expires double precision NOT NULL,
    ends bigint NOT NULL, parts text NOT NULL
);
CREATE INDEX IF NOT EXISTS waystone_reservations_open ON waystone_reservations (expires)
    WHERE state = 'open';
CREATE INDEX IF NOT EXISTS waystone_reservations_ends ON waystone_reservations (ends);
"""
_EXIST = "SELECT 1 FROM pg_class WHERE oid = to_regclass('waystone_reservations_ends')"
_LOCK = """
BEGIN;
SELECT pg_advisory_xact_lock({}, stripe) FROM unnest('{{{}}}'::integer[]) AS stripe;
"""
# Each statement sees what was committed before it began, so the one that reads comes by itself.
_PREPARE = """
PREPARE waystone_read (double precision, json, json) AS
SELECT
    (SELECT coalesce(json_agg(json_build_array(id, state, expires, parts)), '[]')
    FROM waystone_reservations
    WHERE state = 'open' AND expires <= $1
        OR id = ANY(ARRAY(SELECT json_array_elements_text($2)))),
    (SELECT coalesce(json_agg(json_build_array(counter, bucket, amount)), '[]')
    FROM waystone_counters
    WHERE counter = ANY(ARRAY(SELECT json_array_elements_text($3))));
-- Rounded up, `ends` seldom changes, and rows whose indexed columns stay are cheap to update.
PREPARE waystone_write (json, json, json) AS
WITH counters AS (
    INSERT INTO waystone_counters AS old
    SELECT row->>0, (row->>1)::bigint, (row->>2)::bigint,
        (extract(epoch FROM now())::bigint + (row->>3)::bigint) / 600 * 600 + 600
    FROM json_array_elements($1) AS row
    ON CONFLICT (counter, bucket) DO
    UPDATE SET amount = excluded.amount, ends = greatest(old.ends, excluded.ends)
), held AS (
    INSERT INTO waystone_reservations
    SELECT row->>0, row->>1, (row->>2)::double precision,
        extract(epoch FROM now())::bigint + (row->>3)::bigint, row->>4
    FROM json_array_elements($2) AS row
    ON CONFLICT (id) DO
    UPDATE SET state = excluded.state, expires = excluded.expires, ends = excluded.ends,
        parts = excluded.parts
)
DELETE FROM waystone_reservations
WHERE id = ANY(ARRAY(SELECT json_array_elements_text($3)))
"""
_PURGES = [
    f"""
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {table} WHERE ends < extract(epoch FROM now())
    LIMIT {_PURGE_ROWS} FOR UPDATE SKIP LOCKED))
    """
    for table in ("waystone_counters", "waystone_reservations")
]

_GOOD = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)

_encode = msgspec.json.Encoder().encode
_held_decoder = msgspec.json.Decoder(list[tuple[str, str, float, str]])
_counters_decoder = msgspec.json.Decoder(list[tuple[str, int, int]])


class PostgreSQLCounters:
    """Keeps counters in the database at `url`, in tables that it creates where they are missing.

    It connects at its first call, and again after an error.
    """

    def __init__(self, url: str) -> None:
        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # The error would quote the URL, and a password with it.
            raise ConfigurationError("The URL of the PostgreSQL database is not valid.") from None
        self._worker = _Database(url)

    async def open(self) -> None:
        """Do nothing: the database may be reached later than now."""

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        """See `types.Counters`. Raises `psycopg.Error`."""
        answer = await self._worker.do(reservation(charges, now, lease, id))
        return cast(Taken | Refused, answer)

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """See `types.Counters`. Raises `psycopg.Error`."""
        await self._worker.do(settlement(taken, amounts))

    async def aclose(self) -> None:
        """Do what has queued, and disconnect."""
        await self._worker.aclose()


class _Database(Worker[Operation, pq.abc.PGconn]):
    """The thread that has the connection.

    It speaks to libpq itself: for the few statements that it makes, psycopg's cursors would take
    more time away from the event loop than all else.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._purge_at = 0.0

    def connect(self) -> pq.abc.PGconn:
        url = psycopg.conninfo.make_conninfo(
            self._url, connect_timeout=_CONNECT_SECONDS, tcp_user_timeout=_ANSWER_SECONDS * 1000
        )
        connection = pq.PGconn.connect(url.encode())
        if connection.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError(connection.get_error_message())
        _run(connection, _SETTINGS)
        # Two that create the same table at the same time would fail.
        _run(connection, _LOCK.format(_LOCKS, _STRIPES))
        if not _run(connection, _EXIST).ntuples:
            _run(connection, _TABLES)
        _run(connection, "COMMIT")
        _run(connection, _PREPARE)
        return connection

    def close(self, connection: pq.abc.PGconn) -> None:
        connection.finish()

    def work(self, connection: pq.abc.PGconn, jobs: Sequence[Job[Operation]]) -> None:
        # Those who left before their turn take nothing.
        jobs = [job for job in jobs if not (job.left and isinstance(job.operation, Reserve))]
        books = self._read(connection, [job.operation for job in jobs])
        answers = books.apply()
        if books.rows or books.put or books.gone:
            write = _call("write", connection, books.rows, books.put, books.gone)
            _run(connection, f"{write}; COMMIT")
        else:
            _run(connection, "COMMIT")
        for job, answer in zip(jobs, answers, strict=True):
            job.answer = answer
        self._purge(connection)

    def _read(self, connection: pq.abc.PGconn, operations: Sequence[Operation]) -> Books:
        """Begin, lock and read. What has lapsed may concern counters that are not locked yet."""
        locked = set[str]()
        while True:
            books = Books(operations)
            locked |= books.keys
            stripes = sorted({zlib.crc32(key.encode()) % _STRIPES for key in locked})
            lock = _LOCK.format(_LOCKS, ",".join(map(str, stripes)))
            latest = max(books.latest, 0)
            row = _run(connection, lock + _call("read", connection, latest, books.ids, [*locked]))
            books.load_held(_held_decoder.decode(row.get_value(0, 0) or b""))
            if books.keys <= locked:
                books.load_counters(_counters_decoder.decode(row.get_value(0, 1) or b""))
                return books
            locked |= books.keys
            _run(connection, "ROLLBACK")

    def _purge(self, connection: pq.abc.PGconn) -> None:
        """Now and then, delete some of what counts no more."""
        if time.monotonic() >= self._purge_at:
            purged = [_run(connection, query).command_tuples for query in _PURGES]
            pause = 0.0 if _PURGE_ROWS in purged else _PURGE_SECONDS
            self._purge_at = time.monotonic() + pause


def _call(name: str, connection: pq.abc.PGconn, *values: object) -> str:
    escape = pq.Escaping(connection).escape_literal
    literals = [bytes(escape(_encode(value))).decode() for value in values]
    return f"EXECUTE waystone_{name} ({', '.join(literals)})"


def _run(connection: pq.abc.PGconn, statements: str) -> pq.abc.PGresult:
    """The result of the last of the statements, which make one round trip."""
    result = connection.exec_(statements.encode())
    if result.status not in _GOOD:
        raise error_from_result(result)
    return result
