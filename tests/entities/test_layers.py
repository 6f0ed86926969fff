"""Metadata in layers: what counts, what a merge changes, and what is too large or too deep."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.entities.layers import effective, holds, is_shallow, merge, plain, weigh
from waystone_asgi.exceptions import InternalError, InvalidRequestError, RequestTooLargeError
from waystone_asgi.records import Source
from waystone_asgi.types import Layers

CANARY = "canary-90ab"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ({}, {}),
        ({"claimed": {"a": 1}}, {"a": 1}),
        ({"claimed": {"a": 1, "b": 1, "c": 1}, "key": {"a": 2, "b": 2}, "host": {"a": 3}}, "321"),
        ({"host": {"a": None}, "claimed": {"a": 1}}, {"a": None}),
        ({"host": {"a": {"x": 1}}, "key": {"a": {"y": 1}}}, {"a": {"x": 1}}),
    ],
)
def test_the_first_layer_that_has_a_field_counts(layers: Layers, expected: Any) -> None:
    if isinstance(expected, str):
        expected = dict(zip("abc", map(int, expected), strict=True))
    assert effective(layers) == expected


@pytest.mark.parametrize(
    ("layer", "changes", "expected"),
    [
        ({}, {}, True),
        ({"a": 1}, {}, True),
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": None}, True),
        ({"a": 1}, {"a": None}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": [1]}, {"a": [True]}, False),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, True),
        ({"a": {"x": 1}}, {"a": {"x": 1.0}}, False),
        ({"a": "x"}, {"a": "x" * 1}, True),
        (
            {"a": [datetime(2026, 1, 1, tzinfo=UTC)]},
            {"a": [datetime(2026, 1, 1, tzinfo=UTC)]},
            True,
        ),
        ({"a": [{1}]}, {"a": [{1.0}]}, False),
        ({"a": {"x": {1: 2}}}, {"a": {"x": {1: 2}}}, False),
    ],
)
def test_what_would_change_nothing(
    layer: dict[str, Any], changes: dict[str, Any], expected: bool
) -> None:
    assert holds(layer, changes) is expected


SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from([0.0, 1.0, "", "a"])
FIELDS = st.dictionaries(
    st.sampled_from("abcd"), SCALARS | st.lists(SCALARS) | st.dictionaries(st.just("x"), SCALARS)
)


@given(FIELDS, FIELDS)
def test_merging_again_changes_nothing(first: dict[str, Any], second: dict[str, Any]) -> None:
    once = merge("user", {}, "key", first)
    twice = merge("user", once, "key", second)
    assert merge("user", twice, "key", second) is twice
    expected = {k: v for k, v in (once.get("key", {}) | second).items() if v is not None}
    assert twice == ({"key": expected} if expected else {})


def test_a_merge_leaves_the_layers_it_was_given_alone() -> None:
    layers: Layers = {"host": {"a": 1}, "claimed": {"b": 1}}
    assert merge("user", layers, "claimed", {"b": 2}) == {"host": {"a": 1}, "claimed": {"b": 2}}
    assert merge("user", layers, "claimed", {"b": None}) == {"host": {"a": 1}}
    assert merge("user", layers, "key", {"a": 5}) == {**layers, "key": {"a": 5}}
    assert layers == {"host": {"a": 1}, "claimed": {"b": 1}}


LEFT = 65_536 - len('{"a":""}')


@pytest.mark.parametrize(
    ("layers", "changes", "fits"),
    [
        ({}, {"a": "x" * (LEFT - 1)}, True),
        ({}, {"a": "x" * LEFT}, False),
        ({}, {"a": "é" * (LEFT // 2)}, False),
        ({"key": {"b": "x" * 40_000}}, {"a": "x" * 40_000}, False),
        ({"key": {"a": "x" * 40_000}}, {"a": "y" * 40_000}, True),
        ({"key": {"b": "x" * 40_000}}, {"a": "x" * 40_000, "b": None}, True),
        ({"host": {"b": "x" * 40_000}}, {"a": "x" * 40_000}, True),
        ({"key": {"a": "x" * (LEFT - 1)}}, {"a": "x" * (LEFT - 1)}, True),
    ],
)
@pytest.mark.parametrize("kind", ["user", "group"])
def test_a_layer_is_shorter_than_64_kib(
    kind: str, layers: dict[Source, Any], changes: dict[str, Any], fits: bool
) -> None:
    if fits:
        merge(kind, layers, "key", changes)
        return
    with pytest.raises(RequestTooLargeError) as caught:
        merge(kind, layers, "key", changes)
    assert (caught.value.status, caught.value.param) == (413, f"{kind}.metadata")


# What a host's hook may say.


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ({"a": 10**30, "b": -(2**70)}, {"a": 10**30, "b": -(2**70)}),
        ({"since": datetime(2026, 1, 2, tzinfo=UTC)}, {"since": "2026-01-02T00:00:00Z"}),
        ({"a": (1, 2), "b": {"x"}, "c": float("nan")}, {"a": [1, 2], "b": ["x"], "c": None}),
        ({"a": {1: 2}}, {"a": {"1": 2}}),
    ],
)
def test_metadata_is_made_json(metadata: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    assert plain("user", metadata) == expected


def test_nobody_else_holds_what_is_stored() -> None:
    given_out = {"a": [1]}
    stored = plain("user", given_out)  # type: ignore[arg-type]
    given_out["a"].append(2)
    assert stored == {"a": [1]}


@pytest.mark.parametrize(
    "value", [object(), {"a": object()}, "\ud800", 10**5000, 1j], ids=lambda value: str(type(value))
)
def test_what_is_no_json_is_the_hosts_mistake(
    value: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(InternalError) as caught:
        plain("group", {CANARY: value})
    assert "The metadata of a group is not JSON" in caplog.text
    assert CANARY not in caplog.text + caught.value.message


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth // 2):
        value = [{"a": value}]
    return {"a": value}


def test_metadata_that_is_too_deep() -> None:
    assert plain("user", nested(98)) == nested(98)
    endless: list[object] = []
    endless.append(endless)
    for metadata in (nested(100), nested(sys.getrecursionlimit() - 100), {"a": endless}):
        with pytest.raises(InvalidRequestError, match="too deep") as caught:
            plain("user", metadata)
        assert (caught.value.status, caught.value.param) == (400, "user.metadata")
    assert is_shallow([[]], 2)
    assert not is_shallow([[]], 1)
    assert not is_shallow({"a": {}}, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"a": "x" * 1000},
        {"a": "x" * 1000 + "😀"},
        {"a": [[] for _ in range(1000)]},
        {"a": [{} for _ in range(1000)]},
        {"a": [{"b": 1000 + n} for n in range(1000)]},
        {f"key {n}": float(n) for n in range(1000)},
        {"a": [str(n) for n in range(1000)]},
    ],
    ids=range(7),
)
def test_weights_are_rather_too_high(fields: dict[str, Any]) -> None:
    def size(value: object) -> int:
        total = sys.getsizeof(value)
        if isinstance(value, dict):
            return total + sum(size(key) + size(member) for key, member in value.items())
        if isinstance(value, list):
            return total + sum(map(size, value))
        return total

    fields = plain("user", fields)
    assert size(fields) < weigh({"key": fields}) + 300
    assert weigh({}) == 0
