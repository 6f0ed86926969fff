"""Users, groups and links in memory: what a merge returns, and that nothing grows for ever."""

from __future__ import annotations

from typing import Any

import pytest

from waystone_asgi.entities.memory import MemoryEntities
from waystone_asgi.exceptions import RequestTooLargeError
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


async def test_the_layers_of_both_are_returned() -> None:
    entities = MemoryEntities()
    user = Entity("ann", {"a": 1}, "claimed")
    group = Entity("acme", {"a": 2}, "key")
    assert await entities.merge(None, None) == ({}, {})
    assert await entities.merge(user, group) == ({"claimed": {"a": 1}}, {"key": {"a": 2}})
    assert await entities.merge(None, Entity("acme")) == ({}, {"key": {"a": 2}})
    assert await entities.merge(Entity("ann", {"a": 3}), None) == (
        {"claimed": {"a": 1}, "host": {"a": 3}},
        {},
    )
    assert await entities.metadata("user", "ann") == {"a": 3}
    assert await entities.merge(user, group) == (
        {"claimed": {"a": 1}, "host": {"a": 3}},
        {"key": {"a": 2}},
    )


async def test_named_again_nothing_is_made_anew() -> None:
    entities = MemoryEntities()
    user, group = Entity("ann", {"a": [1]}), Entity("acme", {"b": 2, "c": None})
    first = await entities.merge(user, group)
    again = await entities.merge(user, group)
    equal = await entities.merge(Entity("ann", {"a": [1]}), Entity("acme", {"b": 2, "c": None}))
    assert first[0] is again[0] is equal[0]
    assert first[1] is again[1] is equal[1]


@pytest.mark.parametrize("value", [True, 1.0, "1", [1], None])
async def test_a_change_in_between_is_not_missed(value: object) -> None:
    entities = MemoryEntities()
    user = Entity("ann", {"a": 1}, "key")
    await entities.merge(user, None)
    await entities.merge(Entity("ann", {"a": value}, "key"), None)
    assert await entities.metadata("user", "ann") == ({} if value is None else {"a": value})
    await entities.merge(user, None)
    found = await entities.metadata("user", "ann")
    assert repr(found) == "{'a': 1}"


async def test_too_large_a_group_leaves_both_as_they_were() -> None:
    entities = MemoryEntities()
    await entities.merge(Entity("ann", {"a": 1}), Entity("acme", {"a": "x" * 40_000}))
    with pytest.raises(RequestTooLargeError) as caught:
        await entities.merge(Entity("ann", {"a": 2}), Entity("acme", {"b": "x" * 40_000}))
    assert caught.value.param == "group.metadata"
    assert await entities.metadata("user", "ann") == {"a": 1}
    assert await entities.metadata("group", "acme") == {"a": "x" * 40_000}


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


async def test_memory_is_bounded_in_bytes() -> None:
    entities = MemoryEntities(max_bytes=1_000_000)
    for number in range(200):
        await entities.merge(
            Entity(f"u{number}", {"a": [str(number)] * 300}), Entity(f"g{number}", {"a": 1})
        )
    known = entities._known
    assert 5 < len(known.users) < 50
    assert len(known.groups) == len(known.links) == 200
    assert max(known.users.bytes, known.groups.bytes, known.links.bytes) <= 1_000_000
    wide = "😀" * 250
    for number in range(1000):
        await entities.merge(Entity(f"{wide}{number}"), Entity(f"{number}{wide}"))
    assert len(known.links) < 500
    assert len(known.users) < 700


async def test_a_million_users_take_the_room_of_some() -> None:
    entities = MemoryEntities(limit=1000)
    group = Entity("acme", {"plan": "team"}, "key")
    for number in range(20_000):
        await entities.merge(Entity(f"user-{number}", {"n": number}, "claimed"), group)
    known = entities._known
    assert (len(known.users), len(known.groups), len(known.links)) == (1000, 1, 1000)
    assert await entities.metadata("user", "user-19999") == {"n": 19_999}
    assert await entities.metadata("user", "user-18999") is None
