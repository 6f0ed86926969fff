"""Opening, draining and closing as callers, probes and hosts see it."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from tests.asgi import KEY, Answer, chat, request
from waystone_asgi import BearerKeys, ConfigurationError, Gateway, MemorySink, Provider
from waystone_asgi.testing import FakeProvider, completion

from .hosts import AT, HOSTS, ask, lifespan, make_gateway

pytestmark = pytest.mark.anyio

ASK = {"model": "echo/echo", "messages": [{"role": "user", "content": "hello"}]}
WITH_LIFESPAN = [name for name in HOSTS if name != "alone"]


async def ready(gateway: Gateway) -> Answer:
    return await request(gateway, "/ready", method="GET", key=None)


async def test_ready_before_and_after() -> None:
    gateway, _ = make_gateway()
    before = await ready(gateway)
    assert (before.status, before.error["code"]) == (503, "overloaded")
    assert before.headers["retry-after"] == "1"
    async with gateway.running():
        assert (await ready(gateway)).json == {"status": "ready"}
    assert (await ready(gateway)).status == 503
    assert (await request(gateway, "/health", method="GET", key=None)).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_draining_finishes_what_is_in_flight_and_refuses_the_rest(stream: bool) -> None:
    held, asked = anyio.Event(), anyio.Event()
    sink = MemorySink()

    async def hold() -> None:
        asked.set()
        await held.wait()

    gateway = Gateway(
        providers=[Provider.openai(api_key="sk-test", base_url="http://provider.test/v1")],
        authenticate=BearerKeys([KEY]),
        upstream=FakeProvider(hold, completion("late"), completion("again")),
        sinks=[sink],
    )
    answers: list[Answer] = []

    async def caller() -> None:
        answers.append(await chat(gateway))

    async def probe() -> None:
        with anyio.fail_after(5):
            while (await ready(gateway)).status == 200:
                await anyio.lowlevel.checkpoint()
        assert "draining" in (await ready(gateway)).error["message"]
        assert (await request(gateway, "/health", method="GET", key=None)).status == 200
        for refused in (await chat(gateway, stream=stream), await named()):
            assert (refused.status, refused.error["code"]) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
        held.set()

    async def named() -> Answer:
        return await request(gateway, "/identify", {"user": "ann"})

    async with anyio.create_task_group() as tasks:
        async with gateway.running():
            tasks.start_soon(caller)
            await asked.wait()
            tasks.start_soon(probe)
        assert [answer.status for answer in answers] == [200]
        assert [record.outcome for record in sink.records] == ["ok"]
    assert (await chat(gateway)).status == 503
    async with gateway.running():
        assert (await ready(gateway)).status == 200
        assert (await chat(gateway)).status == 200
    assert len(sink.records) == 2


async def test_entering_again_while_open() -> None:
    gateway, sink = make_gateway()
    async with gateway.running() as outer:
        assert outer is gateway
        async with gateway.running() as inner, gateway.lifespan(None):
            assert inner is gateway
        assert (await request(gateway, "/v1/chat/completions", ASK)).status == 200
    assert len(sink.records) == 1


class Locked:
    """A sink that cannot be opened."""

    async def emit(self, records: object) -> None: ...

    async def open(self) -> None:
        raise ConfigurationError("the ledger is locked")


@pytest.mark.parametrize("name", WITH_LIFESPAN)
async def test_a_gateway_that_cannot_open_stops_its_host(name: str) -> None:
    gateway, _ = make_gateway(sinks=[Locked()])
    async with lifespan(HOSTS[name].build(gateway)) as sent:
        pass
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "the ledger is locked" in sent[0]["message"]


async def test_a_gateway_that_cannot_open_says_so_to_callers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway, _ = make_gateway(sinks=[Locked()])
    for _ in range(2):
        answer = await request(gateway, "/v1/chat/completions", ASK)
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        assert "ledger" not in answer.error["message"]
    assert "the ledger is locked" in caplog.text


# Several event loops, one after the other, as a test client without `with` makes them.

BACKENDS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_each_event_loop_opens_and_closes_it(name: str, backend: str) -> None:
    host = HOSTS[name]
    gateway, sink = make_gateway()
    client = TestClient(
        host.build(gateway), headers={"authorization": f"Bearer {KEY}"}, **BACKENDS[backend]
    )
    for count in (1, 2):
        answer = client.post(f"{host.prefix}/v1/chat/completions", json=ASK)
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        assert len(sink.records) == count, "the end of the loop hands over the record"


def test_event_loops_of_different_kinds() -> None:
    gateway, sink = make_gateway()
    for backend in [*BACKENDS.values(), *BACKENDS.values()]:
        client = TestClient(gateway, headers={"authorization": f"Bearer {KEY}"}, **backend)
        assert client.post("/v1/chat/completions", json=ASK).status_code == 200
        assert client.get("/ready").status_code == 503
    assert len(sink.records) == 6


@pytest.mark.parametrize("name", WITH_LIFESPAN)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_test_client_that_is_entered_runs_the_lifespan(name: str, backend: str) -> None:
    host = HOSTS[name]
    if backend == "trio" and not host.trio:
        pytest.skip("this framework knows asyncio only")
    gateway, sink = make_gateway()
    for _ in range(2):
        with TestClient(host.build(gateway), **BACKENDS[backend]) as client:
            client.headers["authorization"] = f"Bearer {KEY}"
            assert client.get(f"{host.prefix}/ready").status_code == 200
            assert client.post(f"{host.prefix}/v1/chat/completions", json=ASK).status_code == 200
    assert len(sink.records) == 2


# Websockets


@pytest.mark.parametrize("name", HOSTS)
def test_a_websocket_is_closed(name: str) -> None:
    host = HOSTS[name]
    gateway, _ = make_gateway()
    client = TestClient(host.build(gateway))
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(f"{host.prefix}/v1/chat/completions"),
    ):
        pass


# Two gateways


@pytest.fixture
def two() -> tuple[ASGIApp, list[tuple[Gateway, MemorySink]]]:
    """One host with two gateways, that differ in all that a gateway has."""
    from fastapi import FastAPI

    made = [
        make_gateway(
            providers=[Provider(name=name, type="echo", models=[f"model-of-{name}"])],
            authenticate=BearerKeys([f"wk_{name}"]),
            max_body_bytes=size,
        )
        for name, size in (("a", 200), ("b", 2000))
    ]
    app = FastAPI()
    for name, (gateway, _) in zip("ab", made, strict=True):
        app.mount(f"/{name}{AT}", gateway)
    return app, made


async def test_two_gateways_share_nothing(
    two: tuple[ASGIApp, list[tuple[Gateway, MemorySink]]],
) -> None:
    app, [(first, first_sink), (second, second_sink)] = two
    async with first.running():
        async with second.running():
            for name, other in ("ab", "ba"):
                at = f"/{name}{AT}"
                listed = await ask(app, f"{at}/v1/models", method="GET", key=f"wk_{name}")
                assert [m["id"] for m in listed.json["data"]] == [f"{name}/model-of-{name}"]
                denied = await ask(app, f"{at}/v1/models", method="GET", key=f"wk_{other}")
                assert denied.status == 401
                unknown = await chat_with(app, at, f"wk_{name}", f"{other}/model-of-{other}")
                assert unknown.status == 404
                answer = await chat_with(app, at, f"wk_{name}", f"model-of-{name}")
                assert answer.status == 200
                long = await chat_with(app, at, f"wk_{name}", f"model-of-{name}", "x" * 500)
                assert long.status == (413 if name == "a" else 200)
                claim = b'{"user": {"id": "ann", "metadata": {"of": "%b"}}}' % name.encode()
                named = await ask(app, f"{at}/identify", claim, key=f"wk_{name}")
                assert named.status == 200
        # One is closed, and the other goes on.
        assert (await ask(app, f"/b{AT}/ready", method="GET")).status == 503
        assert (await ask(app, f"/a{AT}/ready", method="GET")).status == 200
    assert [record.status for record in first_sink.records] == [404, 200, 413]
    assert [record.status for record in second_sink.records] == [404, 200, 200]
    assert await first.entities.metadata("user", "ann") == {"of": "a"}
    assert await second.entities.metadata("user", "ann") == {"of": "b"}


async def chat_with(app: ASGIApp, at: str, key: str, model: str, content: str = "hello") -> Answer:
    body = b'{"model": "%b", "messages": [{"role": "user", "content": "%b"}]}' % (
        model.encode(),
        content.encode(),
    )
    return await ask(app, f"{at}/v1/chat/completions", body, key=key)


async def test_one_gateway_at_two_paths_is_one_gateway() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    gateway, sink = make_gateway()
    app = Starlette(
        routes=[Mount("/one", gateway), Mount("/two", gateway)], lifespan=gateway.lifespan
    )
    async with lifespan(app):
        for at in ("/one", "/two"):
            assert (await chat_with(app, at, KEY, "echo/echo")).status == 200
    assert len(sink.records) == 2


async def test_nothing_is_logged_when_nothing_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "waystone_asgi")
    gateway, _ = make_gateway()
    async with lifespan(HOSTS["starlette"].build(gateway)):
        assert (await request(gateway, "/v1/chat/completions", ASK)).status == 200
    assert caplog.records == []
