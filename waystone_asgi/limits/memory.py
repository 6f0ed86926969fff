"""Counters in this process's memory: reserve and settle without waiting for anything.

In: charges. Out: what was taken, or what refused. The number of counters is bounded: those whose
window has passed since they were last charged go as new ones come, and then those not charged for
long, but none that something is reserved from. Nothing is shared between gateways.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import count

from msgspec import Struct, field

from ..charges import Charge, Refused, Taken, Window

LIMIT = 250_000
"""How many counters are kept, at half a kilobyte each."""

_LATE = 10_000
_GRACE = 60
_LOOKED_AT = 2
_SAMPLE = 16

logger = logging.getLogger("waystone_asgi")


class MemoryCounters:
    """Keeps at most `limit` counters. `clock` tells how long a counter has not been charged."""

    def __init__(self, *, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._counters: OrderedDict[str, _Counter] = OrderedDict()
        self._held: dict[str, _Held] = {}
        self._late: dict[str, bool] = {}
        self._due = math.inf
        self._numbers = count(1)
        self._warned = False

    def __len__(self) -> int:
        return len(self._counters)

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        """See `types.Counters`. It waits for nothing."""
        if now >= self._due:
            self._lapse(now)
        moment = self._clock()
        known = self._counters.get
        counters: list[_Counter] = []
        amounts: list[int] = []
        used: list[int] = []
        buckets: list[int] = []
        refused: list[int] = []
        for charge in charges:
            counter = known(charge.counter) or self._create(charge, moment)
            if not counter.since <= now < counter.until:
                counter.turn(now)
            amount, total, limit = charge.amount, counter.total, charge.limit
            if limit is not None and total + amount > limit:
                amount = max(0, min(amount, limit - total))
                if amount < charge.least:
                    refused.append(len(counters))
                    amount = 0
            # Taken at once, so that a counter that is charged twice is seen to be.
            counter.touched = moment
            counter.open += 1
            counter.total = total = total + amount
            counters.append(counter)
            amounts.append(amount)
            used.append(total)
            buckets.append(counter.bucket)
        held = _Held(now + lease, counters, amounts, buckets)
        if refused:
            held.give_back()
            return _refusal(charges, refused, counters, now)
        if id is None:
            id = str(next(self._numbers))
        self._hold(id, held)
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
                if amount == reserved:
                    continue
                change = amount - reserved
                # Most settle in the bucket that they were reserved in.
                if bucket == counter.bucket and counter.total + change >= 0:
                    counter.total += change
                else:
                    counter.add(bucket, amount, reserved)
        elif self._late.get(taken.id, taken.local):
            self._remember(taken.id, False)
            moment = self._clock()
            for charge, bucket, amount in zip(taken.charges, taken.buckets, amounts, strict=True):
                counter = self._counters.get(charge.counter) or self._create(charge, moment)
                counter.add(bucket, amount, 0)
        else:
            return False
        return True

    def _create(self, charge: Charge, moment: float) -> _Counter:
        # One comes, and up to two that are over go: what was many once does not stay many.
        for counter in self._oldest(_LOOKED_AT):
            if counter.touched + counter.window.length + _GRACE < moment:
                del self._counters[counter.name]
        if len(self._counters) >= self._limit:
            self._make_room()
        counter = self._counters[charge.counter] = _Counter(charge.counter, charge.window, moment)
        return counter

    def _oldest(self, number: int) -> list[_Counter]:
        """So many that have not been looked at for longest, without those in use."""
        found: list[_Counter] = []
        for _ in range(min(number, len(self._counters))):
            counter = next(iter(self._counters.values()))
            self._counters.move_to_end(counter.name)
            if not counter.open:
                found.append(counter)
        return found

    def _make_room(self) -> None:
        idle = self._oldest(_SAMPLE)
        if idle:
            del self._counters[min(idle, key=lambda counter: counter.touched).name]
            if not self._warned:
                self._warned = True
                logger.warning("More than %d counters: those not used for long go.", self._limit)

    def _hold(self, id: str, held: _Held) -> None:
        self._held[id] = held
        if held.expires < self._due:
            self._due = held.expires

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
    """What one counter holds, used and reserved: `total` in its window, some of it in `bucket`.

    That is the present one, from `since` to `until`; `past` is what the others hold, of which those
    from `first` on count. There are many counters, and the garbage collector need not look at them.
    """

    name: str
    window: Window
    touched: float
    since: float = 0.0
    until: float = 0.0
    bucket: int = 0
    first: int = 0
    total: int = 0
    open: int = 0
    past: dict[int, int] = field(default_factory=dict)

    def buckets(self) -> dict[int, int]:
        """What each bucket holds that counts."""
        return {**self.past, self.bucket: self.total - self._before()}

    def _before(self) -> int:
        return sum([n for bucket, n in self.past.items() if bucket >= self.first])

    def turn(self, now: float) -> None:
        """Move to the bucket of `now`."""
        window = self.window
        if self.until:
            self.past[self.bucket] = self.total - self._before()
        self.bucket, self.first = window.span(now)
        self.since, self.until = self.bucket, window.ends(now)
        current = self.past.pop(self.bucket, 0)
        if len(self.past) > window.buckets:
            del self.past[min(self.past)]
        self.total = current + self._before()

    def add(self, bucket: int, amount: int, reserved: int) -> None:
        """Put the amount in the place of what was reserved, unless the bucket is gone."""
        if bucket == self.bucket and self.until:
            # A clock that jumped may have brought back a bucket that was gone.
            self.total = max(0, self.total + amount - reserved)
            return
        if bucket in self.past:
            amount -= reserved
        self.past[bucket] = self.past.get(bucket, 0) + amount
        if bucket >= self.first:
            self.total += amount


class _Held(Struct, gc=False):
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
        seconds.append(charge.window.frees(now, counters[index].buckets(), surplus))
    return Refused(tuple(refused), used, tuple(seconds))
