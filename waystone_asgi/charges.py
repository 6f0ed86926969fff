"""What a request is counted against: windows of time, and charges to counters over them.

In: windows as rules write them, and a time. Out: the buckets that usage falls into, and the words
that rules and counters speak with each other. Amounts are whole numbers: requests, tokens,
nano-dollars, or requests under way. Nothing here keeps a count or looks at a clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from msgspec import Struct

Unit = Literal["requests", "tokens", "usd", "concurrent"]
Calendar = Literal["minute", "hour", "day", "week", "month"]

PARTS = 60
"""Into how many buckets a rolling window is divided."""

_DAY = 86400
_SECONDS = {"minute": 60, "hour": 3600, "day": _DAY}
_LENGTHS = {**_SECONDS, "week": 7 * _DAY, "month": 31 * _DAY}


class Window(Struct, frozen=True, gc=False):
    """A span of time: `per` a calendar window in UTC (weeks begin on Monday), or `seconds` past.

    With neither it is the present moment, for what is counted only while it lasts. Usage falls into
    buckets, each named by the Unix time of its start; a rolling window counts whole buckets, the
    one in which it begins included, so it never forgets too early.
    """

    per: Calendar | None = None
    seconds: int = 0

    def span(self, now: float) -> tuple[int, int]:
        """The bucket of `now`, and the first one that still counts."""
        if self.per is not None:
            start = self._start(now)
            return start, start
        if not self.seconds:
            return 0, 0
        size = self._size
        bucket = int(now // size) * size
        return bucket, bucket - -(-self.seconds // size) * size

    def ends(self, now: float) -> float:
        """When the bucket of `now` is over, as a Unix time."""
        if self.per is not None:
            return self._next(self._start(now))
        return self.span(now)[0] + self._size if self.seconds else math.inf

    def resets(self, now: float) -> float:
        """Seconds until the window is over, or until a rolling one begins to forget `now`."""
        if self.per is None:
            return float(self.seconds)
        if seconds := _SECONDS.get(self.per):
            return seconds - now % seconds
        return self._next(self._start(now)) - now

    def frees(self, now: float, held: Mapping[int, int], surplus: int) -> float:
        """Seconds until the window has forgotten `surplus` of what its buckets hold.

        Where that is more than they hold, or it cannot be told, it is `resets`.
        """
        if self.seconds and self.per is None:
            _, first = self.span(now)
            for bucket in sorted(bucket for bucket in held if bucket >= first):
                surplus -= held[bucket]
                if surplus <= 0:
                    return bucket + self.buckets * self._size - now
        return self.resets(now)

    @property
    def length(self) -> int:
        """Its seconds, at most: a month is taken to have 31 days."""
        return self.seconds if self.per is None else _LENGTHS[self.per]

    @property
    def buckets(self) -> int:
        """How many buckets count at the same time."""
        return 1 if self.per is not None else -(-self.seconds // self._size) + 1

    @property
    def _size(self) -> int:
        return max(1, self.seconds // PARTS)

    def _start(self, now: float) -> int:
        if self.per is not None and (seconds := _SECONDS.get(self.per)):
            return int(now // seconds) * seconds
        return _weeks_or_months(self.per, int(now // _DAY))[0]

    def _next(self, start: int) -> int:
        if self.per is not None and (seconds := _SECONDS.get(self.per)):
            return start + seconds
        return _weeks_or_months(self.per, start // _DAY)[1]


@lru_cache(maxsize=16)
def _weeks_or_months(per: Calendar | None, number: int) -> tuple[int, int]:
    """The start of the week or month of the day of that number since 1970, and of the next one."""
    day = datetime.fromtimestamp(number * _DAY, UTC)
    if per == "week":
        start = day - timedelta(days=day.weekday())
        return int(start.timestamp()), int((start + timedelta(days=7)).timestamp())
    start = day.replace(day=1)
    return int(start.timestamp()), int((start + timedelta(days=32)).replace(day=1).timestamp())


class Charge(Struct, frozen=True, gc=False):
    """What one request wants from one counter.

    `counter` names who and what is counted over which window, and is unique to the three. A
    reservation takes `amount`; where less than that is left below `limit`, it takes what is left if
    that is `least` or more. `limit` is the most that may be used and reserved together; None counts
    without a limit. `closed` refuses the request while the counters cannot be reached; otherwise
    this process counts by itself for so long.
    """

    counter: str
    window: Window
    amount: int
    least: int
    limit: int | None = None
    closed: bool = False


class Taken(Struct, frozen=True, gc=False):
    """A reservation: all charges of one request, taken in one step.

    `amounts` is what each charge took, `used` what its counter then held, used and reserved, with
    this request's share. `buckets` is where each is counted, whenever it settles. `id` names it.
    `local` marks one that this process took by itself, of which the counters do not know.
    """

    id: str
    charges: tuple[Charge, ...]
    amounts: tuple[int, ...]
    used: tuple[int, ...]
    buckets: tuple[int, ...]
    local: bool = False


class Refused(Struct, frozen=True, gc=False):
    """No reservation: the charges at `indexes` would have passed their limits; nothing was taken.

    `used` is what each counter held, used and reserved. `retry_after` is for each charge the
    seconds until enough may be free again, as far as that can be told.
    """

    indexes: tuple[int, ...]
    used: tuple[int, ...]
    retry_after: tuple[float, ...]
