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
from .counting import CounterTable
from .decisions import Decision, Passed, Price, Subject
from .explanation import explain, outcome
from .judging import Ruling, judge
from .models import Resolve
from .rulesets import Ruleset, read_rulesets
from .standings import Standing, Standings, Template

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
    return Program(read, rules, compiler, counters)


class Program:
    """What the rules do, in a form that is quick to evaluate; `compile_rules` makes one."""

    def __init__(
        self,
        rulesets: Sequence[Ruleset],
        rules: Sequence[CompiledRule],
        compiler: Compiler,
        counters: CounterTable,
    ) -> None:
        self._rulesets = rulesets
        self._rules = rules
        self._counters = counters
        self._selections = tuple(map(counters.select, range(4)))
        self._standings = Standings(compiler.conditions, compiler.timed, self._selections)
        self._rulings: dict[tuple[Route, int, tuple[bool, ...]], Ruling] = {}

    def evaluate(self, subject: Subject, passed: Passed = _NONE_PASSED) -> Decision:
        """What is to be done with a request.

        A usage rule holds when it is in `passed`, and otherwise limits a charge. So: reserve the
        decision's charges; if they are refused, add `decision.passed(refused)` to `passed` and
        evaluate again. Each turn adds at least one more rule, so it ends.
        """
        standing = self._standings.of(subject)
        if passed:
            selection = self._selections[standing.present]
            ruling = judge(self._rules, subject.route, standing.held, selection, passed)
            template = ruling.template(standing.names)
        else:
            known = standing.templates.get(subject.route)
            ruling, template = known or self._learn(subject.route, standing)
        if not ruling.varying:
            return template
        amounts = self._counters.amounts(ruling.varying, subject, template.route.targets[0])
        return ruling.vary(template, amounts)

    def explain(self, subject: Subject) -> tuple[str, ...]:
        """Which rules would apply to a request and why, as lines of text."""
        standing = self._standings.of(subject)
        selection = self._selections[standing.present]
        return (
            *explain(self._rulesets, self._rules, subject, standing.held, selection),
            *outcome(self.evaluate(subject)),
        )

    def _learn(self, route: Route, standing: Standing) -> Template:
        ruling = self._ruling(route, standing.present, standing.held)
        template = (ruling, ruling.template(standing.names))
        if len(route.request_model) <= LONGEST:
            standing.keep(route, template)
        return template

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
