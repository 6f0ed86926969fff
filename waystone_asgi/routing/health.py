"""How the targets are doing: those that keep failing are left alone for a while.

In: what each attempt came to, and when. Out: whether a target may be asked, and how fast it is. It
holds no more than `limit` targets, knows no request, and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic

from ..recent import MODELS
from ..records import Target

FAILURES = 5
"""How many failures in a row put a target aside."""

COOLDOWN = 5.0
"""The seconds of a first cooldown; each that follows without a success between is twice as long."""

LONGEST_COOLDOWN = 300.0

STALE_SECONDS = 60.0
"""After so long without having been chosen a target may have become faster: it is explored."""

EXPLORING = 0.05
"""The share of requests that explore such a target, one at a time."""

_UNKNOWN = -1.0
_PROBE_SECONDS = 60.0
_SMOOTHING = 0.2


class _Condition:
    __slots__ = ("chosen", "failures", "latency", "probed", "renewed", "rounds", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.rounds = 0
        self.until = 0.0
        self.probed = float("-inf")
        self.latency: float | None = None
        self.chosen = float("-inf")
        self.renewed = False


class Health:
    """What is known of each target.

    After `failures` in a row a target rests for `cooldown` seconds, then one request at a time
    tries it: a success brings it back, a failure lets it rest for twice as long. Of more than
    `limit` targets the oldest is forgotten, one that rests last. `now` gives monotonic seconds.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        cooldown: float = COOLDOWN,
        longest: float = LONGEST_COOLDOWN,
        limit: int = MODELS,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._failures = failures
        self._cooldown = cooldown
        self._longest = longest
        self._limit = limit
        self._now = now
        self._conditions: dict[Target, _Condition] = {}

    def rests(self, target: Target) -> bool:
        """Whether the target is to be left alone now."""
        condition = self._conditions.get(target)
        if condition is None or not condition.until:
            return False
        now = self._now()
        return now < condition.until or now < condition.probed + _PROBE_SECONDS

    def begin(self, target: Target) -> None:
        """A request goes to the target: where that has rested, it is the one that tries it."""
        condition = self._conditions.get(target)
        if condition is not None and condition.until and (now := self._now()) >= condition.until:
            condition.probed = now

    def succeeded(self, target: Target, seconds: float) -> None:
        """The target has answered, its first byte after so many seconds."""
        condition = self._conditions.get(target) or self._add(target)
        condition.failures = condition.rounds = 0
        condition.until = 0.0
        if condition.latency is None or condition.renewed:
            condition.latency = seconds
            condition.renewed = False
        else:
            condition.latency += _SMOOTHING * (seconds - condition.latency)

    def failed(self, target: Target, retry_after: float | None = None) -> None:
        """The target has failed, and said perhaps for how many seconds it is not to be asked."""
        condition = self._conditions.get(target) or self._add(target)
        condition.failures += 1
        condition.probed = float("-inf")
        now = self._now()
        # Of those who fail while it rests already nothing new is learnt.
        if now >= condition.until and (condition.until or condition.failures >= self._failures):
            rest = min(self._longest, self._cooldown * 2**condition.rounds)
            condition.rounds = min(condition.rounds + 1, 16)
            condition.until = max(condition.until, now + rest)
        if retry_after is not None:
            condition.until = max(condition.until, now + min(retry_after, self._longest))

    def given_up(self, target: Target) -> None:
        """The request ended without saying anything of the target: another may try it."""
        condition = self._conditions.get(target)
        if condition is not None:
            condition.probed = float("-inf")

    def latency(self, target: Target) -> float:
        """The seconds to its first byte, smoothed; 0 for one that is not known yet."""
        condition = self._conditions.get(target)
        return 0.0 if condition is None else condition.latency or 0.0

    def outlasted(self, target: Target, seconds: float) -> None:
        """The target has not answered within so many seconds, and is not waited for any more."""
        condition = self._conditions.get(target) or self._add(target)
        condition.probed = float("-inf")
        if condition.latency is None:
            condition.latency = seconds
        elif seconds > condition.latency:
            condition.latency += _SMOOTHING * (seconds - condition.latency)

    def expected(self, target: Target, random: Callable[[], float]) -> float:
        """The seconds to its first byte, to compare it by.

        One that is not known is the fastest once, and then the slowest until it has answered or a
        minute has passed. Of those that have not been chosen for as long a few requests find out
        what they are now.
        """
        condition = self._conditions.get(target)
        if condition is None:
            return _UNKNOWN
        stale = self._now() >= condition.chosen + STALE_SECONDS
        if condition.latency is None:
            return _UNKNOWN if stale else inf
        return _UNKNOWN if stale and random() < EXPLORING else condition.latency

    def choose(self, target: Target) -> None:
        """The target is the first of its equals for a request."""
        condition = self._conditions.get(target) or self._add(target)
        now = self._now()
        if now >= condition.chosen + STALE_SECONDS:
            condition.renewed = True
        condition.chosen = now

    def _add(self, target: Target) -> _Condition:
        if len(self._conditions) >= self._limit:
            awake = (known for known, condition in self._conditions.items() if not condition.until)
            del self._conditions[next(awake, next(iter(self._conditions)))]
        condition = self._conditions[target] = _Condition()
        return condition
