"""The gateway before another application: who gets which path, and both their lifespans."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from waystone_asgi import ConfigurationError, Gateway, GatewayMiddleware, Provider
from waystone_asgi.authentication import allow_anonymous
from waystone_asgi.types import Message, Receive, Scope, Send

from .asgi import request

pytestmark = pytest.mark.anyio

STARTED = {"type": "lifespan.startup.complete"}
ENDED = {"type": "lifespan.shutdown.complete"}


def make_gateway(**settings: Any) -> Gateway:
    return Gateway(providers=[Provider.echo()], authenticate=allow_anonymous, **settings)


async def host(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that says which path it was asked for, below which root."""
    body = f"host: {scope.get('root_path')}|{scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("root", "path", "by_gateway"),
    [
        ("", "/api/gateway/health", True),
        ("/proxy", "/proxy/api/gateway/health", True),
        ("/proxy", "/api/gateway/health", True),
        ("/proxy/", "/proxy/api/gateway/health", True),
        ("", "/", False),
        ("", "/health", False),
        ("", "/api/gatewayhealth", False),
        ("", "/api/gateways/health", False),
        ("", "/other/api/gateway/health", False),
        ("/proxy", "/proxy/health", False),
        ("/api/gateway", "/health", False),
    ],
)
async def test_the_gateway_gets_its_path_and_the_host_the_rest(
    root: str, path: str, by_gateway: bool
) -> None:
    app = GatewayMiddleware(host, make_gateway())
    answer = await request(app, path, method="GET", root_path=root)
    assert answer.status == 200
    expected = b'{"status":"ok"}' if by_gateway else f"host: {root}|{path}".encode()
    assert answer.body == expected


@pytest.mark.parametrize("path", ["/api/gateway", "/api/gateway/", "/api/gateway/nothing"])
async def test_what_is_missing_below_the_path_is_the_gateways_to_say(path: str) -> None:
    answer = await request(GatewayMiddleware(host, make_gateway()), path, method="GET")
    assert answer.status == 404
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "path", ["/llm", "llm", "/llm/"], ids=["as it is", "without a slash", "with one more"]
)
async def test_the_path_may_be_chosen(path: str) -> None:
    app = GatewayMiddleware(host, make_gateway(), path)
    assert (await request(app, "/llm/health", method="GET")).body == b'{"status":"ok"}'


