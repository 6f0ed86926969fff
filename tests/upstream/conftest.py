"""Both transports on every event loop they know, and certificates of our own."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import httpx
import pytest
import trustme

from waystone_asgi.types import Upstream
from waystone_asgi.upstream.asyncio import AsyncioUpstream
from waystone_asgi.upstream.httpx import HTTPXUpstream

Backend: TypeAlias = tuple[str, dict[str, Any]]
Build: TypeAlias = Callable[..., Upstream]

ASYNCIO: Backend = ("asyncio", {"use_uvloop": False})
UVLOOP: Backend = ("asyncio", {"use_uvloop": True})
TRIO: Backend = ("trio", {})


@pytest.fixture(
    params=[
        pytest.param(("asyncio", ASYNCIO), id="asyncio"),
        pytest.param(("asyncio", UVLOOP), id="asyncio-uvloop"),
        pytest.param(("httpx", ASYNCIO), id="httpx"),
        pytest.param(("httpx", UVLOOP), id="httpx-uvloop"),
        pytest.param(("httpx", TRIO), id="httpx-trio"),
    ]
)
def combination(request: pytest.FixtureRequest) -> tuple[str, Backend]:
    """A transport, and an event loop that it runs on."""
    pair: tuple[str, Backend] = request.param
    return pair


@pytest.fixture
def anyio_backend(
    combination: tuple[str, Backend],
) -> Backend:
    """The event loop of this test."""
    return combination[1]


@pytest.fixture
def transport(combination: tuple[str, Backend]) -> str:
    """The name of the transport of this test: `asyncio` or `httpx`."""
    return combination[0]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signs the certificates of the providers that are trusted."""
    return trustme.CA()


@pytest.fixture(scope="session")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """What the gateway trusts."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """Makes the TLS of a provider that goes by the given names."""

    def make(*names: str, by: trustme.CA = authority) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        by.issue_cert(*names).configure_cert(context)
        return context

    return make


@pytest.fixture
async def build(transport: str, trust: ssl.SSLContext) -> AsyncIterator[Build]:
    """Makes upstreams of the transport under test, and closes them in the end."""
    made: list[Upstream] = []

    def make(max_connections: int = 1000) -> Upstream:
        upstream: Upstream
        if transport == "asyncio":
            upstream = AsyncioUpstream(max_connections=max_connections, ssl_context=trust)
        else:
            limits = httpx.Limits(max_connections=max_connections, keepalive_expiry=30.0)
            upstream = HTTPXUpstream(httpx.AsyncHTTPTransport(verify=trust, limits=limits))
        made.append(upstream)
        return upstream

    yield make
    for upstream in made:
        await upstream.aclose()


@pytest.fixture
def upstream(build: Build) -> Upstream:
    """One of them."""
    return build()
