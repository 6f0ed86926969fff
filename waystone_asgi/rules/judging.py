"""The walk through the rules: each on the request as those before left it.

In: compiled rules, which conditions hold, and whose limits are known to be passed. Out: a `Ruling`,
which is the same for every request of which these are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from ..records import Route, Target
from .compilation import CompiledRule
from .counting import Selection, Term, Trigger
from .decisions import Blocked, Decision, Mark, Passed
from .rulesets import Retry


class Ruling(Struct, frozen=True):
    """A decision but for its charges, and the terms of those."""

    decision: Decision
    terms: tuple[Term, ...]


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
    charged = draft.blocked is None
    targets = draft.route.targets
    decision = Decision(
        route=draft.route,
        blocked=draft.blocked,
        retry=draft.retry,
        fallback=tuple(target for target in draft.fallback if target not in targets),
        tags=draft.tags,
        retain_days=draft.retain_days,
        guards=draft.guards,
        units=selection.units if charged else (),
        marks=draft.marks if charged else (),
    )
    return Ruling(decision, selection.terms(draft.marks) if charged else ())


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
