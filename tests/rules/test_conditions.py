from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.records import Source
from waystone_asgi.rules import Rule, Ruleset, Subject
from waystone_asgi.rules.comparisons import comparison, moment, same
from waystone_asgi.rules.conditions import OPERATORS
from waystone_asgi.types import Layers

from .requests import NOW, program, pure, subject

MISSING: dict[str, object] = {}
DAY = 86_400


def holds(condition: Any, request: Subject) -> bool:
    decided = program(Ruleset(name="r", condition=condition, rules=[Rule(tag="held")]))
    return decided.evaluate(request).tags == ("held",)


def test_always() -> None:
    assert holds("always", subject())


@pytest.mark.parametrize(
    ("condition", "keys", "held"),
    [
        ({"is_user": True}, {}, False),
        ({"is_user": True}, {"user": "ann"}, True),
        ({"is_user": True}, {"group": "acme"}, False),
        ({"is_user": "ann"}, {"user": "ann"}, True),
        ({"is_user": "ann"}, {"user": "Ann"}, False),
        ({"is_user": "ann"}, {"group": "ann"}, False),
        ({"is_user": "ann"}, {}, False),
        ({"is_group": True}, {"group": "acme"}, True),
        ({"is_group": True}, {"user": "acme"}, False),
        ({"is_group": "acme"}, {"user": "ann", "group": "acme"}, True),
        ({"is_group": "acme"}, {"user": "acme", "group": "other"}, False),
        ({"is_principal": True}, {}, True),
        ({"is_principal": "backend"}, {}, True),
        ({"is_principal": "backend"}, {"principal": "other", "user": "backend"}, False),
        ({"is_user": True, "source": "host"}, {"user": "ann", "source": "host"}, True),
        ({"is_user": True, "source": "host"}, {"user": "ann", "source": "claimed"}, False),
        ({"is_user": True, "source": ["host", "key"]}, {"user": "ann", "source": "key"}, True),
        ({"is_user": "ann", "source": ["host", "key"]}, {"user": "ann"}, False),
        ({"is_group": "acme", "source": "claimed"}, {"group": "acme"}, True),
        ({"is_group": True, "source": "claimed"}, {}, False),
    ],
)
def test_who_is_named(condition: dict[str, Any], keys: dict[str, Any], held: bool) -> None:
    assert holds(condition, subject(**keys)) is held


