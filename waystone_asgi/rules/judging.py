"""The walk through the rules: each on the request as those before left it.

In: compiled rules, which conditions hold, and which limits are known to be passed. Out: a `Ruling`,
which is the same for every request of which these are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from ..records import Route, Target
from .compilation import CompiledRule
from .counting import Selection, Trigger
from .decisions import Blocked, Decision, Mark, Passed
from .rulesets import Retry


class Known(Struct, frozen=True):
    """What is known of counters: which count, their keys, and the limits that are passed."""

    selection: Selection
    keys: Sequence[str]
    passed: Passed


class Ruling(Struct, frozen=True):
    """A decision but for its charges, and the tightest limit of each of those."""

    decision: Decision
    limits: tuple[int | None, ...]


class _Draft(Struct):
    """What the rules have come to so far."""

    route: Route
    limits: list[int | None]
    fallback: tuple[Target, ...] = ()
    retry: Retry | None = None
    blocked: Blocked | None = None
    retain_days: int | None = None
    tags: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    shown: tuple[Mark, ...] = ()
    shadows: tuple[Mark, ...] = ()


def judge(
    rules: Sequence[CompiledRule], route: Route, held: Sequence[bool], known: Known
) -> Ruling:
    """Run the rules on a request for `route`. A block ends it."""
    draft = _Draft(route, [None] * len(known.selection.units))
    for rule in rules:
        if rule.condition is not None and not held[rule.condition]:
            continue
        if not rule.meets(draft.route):
            if rule.usage is None and not rule.notes:
                draft.fallback = rule.prune(draft.fallback)
        elif rule.usage is None or _holds(rule, rule.usage, draft, known):
            _act(rule, draft, known)
            if draft.blocked is not None:
                break
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
        units=known.selection.units if charged else (),
        shown=draft.shown if charged else (),
        shadows=draft.shadows if charged else (),
    )
    return Ruling(decision, tuple(draft.limits))


def _holds(rule: CompiledRule, usage: Trigger, draft: _Draft, known: Known) -> bool:
    """Whether the limit is known to be passed; where it is not, it limits a charge."""
    place, limit = known.selection.places[usage.counter], usage.limit
    if place < 0:
        return False
    if known.passed and (known.keys[place], limit) in known.passed:
        return True
    if rule.notes:
        draft.shadows += (Mark(place, limit, rule.notes),)
        return False
    tightest = draft.limits[place]
    draft.limits[place] = limit if tightest is None else min(tightest, limit)
    if rule.block is not None:
        draft.shown += (Mark(place, limit),)
    return False


def _act(rule: CompiledRule, draft: _Draft, known: Known) -> None:
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
        draft.blocked = _block(rule, rule.block, known)
    if rule.change is not None:
        draft.route = rule.change
        draft.fallback = rule.prune(draft.fallback)
    if rule.retry is not None:
        draft.retry = rule.retry
        draft.fallback = rule.fallback


def _block(rule: CompiledRule, message: str, known: Known) -> Blocked:
    usage = rule.usage
    if usage is None:
        return Blocked(ruleset=rule.ruleset, rule=rule.index, message=message)
    key = known.keys[known.selection.places[usage.counter]]
    return Blocked(
        ruleset=rule.ruleset,
        rule=rule.index,
        message=message,
        unit=usage.unit,
        retry_after=known.passed[key, usage.limit],
    )


def _add(names: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*names, *more)))
