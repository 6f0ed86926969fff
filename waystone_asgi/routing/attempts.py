"""The attempts of a request: which target is next, after how long, and what became of each so far.

In: targets in order, a policy, and each failure. Out: the next attempt, as long as another one may
mend what failed. It sends nothing and waits for nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import random
from time import monotonic, time

from msgspec.structs import replace

from ..exceptions import UpstreamCredentialError, UpstreamError
from ..providers.provider import Provider
from ..records import Attempt, Route, Target, Timeouts
from ..rules import Retry
from .attempt import Try
from .backoff import Budget, backoff, retry_after
from .choosing import ordered
from .health import Health

PATIENCE_SECONDS = 10.0
"""The longest that a request waits for a target which says when it may be asked again."""

LEAST_SECONDS = 0.01
"""What must be left for another attempt: timers may ring a little early."""

MOST_HEDGES = 10.0
"""How many requests may be sent twice at once, after many that were not."""

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
        self._hedges: dict[Retry, Budget] = {}

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
        policy = retry or self.retry
        if policy.hedge_after is not None:
            self.hedges(policy).earn()
        return Attempts(self, targets, policy)

    def hedges(self, policy: Retry) -> Budget:
        """How many of a policy's requests may be sent twice."""
        budget = self._hedges.get(policy)
        if budget is None:
            share = policy.hedge_share or 0.0
            budget = self._hedges[policy] = Budget(ratio=share, least=1.0, most=MOST_HEDGES)
        return budget


class Attempts:
    """The attempts of one request.

    Each target is tried as often as the policy says, in order, as long as a failure is one that
    another attempt may mend. Targets that rest are passed over while another one does not. One that
    refuses our credential is not asked again.
    """

    __slots__ = (
        "_asked",
        "_hedge_place",
        "_hedged",
        "_latest",
        "_place",
        "_retry",
        "_routing",
        "_started",
        "_targets",
        "_tries",
    )

    _latest: Try
    _hedge_place: int

    def __init__(self, routing: Routing, targets: Sequence[Target], retry: Retry) -> None:
        self._routing = routing
        self._targets = targets
        self._retry = retry
        self._tries: list[Try] = []
        self._asked = 0
        self._hedged: Try | None = None
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

    @property
    def hedge_after(self) -> float | None:
        """The seconds after which an attempt is late, where another one may begin beside it."""
        seconds = self._retry.hedge_after
        if seconds is None or self._hedged is not None or self._place + 1 >= len(self._targets):
            return None
        return seconds

    def begin(self) -> Try:
        """The next attempt."""
        self._asked += 1
        self._latest = tried = self._try(self._place)
        return tried

    def hedge(self) -> Try | None:
        """An attempt beside the one under way, at the next target that does not rest.

        None where there is no such target, or where too many requests have been sent twice.
        """
        place = self._awake(self._place + 1)
        if place is None or self._targets[place] == self._targets[self._place]:
            return None
        if not self._routing.hedges(self._retry).spend():
            return None
        self._hedged, self._hedge_place = self._try(place), place
        return self._hedged

    def won(self, tried: Try) -> None:
        """Of an attempt and its hedge this is the one that counts, and that others follow."""
        tried.number = len(self._tries)
        if tried is self._hedged:
            self._latest, self._place, self._asked = tried, self._hedge_place, 1

    def lost(self, tried: Try, error: UpstreamError | None = None) -> None:
        """This one does not count: it failed, or was not waited for any longer."""
        if error is not None:
            self._learn(tried, error)
            if isinstance(error, UpstreamCredentialError):
                self._targets = [target for target in self._targets if target != tried.target]
        elif tried is self._hedged:
            self._routing.health.given_up(tried.target)
        else:
            self._routing.health.outlasted(tried.target, tried.elapsed)

    def mends(self, error: UpstreamError) -> bool:
        """Whether another attempt may mend the failure of the latest one."""
        return self._retry.covers(*self._latest.kind(error))

    def succeeded(self) -> None:
        """The latest attempt brought an answer."""
        tried = self._latest
        self._routing.health.succeeded(tried.target, tried.latency)

    def cut(self, error: UpstreamError) -> None:
        """The latest attempt brought a part of an answer."""
        self._learn(self._latest, error)

    def abandoned(self) -> None:
        """The latest attempt ended without saying anything of its target."""
        self._routing.health.given_up(self._latest.target)

    def pass_over(self) -> bool:
        """The latest target cannot be asked this. Whether there is another one to turn to."""
        self.abandoned()
        return self._turn() is not None

    def failed(self, error: UpstreamError) -> float | None:
        """The latest attempt failed. The seconds until the next one, or None if there is none."""
        wait = self._learn(self._latest, error)
        if not self.mends(error):
            return None
        if not isinstance(error, UpstreamCredentialError) and self._asked < self._retry.attempts:
            # A time that has passed already may be that of another clock.
            wait = wait or backoff(self._asked, self._routing.random)
            if self._has_time_for(wait) and self._routing.budget.spend():
                return wait
        return self._turn()

    def _try(self, place: int) -> Try:
        routing = self._routing
        target = self._targets[place]
        timeouts = routing.timeouts
        if self._tries:
            timeouts = replace(timeouts, total=max(0.001, timeouts.total - self.elapsed))
        tried = Try(target, routing.providers[target.provider], timeouts, len(self._tries) + 1)
        tried.holds = (self._retry.hold or routing.retry.hold) == "complete"
        routing.health.begin(target)
        self._tries.append(tried)
        return tried

    def _learn(self, tried: Try, error: UpstreamError) -> float | None:
        """Keep what the failure says of the target; the seconds that it asks to be left alone."""
        wait = retry_after(error.headers, time())
        if _TRANSIENT.covers(*tried.kind(error)):
            self._routing.health.failed(tried.target, wait)
        else:
            self._routing.health.given_up(tried.target)
        return wait

    def _has_time_for(self, wait: float) -> bool:
        return wait <= PATIENCE_SECONDS and self.elapsed + wait < self._routing.timeouts.total

    def _turn(self) -> float | None:
        """Turn to the next target, at once, if there is time and there is one."""
        following = self._place + 1
        if following >= len(self._targets) or not self._has_time_for(LEAST_SECONDS):
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