FIELDS: list[tuple[dict[str, Any], dict[str, object], bool]] = [
    ({"equals": "free"}, {"x": "free"}, True),
    ({"equals": "free"}, {"x": "Free"}, False),
    ({"equals": "free"}, MISSING, False),
    ({"equals": "free"}, {"x": None}, False),
    ({"equals": "1"}, {"x": 1}, False),
    ({"equals": 1}, {"x": "1"}, False),
    ({"equals": 1}, {"x": 1.0}, True),
    ({"equals": 1.0}, {"x": 1}, True),
    ({"equals": 1}, {"x": True}, False),
    ({"equals": True}, {"x": 1}, False),
    ({"equals": True}, {"x": True}, True),
    ({"equals": False}, {"x": 0}, False),
    ({"equals": False}, MISSING, False),
    ({"equals": [1, {"a": "b"}]}, {"x": [1.0, {"a": "b"}]}, True),
    ({"equals": [1, 2]}, {"x": [2, 1]}, False),
    ({"equals": [1, 2]}, {"x": [1]}, False),
    ({"equals": {"a": 1}}, {"x": {"a": True}}, False),
    ({"equals": {"a": 1}}, {"x": {"a": 1, "b": 2}}, False),
    ({"not_equals": "free"}, {"x": "pro"}, True),
    ({"not_equals": "free"}, {"x": "free"}, False),
    ({"not_equals": "free"}, {"x": 1}, True),
    ({"not_equals": "free"}, MISSING, True),
    ({"not_equals": 1}, {"x": 1.0}, False),
    ({"not_equals": 1}, {"x": True}, True),
    ({"not_equals": 1}, MISSING, True),
    ({"is_true": True}, {"x": True}, True),
    ({"is_true": True}, {"x": 1}, False),
    ({"is_true": True}, {"x": "true"}, False),
    ({"is_true": True}, MISSING, False),
    ({"is_false": True}, {"x": False}, True),
    ({"is_false": True}, {"x": 0}, False),
    ({"is_false": True}, {"x": True}, False),
    ({"is_false": True}, MISSING, True),
    ({"exists": True}, {"x": False}, True),
    ({"exists": True}, {"x": ""}, True),
    ({"exists": True}, {"x": None}, False),
    ({"exists": True}, MISSING, False),
    ({"one_of": ["eu", "ch"]}, {"x": "ch"}, True),
    ({"one_of": ["eu", "ch"]}, {"x": "us"}, False),
    ({"one_of": ["eu", 1]}, {"x": 1.0}, True),
    ({"one_of": ["eu", 1]}, {"x": True}, False),
    ({"one_of": ["eu", 1]}, {"x": ["eu"]}, False),
    ({"one_of": ["eu", [1]]}, {"x": [1]}, True),
    ({"one_of": ["eu", "ch"]}, MISSING, False),
    ({"less_than": 5}, {"x": 4.9}, True),
    ({"less_than": 5}, {"x": 5}, False),
    ({"less_than": 5}, {"x": "4"}, False),
    ({"less_than": 5}, {"x": False}, False),
    ({"less_than": 5}, MISSING, False),
    ({"less_than": "b"}, {"x": "a"}, True),
    ({"less_than": "b"}, {"x": "b"}, False),
    ({"less_than": "b"}, {"x": 1}, False),
    ({"greater_than": 5}, {"x": 6}, True),
    ({"greater_than": 5.5}, {"x": 5}, False),
    ({"greater_than": 0}, {"x": True}, False),
    ({"greater_than": "2026-01-01"}, {"x": "2026-11-23"}, True),
    ({"greater_than": 5}, MISSING, False),
    ({"newer_than": "30d"}, {"x": NOW - 29 * DAY}, True),
    ({"newer_than": "30d"}, {"x": int(NOW) - 30 * DAY}, False),
    ({"newer_than": "30d"}, {"x": NOW + DAY}, True),
    ({"newer_than": "30d"}, {"x": "2026-11-01T00:00:00Z"}, True),
    ({"newer_than": "30d"}, {"x": "2026-11-01"}, True),
    ({"newer_than": "30d"}, {"x": "2026-10-01"}, False),
    ({"newer_than": "12h"}, {"x": "2026-11-23T02:00:00+01:00"}, True),
    ({"newer_than": "12h"}, {"x": "2026-11-23T00:30:00+01:00"}, False),
    ({"newer_than": "12h"}, {"x": "2026-11-23T00:30:00"}, True),
    ({"newer_than": "90m"}, {"x": NOW - 5399}, True),
    ({"newer_than": "45s"}, {"x": NOW - 45}, False),
    ({"newer_than": "30d"}, {"x": "yesterday"}, False),
    ({"newer_than": "30d"}, {"x": "2026-11-01T00:00:00Z" + " " * 100}, False),
    ({"newer_than": "30d"}, {"x": True}, False),
    ({"newer_than": "30d"}, {"x": [1]}, False),
    ({"newer_than": "30d"}, MISSING, False),
    ({"older_than": "30d"}, {"x": NOW - 30 * DAY}, True),
    ({"older_than": "30d"}, {"x": NOW - 29 * DAY}, False),
    ({"older_than": "30d"}, {"x": "2026-10-01"}, True),
    ({"older_than": "30d"}, {"x": "0001-01-01T00:00:00+23:59"}, True),
    ({"older_than": "30d"}, {"x": ""}, False),
    ({"older_than": "30d"}, MISSING, False),
]


@pytest.mark.parametrize(("operator", "metadata", "held"), FIELDS, ids=str)
@pytest.mark.parametrize("of", ["user", "group", "any"])
def test_a_field(
    operator: dict[str, Any], metadata: dict[str, object], held: bool, of: str
) -> None:
    condition = {"metadata": "x", "of": of} | operator
    layers: Layers = {"claimed": metadata}
    if of != "group":
        assert holds(condition, subject(user="ann", user_metadata=layers)) is held
    if of != "user":
        assert holds(condition, subject(group="acme", group_metadata=layers)) is held


