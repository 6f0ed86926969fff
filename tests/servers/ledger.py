"""Reads what a gateway in another process has recorded."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.01


class Ledger:
    """The rows of a SQLite ledger, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """The rows of one request, or all of them, in the order of their times."""
        if not self._path.exists():
            return []
        where = "" if request_id is None else " WHERE request_id = ?"
        values = () if request_id is None else (request_id,)
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            if not connection.execute("PRAGMA table_info (usage_records)").fetchall():
                return []
            query = f"SELECT * FROM usage_records{where} ORDER BY time, id"
            rows = [dict(row) for row in connection.execute(query, values)]
        for row in rows:
            row["attempts"] = json.loads(row["attempts"])
        return rows

    def wait(self, request_id: str) -> dict[str, Any]:
        """The one row of a request, once it is there."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not (rows := self.rows(request_id)):
            assert time.monotonic() < deadline, f"no record of {request_id}"
            time.sleep(POLL_SECONDS)
        assert len(rows) == 1
        return rows[0]
