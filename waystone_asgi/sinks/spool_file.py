"""The file of a spool: records that are to be delivered, in order, and those nobody takes.

A row of `spooled` holds some records as lines of JSON, a row of `refused` one record and why. All
of it runs in one worker thread; other processes may use the same file, and one of them delivers.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..records import UsageRecord
from ..sqlite import begin, write_ahead

PORTION = 64
"""How many records are a row: the interpreter's lock is kept for as many at a time."""

_BUSY_SECONDS = 5.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS spooled"
    " (number INTEGER PRIMARY KEY AUTOINCREMENT, count INTEGER NOT NULL, records BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS refused"
    " (number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, reason TEXT NOT NULL,"
    " record BLOB NOT NULL)",
)

_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder = msgspec.json.Decoder(UsageRecord)


class SpoolFullError(OSError):
    """The file of a spool has grown to its bound: the records are not in it."""


class Letter(NamedTuple):
    """A record, and the row of the file that it lies in."""

    row: int
    record: UsageRecord


class SpoolFile:
    """The SQLite file at `path`, of `max_bytes` at most, without what is written ahead of it.

    With `sync` every batch is on the disk before it counts as kept, as a loss of power demands.
    """

    def __init__(self, path: Path, *, max_bytes: int, sync: bool) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._sync = sync
        self._opened: sqlite3.Connection | None = None
        self._lead: sqlite3.Connection | None = None

    def append(self, records: Sequence[UsageRecord]) -> None:
        """Keep the records, in one transaction; raises `SpoolFullError` and `sqlite3.Error`.

        A record that is no JSON (half a surrogate pair) raises after the others are in.
        """
        try:
            rows = [
                _row(records[start : start + PORTION]) for start in range(0, len(records), PORTION)
            ]
        except UnicodeError:
            if len(records) > 1:
                self.append([record for record in records if _is_json(record)])
            raise
        connection = self.open()
        with connection:
            begin(connection, _BUSY_SECONDS)
            self._make_room(connection, sum(len(lines) for _, lines in rows))
            connection.executemany("INSERT INTO spooled (count, records) VALUES (?, ?)", rows)

    def lead(self) -> bool:
        """Whether it falls to this process to deliver; it does until it closes the file or ends."""
        if self._lead is None:
            # The system takes the lock from a process that is killed.
            connection = sqlite3.connect(
                f"{self._path}.lock", timeout=0.0, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                connection.close()
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            else:
                self._lead = connection
        return self._lead is not None

    def oldest(self, count: int) -> list[Letter]:
        """The oldest records, about so many. Rows that cannot be read are moved aside."""
        letters: list[Letter] = []
        bad: list[tuple[int, bytes, str]] = []
        query = "SELECT number, records FROM spooled ORDER BY number"
        with closing(self.open().execute(query)) as rows:
            for number, lines in rows:
                for line in lines.splitlines():
                    try:
                        letters.append(Letter(number, _decoder.decode(line)))
                    except (msgspec.MsgspecError, UnicodeError) as error:
                        bad.append((number, line, f"It cannot be read: {error}"))
                if len(letters) >= count:
                    break
        if bad:
            self._settle({number for number, _, _ in bad}, letters, bad)
        return letters

    def settle(
        self,
        letters: Sequence[Letter],
        left: Sequence[Letter],
        refused: Sequence[tuple[Letter, str]],
    ) -> None:
        """Forget the letters but for those that are left, and move aside those refused."""
        self._settle(
            {letter.row for letter in letters},
            left,
            [(letter.row, _encoder.encode(letter.record), reason) for letter, reason in refused],
        )

    def counts(self) -> tuple[int, int]:
        """How many records wait, and how many are refused."""
        query = "SELECT (SELECT total(count) FROM spooled), (SELECT count(*) FROM refused)"
        pending, refused = self.open().execute(query).fetchone()
        return int(pending), refused

    def revive(self) -> int:
        """Let those refused wait again, behind all others, and give their number."""
        connection = self.open()
        with connection:
            begin(connection, _BUSY_SECONDS)
            connection.execute(
                "INSERT INTO spooled (count, records) SELECT 1, record FROM refused ORDER BY number"
            )
            return connection.execute("DELETE FROM refused").rowcount

    def open(self) -> sqlite3.Connection:
        """The file, created where it is missing; raises `sqlite3.Error`."""
        if self._opened is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                write_ahead(connection, _BUSY_SECONDS)
                if self._sync:
                    connection.execute("PRAGMA synchronous = FULL")
                with connection:
                    begin(connection, _BUSY_SECONDS)
                    for table in _TABLES:
                        connection.execute(table)
            except BaseException:
                connection.close()
                raise
            self._opened = connection
        return self._opened

    def close(self) -> None:
        """Close the file, and let another process deliver."""
        for connection in (self._opened, self._lead):
            if connection is not None:
                connection.close()
        self._opened = self._lead = None

    def _make_room(self, connection: sqlite3.Connection, size: int) -> None:
        pages, free, page = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * page + size > self._max_bytes:
            raise SpoolFullError(f"The spool {self._path} is full: {self._max_bytes} bytes.")

    def _settle(
        self, rows: set[int], left: Sequence[Letter], refused: Sequence[tuple[int, bytes, str]]
    ) -> None:
        remaining: dict[int, list[UsageRecord]] = {}
        for row, record in left:
            if row in rows:
                remaining.setdefault(row, []).append(record)
        connection, now = self.open(), time.time()
        with connection:
            begin(connection, _BUSY_SECONDS)
            connection.executemany(
                "DELETE FROM spooled WHERE number = ?",
                [(row,) for row in rows if row not in remaining],
            )
            connection.executemany(
                "UPDATE spooled SET count = ?, records = ? WHERE number = ?",
                [
                    (len(records), bytes(_encoder.encode_lines(records)), row)
                    for row, records in remaining.items()
                ],
            )
            connection.executemany(
                "INSERT INTO refused (time, reason, record) VALUES (?, ?, ?)",
                [(now, reason, record) for _, record, reason in refused],
            )


def _row(records: Sequence[UsageRecord]) -> tuple[int, bytes]:
    lines = bytes(_encoder.encode_lines(records))
    time.sleep(0)  # lets go of the interpreter's lock
    return len(records), lines


def _is_json(record: UsageRecord) -> bool:
    try:
        _encoder.encode(record)
    except UnicodeError:
        return False
    return True
