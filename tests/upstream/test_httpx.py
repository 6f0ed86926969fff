"""What `HTTPXUpstream` alone promises: it takes any transport of httpx or httpx2."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import pytest

from waystone_asgi.exceptions import UpstreamError, UpstreamTimeoutError
from waystone_asgi.upstream.httpx import HTTPXUpstream

from .calls import endpoint, exchange, post
from .conftest import ASYNCIO, TRIO, UVLOOP, Backend
from .scripted import Provider, answer, hold, request

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[ASYNCIO, UVLOOP, TRIO], ids=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """The event loops that there are for it."""
    backend: Backend = request.param
    return backend


async def test_httpx2() -> None:
    """The maintained continuation works the same, and needs the same care."""
    upstream = HTTPXUpstream(httpx2.AsyncHTTPTransport())
    with Provider([[request, answer() + answer(b"stolen"), hold]]) as provider:
        sent = post(endpoint(provider))
        assert await exchange(upstream, sent) == (200, b"{}")
        for _ in range(2):
            assert await exchange(upstream, sent) == (200, b"in order")
        assert len(provider.peers) == 2
    await upstream.aclose()


class Pieces:
    """An asynchronous stream of a mock, with an empty piece."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in (b"", b"in ", b"", b"order"):
            yield piece

    async def aclose(self) -> None:
        """There is nothing to close."""


class Duck:
    """A transport that derives from nothing."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer with pieces."""
        assert request.headers["authorization"] == "Bearer sk-1"

        class Stream(Pieces, httpx.AsyncByteStream):
            pass

        return httpx.Response(200, stream=Stream())

    async def aclose(self) -> None:
        """There is nothing to close."""


async def test_another_transport() -> None:
    """What is not from httpx is given httpx's requests; an empty piece is not the end."""
    upstream = HTTPXUpstream(Duck())
    target = endpoint(Provider(), port=1)
    response = await upstream.send(post(target))
    assert await response.receive() == b"in "
    assert await response.receive() == b"order"
    assert await response.receive() == b""
    await response.aclose()
    response = await upstream.send(post(target))
    await response.aclose()
    with pytest.raises(UpstreamError, match="closed"):
        await response.receive()
    await upstream.aclose()


@pytest.mark.parametrize(
    ("raised", "expected", "says"),
    [
        (httpx.PoolTimeout("late"), UpstreamTimeoutError, "pool"),
        (httpx.ConnectTimeout("late"), UpstreamTimeoutError, "connect"),
        (httpx.ConnectError("no"), UpstreamError, "cannot be reached"),
        (httpx.ReadError("no"), UpstreamError, "no valid answer"),
        (httpx.InvalidURL("no"), UpstreamError, "cannot be reached"),
        (ssl.SSLError(1, "no"), UpstreamError, "no TLS connection"),
        (AttributeError("uvloop"), UpstreamError, "cannot be reached"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_transport_that_raises(raised: Exception, expected: Any, says: str) -> None:
    """Nothing but our own errors comes out."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise raised

    upstream = HTTPXUpstream(httpx.MockTransport(fail))
    with pytest.raises(UpstreamError, match=says) as caught:
        await upstream.send(post(endpoint(Provider(), port=1)))
    assert type(caught.value) is expected
    assert "sk-1" not in caught.value.message
