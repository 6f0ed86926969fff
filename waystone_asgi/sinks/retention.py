"""Deletes the rows of a ledger that have been kept for as long as they were to be.

In: a connection to SQLite, now and then. Out: nothing. It walks over the table in slices, in the
order of the ids, for a moment at each call. To be called from the ledger's own thread.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

PAUSE_SECONDS = 3600.0
"""From the end of one walk to the beginning of the next."""

SLICE_ROWS = 2000
STEP_SECONDS = 0.05
"""How long a call goes on to new slices, while records may wait to be written."""

_BOUND = "SELECT id FROM usage_records WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?"
_EXPIRED = """
SELECT id FROM usage_records WHERE id > ? AND id <= ?
AND retain_days IS NOT NULL AND julianday(time) + retain_days < julianday(?, 'unixepoch')
"""
_DELETE = "DELETE FROM usage_records WHERE id = ?"
_LAST = "\U0010ffff"
"""No id comes after it."""


class Retention:
    """One ledger's walks. `clock` says when they are due, `now` what time it is for the rows."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._now = now
        self._due = clock()
        self._after = ""

    def step(self, connection: sqlite3.Connection) -> None:
        """Go on with the walk that is due, if any; where the file is locked, at a later call.

        Each slice with rows to delete is one transaction.
        """
        until = self._clock() + STEP_SECONDS
        try:
            while self._due <= self._clock() <= until:
                self._slice(connection)
        except sqlite3.OperationalError:
            self._due = self._clock() + STEP_SECONDS

    def _slice(self, connection: sqlite3.Connection) -> None:
        bound = connection.execute(_BOUND, (self._after, SLICE_ROWS - 1)).fetchone()
        last = _LAST if bound is None else bound[0]
        expired = connection.execute(_EXPIRED, (self._after, last, self._now())).fetchall()
        if expired:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.executemany(_DELETE, expired)
        self._after = last
        if bound is None:
            self._after, self._due = "", self._clock() + PAUSE_SECONDS
