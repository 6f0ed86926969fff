"""Which operation a path and a method are for."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from waystone_asgi.calls import Call, Table
from waystone_asgi.exceptions import MethodNotAllowedError, NotFoundError
from waystone_asgi.types import HTTPConnection, Message

from .asgi import http_scope


async def _chat(call: Call) -> None: ...


async def _list(call: Call) -> None: ...


async def _show(call: Call) -> None: ...


TABLE = Table(
    {
        "/chat": {"POST": _chat},
        "/models": {"GET": _list},
        "/models/": {"GET": _show},
    }
)


async def _receive() -> Message:
    raise AssertionError("nothing is read")


async def _send(message: Message) -> None:
    raise AssertionError("nothing is sent")


def make(path: str, **scope: Any) -> Call:
    return Call(http_scope(path, **scope), _receive, _send)


@pytest.mark.parametrize(
    ("method", "path", "handler", "argument"),
    [
        ("POST", "/chat", _chat, ""),
        ("GET", "/models", _list, ""),
        ("HEAD", "/models", _list, ""),
        ("GET", "/models/gpt", _show, "gpt"),
        ("GET", "/models/openai/gpt", _show, "openai/gpt"),
        ("GET", "/models/a b%2F", _show, "a b%2F"),
        ("GET", "/models/gpt/", _show, "gpt/"),
        ("GET", "/models//", _show, "/"),
    ],
)
def test_the_operation_of_a_path(method: str, path: str, handler: object, argument: str) -> None:
    call = make(path, method=method)
    assert TABLE.accept(call) is handler
    assert call.argument == argument


@pytest.mark.parametrize(
    "path", ["", "/", "/chat/", "/models/", "/Chat", "/chat/x", "//chat", "/model", "chat"]
)
def test_an_unknown_path(path: str) -> None:
    with pytest.raises(NotFoundError) as raised:
        TABLE.accept(make(path))
    assert raised.value.status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/chat", b"POST"),
        ("HEAD", "/chat", b"POST"),
        ("OPTIONS", "/chat", b"POST"),
        ("post", "/chat", b"POST"),
        ("POST", "/models", b"GET, HEAD"),
        ("DELETE", "/models/gpt", b"GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_take(method: str, path: str, allow: bytes) -> None:
    with pytest.raises(MethodNotAllowedError) as raised:
        TABLE.accept(make(path, method=method))
    assert raised.value.headers == ((b"allow", allow),)


def test_a_call_shows_the_connection_to_the_hosts_hooks() -> None:
    call = make("/chat", headers=[(b"x-tenant", b"acme"), (b"x-request-id", b"abc")])
    assert isinstance(call.connection, HTTPConnection)
    assert call.connection.headers["x-tenant"] == "acme"
    assert call.head.request_id == "abc"


@pytest.mark.anyio
@pytest.mark.parametrize("ended", [False, True])
async def test_nobody_leaves_while_the_last_message_is_sent(ended: bool) -> None:
    messages: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request"}]
    seen: list[Message] = []

    async def receive() -> Message:
        return messages.pop()

    async def send(message: Message) -> None:
        # As hypercorn does, when it closes the connection after the answer.
        if message["type"] == "http.response.body":
            with anyio.move_on_after(0.01):
                seen.append(await call.receive())

    call = Call(http_scope("/chat"), receive, send)
    seen.append(await call.receive())
    if ended:
        await call.reply.json(200, b"{}")
    else:
        await call.reply.write(b"data: 1\n\n")
    gone = [] if ended else [{"type": "http.disconnect"}]
    assert seen == [{"type": "http.request"}, *gone]
