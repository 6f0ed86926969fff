"""Users, groups and links in memory: how metadata merges, and that nothing grows for ever."""

from __future__ import annotations

from typing import Any

import pytest

from waystone_asgi.entities.memory import MemoryEntities
from waystone_asgi.records import Entity

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", ["user", "group"])
@pytest.mark.parametrize(
    ("merged", "expected"),
    [
        ([None], {}),
        ([{}], {}),
        ([{"a": 1}], {"a": 1}),
        ([{"a": 1}, None, {}], {"a": 1}),
        ([{"a": 1, "b": 2}, {"b": 3, "c": 4}], {"a": 1, "b": 3, "c": 4}),
        ([{"a": 1, "b": 2}, {"a": None}], {"b": 2}),
        ([{"a": None, "b": 2}], {"b": 2}),
        ([{"a": {"x": 1}}, {"a": {"y": 2}}], {"a": {"y": 2}}),
        ([{"a": {"x": None}}], {"a": {"x": None}}),
        ([{"a": 1}, {"a": False}, {"b": 0}, {"c": ""}], {"a": False, "b": 0, "c": ""}),
    ],
)
async def test_metadata_merges(
    kind: str, merged: list[dict[str, Any] | None], expected: dict[str, Any]
) -> None:
    entities = MemoryEntities()
    for metadata in merged:
        entity = Entity("x", metadata)
        await entities.merge(*((entity, None) if kind == "user" else (None, entity)))
    assert await entities.metadata(kind, "x") == expected
    assert await entities.metadata("group" if kind == "user" else "user", "x") is None


async def test_nobody_is_known_at_first() -> None:
    entities = MemoryEntities()
    await entities.merge(None, None)
    assert await entities.metadata("user", "ann") is None
    assert not await entities.linked("ann", "acme")


async def test_named_together_is_linked() -> None:
    entities = MemoryEntities()
    await entities.merge(Entity("ann"), None)
    await entities.merge(None, Entity("acme"))
    assert not await entities.linked("ann", "acme")
    await entities.merge(Entity("ann"), Entity("acme"))
    assert await entities.linked("ann", "acme")
    assert not await entities.linked("acme", "ann")


async def test_what_is_handed_out_is_a_copy() -> None:
    entities = MemoryEntities()
    given = {"a": 1}
    await entities.merge(Entity("ann", given), None)
    given["b"] = 2
    stored = await entities.metadata("user", "ann")
    assert stored == {"a": 1}
    stored["c"] = 3
    assert await entities.metadata("user", "ann") == {"a": 1}


async def test_the_least_recently_named_go_first() -> None:
    entities = MemoryEntities(limit=2)
    for user, group in [("a", "x"), ("b", "y"), ("a", "x"), ("c", "z")]:
        await entities.merge(Entity(user, {"n": 1}), Entity(group, {"n": 1}))
    assert [await entities.metadata("user", id) is None for id in "abc"] == [False, True, False]
    assert [await entities.metadata("group", id) is None for id in "xyz"] == [False, True, False]
    links = [await entities.linked(*pair) for pair in ("ax", "by", "cz")]
    assert links == [True, False, True]
