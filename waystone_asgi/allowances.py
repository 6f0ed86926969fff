"""What a request may do: the rules' decision on it, and the reservation that it rests on.

In: who asks for what. Out: an `Allowance`: where to go, what to say of it, and what to settle when
the answer has ended; or the refusal. It writes no record and sends nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache

import anyio

from .charges import Refused, Taken
from .exceptions import Headers
from .records import BYTES_PER_TOKEN, Identity, Principal, Route, Usage
from .rules import Decision, Estimate, Passed, Program, Subject
from .types import Counters, Layers
from .wire.requests import ChatRequest

SETTLE_SECONDS = 1.0
"""The most that settling takes of a request that is being cancelled."""

_QUOTAS = {
    unit: (
        f"x-ratelimit-limit-{unit}".encode(),
        f"x-ratelimit-remaining-{unit}".encode(),
        f"x-ratelimit-reset-{unit}".encode(),
    )
    for unit in ("requests", "tokens")
}


class Allowances:
    """Applies a program to requests, and reserves what it charges.

    A reservation that is never settled is free again after `lease` seconds. `waits` says whether
    the counters may wait for something, which settling has to survive. `now` gives the Unix time.
    """

    def __init__(
        self,
        program: Program,
        counters: Counters,
        *,
        lease: float,
        waits: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.program = program
        self.counters = counters
        self.waits = waits
        self._lease = lease
        self._now = now

    async def apply(
        self,
        principal: Principal,
        identity: Identity,
        layers: tuple[Layers, Layers],
        route: Route,
        request: ChatRequest,
    ) -> Allowance:
        """The decision on a request, its charges reserved.

        Raises `CountersUnavailableError` when a limit that fails closed cannot be checked.
        """
        now = self._now()
        subject = Subject(
            route=route,
            principal=principal.id,
            now=now,
            identity=identity,
            user_metadata=layers[0],
            group_metadata=layers[1],
            estimate=estimate(request),
        )
        passed: Passed = {}
        while True:
            decision = self.program.evaluate(subject, passed)
            if not decision.charges:
                return Allowance(self, decision, None, now)
            taken = await self.counters.reserve(decision.charges, now=now, lease=self._lease)
            if not isinstance(taken, Refused):
                return Allowance(self, decision, taken, now)
            passed = {**passed, **decision.passed(taken)}


@asynccontextmanager
async def opened_counters(allowances: Allowances | None) -> AsyncIterator[None]:
    """Open the counters on entering, and close them on leaving, where they want to be."""
    counters = None if allowances is None else allowances.counters
    if (open_counters := getattr(counters, "open", None)) is not None:
        await open_counters()
    try:
        yield
    finally:
        if (close_counters := getattr(counters, "aclose", None)) is not None:
            await close_counters()


class Allowance:
    """What one request may do, or why it may not.

    `decision` says where to go, `guards` what looks at the answer; `tags` and
    `retain_days` are for its record, and `headers` for the caller.
    """

    __slots__ = ("_allowances", "_now", "_taken", "decision")

    def __init__(
        self, allowances: Allowances, decision: Decision, taken: Taken | None, now: float
    ) -> None:
        self._allowances = allowances
        self._taken = taken
        self._now = now
        self.decision = decision

    def check(self) -> None:
        """Raise the refusal, where a rule blocks the request."""
        if self.decision.blocked is not None:
            raise self.decision.blocked.error()

    @property
    def guards(self) -> tuple[str, ...]:
        """The names of the guards, in the order in which they look at the answer."""
        return self.decision.guards

    @property
    def retain_days(self) -> int | None:
        """For how long the record is to be kept."""
        return self.decision.retain_days

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the rules that applied, and of the shadow rules that would have."""
        if self._taken is None or not self.decision.shadows:
            return self.decision.tags
        return *self.decision.tags, *self.decision.notes(self._taken)

    @property
    def headers(self) -> Headers:
        """Where the caller stands with the limits on requests and tokens, in OpenAI's names."""
        if self._taken is None or not self.decision.bounds:
            return ()
        headers: list[tuple[bytes, bytes]] = []
        for quota in self.decision.quotas(self._taken, self._now):
            limit, remaining, reset = _QUOTAS[quota.unit]
            headers.append((limit, b"%d" % quota.limit))
            headers.append((remaining, b"%d" % quota.remaining))
            headers.append((reset, _span(round(quota.resets_after))))
        return tuple(headers)

    async def settle(self, usage: Usage | None, nanodollars: int | None) -> None:
        """Count what was used; without any the reservation is given back. Survives cancellation."""
        if self._taken is None:
            return
        if usage is None:
            amounts = self.decision.amounts(requests=0, tokens=0, nanodollars=0)
        else:
            amounts = self.decision.amounts(
                requests=1,
                tokens=usage.input_tokens + usage.output_tokens,
                nanodollars=nanodollars or 0,
            )
        counters = self._allowances.counters
        if self._allowances.waits:
            with anyio.move_on_after(SETTLE_SECONDS, shield=True):
                await counters.settle(self._taken, amounts)
        else:
            await counters.settle(self._taken, amounts)


def estimate(request: ChatRequest) -> Estimate:
    """The most that a request may use, from its length and from what it says itself."""
    view = request.view
    limit = view.max_completion_tokens
    if limit is None and type(view.max_tokens) is int and 0 <= view.max_tokens < 10**9:
        # The name that it had before, and has with many vendors still.
        limit = view.max_tokens
    return Estimate(
        max(1, len(request.document) // BYTES_PER_TOKEN),
        None if limit is None else int(limit) * int(view.n or 1),
    )


@lru_cache(maxsize=256)
def _span(seconds: int) -> bytes:
    """A time as OpenAI's headers write it: `1s`, `6m0s`, `1h0m0s`."""
    minutes, rest = divmod(max(0, seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, rest)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest
