"""What every store of users and groups does alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from waystone_asgi.exceptions import RequestTooLargeError
from waystone_asgi.records import Source
from waystone_asgi.types import EntityStore

from .conftest import KINDS, Name

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", KINDS)]

HALF = "x" * 40_000
DEEP = [1, [2, {"b": [None, False, 1.5, "x"]}]]


@pytest.mark.parametrize("of", ["user", "group"])
@pytest.mark.parametrize(
    ("merged", "expected"),
    [
        ([{}], {}),
        ([{"a": 1}], {"a": 1}),
        ([{"a": 1}, {}], {"a": 1}),
        ([{"a": 1, "b": 2}, {"b": 3, "c": 4}], {"a": 1, "b": 3, "c": 4}),
        ([{"a": 1, "b": 2}, {"a": None}], {"b": 2}),
        ([{"a": None, "b": 2}], {"b": 2}),
        ([{"a": 1}, {"a": None}], {}),
        ([{"a": {"x": 1}}, {"a": {"y": 2}}], {"a": {"y": 2}}),
        ([{"a": {"x": None}}], {"a": {"x": None}}),
        ([{"a": 1}, {"a": True}], {"a": True}),
        ([{"a": True}, {"a": 1}, {"b": 0}, {"c": ""}], {"a": 1, "b": 0, "c": ""}),
        ([{"": 1, ":": 2, "claimed": 3, 'a"b\\': 4, "é\x00": "\x00😀"}, {"": None}], "odd"),
        ([{"a": 10**30, "b": -1.5e300, "c": 1e-7}], {"a": 10**30, "b": -1.5e300, "c": 1e-7}),
    ],
)
async def test_metadata_merges(
    store: EntityStore, name: Name, of: str, merged: list[dict[str, Any]], expected: Any
) -> None:
    if expected == "odd":
        expected = {":": 2, "claimed": 3, 'a"b\\': 4, "é\x00": "\x00😀"}
    ann = name("ann")
    assert await store.read(of, ann) is None
    for changes in merged:
        layers = await store.merge(of, ann, "claimed", changes)
    assert layers == ({"claimed": expected} if expected else {})
    assert repr(sorted(layers.items())) == repr(sorted((await store.read(of, ann) or {}).items()))
    assert [type(value) for value in layers.get("claimed", {}).values()] == [
        type(value) for value in expected.values()
    ]
    assert await store.read({"user": "group", "group": "user"}[of], ann) is None


async def test_layers_are_apart(store: EntityStore, name: Name) -> None:
    ann = name("ann")
    sources: tuple[Source, ...] = ("claimed", "key", "host")
    for number, source in enumerate(sources):
        await store.merge("user", ann, source, {"n": number, source: True})
    await store.merge("user", ann, "key", {"n": None})
    assert await store.read("user", ann) == {
        "host": {"n": 2, "host": True},
        "key": {"key": True},
        "claimed": {"n": 0, "claimed": True},
    }
    layers = await store.merge("user", ann, "key", {"key": None})
    assert set(layers) == {"host", "claimed"}


IDS = [
    *("a", "A", " a", "a ", "a:b", "a/b", "a\\b", "a|b", "a\tb", "a\nb", "'; --", "%", "_", "*"),
    *("user", "group", "user:a", "group:a", "é", "e\u0301", "\u202e", "\ufeff", "😀", "ß", "SS"),
    *("ss", "$1", "?", ":", "", "\uffff", "\x01", "\x7f"),
    *("\x00", "a\x00", "a\x00b", "\\0", "a\\0", "\\", "\\\\", "\\\\0", "a\\0b"),
    *("😀" * 240, "😀" * 239 + "a", "é" * 240, "\\" * 240, "\x00" * 240),
]


async def test_no_two_ids_are_the_same(store: EntityStore, name: Name) -> None:
    for of, id in itertools.product(("user", "group"), IDS):
        await store.merge(of, name(id), "host", {"of": of, "id": id})
    for of, id in itertools.product(("user", "group"), IDS):
        assert await store.read(of, name(id)) == {"host": {"of": of, "id": id}}


LINKED = ["a", "a:b", ":", "", "a\\", "\\", "a\x00", "\x00", "é"]


async def test_no_two_links_are_the_same(store: EntityStore, name: Name) -> None:
    pairs = [(a, b) for a in LINKED for b in LINKED]
    for number, (user, group) in enumerate(pairs):
        if number % 3:
            await store.link(name(user), name(group))
    for number, (user, group) in enumerate(pairs):
        assert await store.linked(name(user), name(group)) is bool(number % 3)
        await store.link(name(user), name(group))
        assert await store.linked(name(user), name(group))


@pytest.mark.parametrize(
    ("stored", "changes", "fits"),
    [
        ({}, {"a": "x" * (65_535 - 8)}, True),
        ({}, {"a": "x" * (65_536 - 8)}, False),
        ({}, {"aé": "é" * 32_762}, True),
        ({}, {"aé": "é" * 32_763}, False),
        ({"b": HALF}, {"a": HALF}, False),
        ({"b": HALF}, {"a": HALF, "b": None}, True),
        ({"b": HALF}, {"b": HALF + "x"}, True),
        ({"a": HALF, "b": 1}, {"b": None}, True),
    ],
)
async def test_a_layer_is_shorter_than_64_kib(
    store: EntityStore, name: Name, stored: dict[str, Any], changes: dict[str, Any], fits: bool
) -> None:
    ann = name("ann")
    await store.merge("user", ann, "host", {"h": HALF})
    before = await store.merge("user", ann, "key", stored)
    if fits:
        after = await store.merge("user", ann, "key", changes)
        merged = {key: value for key, value in (stored | changes).items() if value is not None}
        assert after == await store.read("user", ann) == {"host": {"h": HALF}, "key": merged}
        return
    with pytest.raises(RequestTooLargeError) as caught:
        await store.merge("user", ann, "key", {**changes, "c": 1})
    assert caught.value.param == "user.metadata"
    assert await store.read("user", ann) == before
    with pytest.raises(RequestTooLargeError) as caught:
        await store.merge("group", ann, "key", {"a": HALF + HALF})
    assert caught.value.param == "group.metadata"
    assert await store.read("group", ann) is None


async def test_another_process_sees_it(
    make_store: Callable[[], EntityStore], store: EntityStore, name: Name
) -> None:
    await store.merge("user", name("ann"), "key", {"a": 1})
    await store.link(name("ann"), name("acme"))
    other = make_store()
    await other.open()
    assert await other.read("user", name("ann")) == {"key": {"a": 1}}
    assert await other.linked(name("ann"), name("acme"))
    await other.merge("user", name("ann"), "key", {"b": 2})
    assert await store.merge("user", name("ann"), "key", {}) == {"key": {"a": 1, "b": 2}}
    await other.aclose()
    assert await store.read("user", name("ann")) == {"key": {"a": 1, "b": 2}}


async def test_merges_of_many_tasks_all_count(
    make_store: Callable[[], EntityStore], store: EntityStore, name: Name
) -> None:
    other = make_store()
    await other.open()
    async with anyio.create_task_group() as tasks:
        for number in range(30):
            fields = {f"n{number}": number, "last": number}
            at = (store, other)[number % 2]
            tasks.start_soon(at.merge, "group", name("acme"), "key", fields)
            tasks.start_soon(at.link, name("ann"), name(str(number)))
    layers = await store.read("group", name("acme"))
    assert layers is not None
    last = layers["key"].pop("last")
    assert layers["key"] == {f"n{number}": number for number in range(30)}
    assert last in range(30)
    assert all([await store.linked(name("ann"), name(str(number))) for number in range(30)])
    await other.aclose()


async def test_it_opens_again(store: EntityStore, name: Name) -> None:
    await store.merge("user", name("ann"), "key", {"a": 1})
    await store.aclose()
    await store.open()
    assert await store.read("user", name("ann")) == {"key": {"a": 1}}
    await store.aclose()
    await store.aclose()
    await store.open()
