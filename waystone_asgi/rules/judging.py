"""The walk through the rules: each on the request as those before left it.

In: compiled rules, which conditions hold, and whose limits are known to be passed. Out: a `Ruling`,
which is the same for every request of which these are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ..charges import Charge, Unit
from ..records import Route, Target
from .compilation import CompiledRule
from .counting import VARYING, Amount, Selection, Term, Trigger
from .decisions import Blocked, Bounds, Decision, Mark, Passed
from .retries import Retry

_TOLD: tuple[Literal["requests", "tokens"], ...] = ("requests", "tokens")


class Ruling(Struct, frozen=True, eq=False):
    """A decision but for its charges, and the terms of those.

    `varying` are the indexes of the charges whose amounts are not the same for all requests, each
    with its unit.
    """

    decision: Decision
    terms: tuple[Term, ...]
    varying: tuple[tuple[int, Unit], ...]

    def template(self, names: Sequence[str]) -> Decision:
        """The decision, one request charged to the counters of these names."""
        if not self.terms:
            return self.decision
        charges = [
            Charge(name, window, 1, 1, limit, closed)
            for name, (window, limit, closed) in zip(names, self.terms, strict=True)
        ]
        return replace(self.decision, charges=tuple(charges))

    def vary(self, template: Decision, amounts: Mapping[Unit, Amount]) -> Decision:
        """The decision of a template, with amounts where they vary."""
        charges = [*template.charges]
        for index, unit in self.varying:
            amount, least = amounts[unit]
            known = charges[index]
            charges[index] = Charge(
                known.counter, known.window, amount, least, known.limit, known.closed
            )
        return replace(template, charges=tuple(charges))


class _Draft(Struct):
    """What the rules have come to so far."""

    route: Route
    fallback: tuple[Target, ...] = ()
    retry: Retry | None = None
    blocked: Blocked | None = None
    retain_days: int | None = None
    tags: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()


def judge(
    rules: Sequence[CompiledRule],
    route: Route,
    held: Sequence[bool],
    selection: Selection,
    passed: Passed,
) -> Ruling:
    """Run the rules on a request for `route`, whose counters are those selected.

    `held` says of each condition whether it holds, `passed` of which rules the limits are passed.
    """
    draft = _Draft(route)
    for rule in rules:
        if rule.place.condition is not None and not held[rule.place.condition]:
            continue
        if not rule.meets(draft.route):
            if rule.usage is None:
                draft.fallback = rule.prune(draft.fallback)
        elif rule.usage is None or rule.place.number in passed:
            _act(rule, draft, passed)
            if draft.blocked is not None:
                break
        elif (index := selection.places[rule.usage.counter]) >= 0:
            draft.marks += (_mark(rule, rule.usage, index),)
    return _ruling(draft, selection)


def _ruling(draft: _Draft, selection: Selection) -> Ruling:
    targets = draft.route.targets
    decision = Decision(
        route=draft.route,
        blocked=draft.blocked,
        retry=draft.retry,
        fallback=tuple(target for target in draft.fallback if target not in targets),
        tags=draft.tags,
        retain_days=draft.retain_days,
        guards=draft.guards,
    )
    if draft.blocked is not None:
        return Ruling(decision, (), ())
    bounds, units = tuple(_bounds(draft.marks, selection)), selection.units
    varying = tuple((index, unit) for index, unit in enumerate(units) if unit in VARYING)
    decision = replace(
        decision,
        units=units,
        marks=draft.marks,
        shadows=tuple(mark for mark in draft.marks if mark.notes),
        bounds=bounds,
    )
    return Ruling(decision, selection.terms(draft.marks), varying)


def _bounds(marks: Sequence[Mark], selection: Selection) -> Iterator[Bounds]:
    """The limits that block and that callers are told of."""
    for unit in _TOLD:
        limits = [
            (mark.index, mark.limit)
            for mark in marks
            if mark.blocks and selection.units[mark.index] == unit
        ]
        if limits:
            yield unit, tuple(dict.fromkeys(limits))


def _mark(rule: CompiledRule, usage: Trigger, index: int) -> Mark:
    return Mark(
        rule.place.number,
        index,
        usage.limit,
        blocks=rule.block is not None and not rule.notes,
        changes=rule.change is not None,
        closed=usage.closed,
        notes=rule.notes,
    )


def _act(rule: CompiledRule, draft: _Draft, passed: Passed) -> None:
    if rule.notes:
        draft.tags = _add(draft.tags, *rule.notes)
        return
    if rule.tag is not None:
        draft.tags = _add(draft.tags, rule.tag)
    if rule.guard is not None:
        draft.guards = _add(draft.guards, rule.guard)
    if rule.retain_days is not None:
        draft.retain_days = rule.retain_days
    if rule.block is not None:
        draft.blocked = Blocked(
            ruleset=rule.place.ruleset,
            rule=rule.place.index,
            message=rule.block,
            unit=None if rule.usage is None else rule.usage.unit,
            retry_after=passed.get(rule.place.number),
        )
    if rule.change is not None:
        draft.route = rule.change
        draft.fallback = rule.prune(draft.fallback)
    if rule.retry is not None:
        draft.retry = rule.retry
        draft.fallback = rule.fallback


def _add(names: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*names, *more)))
