"""Rulesets compiled once, and evaluated for each request.

In: rulesets, and what they may name. Out: a `Program`, whose `evaluate` is pure: the same subject
and the same passed limits give the same decision, and it counts, awaits and opens nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import MappingProxyType

from ..records import Route
from .checks import LONGEST
from .compilation import CompiledRule, Compiler
from .conditions import Holds
from .counting import GROUP, USER, CounterTable, charges_of, ids_of
from .decisions import Decision, Passed, Price, Subject
from .explanation import explain, outcome
from .judging import Ruling, judge
from .models import Resolve
from .rulesets import Ruleset, read_rulesets

REMEMBERED = 4096
"""How many rulings a program remembers."""

_NONE_PASSED: Passed = MappingProxyType({})


def compile_rules(
    rulesets: Sequence[Ruleset],
    *,
    resolve: Resolve,
    guards: Collection[str] | None = None,
    price: Price | None = None,
    allowance: int = 1024,
) -> Program:
    """The program of the rulesets, which may be mappings of the same keys.

    `resolve` gives the route of a model's name and raises what the catalog does; `guards` are the
    names that `check_output` may use, None where they are not known yet. A request that sets no
    bound on its output reserves `allowance` tokens of it, or what is left.

    Raises `ConfigurationError` with the path of what is wrong, `rulesets[1].rules[0].usage.per`.
    """
    read = read_rulesets(rulesets)
    counters = CounterTable(price, allowance)
    compiler = Compiler(resolve, guards, counters)
    rules = tuple(compiler.compile(read, "rulesets"))
    return Program(read, rules, compiler.conditions, counters)


class Program:
    """What the rules do, in a form that is quick to evaluate; `compile_rules` makes one."""

    def __init__(
        self,
        rulesets: Sequence[Ruleset],
        rules: Sequence[CompiledRule],
        conditions: Sequence[Holds],
        counters: CounterTable,
    ) -> None:
        self._rulesets = rulesets
        self._rules = rules
        self._conditions = tuple(conditions)
        self._counters = counters
        self._selections = tuple(map(counters.select, range(4)))
        self._rulings: dict[tuple[Route, int, tuple[bool, ...]], Ruling] = {}

    def evaluate(self, subject: Subject, passed: Passed = _NONE_PASSED) -> Decision:
        """What is to be done with a request.

        A usage rule holds when it is in `passed`, and otherwise limits a charge. So: reserve the
        decision's charges; if they are refused, add `decision.passed(refused)` to `passed` and
        evaluate again. Each turn adds at least one more rule, so it ends.
        """
        present, held = self._look(subject)
        if passed:
            selection = self._selections[present]
            ruling = judge(self._rules, subject.route, held, selection, passed)
        else:
            ruling = self._ruling(subject.route, present, held)
        decision = ruling.decision
        if not ruling.terms:
            return decision
        target = decision.route.targets[0]
        amounts = self._counters.amounts(decision.units, subject, target)
        return Decision(
            route=decision.route,
            retry=decision.retry,
            fallback=decision.fallback,
            tags=decision.tags,
            retain_days=decision.retain_days,
            guards=decision.guards,
            charges=charges_of(ruling.terms, ids_of(subject), amounts),
            units=decision.units,
            marks=decision.marks,
        )

    def explain(self, subject: Subject) -> tuple[str, ...]:
        """Which rules would apply to a request and why, as lines of text."""
        present, held = self._look(subject)
        selection = self._selections[present]
        return (
            *explain(self._rulesets, self._rules, subject, held, selection),
            *outcome(self.evaluate(subject)),
        )

    def _look(self, subject: Subject) -> tuple[int, tuple[bool, ...]]:
        """Who is present, and which conditions hold."""
        identity = subject.identity
        present = (identity.user is not None and USER) + (identity.group is not None and GROUP)
        return present, tuple([holds(subject) for holds in self._conditions])

    def _ruling(self, route: Route, present: int, held: tuple[bool, ...]) -> Ruling:
        """What is decided while no limit is passed, for all who are alike in this."""
        alike = (route, present, held)
        if (ruling := self._rulings.get(alike)) is None:
            selection = self._selections[present]
            ruling = judge(self._rules, route, held, selection, _NONE_PASSED)
            if len(self._rulings) >= REMEMBERED:
                self._rulings.clear()
            if len(route.request_model) <= LONGEST:
                self._rulings[alike] = ruling
        return ruling
