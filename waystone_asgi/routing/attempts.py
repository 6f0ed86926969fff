"""The attempts of a request: which target is next, after how long, and what became of each so far.

In: targets in order, a policy, and each failure. Out: the next attempt, as long as another one may
mend what failed. It sends nothing and waits for nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import random
from time import monotonic, time

from msgspec.structs import replace

from ..exceptions import ProviderRefusedError, UpstreamCredentialError, UpstreamError
from ..providers.provider import Provider
from ..records import Attempt, Route, Target, Timeouts
from ..rules import Retry
from .attempt import Try
from .backoff import Budget, backoff, retry_after
from .choosing import ordered
from .health import Health

PATIENCE_SECONDS = 10.0
"""The longest that a request waits for a target which says when it may be asked again."""

_TRANSIENT = Retry()


class Routing:
    """Makes the attempts of each request, and keeps what they found out for those that follow.

    `retry` is the policy of requests for which no rule has another; `random` gives numbers from 0
    to 1.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        timeouts: Timeouts,
        retry: Retry,
        *,
        health: Health | None = None,
        budget: Budget | None = None,
        random: Callable[[], float] = random,
    ) -> None:
        self.providers = providers
        self.timeouts = timeouts
        self.retry = retry
        self.health = health or Health()
        self.budget = budget or Budget()
        self.random = random

    def attempts(
        self, route: Route, retry: Retry | None = None, fallback: Sequence[Target] = ()
    ) -> Attempts:
        """The attempts of one request, those at the `fallback` last."""
        self.budget.earn()
        targets = route.targets
        if route.choice is not None:
            targets = ordered(route.choice, self.health, self.random)
            self.health.choose(targets[0])
        if fallback:
            targets = tuple(dict.fromkeys((*targets, *fallback)))
        return Attempts(self, targets, retry or self.retry)


class Attempts:
    """The attempts of one request.

    Each target is tried as often as the policy says, in order, as long as a failure is one that
    another attempt may mend. Targets that rest are passed over while another one does not. One that
    refuses our credential is not asked again.
    """

    __slots__ = ("_asked", "_place", "_retry", "_routing", "_started", "_targets", "_tries")

    def __init__(self, routing: Routing, targets: Sequence[Target], retry: Retry) -> None:
        self._routing = routing
        self._targets = targets
        self._retry = retry
        self._tries: list[Try] = []
        self._asked = 0
        self._place = self._awake(0) or 0
        self._started = monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the first attempt began."""
        return monotonic() - self._started

    @property
    def made(self) -> tuple[Attempt, ...]:
        """The attempts that have ended, as the record keeps them."""
        return tuple([tried.outcome for tried in self._tries if tried.outcome is not None])

    def begin(self) -> Try:
        """The next attempt."""
        routing = self._routing
        target = self._targets[self._place]
        timeouts = routing.timeouts
        if self._tries:
            timeouts = replace(timeouts, total=max(0.001, timeouts.total - self.elapsed))
        tried = Try(target, routing.providers[target.provider], timeouts, len(self._tries) + 1)
        tried.holds = (self._retry.hold or routing.retry.hold) == "complete"
        routing.health.begin(target)
        self._tries.append(tried)
        self._asked += 1
        return tried

    def succeeded(self) -> None:
        """The latest attempt brought an answer."""
        tried = self._tries[-1]
        self._routing.health.succeeded(tried.target, tried.latency)

    def abandoned(self) -> None:
        """The latest attempt ended without saying anything of its target."""
        self._routing.health.given_up(self._tries[-1].target)

    def failed(self, error: UpstreamError) -> float | None:
        """The latest attempt failed. The seconds until the next one, or None if there is none."""
        tried = self._tries[-1]
        status, kind = tried.status, error.error_type
        if isinstance(error, ProviderRefusedError):
            status = error.status
            kind = "context_length" if error.too_long else kind
        wait = retry_after(error.headers, time())
        if _TRANSIENT.covers(status, kind):
            self._routing.health.failed(tried.target, wait)
        else:
            self._routing.health.given_up(tried.target)
        if not self._retry.covers(status, kind):
            return None
        if not isinstance(error, UpstreamCredentialError) and self._may_ask_again():
            if wait is None:
                wait = backoff(self._asked, self._routing.random)
            if wait <= PATIENCE_SECONDS and self.elapsed + wait < self._routing.timeouts.total:
                return wait
        return self._turn()

    def _may_ask_again(self) -> bool:
        return self._asked < self._retry.attempts and self._routing.budget.spend()

    def _turn(self) -> float | None:
        """Turn to the next target, at once, if there is time and there is one."""
        following = self._place + 1
        if following >= len(self._targets) or self.elapsed >= self._routing.timeouts.total:
            return None
        awake = self._awake(following)
        self._place = following if awake is None else awake
        self._asked = 0
        return 0.0

    def _awake(self, place: int) -> int | None:
        """The first target from that place on that does not rest."""
        health, targets = self._routing.health, self._targets
        for index in range(place, len(targets)):
            if not health.rests(targets[index]):
                return index
        return None
