"""Who calls: keys, stored hashes of keys, and hooks that return something else."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from waystone_asgi.authentication import (
    APIKey,
    BearerKeys,
    allow_anonymous,
    check_endpoint,
    prove,
)
from waystone_asgi.exceptions import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
)
from waystone_asgi.records import Principal
from waystone_asgi.types import Authenticate, HTTPConnection

from .asgi import http_scope

KEY = "wk_canary-5b0e"
HASHED = hashlib.sha256(KEY.encode()).hexdigest()
STORED = f"sha256:{HASHED}"


def connection(*values: bytes, name: bytes = b"authorization") -> HTTPConnection:
    """A connection with the given `Authorization` headers."""
    return HTTPConnection(http_scope("/", key=None, headers=[(name, value) for value in values]))


def bearer(token: str) -> HTTPConnection:
    return connection(f"Bearer {token}".encode())


@pytest.mark.parametrize("entry", [KEY, STORED, STORED.replace(HASHED, HASHED.upper())])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_a_known_key(entry: str, scheme: str) -> None:
    principal = BearerKeys([entry])(connection(f"{scheme} {KEY}".encode()))
    assert principal == Principal(id=f"key_{HASHED[:8]}")


def test_a_key_stands_for_what_its_entry_says() -> None:
    said = {"id": "acme", "user": "ann", "group": "g", "models": ("a/*",), "endpoints": ("chat",)}
    for key in (KEY, STORED):
        keys = BearerKeys(["wk_other", APIKey(key=key, **cast("Any", said))])
        assert keys(bearer(KEY)) == Principal(**cast("Any", said))


BAD_HEADERS: list[tuple[bytes, ...]] = [
    (),
    (b"",),
    (b"Bearer",),
    (b"Bearer ",),
    (b"Bearer  ",),
    (b"Bearer wk_other",),
    (f"Bearer {KEY[:-1]}".encode(),),
    (f"Bearer {KEY}x".encode(),),
    (f"Bearer {KEY.upper()}".encode(),),
    (f"Bearer {KEY} {KEY}".encode(),),
    (f"Bearer {KEY},".encode(),),
    (f'Bearer "{KEY}"'.encode(),),
    (f"Bearer {KEY}\x00".encode(),),
    (f"Bearer\t{KEY}".encode(),),
    (f"Basic {KEY}".encode(),),
    (f"Token {KEY}".encode(),),
    (KEY.encode(),),
    (f"Bearer{KEY}".encode(),),
    (b"Bearer \xff\xfe",),
    (b"Bearer " + b"x" * 65536,),
    (f"Bearer {KEY}".encode(), f"Bearer {KEY}".encode()),
    (f"Bearer {KEY}".encode(), b"Bearer wk_other"),
    (b"Basic x", f"Bearer {KEY}".encode()),
]


@pytest.mark.parametrize("entry", [KEY, STORED])
@pytest.mark.parametrize("values", BAD_HEADERS, ids=lambda values: repr(values)[:40])
def test_other_headers_are_refused(entry: str, values: tuple[bytes, ...]) -> None:
    with pytest.raises(AuthenticationError) as caught:
        BearerKeys([entry])(connection(*values))
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert caught.value.headers == ((b"www-authenticate", b"Bearer"),)
    assert KEY not in str(caught.value)


def test_the_key_is_not_taken_from_other_headers() -> None:
    for name in (b"x-api-key", b"api-key", b"proxy-authorization"):
        with pytest.raises(AuthenticationError):
            BearerKeys([KEY])(connection(KEY.encode(), f"Bearer {KEY}".encode(), name=name))


@pytest.mark.parametrize("token", [HASHED, STORED, HASHED.upper(), bytes.fromhex(HASHED).hex()])
@pytest.mark.parametrize("entry", [KEY, STORED])
def test_a_stored_hash_is_no_credential(entry: str, token: str) -> None:
    with pytest.raises(AuthenticationError):
        BearerKeys([entry])(bearer(token))


def test_keys_with_a_common_beginning_are_told_apart() -> None:
    keys = BearerKeys([APIKey(key="wk_" + "a" * n, id=str(n)) for n in range(1, 100)])
    for n in range(1, 100):
        assert keys(bearer("wk_" + "a" * n)).id == str(n)
    for token in ("wk_", "wk_" + "a" * 100, "a"):
        with pytest.raises(AuthenticationError):
            keys(bearer(token))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([], "has no keys"),
        ("wk_abc", "expected a list of keys, not one string"),
        ([""], "api_keys[0]: a key is printable ASCII"),
        (["  "], "api_keys[0]: a key is printable ASCII"),
        (["wk_1", "wk_ü"], "api_keys[1]: a key is printable ASCII"),
        (["wk_\n"], "api_keys[0]: a key is printable ASCII"),
        (["wk_\x7f"], "api_keys[0]: a key is printable ASCII"),
        (["wk_ canary-5b0e"], "api_keys[0]: expected a key, or sha256:"),
        (["env:WAYSTONE_API_KEY"], "env: names are resolved in waystone.toml only"),
        (["sha256:canary-5b0e"], "sha256: and 64 hexadecimal digits"),
        ([STORED + "0"], "sha256: and 64 hexadecimal digits"),
        ([KEY, KEY], "api_keys[1]: the same key is given twice"),
        ([KEY, STORED], "api_keys[1]: the same key is given twice"),
        ([STORED, APIKey(key=STORED.replace(HASHED, HASHED.upper()))], "given twice"),
        ([None], "api_keys[0]: expected a string, got NoneType"),
        ([KEY.encode()], "api_keys[0]: expected a string, got bytes"),
        ([APIKey(key=cast("str", 5))], "api_keys[0]: expected a string, got int"),
        ([APIKey(key=KEY, user="")], "api_keys[0].user: expected 1 to 256 characters"),
        ([APIKey(key=KEY, group="g" * 257)], "api_keys[0].group: expected 1 to 256 characters"),
        ([APIKey(key=KEY, user=cast("str", 5))], "api_keys[0].user: expected 1 to 256"),
        (
            [APIKey(key=KEY, models=cast("tuple[str, ...]", "openai/*"))],
            "api_keys[0].models: expected a list, not one string",
        ),
        (
            [APIKey(key=KEY, endpoints=cast("tuple[str, ...]", "chat"))],
            "api_keys[0].endpoints: expected a list, not one string",
        ),
    ],
)
def test_entries_that_are_refused(keys: Sequence[str | APIKey], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BearerKeys(keys)
    assert words in str(caught.value)
    assert "canary" not in str(caught.value)


def test_nothing_shows_a_key() -> None:
    entry = APIKey(key=KEY, id="acme")
    keys = BearerKeys([entry, STORED.replace("0", "1"), "wk_other"])
    assert repr(entry) == "APIKey(id='acme')"
    assert entry.__rich_repr__() == [("id", "acme")]
    assert repr(keys) == str(keys) == "BearerKeys(3 keys)"
    assert KEY not in repr(vars(keys))
    assert HASHED not in repr(vars(keys))


def test_everyone_is_let_in_when_the_host_says_so() -> None:
    assert allow_anonymous(connection()) == Principal(id="anonymous")


@pytest.mark.parametrize(
    ("endpoints", "allowed"),
    [
        (None, True),
        (("chat",), True),
        (("responses", "chat"), True),
        ((), False),
        (("cha",), False),
    ],
)
def test_the_operations_of_a_key(endpoints: tuple[str, ...] | None, allowed: bool) -> None:
    principal = Principal(id="p", endpoints=endpoints)
    if allowed:
        check_endpoint(principal, "chat")
    else:
        with pytest.raises(PermissionDeniedError, match="chat"):
            check_endpoint(principal, "chat")


# The hook.


async def _principal(connection: HTTPConnection) -> Principal:
    return Principal(id="p")


class _Hook:
    async def __call__(self, connection: HTTPConnection) -> Principal:
        return Principal(id="p")


class _Special(Principal, frozen=True):
    """A principal of the host's own."""


