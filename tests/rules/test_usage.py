from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.charges import Charge, Refused, Taken, Window
from waystone_asgi.exceptions import GatewayError, InsufficientQuotaError, RateLimitError
from waystone_asgi.rules import Decision, Rule, Ruleset, compile_rules
from waystone_asgi.rules.decisions import Quota

from .requests import NOW, always, program, pure, resolve, subject

PER_DAY = {"requests": 10, "per": "day", "of": "user"}


def charges(usage: dict[str, Any], **keys: Any) -> tuple[Charge, ...]:
    return program(always(Rule(usage=usage, tag="t"))).evaluate(subject(**keys)).charges


def taken(decision: Decision, *used: int, amounts: tuple[int, ...] | None = None) -> Taken:
    took = amounts or tuple(charge.amount for charge in decision.charges)
    return Taken("1", decision.charges, took, used, (0,) * len(used))


def refused(
    decision: Decision, *indexes: int, used: int | None = None, retry_after: float = 30
) -> Refused:
    """A refusal by counters that are just full, or hold so much."""
    full = [decision.charges[index].limit or 0 for index in indexes]
    held = tuple(limit if used is None else used for limit in full)
    return Refused(indexes, held, (retry_after,) * len(indexes))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"requests": 10, "per": "day", "of": "user"},
            Charge("requests:day:user:ann", Window("day"), 1, 1, 10),
        ),
        (
            {"requests": 0, "past": "90m", "of": "group"},
            Charge("requests:5400s:group:acme", Window(seconds=5400), 1, 1, 0),
        ),
        (
            {"concurrent": 3, "of": "user_in_group"},
            Charge("concurrent:now:user_in_group:3:annacme", Window(), 1, 1, 3),
        ),
        (
            {"tokens": 1000, "per": "month", "of": "principal"},
            Charge("tokens:month:principal:backend", Window("month"), 150, 150, 1000),
        ),
        (
            {"usd": 10.0, "past": "30d", "of": "everyone"},
            Charge("usd:2592000s:everyone:", Window(seconds=2_592_000), 600, 600, 10**10),
        ),
    ],
)
def test_charges(usage: dict[str, Any], expected: Charge) -> None:
    assert charges(usage, user="ann", group="acme") == (expected,)


@pytest.mark.parametrize(
    ("unit", "model", "tokens", "expected"),
    [
        ("tokens", "openai/gpt-4o", (100, 50), (150, 150)),
        ("tokens", "openai/gpt-4o", (100, None), (1124, 101)),
        ("tokens", "openai/gpt-4o", (0, None), (1024, 1)),
        ("usd", "openai/gpt-4o", (100, 50), (600, 600)),
        ("usd", "openai/gpt-4o", (100, None), (200 + 8 * 1024, 208)),
        ("usd", "smart", (100, 50), (3000, 3000)),  # what the first of its models costs
        ("usd", "echo/echo", (100, None), (0, 0)),  # free
        ("usd", "anthropic/claude-opus", (100, None), (0, 0)),  # without a price
        ("requests", "openai/gpt-4o", (100, None), (1, 1)),
        ("concurrent", "openai/gpt-4o", (100, None), (1, 1)),
    ],
)
def test_amounts(
    unit: str, model: str, tokens: tuple[int, int | None], expected: tuple[int, int]
) -> None:
    usage = {unit: 1, "of": "everyone"} | ({} if unit == "concurrent" else {"per": "day"})
    [charge] = charges(usage, model=model, tokens=tokens)
    assert (charge.amount, charge.least) == expected


def test_the_allowance_is_the_hosts() -> None:
    rules = [always(Rule(usage={"tokens": 9, "per": "day", "of": "everyone"}, tag="t"))]
    [charge] = (
        compile_rules(rules, resolve=resolve, allowance=7)
        .evaluate(subject(tokens=(5, None)))
        .charges
    )
    assert (charge.amount, charge.least) == (12, 6)


