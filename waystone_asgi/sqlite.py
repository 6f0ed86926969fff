"""A SQLite file that several processes write to: written ahead, with short waits for the lock.

SQLite's own way of waiting sleeps for up to a tenth of a second between two looks; these look again
after a millisecond or less. To be called from worker threads only.
"""

from __future__ import annotations

import random
import sqlite3
import time

_LOOK_SECONDS = 0.001


def write_ahead(connection: sqlite3.Connection, timeout: float) -> None:
    """Switch the file to write-ahead logging, not synced at each commit.

    A killed process loses nothing that was committed; a machine without power may.
    """
    # SQLite's own timeout does not cover this switch while another process is about to write.
    _repeat(connection, "PRAGMA journal_mode = WAL", timeout)
    connection.execute("PRAGMA synchronous = NORMAL")


def begin(connection: sqlite3.Connection, timeout: float) -> None:
    """Begin a transaction that writes; waits at most `timeout` seconds for other writers."""
    _repeat(connection, "BEGIN IMMEDIATE", timeout)


def _repeat(connection: sqlite3.Connection, statement: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(random.uniform(_LOOK_SECONDS / 5, _LOOK_SECONDS))
