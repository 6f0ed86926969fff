"""Users and groups as requests name them, through the whole gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from waystone_asgi import Entity, Gateway, Identity, MemorySink, Provider
from waystone_asgi.authentication import APIKey, BearerKeys
from waystone_asgi.entities import CachedEntities, open_store
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.testing import FakeProvider, completion

from ..asgi import KEY, chat, request
from .conftest import KINDS, Name

pytestmark = pytest.mark.anyio

HALF = "x" * 40_000
PINNED = BearerKeys([APIKey(key=KEY, user="ann", group="acme")])


def make(**settings: Any) -> tuple[Gateway, MemorySink]:
    sink = MemorySink()
    defaults: dict[str, Any] = {
        "retry": {"attempts": 1},
        "providers": [Provider.openai(api_key="sk", base_url="http://provider.test/v1")],
        "upstream": FakeProvider(completion("Hi")),
        "authenticate": BearerKeys([KEY]),
        "sinks": [sink],
    }
    return Gateway(**defaults | settings), sink


def claim(**entities: object) -> dict[str, str]:
    return {"waystone": json.dumps(entities)}


async def test_metadata_that_does_not_fit_with_what_is_stored() -> None:
    gateway, sink = make()
    async with gateway.running():
        first = await chat(gateway, metadata=claim(user={"id": "ann", "metadata": {"a": HALF}}))
        assert first.status == 200
        second = await chat(gateway, metadata=claim(user={"id": "ann", "metadata": {"b": HALF}}))
        assert (second.status, second.error["param"]) == (413, "metadata.waystone")
        assert second.error["code"] == "request_too_large"
        third = await request(
            gateway, "/identify", {"user": {"id": "ann", "metadata": {"b": HALF}}}
        )
        assert (third.status, third.error["param"]) == (413, "user.metadata")
        assert await gateway.entities.metadata("user", "ann") == {"a": HALF}
    assert [(record.status, record.user) for record in sink.records] == [(200, "ann"), (413, "ann")]


@pytest.mark.parametrize("kind", ["user", "group"])
async def test_metadata_of_64_kib(kind: str) -> None:
    gateway, sink = make()
    entity = {"id": "ann", "metadata": {"a": HALF + HALF}}
    async with gateway.running():
        refused = await chat(gateway, metadata=claim(**{kind: entity}))
        assert (refused.status, refused.error["param"]) == (413, "metadata.waystone")
        refused = await request(gateway, "/identify", {kind: entity})
        assert (refused.status, refused.error["param"]) == (413, f"{kind}.metadata")
        assert await gateway.entities.metadata(kind, "ann") is None
    assert [record.status for record in sink.records] == [413]


async def test_who_counts_is_in_layers() -> None:
    said = Identity(Entity("ann", {"tier": "free"}), Entity("acme", {"plan": "team"}, "key"))
    gateway, _ = make(identify=lambda *arguments: said)
    entity = {"id": "ann", "metadata": {"tier": "gold", "town": "Delft"}}
    async with gateway.running():
        assert (await request(gateway, "/identify", {"user": entity})).status == 200
        assert await gateway.entities.metadata("user", "ann") == {"tier": "gold", "town": "Delft"}
        assert (await chat(gateway, metadata=claim(user=entity))).status == 200
        assert await gateway.entities.metadata("user", "ann") == {"tier": "free", "town": "Delft"}
        layers, _ = await gateway.entities.merge(Entity("ann"), None)
    assert layers == {"host": {"tier": "free"}, "claimed": {"tier": "gold", "town": "Delft"}}


@pytest.mark.parametrize(
    "settings",
    [
        {"authenticate": PINNED},
        {"identify": lambda *arguments: Identity(Entity("ann"), Entity("acme"))},
        {"identify": lambda *arguments: Identity(Entity("ann", None, "key"), Entity("acme"))},
        {
            "authenticate": PINNED,
            "identify": lambda *arguments: Identity(Entity("ann", None, "key")),
        },
    ],
    ids=["pinned", "host", "host says key", "both"],
)
async def test_a_claim_overrides_nobody(settings: dict[str, Any]) -> None:
    gateway, sink = make(**settings)
    async with gateway.running():
        assert (await chat(gateway, metadata=claim(user="ann"))).status == 200
        assert (await chat(gateway)).status == 200
        refused = await chat(gateway, metadata=claim(user={"id": "bob", "metadata": {"a": 1}}))
        assert (refused.status, refused.error["type"]) == (403, "permission_error")
        assert refused.error["param"] == "metadata.waystone"
        assert await gateway.entities.metadata("user", "bob") is None
    assert [record.status for record in sink.records] == [200, 200, 403]


async def test_the_user_alone_counts_for_the_user_alone() -> None:
    gateway, sink = make()
    async with gateway.running():
        await chat(gateway, metadata=claim(user="ann", group="acme"))
        await chat(gateway, metadata=claim(user="ann"))
    assert [(r.user, r.group) for r in sink.records] == [("ann", "acme"), ("ann", None)]


@pytest.mark.parametrize("kind", KINDS[1:])
async def test_what_a_gateway_has_stored_another_one_finds(url: str, name: Name) -> None:
    body = {"user": {"id": name("ann"), "metadata": {"tier": "gold"}}, "group": name("acme")}
    first, _ = make(state={"url": url})
    async with first.running():
        assert (await request(first, "/identify", body)).status == 200
    second, _ = make(entities=CachedEntities(open_store(url), deadline=10))
    async with second.running():
        answer = await chat(second, metadata=claim(user=name("ann")))
        assert answer.status == 200
        assert await second.entities.metadata("user", name("ann")) == {"tier": "gold"}
        assert await second.entities.metadata("group", name("acme")) == {}
        assert await second.entities.metadata("group", name("ann")) is None


async def test_a_gateway_whose_store_cannot_be_used_does_not_open(tmp_path: Path) -> None:
    gateway, _ = make(state={"url": f"sqlite:///{tmp_path}/missing/waystone.db"})
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        async with gateway.running():
            pass
    for _ in range(2):
        answer = await chat(gateway)
        assert (answer.status, answer.error["type"]) == (503, "api_error")


async def test_a_gateway_whose_store_is_away_answers() -> None:
    gateway, sink = make(state={"url": "redis://127.0.0.1:1/0"})
    async with gateway.running():
        for _ in range(5):
            assert (await chat(gateway, metadata=claim(user="ann", group="acme"))).status == 200
    assert [(record.user, record.status) for record in sink.records] == [("ann", 200)] * 5