def test_without_prices_dollars_pass() -> None:
    rules = [always(Rule(usage={"usd": 0, "per": "day", "of": "everyone"}, block="no"))]
    [charge] = compile_rules(rules, resolve=resolve).evaluate(subject()).charges
    assert (charge.amount, charge.least, charge.limit) == (0, 0, 0)


def test_a_price_that_rounds_to_nothing_takes_something_of_what_is_left() -> None:
    rules = [always(Rule(usage={"usd": 1, "per": "day", "of": "everyone"}, block="no"))]
    decided = compile_rules(rules, resolve=resolve, price=lambda t, i, o, n: o // 1000)
    [charge] = decided.evaluate(subject(tokens=(5, None))).charges
    assert (charge.amount, charge.least) == (1, 1)


@pytest.mark.parametrize(
    ("of", "user", "group", "counted"),
    [
        ("user", "ann", None, True),
        ("user", None, "acme", False),
        ("group", None, "acme", True),
        ("group", "ann", None, False),
        ("user_in_group", "ann", "acme", True),
        ("user_in_group", "ann", None, False),
        ("user_in_group", None, "acme", False),
        ("principal", None, None, True),
        ("everyone", None, None, True),
    ],
)
def test_who_is_absent_is_not_counted_and_passes_no_limit(
    of: str, user: str | None, group: str | None, counted: bool
) -> None:
    rules = [Rule(usage={"requests": 0, "per": "day", "of": of}, block="no")]
    decision = program(always(*rules)).evaluate(subject(user=user, group=group))
    assert bool(decision.charges) is bool(decision.units) is bool(decision.marks) is counted
    assert decision.blocked is None


def test_every_counter_is_charged_and_limits_are_where_the_rules_apply() -> None:
    never = Ruleset(
        name="never",
        condition={"is_user": "bob"},
        rules=[
            Rule(usage={"requests": 1, "per": "day", "of": "user"}, block="no"),
            Rule(usage={"tokens": 5, "per": "hour", "of": "group"}, block="no"),
        ],
    )
    mine = always(
        Rule(usage={"requests": 10, "per": "day", "of": "user"}, tag="a"),
        Rule(usage={"requests": 7, "per": "day", "of": "user"}, tag="b"),
        Rule(usage={"requests": 8, "per": "day", "of": "user"}, tag="c"),
        Rule(model="anthropic/*", usage={"requests": 2, "per": "day", "of": "user"}, block="no"),
        Rule(model="anthropic/*", usage={"requests": 2, "past": "1d", "of": "user"}, block="no"),
    )
    decision = program(never, mine).evaluate(subject(user="ann", group="acme"))
    assert [(charge.counter, charge.limit) for charge in decision.charges] == [
        ("requests:day:user:ann", 7),
        ("tokens:hour:group:acme", None),
        ("requests:86400s:user:ann", None),
    ]
    assert decision.units == ("requests", "tokens", "requests")


def test_limits_that_fail_closed() -> None:
    rules = [
        Rule(usage=PER_DAY, tag="a"),
        Rule(usage=PER_DAY | {"requests": 20}, tag="b", on_failure="closed"),
        Rule(usage=PER_DAY | {"of": "principal"}, tag="c", on_failure="closed", shadow=True),
        Rule(usage=PER_DAY | {"of": "everyone"}, tag="d"),
        Rule(model="o3", usage=PER_DAY | {"of": "everyone"}, tag="e", on_failure="closed"),
    ]
    decision = program(always(*rules)).evaluate(subject(user="ann"))
    assert [charge.closed for charge in decision.charges] == [True, False, False]


def test_a_limit_that_is_passed() -> None:
    rules = program(
        always(
            Rule(usage=PER_DAY, change_model_to="openai/o3-mini"),
            Rule(usage=PER_DAY | {"requests": 12}, block="Enough for today."),
        )
    )
    request = subject(user="ann")
    first = rules.evaluate(request)
    assert (first.route, [c.limit for c in first.charges]) == (request.route, [10])
    passed = first.passed(refused(first, 0))
    assert passed == {0: 30}
    second = rules.evaluate(request, passed)
    assert second.route.request_model == "openai/o3-mini"
    assert [c.limit for c in second.charges] == [12]
    third = rules.evaluate(request, {**passed, **second.passed(refused(second, 0))})
    assert third.blocked is not None
    assert third.charges == ()
    assert third.blocked.message == "Enough for today."


def usd(limit: float) -> dict[str, Any]:
    return {"usd": limit, "per": "day", "of": "everyone"}


CHEAPER = Rule(model="openai/o3", usage=usd(10), change_model_to="openai/o3-mini")


@pytest.mark.parametrize(
    ("rules", "used", "passed"),
    [
        # Marks as well as the block: one turn.
        ([Rule(usage=usd(8), tag="t"), Rule(usage=usd(10), block="no")], 11, {0, 1}),
        ([Rule(usage=usd(8), tag="t"), Rule(usage=usd(10), block="no")], 9, {0}),
        ([Rule(usage=usd(10), block="no"), Rule(usage=usd(8), tag="t")], 11, {0, 1}),
        # What changes the model leaves another request to the rules after it.
        ([CHEAPER, Rule(usage=usd(10), block="no")], 10, {0}),
        ([CHEAPER, Rule(usage=usd(8), block="no")], 9, {1}),
        ([CHEAPER, Rule(usage=usd(8), block="no")], 10, {0}),
        ([Rule(usage=usd(8), tag="t"), CHEAPER, Rule(usage=usd(9), tag="u")], 11, {0, 1}),
        # Shadows are not asked.
        ([Rule(usage=usd(5), block="no", shadow=True), Rule(usage=usd(8), tag="t")], 9, {1}),
    ],
)
def test_which_rules_a_refusal_is_of(rules: list[Rule], used: int, passed: set[int]) -> None:
    decision = program(always(*rules)).evaluate(subject("openai/o3"))
    assert decision.passed(refused(decision, 0, used=used * 10**9)).keys() == passed


def test_a_cheaper_model_is_asked_about_by_itself() -> None:
    """What did not fit as o3 may fit as o3-mini, for a rule with the same limit."""
    rules = program(always(CHEAPER, Rule(usage=usd(10), block="no")))
    request = subject("openai/o3")
    first = rules.evaluate(request)
    passed = first.passed(refused(first, 0, used=10**10 - 1000))
    second = rules.evaluate(request, passed)
    assert second.blocked is None
    assert second.route is resolve("openai/o3-mini")
    assert [(c.amount, c.limit) for c in second.charges] == [(300, 10**10)]


def test_a_limit_counts_what_the_request_costs_in_the_end() -> None:
    rules = program(always(Rule(usage=usd(1), block="no"), Rule(change_model_to="echo/echo")))
    [charge] = rules.evaluate(subject("openai/o3")).charges
    assert (charge.amount, charge.limit) == (0, 10**9)


@pytest.mark.parametrize(
    ("usage", "kind", "status", "code"),
    [
        ({"requests": 1, "per": "day"}, RateLimitError, "rate_limit_error", "rate_limit_exceeded"),
        ({"tokens": 1, "past": "1d"}, RateLimitError, "rate_limit_error", "rate_limit_exceeded"),
        ({"concurrent": 1}, RateLimitError, "rate_limit_error", "rate_limit_exceeded"),
        ({"usd": 1, "per": "day"}, InsufficientQuotaError, *["insufficient_quota"] * 2),
    ],
)
@pytest.mark.parametrize(("retry_after", "header"), [(29.2, b"30"), (0, b"1")])
def test_what_a_caller_is_told(
    usage: dict[str, Any],
    kind: type[GatewayError],
    status: str,
    code: str,
    retry_after: float,
    header: bytes,
) -> None:
    rules = program(always(Rule(usage=usage | {"of": "everyone"}, block="Enough.")))
    first = rules.evaluate(subject())
    blocked = rules.evaluate(subject(), first.passed(refused(first, 0, retry_after=retry_after)))
    assert blocked.blocked is not None
    error = blocked.blocked.error()
    assert type(error) is kind
    assert (error.status, error.type, error.code) == (429, status, code)
    assert error.headers == ((b"retry-after", header),)
    assert error.message == "Enough."


def test_what_is_settled() -> None:
    rules = program(
        always(
            *(
                Rule(usage={unit: 5, "per": "day", "of": "everyone"}, tag="t")
                for unit in ("usd", "tokens", "requests")
            ),
            Rule(usage={"concurrent": 5, "of": "everyone"}, tag="t"),
        )
    )
    decision = rules.evaluate(subject())
    assert decision.amounts(requests=1, tokens=20, nanodollars=300) == (300, 20, 1, 0)


def test_where_the_caller_stands() -> None:
    rules = program(
        always(
            Rule(usage={"requests": 10, "per": "day", "of": "user"}, block="no"),
            Rule(usage={"requests": 50, "per": "hour", "of": "everyone"}, block="no"),
            Rule(usage={"requests": 500, "per": "hour", "of": "everyone"}, block="no"),
            Rule(usage={"requests": 1, "per": "minute", "of": "user"}, tag="not told"),
            Rule(usage={"tokens": 1000, "past": "90m", "of": "user"}, block="no"),
            Rule(usage={"tokens": 10, "past": "90m", "of": "user"}, block="no", shadow=True),
        )
    )
    decision = rules.evaluate(subject(user="ann"))
    quotas = decision.quotas(taken(decision, 4, 49, 1, 1100), NOW)
    assert quotas == [Quota("requests", 50, 1, 3600), Quota("tokens", 1000, 0, 5400)]


# Shadows


def test_a_shadow_never_limits_and_notes() -> None:
    shadow = Rule(usage=PER_DAY, block="no", tag="heavy", shadow=True)
    decision = program(always(shadow)).evaluate(subject(user="ann"))
    [charge] = decision.charges
    assert charge.limit is None
    assert decision.notes(taken(decision, 10)) == ()
    assert decision.notes(taken(decision, 11)) == ("shadow:all[0]:tag=heavy", "shadow:all[0]:block")


def test_a_shadow_notes_what_a_limit_would_have_refused() -> None:
    usage = {"tokens": 1000, "per": "day", "of": "everyone"}
    decision = program(always(Rule(usage=usage, block="no", shadow=True))).evaluate(
        subject(tokens=(100, None))
    )
    # It would have made do with 101 tokens of what is left.
    for used, noted in ((899, False), (900, True)):
        assert bool(decision.notes(taken(decision, used + 1124))) is noted


def test_a_shadow_of_dollars_does_not_note_what_is_free() -> None:
    usage = {"usd": 0, "per": "day", "of": "everyone"}
    decision = program(always(Rule(usage=usage, block="no", shadow=True))).evaluate(
        subject("echo/echo")
    )
    assert decision.notes(taken(decision, 10**12)) == ()


def test_a_shadow_beside_a_rule_of_the_same_limit() -> None:
    rules = program(
        always(Rule(usage=PER_DAY, tag="heavy"), Rule(usage=PER_DAY, block="no", shadow=True))
    )
    request = subject(user="ann")
    first = rules.evaluate(request)
    assert first.notes(taken(first, 11)) == ("shadow:all[1]:block",)
    second = rules.evaluate(request, first.passed(refused(first, 0)))
    assert second.tags == ("heavy",)
    assert second.notes(taken(second, 11)) == ("shadow:all[1]:block",)


# Properties

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4) | st.sampled_from(
    ["a", "1:", "1:a", ":", "user", "3:ann", "a:b"]
)
OFS = ("user", "group", "user_in_group", "principal", "everyone")


