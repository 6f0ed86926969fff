from __future__ import annotations

import pytest

from waystone_asgi.exceptions import BlockedError
from waystone_asgi.rules import Decision, Program, Retry, Rule, Ruleset
from waystone_asgi.rules import program as programs

from .requests import always, program, resolve, subject

MINI = Rule(model="openai/o3", change_model_to="openai/o3-mini")
NEVER = {"is_user": "nobody"}


def decide(*rules: Rule, model: str = "openai/o3") -> Decision:
    guards = ["abuse", "tone"]
    return program(always(*rules), guards=guards).evaluate(subject(model))


def targets(decision: Decision) -> list[str]:
    return [f"{target.provider}/{target.model}" for target in decision.route.targets]


def fallback(decision: Decision) -> list[str]:
    return [f"{target.provider}/{target.model}" for target in decision.fallback]


def test_no_rules_change_nothing() -> None:
    request = subject("smart", user="ann")
    decision = program().evaluate(request)
    assert decision == Decision(route=request.route)
    assert decision.route is request.route


def test_change_model() -> None:
    assert targets(decide(MINI)) == ["openai/o3-mini"]
    assert targets(decide(MINI, model="o3")) == ["openai/o3-mini"]
    assert targets(decide(MINI, model="smart")) == ["openai/o3-mini"]
    assert targets(decide(MINI, model="openai/gpt-4o")) == ["openai/gpt-4o"]
    assert decide(Rule(change_model_to="smart")).route == resolve("smart")


def test_rules_run_in_order_on_what_those_before_left() -> None:
    chain = [
        Rule(model="openai/o3-mini", tag="too early"),
        MINI,
        Rule(model="openai/o3", tag="no more"),
        Rule(model="openai/o3-mini", tag="then"),
        Rule(model="openai/o3-mini", change_model_to="fast"),
        Rule(model="fast", tag="by alias"),
        Rule(model="openai/gpt-4o-mini", tag="by name"),
    ]
    decision = decide(*chain)
    assert decision.route == resolve("fast")
    assert decision.tags == ("then", "by alias", "by name")


def test_models_that_change_into_each_other_do_so_once() -> None:
    back = Rule(model="openai/o3-mini", change_model_to="openai/o3")
    assert targets(decide(MINI, back)) == ["openai/o3"]
    assert targets(decide(MINI, back, model="openai/o3-mini")) == ["openai/o3"]


def test_rulesets_run_in_order() -> None:
    first = always(MINI, name="first")
    second = Ruleset(name="second", condition="always", rules=[Rule(model="o3-mini", tag="2nd")])
    assert program(first, second).evaluate(subject("o3")).tags == ("2nd",)
    assert program(second, first).evaluate(subject("o3")).tags == ()


def test_a_ruleset_whose_condition_does_not_hold() -> None:
    never = Ruleset(name="never", condition=NEVER, rules=[MINI, Rule(block="no")])
    assert program(never).evaluate(subject("o3")) == Decision(route=resolve("o3"))


def test_block_ends_it() -> None:
    rules = [Rule(tag="before"), Rule(model="o3", block="Not o3."), Rule(tag="after"), MINI]
    decision = decide(*rules)
    assert decision.blocked is not None
    assert (decision.blocked.ruleset, decision.blocked.rule) == ("all", 1)
    assert decision.tags == ("before",)
    assert (decision.charges, decision.units) == ((), ())
    error = decision.blocked.error()
    assert type(error) is BlockedError
    assert (error.message, error.status, error.code) == ("Not o3.", 403, "blocked_by_rule")
    assert decide(*rules, model="openai/gpt-4o").blocked is None


def test_a_block_marks_too() -> None:
    decision = decide(Rule(block="no", tag="blocked here", retain_days=1))
    assert (decision.tags, decision.retain_days) == (("blocked here",), 1)


def test_tags_and_guards_gather_once_each() -> None:
    decision = decide(
        Rule(tag="b", check_output="tone"),
        Rule(tag="a"),
        Rule(tag="b", check_output="abuse"),
        Rule(check_output="tone"),
    )
    assert decision.tags == ("b", "a")
    assert decision.guards == ("tone", "abuse")


def test_the_last_word_on_retention() -> None:
    assert decide(Rule(tag="t")).retain_days is None
    assert decide(Rule(retain_days=60), Rule(retain_days=0)).retain_days == 0


# Retry and fallback


def test_the_last_word_on_retries() -> None:
    first = Rule(retry={"attempts": 3, "fallback": ["fast"]})
    decision = decide(first, Rule(retry={"attempts": 2, "on": [429]}))
    assert decision.retry == Retry(attempts=2, on=(429,))
    assert decision.fallback == ()


