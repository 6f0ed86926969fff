from __future__ import annotations

import pytest

from waystone_asgi.rules import Rule, Ruleset, describe

from .requests import program, subject

USD = {"usd": 10.0, "past": "30d", "of": "user"}


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("always", "always"),
        ({"is_user": True}, "is_user"),
        ({"is_group": "acme", "source": "host"}, 'is_group "acme", source host'),
        ({"metadata": "tier", "equals": "free"}, 'metadata "tier" equals "free" of any'),
        ({"metadata": "x", "equals": True}, 'metadata "x" equals true of any'),
        ({"metadata": "x", "is_true": True, "of": "user"}, 'metadata "x" is_true of user'),
        (
            {"metadata": "x", "one_of": [1, "a"], "source": ["claimed", "host"]},
            'metadata "x" one_of [1,"a"] of any, source host or claimed',
        ),
    ],
)
def test_conditions_in_words(condition: object, words: str) -> None:
    ruleset = Ruleset(name="r", condition=condition, rules=[Rule(tag="t")])  # type: ignore[arg-type]
    assert list(describe(ruleset)) == [("r", words), ("  [0] every request", '-> tag "t"')]


@pytest.mark.parametrize(
    ("rule", "trigger", "action"),
    [
        (Rule(model="o3", block="no"), "model o3", 'block "no"'),
        (
            Rule(model=["o3", "openai/*"], usage=USD, change_model_to="fast", shadow=True),
            "model o3 or openai/*, usage over 10.0 usd past 30d of user",
            "shadow: change_model_to fast",
        ),
        (
            Rule(usage={"requests": 5, "per": "day", "of": "everyone"}, tag="t", retain_days=3),
            "usage over 5 requests per day of everyone",
            'tag "t", retain_days 3',
        ),
        (
            Rule(usage={"concurrent": 5, "of": "group"}, check_output="abuse"),
            "usage over 5 concurrent of group",
            "check_output abuse",
        ),
        (Rule(retry={"attempts": 3}), "every request", "retry 3 attempts"),
        (
            Rule(retry={"fallback": ["a/b", "c"], "on": [429, "5xx"]}),
            "every request",
            "retry 1 attempts, fallback a/b, c, on 429, 5xx",
        ),
        (Rule(retry={"hold": "complete"}), "every request", "retry 1 attempts, hold complete"),
    ],
)
def test_rules_in_words(rule: Rule, trigger: str, action: str) -> None:
    ruleset = Ruleset(name="r", condition="always", rules=[rule])
    assert list(describe(ruleset))[1] == (f"  [0] {trigger}", f"-> {action}")


RULESETS = [
    Ruleset(
        name="everyone",
        condition="always",
        rules=[
            Rule(retry={"attempts": 2, "fallback": ["fast", "anthropic/claude-opus"]}),
            Rule(tag="seen", check_output="abuse", retain_days=30),
        ],
    ),
    Ruleset(
        name="free",
        condition={"metadata": "tier", "equals": "free"},
        rules=[
            Rule(model="openai/o3", change_model_to="smart"),
            Rule(usage=USD, block="Enough."),
            Rule(model="openai/gpt-*", block="no"),
            Rule(model="anthropic/*", change_model_to="echo/echo"),
            Rule(model="gpu/*", tag="gpu"),
            Rule(usage={"requests": 5, "per": "day", "of": "group"}, tag="never"),
        ],
    ),
    Ruleset(name="one", condition={"is_principal": "other"}, rules=[Rule(block="no")]),
    Ruleset(name="guests", condition={"is_user": True, "source": "host"}, rules=[Rule(block="no")]),
    Ruleset(name="groups", condition={"is_group": True}, rules=[Rule(block="no")]),
]


def test_an_explanation() -> None:
    request = subject("openai/o3", user="ann", user_metadata={"claimed": {"tier": "free"}})
    free = 'metadata "tier" equals "free" of any; the user has "free" (claimed), there is no group'
    assert program(*RULESETS, guards=["abuse"]).explain(request) == (
        "everyone: applies (always)",
        "  [0] every request: yes -> retry 2 attempts, fallback fast, anthropic/claude-opus",
        '  [1] every request: yes -> tag "seen", retain_days 30, check_output abuse',
        f"free: applies ({free})",
        "  [0] model openai/o3: yes -> change_model_to smart",
        '  [1] usage over 10.0 usd past 30d of user: once that is passed -> block "Enough."',
        '  [2] model openai/gpt-*: for a fallback only -> block "no"',
        "  [3] model anthropic/*: yes -> change_model_to echo/echo",
        "  [4] model gpu/*: no, the model is echo/echo",
        "  [5] usage over 5 requests per day of group: no, the request has no group",
        'one: does not apply (is_principal "other"; the principal is "backend")',
        'guests: does not apply (is_user, source host; the user is "ann" (claimed))',
        "groups: does not apply (is_group; there is no group)",
        "goes to echo/echo",
        "guards: abuse",
        "tags: seen",
        "retained for 30 days",
        "tries each model 2 times",
    )


def test_an_explanation_of_a_block() -> None:
    request = subject("smart", group="acme", group_metadata={"host": {"tier": "pro"}})
    lines = program(
        Ruleset(
            name="r",
            condition={"metadata": "tier", "not_equals": "free", "of": "group"},
            rules=[Rule(model="gpu/*", tag="t"), Rule(block="no"), Rule(tag="t")],
        ),
        Ruleset(name="s", condition={"metadata": "plan", "is_false": True}, rules=[Rule(tag="t")]),
    ).explain(request)
    assert lines == (
        'r: applies (metadata "tier" not_equals "free" of group; the group has "pro" (host))',
        "  [0] model gpu/*: no, the model is smart (openai/o3, anthropic/claude-opus)",
        '  [1] every request: yes -> block "no"',
        "  [2] every request: not reached",
        's: applies (metadata "plan" is_false of any; there is no user, the group has none)',
        "  [0] every request: not reached",
        "blocked by r[1]",
    )


def test_an_explanation_of_a_fallback() -> None:
    rules = [Rule(retry={"fallback": ["openai/gpt-4o", "echo/echo"]})]
    lines = program(Ruleset(name="r", condition="always", rules=rules)).explain(subject("o3"))
    assert lines[-2:] == ("goes to openai/o3", "falls back to openai/gpt-4o, echo/echo")
