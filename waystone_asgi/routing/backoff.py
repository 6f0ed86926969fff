"""How long to wait before a provider is asked again, and how often all requests together may.

In: a refusal's headers, how many attempts were made. Out: seconds. It waits for nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from ..exceptions import Headers

BASE_SECONDS = 0.5
LONGEST_SECONDS = 8.0
LONGEST_WAIT = 86_400.0 * 366

_NUMBER = re.compile(rb"[0-9]{1,12}(\.[0-9]{0,9})?")
_LONGEST_DATE = 64


def backoff(asked: int, random: Callable[[], float]) -> float:
    """Seconds before the attempt that follows `asked` others: full jitter, so that many callers
    who failed together do not come back together.
    """
    return random() * min(LONGEST_SECONDS, BASE_SECONDS * 2.0 ** (asked - 1))


def retry_after(headers: Headers, now: float) -> float | None:
    """Seconds until the provider wants to be asked again, or None if it does not say.

    Reads `retry-after-ms`, and `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3);
    `now` is a Unix time. What makes no sense, or is further away than a year, is as good as not
    said; of several the longest counts.
    """
    for name, read in _READERS:
        waits = [read(value.strip(), now) for header, value in headers if header == name]
        if sane := [wait for wait in waits if wait is not None and wait <= LONGEST_WAIT]:
            return max(sane)
    return None


def _milliseconds(value: bytes, now: float) -> float | None:
    return float(value) / 1000 if _NUMBER.fullmatch(value) else None


def _seconds_or_date(value: bytes, now: float) -> float | None:
    if _NUMBER.fullmatch(value):
        return float(value)
    if len(value) > _LONGEST_DATE:
        return None
    try:
        date = parsedate_to_datetime(value.decode("ascii"))
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)  # HTTP knows no other.
        return max(0.0, date.timestamp() - now)
    except (ValueError, OverflowError):
        return None


_READERS = ((b"retry-after-ms", _milliseconds), (b"retry-after", _seconds_or_date))


class Budget:
    """How many attempts may be made again: `ratio` of all requests, and `least` to begin with.

    Without it a provider that fails would get as many times its load as there are attempts.
    """

    def __init__(self, *, ratio: float = 0.2, least: float = 10.0, most: float = 100.0) -> None:
        self._ratio = ratio
        self._most = most
        self._balance = least

    def earn(self) -> None:
        """A request has come."""
        if self._balance < self._most:
            self._balance += self._ratio

    def spend(self) -> bool:
        """Whether one more attempt is allowed; it is made then."""
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True
