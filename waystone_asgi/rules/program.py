"""Rulesets compiled once, and evaluated for each request.

In: rulesets, and what they may name. Out: a `Program`, whose `evaluate` is pure: the same subject
and the same passed limits give the same decision, and it counts, awaits and opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ..records import Route
from .decisions import _NONE_PASSED, Decision, Passed, Price, Subject
from .rulesets import Ruleset


def compile_rules(
    rulesets: Sequence[Ruleset],
    *,
    resolve: Callable[[str], Route],
    guards: Collection[str] | None = None,
    price: Price | None = None,
    allowance: int = 1024,
) -> Program:
    """The program of the rulesets.

    `resolve` gives the route of a model's name and raises what the catalog does; `guards` are the
    names that `check_output` may use, None where they are not known yet. A request that sets no
    bound on its output reserves `allowance` tokens of it, or what is left.

    Raises `ConfigurationError` with the path of what is wrong, `rulesets[1].rules[0].usage.per`.
    """
    return Program()


class Program:
    """What the rules do, in a form that is quick to evaluate."""

    def evaluate(
        self, subject: Subject, passed: Passed = _NONE_PASSED, *, counting: bool = True
    ) -> Decision:
        """What is to be done with a request.

        A usage rule holds when its limit is in `passed`, and otherwise limits a charge. So: reserve
        the decision's charges; if they are refused, add `decision.passed(refused)` to `passed` and
        evaluate again. Each turn passes at least one more limit, so it ends.

        Where counters cannot be reached, `counting=False` decides without them: usage rules that
        fail closed hold, the others do not, and there are no charges.
        """
        return Decision(route=subject.route)

    def explain(self, subject: Subject) -> tuple[str, ...]:
        """Which rules would apply to a request and why, as lines of text."""
        return ()
