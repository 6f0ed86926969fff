"""Finished records come in and stay in a list, for tests and for hosts that look at them.

It must not grow without end: past `limit` the oldest records go.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..records import UsageRecord


class MemorySink:
    """Keeps the newest `limit` records in `records`, the oldest first."""

    def __init__(self, *, limit: int = 10_000) -> None:
        self.limit = limit
        self.records: list[UsageRecord] = []

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Append the records and drop what is past the limit."""
        self.records.extend(records)
        del self.records[: max(len(self.records) - self.limit, 0)]
