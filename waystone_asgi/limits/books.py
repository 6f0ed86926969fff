"""What the databases share: the counters that one transaction is about, and what becomes of them.

In: rows as they are in the database, and the operations of a batch, in order. Out: an answer to
each operation, and the rows to write. The database locks, reads and writes; nothing here waits.

A row of `waystone_counters` holds what is used and reserved in one bucket. A reservation is a row
of `waystone_reservations` until it settles: a second settlement finds nothing. One whose lease has
ended stays as `"lapsed"`, so that a late settlement counts, and what a process took by itself is
marked as `"settled"`. Rows go when they have not been written for so long that they count no more,
by the clock of the database: a caller whose clock jumps makes nobody forget.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from ..charges import Refused, Taken
from .operations import (
    GRACE_SECONDS,
    LATE_SECONDS,
    MOST,
    Held,
    Operation,
    Reserve,
    Row,
    Settle,
    key_of,
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[tuple[str, int, int]])


class Books:
    """The rows of one transaction: those to read, then what the operations make of them.

    `keys` are the counters to read, and `ids` the reservations, with all whose lease ended by
    `latest`.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self.keys = {key for operation in operations for key in operation.keys}
        self.ids = [operation.id for operation in operations if isinstance(operation, Settle)]
        self.latest = max(
            (operation.now for operation in operations if isinstance(operation, Reserve)),
            default=-math.inf,
        )
        self._amounts: dict[str, dict[int, int]] = {}
        self._held: dict[str, tuple[str, list[tuple[str, int, int]]]] = {}
        self._due: list[str] = []
        self._changed: dict[tuple[str, int], int] = {}
        self._put: dict[str, Held] = {}
        self._gone: set[str] = set()

    def load_held(self, rows: Iterable[tuple[str, str, float, str]]) -> None:
        """Take rows of id, state, expires, parts; the counters of what has lapsed join `keys`."""
        for id, state, expires, text in rows:
            parts = _decoder.decode(text)
            self._held[id] = (state, parts)
            if state == "open" and expires <= self.latest:
                self._due.append(id)
                self.keys.update(key for key, _, _ in parts)

    def load_counters(self, rows: Iterable[tuple[str, int, int]]) -> None:
        """Take rows of counter, bucket and amount."""
        for key, bucket, amount in rows:
            self._amounts.setdefault(key, {})[bucket] = amount

    def apply(self) -> list[Taken | Refused | None]:
        """Do the operations in their order, and give what their calls return."""
        for id in self._due:
            self._lapse(id)
        return [self._apply(operation) for operation in self._operations]

    @property
    def rows(self) -> list[Row]:
        """The rows of counters to write."""
        return [
            Row(key, bucket, min(self._amounts[key][bucket], MOST), keeps)
            for (key, bucket), keeps in self._changed.items()
        ]

    @property
    def put(self) -> list[Held]:
        """The rows of reservations to write."""
        return list(self._put.values())

    @property
    def gone(self) -> list[str]:
        """The ids of reservations to delete."""
        return list(self._gone)

    def _apply(self, operation: Operation) -> Taken | Refused | None:
        if isinstance(operation, Reserve):
            return self._reserve(operation)
        self._settle(operation)
        return None

    def _lapse(self, id: str) -> None:
        _, parts = self._held[id]
        self._held[id] = ("lapsed", [])
        self._put[id] = Held(id, "lapsed", 0, LATE_SECONDS)
        for key, bucket, amount in parts:
            self._add(key, bucket, 0, amount, 0)

    def _reserve(self, reserve: Reserve) -> Taken | Refused:
        taken: list[tuple[str, int, int]] = []
        used: list[int] = []
        refused: list[int] = []
        for charge, (key, bucket, first) in zip(reserve.charges, reserve.parts, strict=True):
            amounts = self._amounts.setdefault(key, {})
            held = sum(amount for when, amount in amounts.items() if when >= first)
            amount = min(charge.amount, MOST)
            if charge.limit is not None and held + amount > charge.limit:
                amount = max(0, min(amount, charge.limit - held))
                if amount < charge.least:
                    refused.append(len(taken))
                    amount = 0
            amounts[bucket] = amounts.get(bucket, 0) + amount
            taken.append((key, bucket, amount))
            used.append(held + amount)
        if refused:
            for key, bucket, amount in taken:
                self._amounts[key][bucket] -= amount
            return self._refusal(reserve, refused)
        for charge, (key, bucket, amount) in zip(reserve.charges, taken, strict=True):
            if amount:
                self._touch(key, bucket, charge.window.length + reserve.keeps)
        id = key_of(reserve.id)
        expires = reserve.now + reserve.lease
        self._held[id] = ("open", taken)
        parts = _encoder.encode(taken).decode()
        self._put[id] = Held(id, "open", expires, reserve.keeps + LATE_SECONDS, parts)
        return Taken(
            reserve.id,
            reserve.charges,
            tuple(amount for _, _, amount in taken),
            tuple(used),
            tuple(bucket for _, bucket, _ in taken),
        )

    def _refusal(self, reserve: Reserve, indexes: Sequence[int]) -> Refused:
        used: list[int] = []
        seconds: list[float] = []
        for index in indexes:
            charge, (key, _, first) = reserve.charges[index], reserve.parts[index]
            amounts = self._amounts[key]
            held = sum(amount for when, amount in amounts.items() if when >= first)
            used.append(held)
            surplus = held + charge.least - (charge.limit or 0)
            seconds.append(charge.window.frees(reserve.now, amounts, surplus))
        return Refused(tuple(indexes), tuple(used), tuple(seconds))

    def _settle(self, settle: Settle) -> None:
        taken = settle.taken
        id = settle.id
        state, parts = self._held.get(id, ("open" if taken.local else "settled", []))
        if state == "settled":
            return
        self._held[id] = ("settled", [])
        self._put.pop(id, None)
        if taken.local:
            self._put[id] = Held(id, "settled", 0, LATE_SECONDS)
        else:
            self._gone.add(id)
        reserved = [amount for _, _, amount in parts] or [0] * len(taken.charges)
        for charge, bucket, amount, before in zip(
            taken.charges, taken.buckets, settle.amounts, reserved, strict=True
        ):
            keeps = charge.window.length + GRACE_SECONDS
            self._add(key_of(charge.counter), bucket, amount, before, keeps)

    def _add(self, key: str, bucket: int, amount: int, reserved: int, keeps: int) -> None:
        """Put the amount in the place of what was reserved, unless the bucket is gone."""
        amounts = self._amounts.setdefault(key, {})
        held = amounts.get(bucket)
        if held is not None:
            amount = max(0, held + amount - reserved)
        if amount != (held or 0):
            amounts[bucket] = amount
            self._touch(key, bucket, keeps)

    def _touch(self, key: str, bucket: int, keeps: int) -> None:
        self._changed[key, bucket] = max(keeps, self._changed.get((key, bucket), 0))
