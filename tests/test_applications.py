"""The standalone application: the gateway at its path, and short cuts beside it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from waystone_asgi import BearerKeys, Gateway, MemorySink, Provider
from waystone_asgi.applications import create_app
from waystone_asgi.types import Message

from .asgi import KEY, request

pytestmark = pytest.mark.anyio


def make(**settings: Any) -> Gateway:
    return Gateway(providers=[Provider.echo()], authenticate=BearerKeys([KEY]), **settings)


@pytest.mark.parametrize("path", ["/api/gateway", "/llm/", "gw", "/", ""])
@pytest.mark.parametrize("root", ["", "/proxy"])
async def test_the_gateway_is_at_its_path_and_the_short_cuts_beside_it(
    path: str, root: str
) -> None:
    gateway = make(path=path)
    app = create_app(gateway)
    at = root + gateway.path
    async with gateway.running():
        for url in ("/health", "/ready"):
            assert (await request(app, at + url, method="GET", root_path=root)).status == 200
            assert (await request(app, root + url, method="GET", root_path=root)).status == 200
        models = await request(app, f"{at}/v1/models", method="GET", root_path=root)
        assert [model["id"] for model in models.json["data"]] == ["echo/echo"]
        for url in (f"{at}/identify", f"{root}/api/identify"):
            named = await request(app, url, {"user": "ann"}, root_path=root)
            assert (named.status, named.json) == (200, {"user": "ann", "group": None})


async def test_a_proxy_may_strip_the_prefix() -> None:
    app = create_app(make())
    for path in ("/health", "/api/gateway/health"):
        answer = await request(app, path, method="GET", root_path="/proxy")
        assert (answer.status, answer.body) == (200, b'{"status":"ok"}')


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/nothing", "/api/gateway"),
        ("/health/", "/api/gateway"),
        ("/api/identify/", "/api/gateway"),
    ],
)
async def test_anything_else_is_not_found_and_says_where_the_api_is(path: str, where: str) -> None:
    answer = await request(create_app(make()), path, method="GET")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert where in answer.error["message"]
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/nothing", "/health", "/api/gateway/v1", "/api/gateway"])
async def test_a_websocket_is_closed_wherever_it_goes(path: str) -> None:
    sent: list[str] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": path, "root_path": "", "headers": []}
    await create_app(make())(scope, receive, send)
    assert sent == ["websocket.close"]


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/health", "POST", "GET, HEAD"),
        ("/api/identify", "GET", "POST"),
        ("/api/gateway/v1/chat/completions", "PUT", "POST"),
    ],
)
async def test_a_wrong_method(path: str, method: str, allow: str) -> None:
    answer = await request(create_app(make()), path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, allow)


async def test_the_short_cut_to_identify_wants_a_credential() -> None:
    answer = await request(create_app(make()), "/api/identify", {"user": "ann"}, key=None)
    assert answer.status == 401


async def test_its_lifespan_is_the_gateways() -> None:
    sink = MemorySink()
    gateway = make(sinks=[sink])
    app = create_app(gateway)
    sent: list[str] = []
    stop, started = anyio.Event(), anyio.Event()
    received: list[Message] = [{"type": "lifespan.startup"}]

    async def receive() -> Message:
        if received:
            return received.pop()
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        sent.append(message["type"])
        started.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app, {"type": "lifespan", "state": {}}, receive, send)
        await started.wait()
        assert (await request(app, "/ready", method="GET")).status == 200
        body = {"model": "echo/echo", "messages": [{"role": "user", "content": "hello"}]}
        answer = await request(app, "/api/gateway/v1/chat/completions", body)
        assert answer.json["choices"][0]["message"]["content"] == "hello"
        stop.set()
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert [record.outcome for record in sink.records] == ["ok"]
    assert (await request(app, "/ready", method="GET")).status == 503
