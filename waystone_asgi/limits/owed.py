"""What counters that are away are still to be told, within a bound.

In: settlements that could not be made. Out: the same, to be tried again under the same names, so
that none counts twice. What this process took by itself is added up by counter until it is handed
out: a long outage is owed no more than there are counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count, islice

from ..charges import Charge, Taken
from .operations import new_id

_TOGETHER = 50

_Key = tuple[str, int]


class Owed:
    """Keeps at most `limit` settlements and as many sums; `lost` is how many found no room."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._numbers = count()
        self._settlements: dict[int, tuple[Taken, Sequence[int]]] = {}
        self._sums: dict[_Key, tuple[Charge, int]] = {}
        self.lost = 0

    def __len__(self) -> int:
        return len(self._settlements) + len(self._sums)

    def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """Keep a settlement."""
        if len(self._settlements) < self._limit:
            self._settlements[next(self._numbers)] = (taken, amounts)
        else:
            self.lost += 1

    def add(self, taken: Taken, amounts: Sequence[int]) -> None:
        """Keep what was used of something that this process took by itself."""
        for charge, bucket, amount in zip(taken.charges, taken.buckets, amounts, strict=True):
            if not amount:
                continue
            key = (charge.counter, bucket)
            _, before = self._sums.get(key, (charge, 0))
            if key in self._sums or len(self._sums) < self._limit:
                self._sums[key] = (charge, before + amount)
            else:
                self.lost += 1

    def next(self, number: int) -> Iterable[int]:
        """Up to so many settlements, by the numbers under which they are kept."""
        while self._sums and len(self._settlements) < number:
            keys = [*islice(self._sums, _TOGETHER)]
            charges, amounts = zip(*(self._sums.pop(key) for key in keys), strict=True)
            buckets = tuple(bucket for _, bucket in keys)
            taken = Taken(new_id(), charges, amounts, amounts, buckets, local=True)
            self._settlements[next(self._numbers)] = (taken, amounts)
        return [*islice(self._settlements, number)]

    def get(self, number: int) -> tuple[Taken, Sequence[int]]:
        """The settlement under a number."""
        return self._settlements[number]

    def delivered(self, number: int) -> None:
        """Forget one that was made."""
        del self._settlements[number]

    def failed(self, number: int) -> None:
        """Put one behind the others: what fails by itself must not hold them up."""
        self._settlements[number] = self._settlements.pop(number)

    def abandon(self) -> int:
        """Forget all; how many that were."""
        number = len(self)
        self._settlements.clear()
        self._sums.clear()
        self.lost += number
        return number
