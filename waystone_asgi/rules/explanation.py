"""What the rules make of one request, rule by rule, for people.

In: rules as written and as compiled, and a subject. Out: lines of text. It walks the rules as
`judging` does, with that module's own walk, and knows no counts: it says what would be counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..records import Entity, Route
from ..types import Layers
from .compilation import CompiledRule
from .conditions import Condition, finder
from .counting import Selection
from .decisions import Decision, Subject
from .judging import judge
from .models import full_name
from .rulesets import Rule, Ruleset
from .wording import action_words, condition_words, quote, trigger_words


def explain(
    rulesets: Sequence[Ruleset],
    rules: Sequence[CompiledRule],
    subject: Subject,
    held: Sequence[bool],
    selection: Selection,
) -> Iterator[str]:
    """A line for each ruleset, one for each rule of those that apply."""
    number = 0
    for ruleset in rulesets:
        condition = rules[number].place.condition
        applies = condition is None or held[condition]
        yield (
            f"{ruleset.name}: {'applies' if applies else 'does not apply'}"
            f" ({condition_words(ruleset)}{reason(ruleset.asked, subject)})"
        )
        for written in ruleset.members:
            if applies:
                before = judge(rules[:number], subject.route, held, selection, {}).decision
                words = _rule(written, rules[number], before, selection)
                yield f"  [{rules[number].place.index}] {words}"
            number += 1


def outcome(decision: Decision) -> Iterator[str]:
    """A line for each part of a decision that says something."""
    if decision.blocked is not None:
        yield f"blocked by {decision.blocked.ruleset}[{decision.blocked.rule}]"
    else:
        yield f"goes to {_route(decision.route)}"
    if decision.fallback:
        yield f"falls back to {', '.join(map(full_name, decision.fallback))}"
    for name in ("guards", "tags"):
        if names := getattr(decision, name):
            yield f"{name}: {', '.join(names)}"
    if decision.retain_days is not None:
        yield f"retained for {decision.retain_days} days"
    if decision.retry is not None and decision.retry.attempts > 1:
        yield f"tries each model {decision.retry.attempts} times"


def reason(condition: Condition | None, subject: Subject) -> str:
    """What the subject has to do with a condition."""
    if condition is None:
        return ""
    user, group = subject.identity.user, subject.identity.group
    if condition.kind == "is_principal":
        return f"; the principal is {quote(subject.principal)}"
    if condition.kind == "is_user":
        return f"; {_entity('user', user)}"
    if condition.kind == "is_group":
        return f"; {_entity('group', group)}"
    found = [
        _field(condition, kind, entity, layers)
        for kind, entity, layers in (
            ("user", user, subject.user_metadata),
            ("group", group, subject.group_metadata),
        )
        if condition.whose in (kind, "any")
    ]
    return f"; {', '.join(found)}"


def _rule(written: Rule, rule: CompiledRule, before: Decision, selection: Selection) -> str:
    words = f"{trigger_words(written)}: "
    if before.blocked is not None:
        return words + "not reached"
    if not rule.meets(before.route):
        if rule.usage is None and rule.prune(before.fallback) != before.fallback:
            return words + f"for a fallback only -> {action_words(written)}"
        return words + f"no, the model is {_route(before.route)}"
    if rule.usage is not None and written.limit is not None:
        if selection.places[rule.usage.counter] < 0:
            return words + f"no, the request has no {written.limit.of}"
        return words + f"once that is passed -> {action_words(written)}"
    return words + f"yes -> {action_words(written)}"


def _route(route: Route) -> str:
    names = ", ".join(map(full_name, route.targets))
    return names if names == route.request_model else f"{route.request_model} ({names})"


def _entity(kind: str, entity: Entity | None) -> str:
    if entity is None:
        return f"there is no {kind}"
    return f"the {kind} is {quote(entity.id)} ({entity.source})"


def _field(condition: Condition, kind: str, entity: Entity | None, layers: Layers) -> str:
    if entity is None:
        return f"there is no {kind}"
    assert isinstance(condition.metadata, str)
    for source in condition.sources:
        if (value := finder(condition.metadata, (source,))(layers)) is not None:
            return f"the {kind} has {quote(value)} ({source})"
    return f"the {kind} has none"
