"""Prefixes as servers and proxies really write them: `uvicorn --root-path`, and FastAPI's own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from fastapi import FastAPI
from openai import OpenAI

from tests.servers.processes import Served, serving

from .hosts import AT, HOSTS, ask, lifespan, make_gateway

EXAMPLES = {
    "examples.fastapi_host:app": "session-of-ann",
    "examples.starlette_host:app": "wk_demo",
    "examples.django_host:application": "wk_demo",
    "examples.litestar_host:app": "wk_demo",
}


@pytest.fixture(scope="module", params=EXAMPLES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, str]]:
    """A host behind a proxy that strips `/proxy`, as its server was told."""
    log = tmp_path_factory.mktemp("site") / "server.log"
    command = ["uvicorn", request.param, "--fd", "{fd}", "--root-path", "/proxy"]
    with serving(command, log) as served:
        yield served, EXAMPLES[request.param]


def test_the_client_reaches_it_as_the_proxy_would(site: tuple[Served, str]) -> None:
    served, key = site
    with OpenAI(base_url=f"{served.url}{AT}/v1", api_key=key, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["echo/echo"]
        assert client.models.retrieve("echo/echo").id == "echo/echo"
        stream = client.chat.completions.create(
            model="echo/echo", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        assert [chunk.choices[0].delta.content for chunk in stream][1] == "hello"


def test_there_are_no_redirects(site: tuple[Served, str]) -> None:
    served, _ = site
    for path in ("/health/", "/v1/models/", "/v1/chat/completions/"):
        response = httpx2.post(f"{served.url}{AT}{path}", content=b"{}")
        assert response.status_code == 404
        assert response.json()["error"]["type"] == "invalid_request_error"
    assert httpx2.get(f"{served.url}{AT}/ready").json() == {"status": "ready"}


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize("path", [f"/proxy{AT}", AT], ids=["whole", "stripped"])
async def test_fastapis_own_root_path(path: str) -> None:
    gateway, _ = make_gateway()
    app = FastAPI(root_path="/proxy", lifespan=gateway.lifespan)
    app.mount(AT, gateway)
    async with lifespan(app):
        answer = await ask(app, f"{path}/v1/models/echo/echo", method="GET")
    assert (answer.status, answer.json["id"]) == (200, "echo/echo")


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["starlette", "fastapi", "plain", "standalone", "litestar"])
async def test_the_host_header_decides_nothing(name: str) -> None:
    gateway, _ = make_gateway()
    host = HOSTS[name]
    for header in (b"api.example/v1/models", b"", b"evil.test", b"localhost/api/gateway/health?"):
        answer = await ask(
            host.build(gateway), f"{host.prefix}/health", method="GET", headers=[(b"host", header)]
        )
        # Litestar refuses a Host header that is none before it looks at the path.
        assert answer.status == 200 or (name == "litestar" and answer.status == 400)
