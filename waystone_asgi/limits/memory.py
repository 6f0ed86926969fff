"""Counters in this process's memory: reserve and settle without waiting for anything.

In: charges. Out: what was taken, or what refused. The number of counters is bounded: those whose
window has passed since they were last charged go as new ones come, and then the least recently
charged, but none that something is reserved from. Nothing is shared between gateways.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from msgspec import Struct, field

from ..charges import Charge, Refused, Taken, Window

LIMIT = 250_000
"""How many counters are kept, at half a kilobyte each."""

_LATE = 10_000

logger = logging.getLogger("waystone_asgi")


class MemoryCounters:
    """Keeps at most `limit` counters. `clock` tells how long a counter has not been charged."""

    def __init__(self, *, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._size = 0
        self._groups: dict[Window, _Group] = {}
        self._held: dict[str, _Held] = {}
        self._late: dict[str, bool] = {}
        self._due = math.inf
        self._numbers = count(1)
        self._warned = False

    def __len__(self) -> int:
        return self._size

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        """See `types.Counters`. It waits for nothing."""
        if now >= self._due:
            self._lapse(now)
        moment = self._clock()
        counters: list[_Counter] = []
        amounts: list[int] = []
        used: list[int] = []
        buckets: list[int] = []
        refused: list[int] = []
        for charge in charges:
            counter, bucket = self._find(charge, now, moment)
            amount = charge.amount
            total = counter.total
            if charge.limit is not None and total + amount > charge.limit:
                amount = max(0, min(amount, charge.limit - total))
                if amount < charge.least:
                    refused.append(len(counters))
                    amount = 0
            # Taken at once, so that a counter that is charged twice is seen to be.
            counter.total = total = total + amount
            counter.buckets[bucket] = counter.buckets.get(bucket, 0) + amount
            counter.open += 1
            counters.append(counter)
            amounts.append(amount)
            used.append(total)
            buckets.append(bucket)
        held = _Held(now + lease, counters, amounts, buckets)
        if refused:
            held.give_back()
            return _refusal(charges, refused, counters, now)
        if id is None:
            id = str(next(self._numbers))
        self._held[id] = held
        self._due = min(self._due, held.expires)
        return Taken(id, tuple(charges), tuple(amounts), tuple(used), tuple(buckets))

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """See `types.Counters`. It waits for nothing."""
        self.count(taken, amounts)

    def count(self, taken: Taken, amounts: Sequence[int]) -> bool:
        """Settle; whether it was the first time. Raises `ValueError` without an amount a charge."""
        if len(amounts) != len(taken.charges):
            raise ValueError(f"{len(taken.charges)} charges settle with {len(amounts)} amounts")
        held = self._held.pop(taken.id, None)
        if held is not None:
            parts = zip(held.counters, held.buckets, held.amounts, amounts, strict=True)
            for counter, bucket, reserved, amount in parts:
                counter.open -= 1
                if amount != reserved:
                    counter.add(bucket, amount, reserved)
        elif self._late.get(taken.id, taken.local):
            self._remember(taken.id, False)
            moment = self._clock()
            for charge, bucket, amount in zip(taken.charges, taken.buckets, amounts, strict=True):
                group = self._groups.get(charge.window) or self._group(charge.window)
                name = charge.counter
                counter = group.counters.get(name) or self._create(group, name, moment)
                counter.add(bucket, amount, 0)
        else:
            return False
        return True

    def _find(self, charge: Charge, now: float, moment: float) -> tuple[_Counter, int]:
        """The counter, as it stands now, and the bucket of now."""
        group = self._groups.get(charge.window) or self._group(charge.window)
        if not group.since <= now < group.until:
            group.turn(now)
        counter = group.counters.get(charge.counter)
        if counter is None:
            counter = self._create(group, charge.counter, moment)
        else:
            group.counters.move_to_end(charge.counter)
            counter.touched = moment
        if counter.first != group.first:
            counter.turn(group)
        return counter, group.bucket

    def _group(self, window: Window) -> _Group:
        group = self._groups[window] = _Group(window)
        return group

    def _create(self, group: _Group, name: str, moment: float) -> _Counter:
        # One comes, and up to two that are over go: what was many once does not stay many.
        for _ in range(2):
            if (oldest := group.oldest()) and oldest.touched + group.keeps < moment:
                self._drop(group)
        if self._size >= self._limit:
            self._make_room()
        counter = group.counters[name] = _Counter(group.first, moment)
        self._size += 1
        return counter

    def _drop(self, group: _Group) -> None:
        group.counters.popitem(last=False)
        self._size -= 1

    def _make_room(self) -> None:
        idle = [(oldest.touched, g) for g in self._groups.values() if (oldest := g.oldest())]
        if idle:
            self._drop(min(idle, key=lambda entry: entry[0])[1])
            if not self._warned:
                self._warned = True
                logger.warning("More than %d counters: those not used for long go.", self._limit)

    def _lapse(self, now: float) -> None:
        """Give back what was reserved for longer than its lease."""
        due = [id for id, held in self._held.items() if held.expires <= now]
        for id in due:
            self._held.pop(id).give_back()
            self._remember(id, True)
        self._due = min((held.expires for held in self._held.values()), default=math.inf)

    def _remember(self, id: str, counts: bool) -> None:
        """Note whether a reservation that is not held any more still counts when it settles."""
        self._late[id] = counts
        if len(self._late) > _LATE:
            del self._late[next(iter(self._late))]


class _Counter(Struct, gc=False):
    """What one counter holds, used and reserved. `total` is that of its buckets from `first` on.

    There are many of them, and the garbage collector need not look at them.
    """

    first: int
    touched: float
    total: int = 0
    open: int = 0
    buckets: dict[int, int] = field(default_factory=dict)

    def turn(self, group: _Group) -> None:
        """Count from another bucket on."""
        self.first = group.first
        if len(self.buckets) > group.buckets:
            del self.buckets[min(self.buckets)]
        self.total = sum(n for bucket, n in self.buckets.items() if bucket >= group.first)

    def add(self, bucket: int, amount: int, reserved: int) -> None:
        """Put the amount in the place of what was reserved, unless the bucket is gone."""
        if bucket in self.buckets:
            amount -= reserved
        self.buckets[bucket] = self.buckets.get(bucket, 0) + amount
        if bucket >= self.first:
            self.total += amount


class _Group:
    """The counters over one window, those that were charged least recently first."""

    __slots__ = ("bucket", "buckets", "counters", "first", "keeps", "since", "until", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.counters: OrderedDict[str, _Counter] = OrderedDict()
        self.buckets = window.buckets + 1
        self.keeps = window.length + 60
        self.bucket = self.first = 0
        self.since = self.until = 0.0

    def turn(self, now: float) -> None:
        """Move to the bucket of `now`."""
        self.bucket, self.first = self.window.span(now)
        self.since, self.until = self.bucket, self.window.ends(now)

    def oldest(self) -> _Counter | None:
        """The least recently charged of those that nothing is reserved from, put first."""
        for _ in range(len(self.counters)):
            name, counter = next(iter(self.counters.items()))
            if not counter.open:
                return counter
            self.counters.move_to_end(name)
        return None


class _Held(NamedTuple):
    """One reservation under way."""

    expires: float
    counters: list[_Counter]
    amounts: list[int]
    buckets: list[int]

    def give_back(self) -> None:
        """Take it out of its counters."""
        for counter, bucket, amount in zip(self.counters, self.buckets, self.amounts, strict=True):
            counter.open -= 1
            counter.add(bucket, 0, amount)


def _refusal(
    charges: Sequence[Charge], refused: Sequence[int], counters: Sequence[_Counter], now: float
) -> Refused:
    used = tuple(counters[index].total for index in refused)
    seconds: list[float] = []
    for index, total in zip(refused, used, strict=True):
        charge = charges[index]
        surplus = total + charge.least - (charge.limit or 0)
        seconds.append(charge.window.frees(now, counters[index].buckets, surplus))
    return Refused(tuple(refused), used, tuple(seconds))
