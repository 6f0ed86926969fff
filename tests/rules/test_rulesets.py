from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import Any

import pytest

import waystone_asgi
from waystone_asgi.charges import Window
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.rules import Retry, Rule, Ruleset, UsageLimit, read_rulesets

RULE = "rulesets[0].rules[0]"
PER_DAY = {"requests": 1, "per": "day", "of": "user"}


def ruleset(**keys: object) -> dict[str, Any]:
    return {"name": "r", "condition": "always", "rules": [{"block": "no"}]} | keys


def rule(**keys: object) -> dict[str, Any]:
    return ruleset(rules=[keys])


def usage(**keys: object) -> dict[str, Any]:
    return rule(usage=keys, block="no")


def condition(**keys: object) -> dict[str, Any]:
    return ruleset(condition=keys)


def test_toml_and_python_say_the_same() -> None:
    document = """
    [[rulesets]]
    name = "free tier"
    condition = { metadata = "tier", one_of = ["free", "trial"], of = "user", source = "host" }
    rules = [
      { model = ["openai/o3", "smart"], change_model_to = "openai/o3-mini" },
      { usage = { usd = 10.0, past = "30d", of = "user" }, block = "No.", on_failure = "closed" },
      { retry = { attempts = 2, fallback = ["openai/gpt-4o"], on = [429, "5xx"] }, tag = "t" },
      { model = "openai/*", check_output = "abuse", retain_days = 60, shadow = true },
    ]
    """
    written = Ruleset(
        name="free tier",
        condition={"metadata": "tier", "one_of": ("free", "trial"), "of": "user", "source": "host"},
        rules=[
            Rule(model=["openai/o3", "smart"], change_model_to="openai/o3-mini"),
            Rule(
                usage={"usd": 10.0, "past": "30d", "of": "user"},
                block="No.",
                on_failure="closed",
            ),
            Rule(retry=Retry(attempts=2, fallback=["openai/gpt-4o"], on=[429, "5xx"]), tag="t"),
            Rule(model="openai/*", check_output="abuse", retain_days=60, shadow=True),
        ],
    )
    assert read_rulesets(tomllib.loads(document)["rulesets"]) == (written,)
    assert read_rulesets([written]) == (written,)


def test_the_names_are_the_packages() -> None:
    assert (waystone_asgi.Rule, waystone_asgi.Ruleset) == (Rule, Ruleset)


@pytest.mark.parametrize(
    ("keys", "unit", "limit", "window"),
    [
        ({"usd": 10.0, "past": "30d"}, "usd", 10_000_000_000, Window(seconds=2_592_000)),
        ({"usd": Decimal("0.000000001"), "per": "month"}, "usd", 1, Window("month")),
        ({"usd": 0.1, "per": "day"}, "usd", 100_000_000, Window("day")),
        ({"usd": 0, "per": "day"}, "usd", 0, Window("day")),
        ({"tokens": 1000.0, "per": "week"}, "tokens", 1000, Window("week")),
        ({"requests": 0, "per": "hour"}, "requests", 0, Window("hour")),
        ({"requests": 60, "per": "minute"}, "requests", 60, Window("minute")),
        ({"requests": 2**53, "past": "45s"}, "requests", 2**53, Window(seconds=45)),
        ({"requests": 1, "past": "90m"}, "requests", 1, Window(seconds=5400)),
        ({"requests": 1, "past": "12h"}, "requests", 1, Window(seconds=43_200)),
        ({"requests": 1, "past": "2w"}, "requests", 1, Window(seconds=1_209_600)),
        ({"concurrent": 4}, "concurrent", 4, Window()),
    ],
)
def test_limits(keys: dict[str, Any], unit: str, limit: int, window: Window) -> None:
    found = UsageLimit(**keys, of="user")
    assert (found.unit, found.limit, found.window) == (unit, limit, window)


@pytest.mark.parametrize(
    ("on", "status", "error_type", "covered"),
    [
        ((), 500, "upstream_error", True),
        ((), 503, None, True),
        ((), 429, "rate_limit_exceeded", True),
        ((), 408, None, True),
        ((), 400, "invalid_request_error", False),
        ((), 404, "model_not_found", False),
        ((), None, "upstream_timeout", True),
        ((), None, "upstream_error", True),
        ((), 401, "upstream_authentication", True),
        ((), None, None, False),
        ((429,), 429, None, True),
        ((429,), 500, "upstream_error", False),
        (("4xx",), 404, None, True),
        (("5xx",), 404, None, False),
        (("5xx",), 502, None, True),
        (("upstream_timeout",), None, "upstream_timeout", True),
        (("upstream_timeout",), None, "upstream_error", False),
    ],
)
def test_what_is_tried_again(
    on: tuple[int | str, ...], status: int | None, error_type: str | None, covered: bool
) -> None:
    assert Retry(on=on).covers(status, error_type) is covered


