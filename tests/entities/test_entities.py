"""What every `Entities` does alike: in memory, and over each kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from waystone_asgi.entities import CachedEntities, MemoryEntities, kept
from waystone_asgi.exceptions import RequestTooLargeError
from waystone_asgi.records import Entity
from waystone_asgi.types import EntityStore

from .conftest import KINDS, Name

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize(("kind", "cache"), [("memory", False), *((k, True) for k in KINDS)]),
]

HALF = "x" * 40_000


@pytest.fixture
async def entities(
    cache: bool, make_store: Callable[[], EntityStore]
) -> AsyncIterator[MemoryEntities | CachedEntities]:
    entities = CachedEntities(make_store(), deadline=20) if cache else MemoryEntities()
    async with kept(entities):
        yield entities


@pytest.mark.parametrize("of", ["user", "group"])
async def test_layers_merge(entities: MemoryEntities, name: Name, of: str) -> None:
    async def merge(entity: Entity) -> object:
        mine, theirs = await entities.merge(*((entity, None) if of == "user" else (None, entity)))
        assert (theirs if of == "user" else mine) == {}
        return mine if of == "user" else theirs

    ann = name("ann")
    assert await entities.metadata(of, ann) is None
    steps: list[tuple[Entity, dict[str, Any], dict[str, Any]]] = [
        (Entity(ann, None, "claimed"), {}, {}),
        (Entity(ann, {"a": 1, "b": 1}, "claimed"), {"claimed": {"a": 1, "b": 1}}, {"a": 1, "b": 1}),
        (
            Entity(ann, {"a": 2}, "host"),
            {"claimed": {"a": 1, "b": 1}, "host": {"a": 2}},
            {"a": 2, "b": 1},
        ),
        (
            Entity(ann, {"a": None, "b": [True, {"x": None}]}, "claimed"),
            {"claimed": {"b": [True, {"x": None}]}, "host": {"a": 2}},
            {"a": 2, "b": [True, {"x": None}]},
        ),
        (
            Entity(ann, {"a": 3, "b": None}, "key"),
            {"claimed": {"b": [True, {"x": None}]}, "key": {"a": 3}, "host": {"a": 2}},
            {"a": 2, "b": [True, {"x": None}]},
        ),
        (
            Entity(ann, {"a": None}, "host"),
            {"claimed": {"b": [True, {"x": None}]}, "key": {"a": 3}},
            {"a": 3, "b": [True, {"x": None}]},
        ),
    ]
    for entity, layers, effective in steps:
        for _ in range(2):
            assert await merge(entity) == layers
            assert await entities.metadata(of, ann) == effective
    other = {"user": "group", "group": "user"}[of]
    assert await entities.metadata(other, ann) is None


async def test_named_together_is_linked(entities: MemoryEntities, name: Name) -> None:
    ann, acme = name("ann"), name("acme")
    await entities.merge(Entity(ann), None)
    await entities.merge(None, Entity(acme))
    assert not await entities.linked(ann, acme)
    await entities.merge(Entity(ann), Entity(acme))
    assert await entities.linked(ann, acme)
    assert not await entities.linked(acme, ann)


async def test_too_large_is_refused(entities: MemoryEntities, name: Name) -> None:
    ann, acme = Entity(name("ann"), {"a": HALF}), Entity(name("acme"), {"a": HALF})
    await entities.merge(ann, acme)
    for user, group, param in [
        (Entity(ann.id, {"b": HALF}), acme, "user.metadata"),
        (ann, Entity(acme.id, {"b": HALF}), "group.metadata"),
        (Entity(name("new"), {"b": HALF + HALF}), None, "user.metadata"),
    ]:
        with pytest.raises(RequestTooLargeError) as caught:
            await entities.merge(user, group)
        assert caught.value.param == param
    assert await entities.metadata("user", ann.id) == {"a": HALF}
    assert await entities.metadata("group", acme.id) == {"a": HALF}
    assert await entities.metadata("user", name("new")) is None
    await entities.merge(Entity(ann.id, {"b": HALF, "a": None}), None)
    assert await entities.metadata("user", ann.id) == {"b": HALF}


async def test_changes_at_once_all_count(entities: MemoryEntities, name: Name) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(40):
            user = Entity(name(str(number % 4)), {f"n{number}": number}, "key")
            group = Entity(name("acme"), {f"n{number}": number}, "claimed")
            tasks.start_soon(entities.merge, user, group)
    assert await entities.metadata("group", name("acme")) == {f"n{n}": n for n in range(40)}
    for user in range(4):
        expected = {f"n{n}": n for n in range(user, 40, 4)}
        assert await entities.metadata("user", name(str(user))) == expected
        assert await entities.linked(name(str(user)), name("acme"))
