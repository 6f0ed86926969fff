"""The vocabulary of the databases: operations that a batch is made of, and rows to write.

In: calls of `reserve` and `settle`. Out: values that a worker's thread can work with. Names become
keys that every database can hold, and amounts numbers of 64 bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec import Struct

from ..charges import Charge, Taken

GRACE_SECONDS = 60
"""How long a counter is kept after its window: as far as the clocks of processes may differ."""

LATE_SECONDS = 86_400
"""For how long after its lease a reservation can still settle."""

MOST = 2**62
"""No counter holds more: databases have 64 bits."""

NOTHING = Taken("", (), (), (), ())
"""What nobody has taken: to settle it asks the database whether it is there."""

_KEY = 512


class Reserve(Struct, frozen=True):
    """One call of `reserve`; `parts` are each charge's key and buckets, now and first."""

    id: str
    charges: tuple[Charge, ...]
    parts: tuple[tuple[str, int, int], ...]
    now: float
    lease: float

    @property
    def keys(self) -> Iterable[str]:
        """The counters it is about."""
        return (key for key, _, _ in self.parts)

    @property
    def keeps(self) -> int:
        """Seconds for which what it writes is kept, and longer for a window that is longer."""
        return math.ceil(self.lease) + GRACE_SECONDS


class Settle(Struct, frozen=True):
    """One call of `settle`."""

    taken: Taken
    amounts: tuple[int, ...]

    @property
    def id(self) -> str:
        """The reservation it is about."""
        return key_of(self.taken.id)

    @property
    def keys(self) -> Iterable[str]:
        """The counters it is about."""
        return (key_of(charge.counter) for charge in self.taken.charges)


Operation = Reserve | Settle


def reservation(charges: Sequence[Charge], now: float, lease: float, id: str | None) -> Reserve:
    """The operation for a call of `reserve`."""
    parts = tuple((key_of(charge.counter), *charge.window.span(now)) for charge in charges)
    return Reserve(id or new_id(), tuple(charges), parts, now, lease)


def new_id() -> str:
    """A name that no other reservation has, in this process or elsewhere."""
    return os.urandom(16).hex()


def settlement(taken: Taken, amounts: Sequence[int]) -> Settle:
    """The operation for a call of `settle`; raises `ValueError` without an amount a charge."""
    if len(amounts) != len(taken.charges):
        raise ValueError(f"{len(taken.charges)} charges settle with {len(amounts)} amounts")
    return Settle(taken, tuple(min(amount, MOST) for amount in amounts))


def key_of(name: str) -> str:
    """A name as ASCII without control characters, and of limited length, unique to it."""
    if not (name.isascii() and name.isprintable()) or "\\" in name:
        name = name.encode("unicode_escape").decode("ascii")
    if len(name) > _KEY:
        digest = sha256(name.encode()).hexdigest()
        name = name[: _KEY - len(digest)] + digest
    return name


class Row(Struct, frozen=True, array_like=True):
    """A row of `waystone_counters` to write; it may go `keeps` seconds after that."""

    counter: str
    bucket: int
    amount: int
    keeps: int


class Held(Struct, frozen=True, array_like=True):
    """A row of `waystone_reservations` to write; it may go `keeps` seconds after that."""

    id: str
    state: str
    expires: float
    keeps: int
    parts: str = "[]"
