"""What usage rules count: counters, and what one request would take from each.

In: the limits of all rules, and a subject. Out: charges, one a counter. A counter counts all usage
of whom it is for, whichever rule looks at it, so every counter whose user or group the request
names is charged; a limit is compared only where a rule applies. It counts nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from ..charges import Charge, Unit, Window
from ..records import Target
from .decisions import Estimate, Price, Subject
from .rulesets import Of, UsageLimit

Amount: TypeAlias = tuple[int, int]
"""What a charge takes, and the least that it makes do with."""

USER, GROUP = 1, 2
_NEEDS: Mapping[Of, int] = {"user": USER, "group": GROUP, "user_in_group": USER | GROUP}
_ONE: Amount = (1, 1)
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

    `places` is for each counter of the program its index here, -1 where it has none. `keys` are
    prefixes, and whose id follows.
    """

    places: tuple[int, ...]
    keys: tuple[tuple[str, Of], ...]
    windows: tuple[Window, ...]
    units: tuple[Unit, ...]


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
        self, units: tuple[Unit, ...], subject: Subject, target: Target
    ) -> dict[Unit, Amount]:
        """What the request takes of each unit, when it goes to the target.

        Without a bound on its output it takes the allowance, or what is left.
        """
        estimate = subject.estimate
        found: dict[Unit, Amount] = {"requests": _ONE, "concurrent": _ONE}
        if "tokens" in units:
            least = estimate.input_tokens + 1
            if (output := estimate.output_tokens) is None:
                found["tokens"] = (least - 1 + self._allowance, least)
            else:
                found["tokens"] = (least - 1 + output, least - 1 + output)
        if "usd" in units:
            found["usd"] = self._dollars(estimate, target, subject.now)
        return found

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


def keys_of(subject: Subject, keys: tuple[tuple[str, Of], ...]) -> list[str]:
    """The names of a selection's counters for the subject, as backends keep them.

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
    return [prefix + ids[of] for prefix, of in keys]


def charges_of(
    keys: Sequence[str],
    selection: Selection,
    limits: tuple[int | None, ...],
    amounts: Mapping[Unit, Amount],
) -> tuple[Charge, ...]:
    """One charge for each counter of a selection."""
    return tuple(
        [
            Charge(key, window, *amounts[unit], limit)
            for key, window, unit, limit in zip(
                keys, selection.windows, selection.units, limits, strict=True
            )
        ]
    )


def _prefix(unit: Unit, window: Window, of: Of) -> str:
    span = window.per or (f"{window.seconds}s" if window.seconds else "now")
    return f"{unit}:{span}:{of}:"