@pure
@given(st.tuples(IDS, IDS, IDS), st.tuples(IDS, IDS, IDS))
def test_no_ids_name_the_counters_of_others(
    left: tuple[str, str, str], right: tuple[str, str, str]
) -> None:
    rules = program(
        always(*(Rule(usage={"requests": 1, "per": "day", "of": of}, tag="t") for of in OFS))
    )
    keys: dict[str, tuple[object, ...]] = {}
    for user, group, principal in (left, right):
        decision = rules.evaluate(subject(user=user, group=group, principal=principal))
        whose = ((user,), (group,), (user, group), (principal,), ())
        for charge, of, ids in zip(decision.charges, OFS, whose, strict=True):
            assert keys.setdefault(charge.counter, (of, *ids)) == (of, *ids)
    assert len({*keys.values()}) == len(keys)


MODELS = ["openai/o3", "openai/o3-mini", "openai/gpt-4o", "anthropic/claude-opus"]
USAGES = st.builds(
    lambda unit, limit, of: (
        {unit: limit, "of": of} | ({} if unit == "concurrent" else {"per": "day"})
    ),
    st.sampled_from(["requests", "tokens", "usd", "concurrent"]),
    st.integers(0, 4),
    st.sampled_from(OFS),
)
ACTIONS = st.one_of(
    st.builds(lambda model: {"change_model_to": model}, st.sampled_from(MODELS)),
    st.just({"block": "no"}),
    st.just({"tag": "t"}),
    st.builds(lambda model: {"retry": {"fallback": [model]}}, st.sampled_from(MODELS)),
)
RULES = st.builds(
    lambda model, usage, action, shadow: Rule(model=model, usage=usage, shadow=shadow, **action),
    st.none() | st.sampled_from([*MODELS, "openai/*", "o3*"]),
    st.none() | USAGES,
    ACTIONS,
    st.booleans(),
)
RULESETS = st.lists(
    st.builds(
        lambda condition, rules: {"condition": condition, "rules": rules},
        st.sampled_from(["always", {"is_user": "ann"}, {"is_group": True}]),
        st.lists(RULES, min_size=1, max_size=4),
    ),
    max_size=4,
)