@pytest.mark.anyio
@pytest.mark.parametrize(
    "hook",
    [
        lambda connection: Principal(id="p"),
        lambda connection: _principal(connection),
        lambda connection: _Special(id="p"),
        _principal,
        _Hook(),
    ],
)
async def test_a_hook_may_be_of_any_kind(hook: Authenticate) -> None:
    assert (await prove(hook, connection())).id == "p"


def _raises(error: BaseException) -> Callable[[HTTPConnection], Principal]:
    def hook(connection: HTTPConnection) -> Principal:
        raise error

    return hook


def _raises_late(error: BaseException) -> Authenticate:
    async def hook(connection: HTTPConnection) -> Principal:
        raise error

    return hook


@pytest.mark.anyio
@pytest.mark.parametrize(
    "returned",
    [
        *(None, True, "p", b"p", 5, {}, {"id": "p"}, object(), Principal, [Principal(id="p")]),
        *(Principal(id=""), Principal(id=cast("str", None)), Principal(id=cast("str", 5))),
        Principal(id="p", models=cast("tuple[str, ...]", "openai/*")),
        Principal(id="p", endpoints=cast("tuple[str, ...]", "chat")),
    ],
    ids=repr,
)
async def test_what_is_no_principal_denies(returned: object) -> None:
    async def late(connection: HTTPConnection) -> object:
        return returned

    for hook in (lambda connection: returned, late):
        with pytest.raises(AuthenticationError):
            await prove(cast("Authenticate", hook), connection())


@pytest.mark.anyio
@pytest.mark.parametrize("error", [AuthenticationError(), PermissionDeniedError("Not today.")])
@pytest.mark.parametrize("raises", [_raises, _raises_late])
async def test_the_hooks_own_refusal_is_the_answer(
    error: Exception, raises: Callable[[Exception], Authenticate]
) -> None:
    with pytest.raises(type(error)) as caught:
        await prove(raises(error), connection())
    assert caught.value is error


@pytest.mark.anyio
@pytest.mark.parametrize("raises", [_raises, _raises_late])
@pytest.mark.parametrize("kind", [ValueError, KeyError, OSError, ConfigurationError, RuntimeError])
async def test_any_other_exception_denies_and_is_logged_without_its_text(
    raises: Callable[[Exception], Authenticate],
    kind: type[Exception],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(AuthenticationError) as caught:
        await prove(raises(kind(KEY)), connection())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert kind.__name__ in caplog.text
    assert KEY not in caplog.text


@pytest.mark.anyio
async def test_a_hook_that_takes_no_connection_denies() -> None:
    hook = cast("Authenticate", lambda: Principal(id="p"))
    with pytest.raises(AuthenticationError):
        await prove(hook, connection())