def test_a_fallback_may_be_an_alias_and_is_tried_once() -> None:
    rule = Rule(retry={"fallback": ["smart", "openai/gpt-4o", "openai/o3", "gpt-4o-mini", "fast"]})
    decision = decide(rule)
    names = ["anthropic/claude-opus", "openai/gpt-4o", "openai/gpt-4o-mini"]
    assert (targets(decision), fallback(decision)) == (["openai/o3"], names)


GLOBAL = Rule(retry={"fallback": ["openai/gpt-4o", "anthropic/claude-opus"]})


@pytest.mark.parametrize(
    ("rule", "model", "expected"),
    [
        # What a later rule says of a model, it says of a fallback too.
        (Rule(model="openai/*", change_model_to="azure/gpt-4o"), "openai/o3", ["anthropic/cl"]),
        (Rule(model="openai/*", change_model_to="azure/gpt-4o"), "echo", ["azure", "anthropic/cl"]),
        (Rule(change_model_to="azure/gpt-4o"), "openai/o3", []),
        (Rule(model="anthropic/*", block="no"), "openai/o3", ["openai/gpt-4o"]),
        (Rule(model="claude*", block="no"), "openai/o3", ["openai/gpt-4o"]),
        # A shadow does nothing, and usage is asked of the model alone.
        (Rule(model="anthropic/*", block="no", shadow=True), "o3", ["openai", "anthropic"]),
        (
            Rule(
                model="anthropic/*",
                block="no",
                usage={"requests": 0, "per": "day", "of": "everyone"},
            ),
            "o3",
            ["openai", "anthropic"],
        ),
        (Rule(model="anthropic/*", tag="t"), "o3", ["openai", "anthropic"]),
        (
            Rule(
                model="anthropic/*",
                change_model_to="azure/gpt-4o",
                retry={"fallback": ["echo/echo"]},
            ),
            "o3",
            ["openai", "azure"],
        ),
        (
            Rule(change_model_to="azure/gpt-4o", retry={"fallback": ["echo/echo"]}),
            "o3",
            ["echo"],
        ),
    ],
)
def test_later_rules_and_a_fallback(rule: Rule, model: str, expected: list[str]) -> None:
    found = fallback(decide(GLOBAL, rule, model=model))
    assert len(found) == len(expected)
    assert all(name.startswith(start) for name, start in zip(found, expected, strict=True))


def test_earlier_rules_leave_a_fallback_alone() -> None:
    change = Rule(model="openai/*", change_model_to="azure/gpt-4o")
    decision = decide(change, GLOBAL)
    assert fallback(decision) == ["openai/gpt-4o", "anthropic/claude-opus"]


# Shadows


def test_shadows_note_and_do_nothing() -> None:
    shadows = [
        Rule(model="o3", change_model_to="fast", shadow=True),
        Rule(block="no", tag="t", retain_days=3, shadow=True),
        Rule(check_output="abuse", retry={"attempts": 2}, shadow=True),
        Rule(model="fast", block="no", shadow=True),
    ]
    decision = decide(*shadows)
    assert decision == Decision(
        route=resolve("openai/o3"),
        tags=(
            "shadow:all[0]:change_model_to=fast",
            "shadow:all[1]:tag=t",
            "shadow:all[1]:retain_days=3",
            "shadow:all[1]:block",
            "shadow:all[2]:check_output=abuse",
            "shadow:all[2]:retry",
        ),
    )


# What a program remembers


def test_alike_requests_are_decided_alike() -> None:
    rules = program(always(MINI, Rule(model="gpu/*", tag="gpu")))
    assert rules.evaluate(subject("o3")) is rules.evaluate(subject("o3"))
    long = "gpu/" + "m" * 1000
    assert rules.evaluate(subject(long)) is not rules.evaluate(subject(long))
    assert rules.evaluate(subject(long)).tags == ("gpu",)


def test_a_program_remembers_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "REMEMBERED", 3)
    rules: Program = program(always(Rule(model="gpu/*", tag="gpu")))
    for number in range(10):
        assert rules.evaluate(subject(f"gpu/{number}")).tags == ("gpu",)
    assert rules.evaluate(subject("gpu/9")) is rules.evaluate(subject("gpu/9"))


def test_routes_are_the_catalogs_own() -> None:
    assert decide(Rule(tag="t")).route is resolve("openai/o3")
    assert decide(MINI).route is resolve("openai/o3-mini")