@pure
@given(RULESETS, st.sampled_from(MODELS), st.booleans(), st.data())
def test_decisions_are_pure_and_refusals_come_to_an_end(
    given_rulesets: list[dict[str, Any]], model: str, in_group: bool, data: st.DataObject
) -> None:
    rulesets = [Ruleset(name=str(i), **each) for i, each in enumerate(given_rulesets)]
    rules = program(*rulesets)
    limits = sum(rule.usage is not None for each in rulesets for rule in each.members)
    request = subject(model, user="ann", group="acme" if in_group else None)
    passed: dict[int, float] = {}
    for turn in itertools.count():
        assert turn <= limits
        decision = rules.evaluate(request, passed)
        assert (
            decision
            == rules.evaluate(request, passed)
            == program(*rulesets).evaluate(request, passed)
        )
        assert len({charge.counter for charge in decision.charges}) == len(decision.charges)
        assert len(decision.charges) == len(decision.units)
        assert not set(decision.fallback) & set(decision.route.targets)
        assert not any(mark.rule in passed for mark in decision.marks)
        limited = [i for i, charge in enumerate(decision.charges) if charge.limit is not None]
        if decision.blocked is not None or not limited:
            assert not (decision.blocked and decision.charges)
            break
        refuse = data.draw(st.lists(st.sampled_from(limited), unique=True))
        if not refuse:
            break
        used = data.draw(st.none() | st.integers(0, 5000))
        found = decision.passed(refused(decision, *refuse, used=used))
        assert found
        assert not found.keys() & passed.keys()
        passed |= found


@pure
@given(RULESETS, st.sampled_from(MODELS))
def test_an_explanation_ends_as_the_evaluation_does(
    given_rulesets: list[dict[str, Any]], model: str
) -> None:
    rules = program(*(Ruleset(name=str(i), **each) for i, each in enumerate(given_rulesets)))
    request = subject(model, user="ann")
    decision, lines = rules.evaluate(request), rules.explain(request)
    if decision.blocked is not None:
        assert f"blocked by {decision.blocked.ruleset}[{decision.blocked.rule}]" in lines
    else:
        assert f"goes to {decision.route.request_model}" in lines
    assert any("not reached" in line for line in lines) <= (decision.blocked is not None)
