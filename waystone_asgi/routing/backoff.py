"""How long to wait before a provider is asked again, and how often all requests together may.

In: a refusal's headers, how many attempts were made. Out: seconds. It waits for nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

from ..exceptions import Headers

BASE_SECONDS = 0.5
LONGEST_SECONDS = 8.0


def backoff(asked: int, random: Callable[[], float]) -> float:
    """Seconds before the attempt that follows `asked` others: full jitter, so that many callers
    who failed together do not come back together.
    """
    return random() * min(LONGEST_SECONDS, BASE_SECONDS * 2.0 ** (asked - 1))


def retry_after(headers: Headers, now: float) -> float | None:
    """Seconds until the provider wants to be asked again, or None if it does not say.

    Reads `retry-after-ms`, and `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3);
    `now` is a Unix time.
    """
    said = dict(headers)
    try:
        if (milliseconds := said.get(b"retry-after-ms")) is not None:
            return _sane(float(milliseconds) / 1000)
        if (value := said.get(b"retry-after")) is None:
            return None
        if value[:1].isdigit():
            return _sane(float(value))
        return _sane(parsedate_to_datetime(value.decode("latin-1")).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _sane(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds < 86400 * 366 else None


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