BAD: dict[str, tuple[object, str]] = (
    {
        "no list": ({"name": "r"}, "rulesets: expected a list of rulesets."),
        "a string": ("always", "rulesets: expected a list of rulesets."),
        "no table": ([3], "rulesets[0]: expected a table of name, condition, rules."),
        "an unknown key": (
            [ruleset(rule=[])],
            "rulesets[0].rule: unknown key; did you mean rules?",
        ),
        "a key far from any": (
            [ruleset(x=1)],
            "rulesets[0].x: unknown key; known are name, condition, rules.",
        ),
        "no name": (
            [{"condition": "always", "rules": []}],
            "rulesets[0]: name is missing.",
        ),
        "no condition": ([{"name": "r", "rules": []}], "rulesets[0]: condition is missing."),
        "a name that is none": (
            [ruleset(name="")],
            "rulesets[0].name: expected a name, as a string.",
        ),
        "a name twice": (
            [ruleset(), ruleset(name="s"), ruleset()],
            "rulesets[2].name: another ruleset has this name.",
        ),
        "a long name": (
            [ruleset(name="n" * 257)],
            "rulesets[0].name: expected at most 256 characters.",
        ),
        "half a character": (
            [ruleset(name="\ud800")],
            "rulesets[0].name: expected whole characters of Unicode.",
        ),
        "no rules": (
            [ruleset(), ruleset(name="s", rules=[])],
            "rulesets[1].rules: expected rules, at least one, in a list.",
        ),
        "rules as a table": (
            [ruleset(rules={"block": "no"})],
            "rulesets[0].rules: expected rules, at least one, in a list.",
        ),
        # Conditions
        "a word": (
            [ruleset(condition="never")],
            'rulesets[0].condition: expected "always", or a table.',
        ),
        "a number": ([ruleset(condition=1)], "rulesets[0].condition: expected a table of is_user,"),
        "nothing asked": (
            [ruleset(condition={})],
            "rulesets[0].condition: give one of is_user, is_group, is_principal, metadata.",
        ),
        "two asked": (
            [condition(is_user=True, is_group=True)],
            "rulesets[0].condition: give one of is_",
        ),
        "an unknown question": (
            [condition(is_admin=True)],
            "rulesets[0].condition.is_admin: unknown key; known are is_user,",
        ),
        "false": (
            [condition(is_user=False)],
            "rulesets[0].condition.is_user: expected true or an id, as a string.",
        ),
        "an empty id": (
            [condition(is_group="")],
            "rulesets[0].condition.is_group: expected true or an id, as a string.",
        ),
        "no operator": (
            [condition(metadata="tier")],
            "rulesets[0].condition: give one operator, of equals, not_equals,",
        ),
        "two operators": (
            [condition(metadata="tier", equals=1, exists=True)],
            "rulesets[0].condition: give one operator, of equals, not_equals,",
        ),
        "an operator without a field": (
            [condition(is_user=True, equals="ann")],
            "rulesets[0].condition.equals: belongs to a condition on metadata.",
        ),
        "of without a field": (
            [condition(is_user=True, of="user")],
            "rulesets[0].condition.of: belongs to a condition on metadata.",
        ),
        "a field that is none": (
            [condition(metadata=1, equals=1)],
            "rulesets[0].condition.metadata: expected the name of a field, as a string.",
        ),
        "of somebody": (
            [condition(metadata="x", equals=1, of="users")],
            "rulesets[0].condition.of: expected one of user, group, any.",
        ),
        "a source": (
            [condition(is_user=True, source="body")],
            "rulesets[0].condition.source: expected one of host, key, claimed.",
        ),
        "no sources": (
            [condition(is_user=True, source=[])],
            "rulesets[0].condition.source: expected sources, at least one, in a list.",
        ),
        "a source in a list": (
            [condition(is_user=True, source=["host", 1])],
            "rulesets[0].condition.source[1]: expected one of host, key, claimed.",
        ),
        "a source of a principal": (
            [condition(is_principal=True, source="host")],
            "rulesets[0].condition.source: a principal has none.",
        ),
        "is_true is not": (
            [condition(metadata="x", is_true=False)],
            "rulesets[0].condition.is_true: expected true.",
        ),
        "exists not": (
            [condition(metadata="x", exists=1)],
            "rulesets[0].condition.exists: expected true.",
        ),
        "null": (
            [condition(metadata="x", equals=None)],
            "rulesets[0].condition.equals: expected a JSON value",
        ),
        "not a number": (
            [condition(metadata="x", not_equals=float("nan"))],
            "rulesets[0].condition.not_equals: expected a JSON value",
        ),
        "a date of TOML": (
            [condition(metadata="x", equals=tomllib.loads("a=2026-01-01")["a"])],
            "rulesets[0].condition.equals: expected a JSON value",
        ),
        "a value inside": (
            [condition(metadata="x", equals={"a": [1, None]})],
            "rulesets[0].condition.equals.a[1]: expected a JSON value",
        ),
        "one of none": (
            [condition(metadata="x", one_of=[])],
            "rulesets[0].condition.one_of: expected values, at least one, in a list.",
        ),
        "one of a string": (
            [condition(metadata="x", one_of="free")],
            "rulesets[0].condition.one_of: expected values, at least one, in a list.",
        ),
        "one of nulls": (
            [condition(metadata="x", one_of=["a", None])],
            "rulesets[0].condition.one_of[1]: expected a JSON value",
        ),
        "less than true": (
            [condition(metadata="x", less_than=True)],
            "rulesets[0].condition.less_than: expected a number or a string.",
        ),
        "greater than infinity": (
            [condition(metadata="x", greater_than=float("inf"))],
            "rulesets[0].condition.greater_than: expected a JSON value",
        ),
        "newer than a number": (
            [condition(metadata="x", newer_than=30)],
            "rulesets[0].condition.newer_than: expected a duration such as",
        ),
        "older than no unit": (
            [condition(metadata="x", older_than="30")],
            "rulesets[0].condition.older_than: expected a duration such as",
        ),
        # Rules
        "a rule that is none": (
            [ruleset(rules=["block"])],
            f"{RULE}: expected a table of model, usage,",
        ),
        "an unknown action": (
            [rule(blok="no")],
            f"{RULE}.blok: unknown key; did you mean block?",
        ),
        "no action": (
            [ruleset(rules=[{"block": "no"}, {"model": "openai/o3"}])],
            "rulesets[0].rules[1]: give an action, of block, change_model_to,",
        ),
        "an empty rule": ([rule()], f"{RULE}: give an action, of block,"),
        "block and change": (
            [rule(block="no", change_model_to="openai/o3")],
            f"{RULE}.change_model_to: a request that is blocked has no use for it.",
        ),
        "block and check": (
            [rule(block="no", check_output="abuse")],
            f"{RULE}.check_output: a request that is blocked has no use for it.",
        ),
        "block without words": (
            [rule(block=True)],
            f"{RULE}.block: expected a message for the caller, as a string.",
        ),
        "a model that is none": (
            [rule(model=3, block="no")],
            f"{RULE}.model: expected models or globs, at least one, in a list.",
        ),
        "an empty model": (
            [rule(model="", block="no")],
            f"{RULE}.model: expected a model or a glob, such as openai/*, as a string.",
        ),
        "a model in a list": (
            [rule(model=["openai/o3", None], block="no")],
            f"{RULE}.model[1]: expected a model or a glob, such as openai/*, as a string.",
        ),
        "models to change to": (
            [rule(change_model_to=["openai/o3"])],
            f"{RULE}.change_model_to: expected a model, as a string.",
        ),
        "a guard that is none": (
            [rule(check_output=len)],
            f"{RULE}.check_output: expected the name of a guard, as a string.",
        ),
        "a blank tag": (
            [rule(tag=" ")],
            f"{RULE}.tag: expected a tag for the usage record, as a string.",
        ),
        "days in words": (
            [rule(retain_days="60")],
            f"{RULE}.retain_days: expected a whole number from 0 to 36500.",
        ),
        "true days": (
            [rule(retain_days=True)],
            f"{RULE}.retain_days: expected a whole number from 0 to 36500.",
        ),
        "a shadow of a number": (
            [rule(tag="t", shadow=1)],
            f"{RULE}.shadow: expected true or false.",
        ),
        "failing in between": (
            [rule(tag="t", usage=PER_DAY, on_failure="ajar")],
            f"{RULE}.on_failure: expected one of open, closed.",
        ),
        "failing without usage": (
            [rule(tag="t", on_failure="closed")],
            f"{RULE}.on_failure: belongs to a rule with usage.",
        ),
        # Retries
        "retry a number": (
            [rule(retry=2)],
            f"{RULE}.retry: expected a table of attempts,",
        ),
        "retry nothing": (
            [rule(retry={"on": [429]})],
            f"{RULE}.retry: give one of attempts, fallback, hold, hedge_after.",
        ),
        "no attempts": (
            [rule(retry={"attempts": 0})],
            f"{RULE}.retry.attempts: expected a whole number from 1 to 10.",
        ),
        "a fallback": (
            [rule(retry={"fallback": "openai/o3"})],
            f"{RULE}.retry.fallback: expected models, at least one, in a list.",
        ),
        "a fallback that is none": (
            [rule(retry={"fallback": [""]})],
            f"{RULE}.retry.fallback[0]: expected a model, as a string.",
        ),
        "on a word": (
            [rule(retry={"attempts": 2, "on": [429, "timeout"]})],
            f"{RULE}.retry.on[1]: expected a status from 400 to 599, or one of 4xx, 5xx,",
        ),
        "hold half": (
            [rule(retry={"hold": "half"})],
            f"{RULE}.retry.hold: expected one of first_event, complete.",
        ),
        "on success": (
            [rule(retry={"attempts": 2, "on": [200]})],
            f"{RULE}.retry.on[0]: expected a status from 400 to 599,",
        ),
        "on truth": (
            [rule(retry={"attempts": 2, "on": [True]})],
            f"{RULE}.retry.on[0]: expected a status from 400 to 599,",
        ),
        "on nothing": (
            [rule(retry={"attempts": 2, "on": []})],
            f"{RULE}.retry.on: expected statuses or error types, at least one, in a list.",
        ),
        # Usage
        "usage of a number": (
            [rule(usage=1, block="no")],
            f"{RULE}.usage: expected a table",
        ),
        "no limit": (
            [usage(per="day", of="user")],
            f"{RULE}.usage: give one limit, of requests, tokens, usd, concurrent.",
        ),
        "two limits": (
            [usage(requests=1, tokens=1, per="day", of="user")],
            f"{RULE}.usage: give one limit, of requests, tokens, usd, concurrent.",
        ),
        "an unknown unit": (
            [usage(eur=1, per="day", of="user")],
            f"{RULE}.usage.eur: unknown key;",
        ),
        "per and past": (
            [usage(requests=1, per="day", past="1d", of="user")],
            f"{RULE}.usage: give either per,",
        ),
        "neither": ([usage(requests=1, of="user")], f"{RULE}.usage: give either per,"),
        "concurrent per": (
            [usage(concurrent=1, per="day", of="user")],
            f"{RULE}.usage: concurrent counts the calls under way: no per, no past.",
        ),
        "concurrent past": (
            [usage(concurrent=1, past="1d", of="user")],
            f"{RULE}.usage: concurrent counts the calls under way: no per, no past.",
        ),
        "nobody's": (
            [usage(requests=1, per="day")],
            f"{RULE}.usage.of: expected one of user, group, user_in_group, principal,",
        ),
        "whose": (
            [usage(requests=1, per="day", of="any")],
            f"{RULE}.usage.of: expected one of user, group, user_in_group, principal,",
        ),
        "per year": (
            [
                ruleset(),
                ruleset(name="s", rules=[{"usage": PER_DAY | {"per": "year"}, "block": "no"}]),
            ],
            "rulesets[1].rules[0].usage.per: expected one of minute, hour, day, week, month.",
        ),
    }
    | {
        f"{unit} {limit!r}": (
            [usage(**{unit: limit}, per="day", of="user")],
            f"{RULE}.usage.{unit}: expected",
        )
        for unit in ("requests", "tokens", "usd")
        for limit in (-1, True, float("nan"), float("inf"), 2**53 + 1, "10", [1])
    }
    | {
        f"past {past!r}": (
            [usage(requests=1, past=past, of="user")],
            f"{RULE}.usage.past: expected a duration such as",
        )
        for past in (
            "",
            "30",
            "d",
            "30 d",
            "-1d",
            "0d",
            "1.5h",
            "30D",
            "1y",
            "99999999d",
            30,
            "\u0663\u0660d",
        )
    }
    | {
        "half a request": (
            [usage(requests=1.5, per="day", of="user")],
            f"{RULE}.usage.requests: expected a whole number from 0 to 9007199254740992.",
        ),
        "less than a nano-dollar": (
            [usage(usd=1e-10, per="day", of="user")],
            f"{RULE}.usage.usd: expected dollars, 0 or more and at most 9007199.",
        ),
        "no decimal": (
            [usage(usd=Decimal("sNaN"), per="day", of="user")],
            f"{RULE}.usage.usd: expected dollars, 0 or more and at most 9007199.",
        ),
    }
)


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told_with_its_path(name: str) -> None:
    value, message = BAD[name]
    with pytest.raises(ConfigurationError) as raised:
        read_rulesets(value)
    assert str(raised.value).startswith(message), raised.value


def test_python_says_it_without_the_outer_path() -> None:
    with pytest.raises(ConfigurationError, match=r"^usage\.requests: expected a whole number"):
        Rule(usage={"requests": -1, "per": "day", "of": "user"}, block="no")
    with pytest.raises(ConfigurationError, match=r"^rules\[0\]\.tag: expected a tag"):
        Ruleset(name="r", condition="always", rules=[{"tag": 1}])


def test_values_are_not_repeated() -> None:
    secret = "canary-3f9c"
    wrong = [usage(requests=secret, past=secret, of=secret), rule(block="no", shadow=secret)]
    for value in wrong:
        with pytest.raises(ConfigurationError) as raised:
            read_rulesets([value])
        assert secret not in str(raised.value)
