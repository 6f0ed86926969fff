"""What usage rules count: counters, and what one request would take from each.

In: the limits of all rules, and a subject. Out: charges, one a counter. A counter counts all usage
of whom it is for, whichever rule looks at it, so every counter whose user or group the request
names is charged; a limit is compared only where a rule applies. It counts nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from ..charges import Unit, Window
from ..records import Target
from .decisions import Estimate, Mark, Price, Subject
from .rulesets import Of, UsageLimit

Amount: TypeAlias = tuple[int, int]
"""What a charge takes, and the least that it makes do with."""

Term: TypeAlias = tuple[Window, int | None, bool]
"""What a charge has of its own before it is known for whom and how much: window, limit, and whether
it is closed."""

VARYING: tuple[Unit, ...] = ("tokens", "usd")
"""What one request takes more of than another."""

USER, GROUP = 1, 2
_NEEDS: Mapping[Of, int] = {"user": USER, "group": GROUP, "user_in_group": USER | GROUP}
_NOTHING: Amount = (0, 0)


class Trigger(Struct, frozen=True, kw_only=True):
    """A usage rule's limit on the counter number `counter`, dollars in nano-dollars.

    `closed` is whether it holds where usage cannot be counted.
    """

    counter: int
    unit: Unit
    limit: int
    closed: bool


class Selection(Struct, frozen=True):
    """The counters that count for requests which name a user, a group, both or neither.

    `places` is for each counter of the program its index here, -1 where it has none. A key is a
    prefix, and whose id follows.
    """

    places: tuple[int, ...]
    keys: tuple[tuple[str, Of], ...]
    windows: tuple[Window, ...]
    units: tuple[Unit, ...]

    def terms(self, marks: Sequence[Mark]) -> tuple[Term, ...]:
        """The terms of the counters, with the tightest limit that is set to each."""
        limits: dict[int, int] = {}
        for mark in marks:
            if not mark.notes:
                limits[mark.index] = min(mark.limit, limits.get(mark.index, mark.limit))
        closed = {mark.index for mark in marks if mark.closed and not mark.notes}
        return tuple(
            (window, limits.get(index), index in closed)
            for index, window in enumerate(self.windows)
        )


class CounterTable:
    """The counters of a program, and what a request takes from them."""

    def __init__(self, price: Price | None, allowance: int) -> None:
        self._price = price
        self._allowance = allowance
        self._numbers: dict[tuple[Unit, Window, Of], int] = {}

    def add(self, usage: UsageLimit) -> int:
        """The number of the counter that the limit looks at."""
        assert usage.of is not None
        key = (usage.unit, usage.window, usage.of)
        return self._numbers.setdefault(key, len(self._numbers))

    def select(self, present: int) -> Selection:
        """The counters that count where `USER` and `GROUP` are present."""
        places: list[int] = []
        chosen: list[tuple[Unit, Window, Of]] = []
        for unit, window, of in self._numbers:
            if _NEEDS.get(of, 0) & ~present:
                places.append(-1)
                continue
            places.append(len(chosen))
            chosen.append((unit, window, of))
        return Selection(
            tuple(places),
            tuple((_prefix(unit, window, of), of) for unit, window, of in chosen),
            tuple(window for _, window, _ in chosen),
            tuple(unit for unit, _, _ in chosen),
        )

    def amounts(
        self, varying: tuple[tuple[int, Unit], ...], subject: Subject, target: Target
    ) -> dict[Unit, Amount]:
        """What the request takes of each unit that varies, when it goes to the target.

        Without a bound on its output it takes the allowance, or what is left.
        """
        found: dict[Unit, Amount] = {}
        for _, unit in varying:
            if unit not in found:
                found[unit] = (
                    self._dollars(subject.estimate, target, subject.now)
                    if unit == "usd"
                    else self._tokens(subject.estimate)
                )
        return found

    def _tokens(self, estimate: Estimate) -> Amount:
        output = estimate.output_tokens
        if output is None:
            return estimate.input_tokens + self._allowance, estimate.input_tokens + 1
        return estimate.input_tokens + output, estimate.input_tokens + output

    def _dollars(self, estimate: Estimate, target: Target, now: float) -> Amount:
        price, output = self._price, estimate.output_tokens
        if price is None:
            return _NOTHING
        bound = self._allowance if output is None else output
        if not (amount := price(target, estimate.input_tokens, bound, now)):
            return _NOTHING  # What is free, or has no price, passes a budget that is spent.
        if output is not None:
            return amount, amount
        least = price(target, estimate.input_tokens, 1, now) or 1
        return amount, min(amount, least)


def ids_of(subject: Subject) -> dict[Of, str]:
    """What follows the prefixes of counters in their names, as backends keep them.

    A prefix has no id in it, and of two ids the length of the first is told: no id, of whatever
    characters, makes the name of another counter.
    """
    user, group = subject.identity.user, subject.identity.group
    ids: dict[Of, str] = {"principal": subject.principal, "everyone": ""}
    if user is not None:
        ids["user"] = user.id
        if group is not None:
            ids["user_in_group"] = f"{len(user.id)}:{user.id}{group.id}"
    if group is not None:
        ids["group"] = group.id
    return ids


def _prefix(unit: Unit, window: Window, of: Of) -> str:
    span = window.per or (f"{window.seconds}s" if window.seconds else "now")
    return f"{unit}:{span}:{of}:"
