"""What the rules are told of a request, and what they decide on it.

In: a `Subject`. Out: a `Decision`, and, once its charges are taken, what that means: notes, quotas,
amounts to settle. Values that look at no clock and await nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from msgspec import Struct

from ..charges import Charge, Refused, Taken, Unit
from ..exceptions import (
    BlockedError,
    GatewayError,
    InsufficientQuotaError,
    RateLimitError,
)
from ..records import Identity, Route, Target
from ..types import Layers
from .retries import Retry

Price: TypeAlias = Callable[[Target, int, int, float], int | None]
"""Nano-dollars for input and output tokens of a target at a Unix time; 0 is free, None has no
price."""

Passed: TypeAlias = Mapping[int, float]
"""Usage rules whose limits are known to be passed, by number, each with the seconds until enough
may be free again."""

_NO_LAYERS: Layers = MappingProxyType({})


class Estimate(Struct, frozen=True, gc=False):
    """The most that the request may use, over all its choices. Without `output_tokens` the caller
    has set no bound.
    """

    input_tokens: int = 0
    output_tokens: int | None = None


class Subject(Struct, frozen=True, kw_only=True, gc=False):
    """One request as the rules see it.

    `route` is what its model resolves to. The metadata is what is stored, this request's own merged
    into it. `now` is a Unix time.
    """

    route: Route
    principal: str
    now: float
    identity: Identity = Identity()
    user_metadata: Layers = _NO_LAYERS
    group_metadata: Layers = _NO_LAYERS
    estimate: Estimate = Estimate()


class Blocked(Struct, frozen=True, kw_only=True, gc=False):
    """The `block` that ended the request: that of rule number `rule`, from 0, of `ruleset`.

    `unit` is what was used up, None when no usage was asked about; `retry_after` is in seconds.
    """

    ruleset: str
    rule: int
    message: str
    unit: Unit | None = None
    retry_after: float | None = None

    def error(self) -> GatewayError:
        """The block as the caller gets it."""
        if self.unit is None:
            return BlockedError(self.message)
        kind = InsufficientQuotaError if self.unit == "usd" else RateLimitError
        return kind(self.message, retry_after=self.retry_after or 1)


class Quota(Struct, frozen=True, gc=False):
    """Where the caller stands with a limit that blocks; `resets_after` is in seconds."""

    unit: Literal["requests", "tokens"]
    limit: int
    remaining: int
    resets_after: float


class Mark(Struct, frozen=True, gc=False):
    """The limit that rule number `rule` sets to the charge at `index`.

    `blocks` and `changes` say what the rule does to the request, `closed` that it is refused where
    usage cannot be counted. A shadow rule has `notes`, and stops no charge.
    """

    rule: int
    index: int
    limit: int
    blocks: bool = False
    changes: bool = False
    closed: bool = False
    notes: tuple[str, ...] = ()


Bounds: TypeAlias = tuple[Literal["requests", "tokens"], tuple[tuple[int, int], ...]]
"""The limits on a unit, each with the index of the charge that it is set to."""


class Decision(Struct, frozen=True, kw_only=True, gc=False):
    """What is to be done with a request.

    `route` is the subject's own unless a rule changed the model; `fallback` follows its targets,
    and `retry` says how often and on what. `guards` are run on the answer, in this order.
    `charges` are to be reserved, all or none; `units` says what each of them counts, and `marks`
    which rules look at them, `shadows` those of them that are shadow rules. `bounds` are the limits
    that block on requests and tokens, by unit, each with the index of its charge. A blocked request
    has no charges.
    """

    route: Route
    blocked: Blocked | None = None
    retry: Retry | None = None
    fallback: tuple[Target, ...] = ()
    tags: tuple[str, ...] = ()
    retain_days: int | None = None
    guards: tuple[str, ...] = ()
    charges: tuple[Charge, ...] = ()
    units: tuple[Unit, ...] = ()
    marks: tuple[Mark, ...] = ()
    shadows: tuple[Mark, ...] = ()
    bounds: tuple[Bounds, ...] = ()

    def passed(self, refused: Refused) -> Passed:
        """What a refusal adds to `passed` before the request is evaluated again.

        These are the rules whose limits are passed, in order, up to the first that changes the
        model: those after it are to be asked about the request that it leaves them.
        """
        found: dict[int, float] = {}
        seen = {
            index: (used + self.charges[index].least, seconds)
            for index, used, seconds in zip(
                refused.indexes, refused.used, refused.retry_after, strict=True
            )
        }
        for mark in self.marks:
            if mark.index not in seen or mark.notes:
                continue
            wanted, seconds = seen[mark.index]
            if wanted > mark.limit or mark.limit == self.charges[mark.index].limit:
                found[mark.rule] = seconds
                if mark.changes:
                    break
        return found

    def notes(self, taken: Taken) -> tuple[str, ...]:
        """The tags of shadow rules whose limits this request would have passed."""
        found: dict[str, None] = {}
        for mark in self.shadows:
            if least := self.charges[mark.index].least:
                others = taken.used[mark.index] - taken.amounts[mark.index]
                if others + least > mark.limit:
                    found.update(dict.fromkeys(mark.notes))
        return tuple(found)

    def quotas(self, taken: Taken, now: float) -> list[Quota]:
        """For each unit of `bounds` the limit of which the least is left."""
        found: list[Quota] = []
        used, charges = taken.used, self.charges
        for unit, bounds in self.bounds:
            index, limit = bounds[0]
            left = limit - used[index]
            for place, other in bounds[1:]:
                if other - used[place] < left:
                    index, limit, left = place, other, other - used[place]
            resets = charges[index].window.resets(now)
            found.append(Quota(unit, limit, left if left > 0 else 0, resets))
        return found

    def amounts(self, *, requests: int, tokens: int, nanodollars: int) -> tuple[int, ...]:
        """What was used in the end, by charge, to settle with."""
        used: dict[Unit, int] = {
            "requests": requests,
            "tokens": tokens,
            "usd": nanodollars,
            "concurrent": 0,
        }
        return tuple([used[unit] for unit in self.units])
