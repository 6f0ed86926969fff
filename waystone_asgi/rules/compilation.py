"""Rules as they are written become rules as they are run.

In: rulesets, and what the catalog and the host know. Out: conditions as tests, models as routes,
limits as numbered counters, or `SettingError` for a name that nobody knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from ..records import Route, Target
from .checks import SettingError
from .conditions import Holds
from .counting import CounterTable, Trigger
from .models import Models, Resolve, find_route
from .retries import Retry
from .rulesets import Rule, Ruleset


class Place(Struct, frozen=True, kw_only=True):
    """Where a rule stands: number `index` of `ruleset` and number `number` of all, from 0.

    `condition` is the number of the ruleset's condition, None for always.
    """

    number: int
    ruleset: str
    index: int
    condition: int | None


class CompiledRule(Struct, frozen=True, kw_only=True, eq=False):
    """One rule, with None for each trigger and action that it has not.

    A shadow rule has `notes`, which take the place of its actions.
    """

    place: Place
    models: Models | None
    usage: Trigger | None
    block: str | None
    change: Route | None
    retry: Retry | None
    fallback: tuple[Target, ...]
    guard: str | None
    tag: str | None
    retain_days: int | None
    notes: tuple[str, ...]

    def meets(self, route: Route) -> bool:
        """Whether the rule speaks of the model that is asked for."""
        return self.models is None or self.models.meet(route)

    def prune(self, fallback: tuple[Target, ...]) -> tuple[Target, ...]:
        """The fallback without the models that the rule blocks, or with what it makes of them."""
        if self.notes or (self.block is None and self.change is None):
            return fallback
        kept: list[Target] = []
        for target in fallback:
            if self.models is not None and not self.models.meet_target(target):
                kept.append(target)
            elif self.change is not None:
                kept += self.change.targets
        return tuple(dict.fromkeys(kept))


class Compiler:
    """Compiles the rules of one program.

    `conditions` are those that it has met, by number; `timed` are the numbers of those that turn
    out otherwise as time goes by.
    """

    def __init__(
        self, resolve: Resolve, guards: Collection[str] | None, counters: CounterTable
    ) -> None:
        self._resolve = resolve
        self._guards = guards
        self._counters = counters
        self._numbers: dict[str, int] = {}
        self.conditions: list[Holds] = []
        self.timed: list[int] = []

    def compile(self, rulesets: Sequence[Ruleset], path: str) -> Iterator[CompiledRule]:
        """The rules of all rulesets, in the order written. Raises `SettingError`."""
        number = 0
        for position, ruleset in enumerate(rulesets):
            condition = self._condition(ruleset)
            for index, rule in enumerate(ruleset.members):
                place = Place(number=number, ruleset=ruleset.name, index=index, condition=condition)
                yield self._rule(rule, place, f"{path}[{position}].rules[{index}]")
                number += 1

    def _condition(self, ruleset: Ruleset) -> int | None:
        if (condition := ruleset.asked) is None:
            return None
        # Equal conditions share a test. As text, because to Python 1 equals True.
        key = repr(condition)
        if key not in self._numbers:
            self._numbers[key] = len(self.conditions)
            if condition.is_timed:
                self.timed.append(len(self.conditions))
            self.conditions.append(condition.compile())
        return self._numbers[key]

    def _rule(self, rule: Rule, place: Place, path: str) -> CompiledRule:
        if rule.check_output is not None and self._guards is not None:
            self._check_guard(rule.check_output, f"{path}.check_output")
        return CompiledRule(
            place=place,
            models=self._models(rule, f"{path}.model"),
            usage=self._usage(rule),
            block=rule.block,
            change=self._route(rule.change_model_to, f"{path}.change_model_to"),
            retry=rule.policy,
            fallback=self._fallback(rule.policy, f"{path}.retry.fallback"),
            guard=rule.check_output,
            tag=rule.tag,
            retain_days=rule.retain_days,
            notes=tuple(notes_of(rule, f"{place.ruleset}[{place.index}]")) if rule.shadow else (),
        )

    def _models(self, rule: Rule, path: str) -> Models | None:
        if rule.model is None:
            return None
        return Models(rule.models, self._resolve, path, many=not isinstance(rule.model, str))

    def _usage(self, rule: Rule) -> Trigger | None:
        if (usage := rule.limit) is None:
            return None
        return Trigger(
            counter=self._counters.add(usage),
            unit=usage.unit,
            limit=usage.limit,
            closed=rule.on_failure == "closed",
        )

    def _route(self, name: str | None, path: str) -> Route | None:
        return None if name is None else find_route(self._resolve, name, path)

    def _fallback(self, retry: Retry | None, path: str) -> tuple[Target, ...]:
        targets: list[Target] = []
        for index, name in enumerate(retry.fallback if retry else ()):
            targets += find_route(self._resolve, name, f"{path}[{index}]").targets
        return tuple(dict.fromkeys(targets))

    def _check_guard(self, name: str, path: str) -> None:
        assert self._guards is not None
        if name not in self._guards:
            known = f"known are {', '.join(self._guards)}." if self._guards else "there is none."
            raise SettingError(path, f"no guard has this name; {known}")


def notes_of(rule: Rule, name: str) -> Iterator[str]:
    """The tags that say what a rule would have done."""
    if rule.tag is not None:
        yield f"shadow:{name}:tag={rule.tag}"
    if rule.retain_days is not None:
        yield f"shadow:{name}:retain_days={rule.retain_days}"
    if rule.check_output is not None:
        yield f"shadow:{name}:check_output={rule.check_output}"
    if rule.block is not None:
        yield f"shadow:{name}:block"
    if rule.change_model_to is not None:
        yield f"shadow:{name}:change_model_to={rule.change_model_to}"
    if rule.retry is not None:
        yield f"shadow:{name}:retry"