@pytest.mark.parametrize("of", ["user", "group", "any"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_without_user_and_group_every_field_is_missing(operator: str, of: str) -> None:
    operand: dict[str, object] = {"one_of": ["a"], "newer_than": "1d", "older_than": "1d"}
    value = operand.get(operator, True if operator in ("is_true", "is_false", "exists") else "a")
    condition = {"metadata": "x", "of": of, operator: value}
    assert holds(condition, subject()) is (operator in ("not_equals", "is_false"))


@pytest.mark.parametrize(
    ("of", "user", "group", "held"),
    [
        ("any", {"x": "free"}, {"x": "pro"}, True),
        ("any", {"x": "pro"}, {"x": "free"}, True),
        ("any", {"x": "pro"}, {"x": "pro"}, False),
        ("any", {"x": "pro"}, None, False),
        ("any", None, {"x": "free"}, True),
        ("any", None, {"x": "pro"}, False),
        ("user", {"x": "pro"}, {"x": "free"}, False),
        ("user", {"x": "free"}, None, True),
        ("user", None, {"x": "free"}, False),
        ("group", {"x": "free"}, {"x": "pro"}, False),
        ("group", {"x": "pro"}, {"x": "free"}, True),
        ("group", {"x": "free"}, None, False),
    ],
)
def test_whose_field(
    of: str, user: dict[str, object] | None, group: dict[str, object] | None, held: bool
) -> None:
    request = subject(
        user=None if user is None else "ann",
        group=None if group is None else "acme",
        user_metadata={"host": user or {}},
        group_metadata={"host": group or {}},
    )
    assert holds({"metadata": "x", "equals": "free", "of": of}, request) is held
    if of == "any":
        assert holds({"metadata": "x", "equals": "free"}, request) is held


def test_one_of_the_present_is_enough_to_differ() -> None:
    request = subject(
        user="ann", group="acme", user_metadata={}, group_metadata={"host": {"x": "free"}}
    )
    assert holds({"metadata": "x", "not_equals": "free"}, request)
    assert not holds({"metadata": "x", "not_equals": "free", "of": "group"}, request)


@pytest.mark.parametrize(
    ("source", "layers", "held"),
    [
        (None, {"host": {"x": 1}, "claimed": {"x": 2}}, True),
        (None, {"claimed": {"x": 1}, "host": {"x": 2}}, False),
        (None, {"claimed": {"x": 1}, "key": {"x": 2}}, False),
        (None, {"claimed": {"x": 1}, "host": {"y": 2}}, True),
        (None, {"claimed": {"x": 1}, "host": {"x": None}}, True),
        ("host", {"claimed": {"x": 1}}, False),
        ("host", {"claimed": {"x": 2}, "host": {"x": 1}}, True),
        (["claimed", "key"], {"claimed": {"x": 2}, "key": {"x": 1}, "host": {"x": 2}}, True),
        (["claimed"], {"claimed": {"x": 1}, "key": {"x": 2}}, True),
    ],
)
def test_who_says_so(source: object, layers: dict[Source, dict[str, object]], held: bool) -> None:
    condition: dict[str, object] = {"metadata": "x", "equals": 1}
    if source is not None:
        condition["source"] = source
    assert holds(condition, subject(user="ann", user_metadata=layers)) is held


@pytest.mark.parametrize(
    ("layers", "held"),
    [
        ({"host": {"plan": {"tier": "free"}}}, True),
        ({"host": {"plan.tier": "free"}}, True),
        ({"host": {"plan.tier": "free", "plan": {"tier": "pro"}}}, True),
        ({"host": {"plan.tier": "pro", "plan": {"tier": "free"}}}, False),
        ({"host": {"plan": "free"}}, False),
        ({"host": {"plan": {}}}, False),
        ({"host": {"plan": {}}, "claimed": {"plan": {"tier": "free"}}}, True),
        ({}, False),
    ],
)
def test_a_path_of_names(layers: Layers, held: bool) -> None:
    condition = {"metadata": "plan.tier", "equals": "free"}
    assert holds(condition, subject(user="ann", user_metadata=layers)) is held


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pure
@given(JSON, JSON)
def test_sameness_is_an_equivalence(left: object, right: object) -> None:
    assert same(left, right) is same(right, left)
    assert same(left, left) is (left is not None) or isinstance(left, list | dict)
    if same(left, right):
        assert left == right


@pure
@given(JSON, st.floats(0, 1e10))
def test_every_value_can_be_compared(value: object, now: float) -> None:
    operands: dict[str, object] = {
        "one_of": ("a", 1),
        "less_than": 3,
        "greater_than": "b",
        "newer_than": "30d",
        "older_than": "30d",
    }
    found = {name: comparison(name, operands.get(name, "a"))(value, now) for name in OPERATORS}
    assert found["equals"] is not found["not_equals"]
    assert found["exists"] is (value is not None)
    assert not (found["is_true"] and found["is_false"])
    assert (found["newer_than"] is not found["older_than"]) is (moment(value) is not None)


@pure
@given(st.datetimes(timezones=st.just(UTC)))
def test_moments(when: datetime) -> None:
    assert moment(when.isoformat()) == when.timestamp() == moment(when.timestamp())
    assert moment(when.replace(tzinfo=None).isoformat()) == when.timestamp()