@pytest.mark.parametrize("path", ["", "/", "//"])
async def test_the_whole_site_is_not_a_path(path: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a path such as /api/gateway"):
        GatewayMiddleware(host, make_gateway(), path)


async def test_a_websocket_below_the_path_is_closed_and_others_are_the_hosts() -> None:
    sent: list[Message] = []

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    app = GatewayMiddleware(echo, make_gateway())
    await app({"type": "websocket", "path": "/api/gateway/v1"}, receive, send)
    await app({"type": "websocket", "path": "/chat"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close", "websocket.accept"]


async def test_the_hosts_scope_is_left_as_it_was() -> None:
    app = GatewayMiddleware(host, make_gateway())
    scope = {"type": "http", "method": "GET", "path": "/api/gateway/health", "headers": []}
    before = dict(scope)

    async def nothing(*message: Message) -> Message:
        return {"type": "http.request"}

    await app(scope, nothing, nothing)  # type: ignore[arg-type]
    assert scope == before


# Lifespans


class Server:
    """Speaks the lifespan protocol as servers do, and keeps what it is told."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app
        self._messages = [{"type": "lifespan.startup"}]
        self._stopping = anyio.Event()
        self.sent: list[Message] = []
        self.raised: Exception | None = None
        self.started = anyio.Event()

    async def run(self) -> None:
        try:
            scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            self.raised = error
        self.started.set()

    def stop(self) -> None:
        self._stopping.set()

    async def _receive(self) -> Message:
        if self._messages:
            return self._messages.pop()
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self.started.set()


class Inner:
    """An application whose lifespan goes as told, and a log of what the gateway was meanwhile."""

    def __init__(self, how: str, gateway: Gateway) -> None:
        self.how = how
        self.gateway = gateway
        self.log: list[tuple[str, str]] = []

    async def _note(self, what: str) -> None:
        answer = await request(self.gateway, "/ready", method="GET")
        self.log.append((what, "ready" if answer.status == 200 else "not ready"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        await self._note("called")
        match self.how:
            case "raises":
                raise ValueError("lifespan is not for me")
            case "returns":
                return
        assert (await receive())["type"] == "lifespan.startup"
        match self.how:
            case "raises at startup":
                raise ValueError("a bug at startup")
            case "fails at startup":
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            case "fails at startup and raises":
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                raise ValueError("no database")
        await send(STARTED)
        match self.how:
            case "returns early":
                return
            case "raises early":
                raise ValueError("a bug in between")
        assert (await receive())["type"] == "lifespan.shutdown"
        await self._note("shutting down")
        match self.how:
            case "says nothing at shutdown":
                return
            case "raises at shutdown":
                raise ValueError("a bug at shutdown")
            case "fails at shutdown and raises":
                await send({"type": "lifespan.shutdown.failed", "message": "busy"})
                raise ValueError("busy")
        await send(ENDED)


FAILED = {"type": "lifespan.startup.failed", "message": "no database"}
NOT_ENDED = {"type": "lifespan.shutdown.failed", "message": "busy"}


@pytest.mark.parametrize(
    ("how", "sent", "raised"),
    [
        ("as it should", [STARTED, ENDED], None),
        ("raises", [STARTED, ENDED], None),
        ("returns", [STARTED, ENDED], None),
        ("raises at startup", [STARTED, ENDED], None),
        ("fails at startup", [FAILED], None),
        ("fails at startup and raises", [FAILED], "no database"),
        ("returns early", [STARTED, ENDED], None),
        ("raises early", [STARTED, ENDED], None),
        ("says nothing at shutdown", [STARTED, ENDED], None),
        ("raises at shutdown", [STARTED], "a bug at shutdown"),
        ("fails at shutdown and raises", [STARTED, NOT_ENDED], "busy"),
    ],
)
async def test_the_lifespans_of_both(how: str, sent: list[Message], raised: str | None) -> None:
    gateway = make_gateway()
    inner = Inner(how, gateway)
    server = Server(GatewayMiddleware(inner, gateway))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        await server.started.wait()
        await anyio.wait_all_tasks_blocked()
        assert server.sent == sent[:1]
        # The gateway is open from before the application's startup until after its shutdown.
        ready = await request(gateway, "/ready", method="GET")
        assert (ready.status == 200) is (sent[0] == STARTED)
        server.stop()
    assert server.sent == sent
    assert str(server.raised or "") == (raised or "")
    assert {state for _, state in inner.log} == {"ready"}
    assert (await request(gateway, "/ready", method="GET")).status == 503


async def test_the_end_of_the_shutdown_is_told_after_the_last_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order: list[str] = []

    class Slow:
        async def emit(self, records: object) -> None:
            order.append("emitted")

        async def aclose(self) -> None:
            order.append("closed")

    gateway = make_gateway(sinks=[Slow()])
    server = Server(GatewayMiddleware(Inner("as it should", gateway), gateway))
    body = {"model": "echo/echo", "messages": [{"role": "user", "content": "hello"}]}

    async def note(message: Message) -> None:
        server.sent.append(message)
        server.started.set()
        order.append(message["type"])

    server._send = note  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        await server.started.wait()
        assert (await request(gateway, "/v1/chat/completions", body)).status == 200
        server.stop()
    assert order == [STARTED["type"], "emitted", "closed", ENDED["type"]]


async def test_a_gateway_that_cannot_open_fails_the_startup() -> None:
    class Locked:
        async def emit(self, records: object) -> None: ...

        async def open(self) -> None:
            raise ConfigurationError("the ledger is locked")

    gateway = make_gateway(sinks=[Locked()])
    inner = Inner("as it should", gateway)
    server = Server(GatewayMiddleware(inner, gateway))
    await server.run()
    assert server.sent == [{"type": "lifespan.startup.failed", "message": "the ledger is locked"}]
    assert server.raised is None
    assert inner.log == []


async def test_a_server_that_breaks_is_told_so() -> None:
    """Whatever the server raises while both are open passes, and both are closed."""
    gateway = make_gateway()

    class Breaking(Server):
        async def _receive(self) -> Message:
            if not self._messages:
                raise OSError("the server is gone")
            return await super()._receive()

    server = Breaking(GatewayMiddleware(Inner("returns", gateway), gateway))
    await server.run()
    assert str(server.raised) == "the server is gone"
    assert (await request(gateway, "/ready", method="GET")).status == 503


@pytest.mark.parametrize(
    ("how", "level", "text"),
    [
        ("raises", logging.INFO, "The application has no lifespan"),
        ("raises early", logging.ERROR, "The application's lifespan ended early."),
    ],
)
async def test_what_the_host_raised_is_logged(
    how: str, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waystone_asgi")
    gateway = make_gateway()
    server = Server(GatewayMiddleware(Inner(how, gateway), gateway))
    server.stop()
    await server.run()
    assert [(r.levelno, r.getMessage()[: len(text)]) for r in caplog.records] == [(level, text)]
