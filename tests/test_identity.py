"""On whose behalf: what the key pins, what the body claims, what the host's hook says."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import pytest

from waystone_asgi.entities.memory import MemoryEntities
from waystone_asgi.exceptions import (
    GatewayError,
    InternalError,
    InvalidRequestError,
    PermissionDeniedError,
    RequestTooLargeError,
)
from waystone_asgi.identity import Naming, claimed, identify, merge
from waystone_asgi.records import Entity, Identity, Principal, Source
from waystone_asgi.types import HTTPConnection, Identify, Layers
from waystone_asgi.wire.identity import decode_claim

from .asgi import http_scope

CANARY = "canary-90ab"
CONNECTION = HTTPConnection(http_scope("/"))
NOBODY = Principal(id="p")
PINNED = Principal(id="p", user="ann", group="acme")


def read(document: str | None, principal: Principal = NOBODY) -> Identity:
    metadata = {"other": "x"} if document is None else {"other": "x", "waystone": document}
    return identify(CONNECTION, principal, metadata)


def entity(id: str, metadata: dict[str, object] | None = None) -> Entity:
    return Entity(id, metadata, "claimed")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, Identity()),
        ("{}", Identity()),
        (" \t\n{ } ", Identity()),
        ('{"user":"ann"}', Identity(user=entity("ann"))),
        ('{"group":"acme"}', Identity(group=entity("acme"))),
        ('{"user":"ann","group":"acme"}', Identity(entity("ann"), entity("acme"))),
        ('{\t"user" : "ann" ,\n"group":"acme"}', Identity(entity("ann"), entity("acme"))),
        ('{"user":{"id":"ann"}}', Identity(user=entity("ann"))),
        ('{"user":{"id":"ann","metadata":{}}}', Identity(user=entity("ann", {}))),
        (
            '{"user":{"metadata":{"tier":"free","x":null,"y":[1.5,{"z":true}]},"id":"ann"}}',
            Identity(user=entity("ann", {"tier": "free", "x": None, "y": [1.5, {"z": True}]})),
        ),
        (
            '{"user":"ann","group":{"id":"acme","metadata":{"a":1}}}',
            Identity(entity("ann"), entity("acme", {"a": 1})),
        ),
        ('{"user":"\\u0061\\"nn"}', Identity(user=entity('a"nn'))),
        ('{"us\\u0065r":"ann"}', Identity(user=entity("ann"))),
        ('{"user":"é😀"}', Identity(user=entity("é😀"))),
        ('{"user":" "}', Identity(user=entity(" "))),
        (f'{{"user":"{"é" * 256}"}}', Identity(user=entity("é" * 256))),
        ('{"user":"x"}', Identity(user=entity("x"))),
    ],
)
def test_claims(document: str | None, expected: Identity) -> None:
    assert read(document) == expected


BAD = [
    *("", " ", "null", "5", '"canary-90ab"', "[]", '["canary-90ab"]', "canary-90ab", "{", "true"),
    *('{"user":"canary-90ab"', '{"user":"canary-90ab"}}', "{'user':'canary-90ab'}", "\ufeff{}"),
    *('{"canary-90ab":1}', '{"user":"ann","canary-90ab":{}}', '{"User":"canary-90ab"}'),
    *(
        '{"user":{"id":"ann","canary-90ab":1}}',
        '{"user":{"id":"ann","`":1," - at `$.canary-90ab`":1}}',
    ),
    *('{"user":5}', '{"user":null}', '{"user":true}', '{"user":["canary-90ab"]}', '{"user":1e400}'),
    *(
        '{"user":""}',
        '{"user":{}}',
        '{"user":{"id":""}}',
        '{"user":{"id":5}}',
        '{"user":{"id":null}}',
    ),
    *(f'{{"user":"{"x" * 257}"}}', f'{{"group":{{"id":"{"é" * 257}"}}}}', '{"group":5}'),
    *('{"user":{"id":"ann","metadata":null}}', '{"user":{"id":"ann","metadata":"canary-90ab"}}'),
    *('{"user":{"id":"ann","metadata":["canary-90ab"]}}', '{"user":{"metadata":{"a":1}}}'),
    *('{"user":{"id":"ann","metadata":{"a":1e400}}}', '{"user":{"id":"ann","metadata":{"a":NaN}}}'),
    *('{"user":"\\ud800"}', '{"user":{"id":"ann","metadata":{"\\udfff":1}}}', '{"user":"\ud800"}'),
    *('{"user":"ann","user":"ann"}', '{"user":"canary-90ab","us\\u0065r":"ann"}'),
    *('{"user":{"id":"canary-90ab","id":"ann"}}', '{ "group": {"id":"a"}, "group": {"id":"a"} }'),
    *('{"user":{"id":"ann","metadata":{"a":1,"a":1}}}', '{"user":"a","group":{"id":"a","id":"a"}}'),
    *("[" * 200_000, '{"user":' * 200_000, '{"user":{"id":"a","metadata":{"a":' + "[" * 200_000),
    '{"user":{"id":"a","metadata":{"a":' + "[" * 200_000 + "]" * 200_000 + "}}}",
]


@pytest.mark.parametrize("document", BAD, ids=lambda document: ascii(document[:60]))
@pytest.mark.parametrize("principal", [NOBODY, PINNED], ids=["free", "pinned"])
def test_documents_that_are_refused(document: str, principal: Principal) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(document, principal)
    error = caught.value
    assert (error.status, error.param, error.code) == (400, "metadata.waystone", None)
    assert CANARY not in error.message
    assert error.__cause__ is None


def test_every_depth_is_taken_or_refused() -> None:
    for depth in range(1, 1100, 7):
        for inner in ("[" * depth + "]" * depth, '{"metadata":' * depth + "1" + "}" * depth):
            document = f'{{"user":{{"id":"a","metadata":{{"a":{inner}}}}}}}'
            try:
                read(document)
            except InvalidRequestError as error:
                assert "too deep" in error.message  # noqa: PT017


@pytest.mark.parametrize(
    ("document", "user", "group"),
    [
        (None, Entity("ann", None, "key"), Entity("acme", None, "key")),
        ("{}", Entity("ann", None, "key"), Entity("acme", None, "key")),
        ('{"user":"ann"}', Entity("ann", None, "key"), Entity("acme", None, "key")),
        (
            '{"group":{"id":"acme","metadata":{"a":1}}}',
            Entity("ann", None, "key"),
            Entity("acme", {"a": 1}, "key", "claimed"),
        ),
    ],
)
def test_what_a_key_pins(document: str | None, user: Entity, group: Entity) -> None:
    assert read(document, PINNED) == Identity(user, group)


def test_a_claim_adds_to_what_a_key_pins() -> None:
    principal = Principal(id="p", group="acme")
    expected = Identity(Entity("bob", None, "claimed"), Entity("acme", None, "key"))
    assert read('{"user":"bob"}', principal) == expected


@pytest.mark.parametrize(
    "document",
    [
        *('{"user":"canary-90ab"}', '{"user":{"id":"canary-90ab"}}', '{"group":"canary-90ab"}'),
        *('{"user":"Ann"}', '{"user":"ann","group":"acme "}', '{"user":"acme","group":"ann"}'),
    ],
)
def test_a_claim_against_what_a_key_pins(document: str) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        read(document, PINNED)
    assert (caught.value.status, caught.value.param) == (403, "metadata.waystone")
    assert CANARY not in caught.value.message


# POST /identify.


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"user":"ann"}', Identity(user=Entity("ann", None, "key"))),
        (
            b'{"group":{"id":"acme","metadata":{"a":1}}}',
            Identity(group=Entity("acme", {"a": 1}, "key", "claimed")),
        ),
    ],
)
def test_only_who_is_named_is_merged(body: bytes, expected: Identity) -> None:
    assert claimed(PINNED, body) == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{}", None),
        (b"[]", None),
        (b"\xff", None),
        (b'{"user":5}', "user"),
        (b'{"user":{"id":5}}', "user.id"),
        (b'{"user":{"id":"a","canary-90ab":5}}', "user"),
        (b'{"canary-90ab":5}', None),
        (b'{"user":{}}', "user.id"),
        (b'{"user":"\xff"}', None),
        (b'{"user":"a","user":"b"}', None),
    ],
)
def test_bodies_that_are_refused(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        claimed(NOBODY, body)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert CANARY not in caught.value.message


LARGE = "x" * 65_536
HALF = "x" * 40_000


@pytest.mark.parametrize("kind", ["user", "group"])
def test_metadata_of_64_kib(kind: str) -> None:
    document = f'{{"{kind}":{{"id":"a","metadata":{{"a":"{LARGE}"}}}}}}'
    with pytest.raises(RequestTooLargeError) as caught:
        read(document)
    assert (caught.value.status, caught.value.param) == (413, "metadata.waystone")
    with pytest.raises(RequestTooLargeError) as caught:
        claimed(NOBODY, document.encode())
    assert (caught.value.status, caught.value.param) == (413, f"{kind}.metadata")


def test_metadata_below_64_kib() -> None:
    document = f'{{"user":{{"id":"a","metadata":{{"a":"{HALF}"}}}},"group":"b"}}'
    assert read(document + " " * 70_000) == read(document)
    both = f'{{"user":{{"id":"a","metadata":{{"a":"{HALF}"}}}},"group":{{"id":"b"}}}}'
    assert read(both + " " * 70_000).group == entity("b")


@pytest.mark.parametrize(
    "document",
    [
        '{"user":{"id":"a","metadata":{"a":"b","a":"c"}}}',
        '{"user":{"id":"a","metadata":{"a":1,"a":2}}}',
        '{"user":{"id":"a","metadata":{"a":"\\"","a":"c"}}}',
        '{"user":{"id":"a","metadata":{"a":1},"metadata":{"a":1}}}',
        '{"user":{"id":"a","metadata":{"a":["b"]},"metadata":{}}}',
        '{"user":{"id":"a"},"user":{"id":"a","metadata":{"a":"b"}}}',
        '{"user":"a","group":{"id":"a","metadata":{"":"","":""}}}',
    ],
)
def test_no_key_stands_twice(document: str) -> None:
    with pytest.raises(InvalidRequestError, match="more than once"):
        read(document)


def test_a_claim_may_be_decoded_by_itself() -> None:
    assert decode_claim(b'{"user":"ann"}').user == "ann"


# The hook.


async def ask(
    hook: object, metadata: Mapping[str, str] | None = None, principal: Principal = PINNED
) -> Identity:
    return await Naming(cast("Identify", hook)).name(CONNECTION, principal, metadata or {})


@pytest.mark.anyio
async def test_a_hook_may_be_of_any_kind_and_sees_the_request() -> None:
    seen: list[object] = []
    said = Identity(user=Entity("ann", {"tier": "free"}))

    def plain(*arguments: object) -> Identity:
        seen.append(arguments)
        return said

    async def coroutine(*arguments: object) -> Identity:
        return plain(*arguments)

    for hook in (plain, coroutine, lambda *arguments: coroutine(*arguments)):
        assert await ask(hook, {"a": "b"}) is said
    assert seen == [(CONNECTION, PINNED, {"a": "b"})] * 3
    assert said.user is not None
    assert said.user.source == "host"


def _raising(error: Exception, *, late: bool) -> Callable[..., Identity | Awaitable[Identity]]:
    def plain(*arguments: object) -> Identity:
        raise error

    async def coroutine(*arguments: object) -> Identity:
        raise error

    return coroutine if late else plain


@pytest.mark.anyio
@pytest.mark.parametrize("late", [False, True])
async def test_the_hooks_own_refusal_is_the_answer(late: bool) -> None:
    error = PermissionDeniedError("Not for you.")
    with pytest.raises(GatewayError) as caught:
        await ask(_raising(error, late=late))
    assert caught.value is error


@pytest.mark.anyio
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", [ValueError, KeyError, OSError])
async def test_any_other_exception_is_ours_and_logged_without_its_text(
    late: bool, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(InternalError) as caught:
        await ask(_raising(kind(CANARY), late=late))
    assert kind.__name__ in caplog.text
    assert CANARY not in caplog.text + caught.value.message


@pytest.mark.anyio
@pytest.mark.parametrize(
    "returned",
    [
        *(None, True, "ann", 5, {}, {"user": "ann"}, Identity, object(), Entity("ann")),
        Identity(user=cast("Entity", "canary-90ab")),
        Identity(group=cast("Entity", {"id": "canary-90ab"})),
        Identity(user=Entity(cast("str", 5))),
        Identity(user=Entity("ann"), group=Entity(cast("str", None))),
        Identity(user=Entity("ann", cast("dict[str, object]", [CANARY]))),
        Identity(user=Entity("ann", None, cast("Source", "admin"))),
        Identity(group=Entity("ann", None, cast("Source", None))),
    ],
    ids=repr,
)
async def test_what_is_no_identity_is_no_empty_one(
    returned: object, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InternalError):
        await ask(lambda *arguments: returned)
    assert "identify hook returned" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("id", ["", "x" * 257, "\ud800", "a\udfffb"])
async def test_ids_have_a_length_and_are_unicode(id: str) -> None:
    for identity in (Identity(user=Entity(id)), Identity(Entity("ann"), Entity(id))):
        with pytest.raises(InvalidRequestError) as caught:
            await ask(lambda *arguments, said=identity: said)
        assert caught.value.param == "metadata.waystone"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "id", ["a\x00b", "\x00", "\uff41", "😀" * 256, "a:b", "user", "/", " ", "\u202e"]
)
async def test_ids_are_of_any_script(id: str) -> None:
    said = Identity(Entity(id), Entity(id))
    assert await ask(lambda *arguments: said) is said


# The hook, the credential and the body: who counts.

HOST = Entity("ann", {"tier": "free"})
KEY = Entity("ann", None, "key")


@pytest.mark.anyio
@pytest.mark.parametrize("said", [HOST, KEY], ids=["host", "key"])
@pytest.mark.parametrize("kind", ["user", "group"])
@pytest.mark.parametrize(
    ("claim", "allowed"),
    [
        ('{"KIND":"ann"}', True),
        ('{"KIND":{"id":"ann","metadata":{"tier":"gold"}}}', True),
        ('{"OTHER":"bob"}', True),
        ("{}", True),
        ("not JSON", True),
        ('{"KIND":"ann","KIND":"ann"}', True),
        ('{"KIND":5}', True),
        ('{"KIND":"bob"}', False),
        ('{"KIND":"Ann"}', False),
        ('{"KIND":{"id":"bob"}}', False),
        ('{"KIND":"bob","OTHER":"ann"}', False),
    ],
)
async def test_a_claim_against_what_the_hook_says(
    said: Entity, kind: str, claim: str, allowed: bool
) -> None:
    identity = Identity(**{kind: said})
    other = {"user": "group", "group": "user"}[kind]
    document = claim.replace("KIND", kind).replace("OTHER", other)
    naming = Naming(lambda *arguments: identity)
    for _ in range(2):
        if allowed:
            named = await naming.name(CONNECTION, NOBODY, {"waystone": document})
            assert named is identity
            continue
        with pytest.raises(PermissionDeniedError) as caught:
            await naming.name(CONNECTION, NOBODY, {"waystone": document})
        assert (caught.value.status, caught.value.param) == (403, "metadata.waystone")


@pytest.mark.anyio
async def test_too_large_a_claim_is_refused_before_any_hook_too() -> None:
    document = f'{{"user":{{"id":"ann","metadata":{{"a":"{LARGE}"}}}}}}'
    with pytest.raises(RequestTooLargeError):
        await ask(lambda *arguments: Identity(HOST), {"waystone": document})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        (Identity(Entity("ann", None, "claimed")), True),
        (Identity(Entity("bob", None, "claimed")), False),
        (Identity(Entity("ann"), Entity("other", None, "claimed")), False),
        (Identity(Entity("bob"), Entity("other")), True),
        (Identity(), True),
    ],
    ids=["same", "other user", "other group", "the host's word", "nobody"],
)
async def test_what_a_hook_calls_a_claim_against_what_a_key_pins(
    said: Identity, allowed: bool
) -> None:
    if allowed:
        assert await ask(lambda *arguments: said) is said
        return
    with pytest.raises(PermissionDeniedError):
        await ask(lambda *arguments: said)


@pytest.mark.anyio
async def test_a_hook_may_ask_the_default_one() -> None:
    def hook(connection: HTTPConnection, principal: Principal, metadata: Any) -> Identity:
        return Identity(Entity("host's"), identify(connection, principal, metadata).group)

    metadata = {"waystone": '{"group":"acme"}'}
    named = await ask(hook, metadata, NOBODY)
    assert named == Identity(Entity("host's"), entity("acme"))


# What is remembered.


@pytest.mark.anyio
async def test_a_document_is_read_once() -> None:
    naming = Naming()
    document = '{"user":{"id":"ann","metadata":{"a":1}},"group":"acme"}'
    first = await naming.name(CONNECTION, NOBODY, {"waystone": document})
    again = await naming.name(CONNECTION, NOBODY, {"waystone": "".join(list(document))})
    assert first is again == read(document)
    other = await naming.name(CONNECTION, PINNED, {"waystone": document})
    assert other == read(document, PINNED) != first
    assert await naming.name(CONNECTION, PINNED, {}) is await naming.name(CONNECTION, PINNED, {})
    assert await naming.name(CONNECTION, NOBODY, {}) == Identity()


@pytest.mark.anyio
async def test_what_one_key_pins_is_no_others() -> None:
    naming = Naming()
    pins = [(None, None), ("a", None), (None, "a"), ("a", "a"), ("a", "b"), ("b", "a")]
    for _ in range(2):
        for user, group in pins:
            principal = Principal(id="p", user=user, group=group)
            named = await naming.name(CONNECTION, principal, {})
            assert (named.user and named.user.id, named.group and named.group.id) == (user, group)
            for claim in ("a", "b"):
                metadata = {"waystone": f'{{"user":"{claim}"}}'}
                if user in (None, claim):
                    named = await naming.name(CONNECTION, principal, metadata)
                    assert named.user == Entity(claim, None, "key" if user else "claimed")
                    continue
                with pytest.raises(PermissionDeniedError):
                    await naming.name(CONNECTION, principal, metadata)


@pytest.mark.anyio
async def test_refusals_are_not_remembered_and_long_documents_neither() -> None:
    naming = Naming()
    for document in ("not JSON", '{"user":"bob"}'):
        for _ in range(2):
            with pytest.raises(GatewayError):
                await naming.name(CONNECTION, PINNED, {"waystone": document})
    long = f'{{"user":{{"id":"ann","metadata":{{"a":"{"x" * 5000}"}}}}}}'
    await naming.name(CONNECTION, NOBODY, {"waystone": long})
    assert len(naming._read) == 0


@pytest.mark.anyio
async def test_what_is_remembered_is_bounded() -> None:
    naming = Naming()
    for number in range(5000):
        await naming.name(CONNECTION, NOBODY, {"waystone": f'{{"user":"u{number}"}}'})
    assert len(naming._read) == 4096
    for number in range(1000):
        document = f'{{"user":{{"id":"u{number}","metadata":{{"a":"{"é" * 4000}"}}}}}}'
        await naming.name(CONNECTION, NOBODY, {"waystone": document})
    assert naming._read.bytes <= 8 * 1024 * 1024
    assert len(naming._read) < 1000


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("principal", "status"),
    [
        (Principal(id="p", user=""), 400),
        (Principal(id="p", group="x" * 257), 400),
        (Principal(id="p", user="\ud800"), 400),
        (Principal(id="p", user=cast("str", 5)), 500),
    ],
)
async def test_pinned_ids_are_looked_at_too(principal: Principal, status: int) -> None:
    for _ in range(2):
        with pytest.raises(GatewayError) as caught:
            await Naming().name(CONNECTION, principal, {})
        assert caught.value.status == status


# Merging.


class Refusing:
    """A store in which nothing fits."""

    async def merge(self, user: Entity | None, group: Entity | None) -> tuple[Layers, Layers]:
        raise RequestTooLargeError("Too large.", param="user.metadata")

    async def metadata(self, kind: str, id: str) -> None: ...


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("where", "param"), [("", "user.metadata"), ("metadata.waystone", "metadata.waystone")]
)
async def test_what_does_not_fit_is_refused_where_it_was_said(where: str, param: str) -> None:
    with pytest.raises(RequestTooLargeError) as caught:
        await merge(Refusing(), Identity(HOST), where)
    assert caught.value.param == param
    layers = await merge(MemoryEntities(), Identity(HOST, entity("acme")), where)
    assert layers == ({"host": {"tier": "free"}}, {})


@pytest.mark.anyio
async def test_what_a_body_says_of_a_pinned_user_is_a_claim() -> None:
    entities = MemoryEntities()
    document = '{"user": {"id": "ann", "metadata": {"tier": "pro"}}}'
    identity = await Naming().name(CONNECTION, Principal("p", "ann"), {"waystone": document})
    assert identity.user is not None
    assert (identity.user.source, identity.user.layer) == ("key", "claimed")
    layers, _ = await entities.merge(identity.user, identity.group)
    assert layers == {"claimed": {"tier": "pro"}}


@pytest.mark.anyio
async def test_a_layer_that_is_none() -> None:
    def hook(*_: object) -> Identity:
        return Identity(Entity("ann", {"a": 1}, "host", cast("Source", "nobody")))

    with pytest.raises(InternalError):
        await Naming(hook).name(CONNECTION, Principal("p"), {})
