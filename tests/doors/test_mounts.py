"""Every operation through every door, however the prefix arrives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi import Gateway

from .hosts import ARRIVALS, HOME, HOSTS, Host, ask, lifespan, make_gateway

pytestmark = pytest.mark.anyio

ASK = {"model": "echo/echo", "messages": [{"role": "user", "content": "one two three"}]}


# Starlette does not find its own nested mounts where a proxy has stripped its prefix.
ENTRANCES = [
    (host, arrival)
    for host in HOSTS
    for arrival in ARRIVALS
    if not (arrival == "stripped" and host.endswith("nested"))
]
SITES = [host for host in HOSTS if host not in ("alone", "standalone")]

every_host = pytest.mark.parametrize("host", HOSTS, indirect=True)
every_entrance = pytest.mark.parametrize(
    ("host", "arrival"), ENTRANCES, indirect=["host"], ids=" ".join
)


@pytest.fixture
def host(request: pytest.FixtureRequest, anyio_backend_name: str) -> Host:
    """A kind of host, on the event loops that it knows."""
    host = HOSTS[request.param]
    if anyio_backend_name == "trio" and not host.trio:
        pytest.skip("this framework knows asyncio only")
    return host


class Door:
    """The gateway as it is reached through a host."""

    def __init__(self, host: Host, gateway: Gateway, arrival: str) -> None:
        self.app = host.build(gateway)
        before, self.root_path = ARRIVALS[arrival]
        self.prefix = before + host.prefix

    async def __call__(self, path: str, body: object = None, **scope: Any) -> Any:
        scope.setdefault("method", "GET" if body is None else "POST")
        scope.setdefault("root_path", self.root_path)
        data = b"" if body is None else json.dumps(body).encode()
        return await ask(self.app, self.prefix + path, data, **scope)


@every_entrance
async def test_every_operation(host: Host, arrival: str) -> None:
    gateway, sink = make_gateway()
    door = Door(host, gateway, arrival)
    async with lifespan(door.app) as sent:
        assert [message["type"] for message in sent] == ["lifespan.startup.complete"]
        assert (await door("/health")).json == {"status": "ok"}
        assert (await door("/ready")).json == {"status": "ready"}
        answer = await door("/v1/chat/completions", ASK)
        assert answer.json["choices"][0]["message"]["content"] == "one two three"
        stream = await door("/v1/chat/completions", {**ASK, "stream": True})
        assert stream.complete
        assert stream.body.endswith(b"data: [DONE]\n\n")
        pieces = [m for m in stream.messages if b'"content"' in m.get("body", b"")]
        assert len(pieces) > 2, "the stream came in one piece"
        models = [model["id"] for model in (await door("/v1/models")).json["data"]]
        assert "echo/echo" in models
        assert (await door("/v1/models/echo/echo")).json["id"] == "echo/echo"
        named = await door("/identify", {"user": "ann", "group": "acme"})
        assert named.json == {"user": "ann", "group": "acme"}
    assert sent[-1]["type"] == "lifespan.shutdown.complete"
    assert [record.outcome for record in sink.records] == ["ok", "ok"]


@every_host
async def test_without_a_lifespan_the_first_request_opens(host: Host) -> None:
    gateway, sink = make_gateway()
    door = Door(host, gateway, "direct")
    assert (await door("/ready")).status == 503
    assert (await door("/v1/chat/completions", ASK)).status == 200
    assert (await door("/ready")).status == 200
    async with gateway.running():
        pass
    assert [record.outcome for record in sink.records] == ["ok"]


@every_host
@pytest.mark.parametrize(
    ("name", "raw_name"),
    [
        ("echo/echo", b"echo%2Fecho"),
        ("echo/echo", b"echo/echo"),
        ("echo/echo", b"%65cho/echo"),
        ("odd/my model", b"odd/my%20model"),
        ("odd/a/b", b"odd%2Fa%2Fb"),
        ("odd/ü", b"odd/%C3%BC"),
    ],
)
async def test_a_model_by_its_encoded_name(host: Host, name: str, raw_name: bytes) -> None:
    gateway, _ = make_gateway()
    door = Door(host, gateway, "direct")
    raw_path = f"{host.prefix}/v1/models/".encode() + raw_name
    answer = await door(f"/v1/models/{name}", raw_path=raw_path)
    assert (answer.status, answer.json["id"]) == (200, name)


@every_host
@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions/", "/v1/models/", "/health/", "/v1", "/v1/", "/nothing", "/V1/models"],
)
async def test_what_is_not_there_is_not_found(host: Host, path: str) -> None:
    """And is not sent elsewhere: a redirect would make the client send its body twice."""
    gateway, _ = make_gateway()
    answer = await Door(host, gateway, "direct")(path, ASK)
    assert (answer.status, answer.error["type"]) == (404, "invalid_request_error")
    assert "location" not in answer.headers


@every_host
async def test_a_wrong_method(host: Host) -> None:
    gateway, _ = make_gateway()
    door = Door(host, gateway, "direct")
    answer = await door("/v1/chat/completions")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = await door("/v1/models", {}, method="DELETE")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@every_entrance
async def test_an_error_is_the_gateways(host: Host, arrival: str) -> None:
    gateway, sink = make_gateway()
    door = Door(host, gateway, arrival)
    async with lifespan(door.app):
        denied = await door("/v1/chat/completions", ASK, key="wk_wrong")
        assert (denied.status, denied.error["code"]) == (401, "invalid_api_key")
        wrong = await door("/v1/chat/completions", {"model": "echo/echo", "messages": 1})
        assert (wrong.status, wrong.error["param"]) == (400, "messages")
        unknown = await door("/v1/chat/completions", {**ASK, "model": "no/model"})
        assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
    assert [record.status for record in sink.records] == [400, 404]


@pytest.mark.parametrize("host", SITES, indirect=True)
@pytest.mark.parametrize("arrival", ["direct", "--root-path"])
async def test_the_hosts_own_page_is_still_there(host: Host, arrival: str) -> None:
    gateway, _ = make_gateway()
    before, root_path = ARRIVALS[arrival]
    app = host.build(gateway)
    async with lifespan(app):
        answer = await ask(app, f"{before}/", method="GET", root_path=root_path)
    assert (answer.status, answer.body) == (200, HOME.encode())
