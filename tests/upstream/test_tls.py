"""The same over TLS, and what goes wrong there only."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
import trustme

from waystone_asgi.exceptions import UpstreamError, UpstreamTimeoutError
from waystone_asgi.pieces import Pieces
from waystone_asgi.records import Timeouts
from waystone_asgi.types import Upstream
from waystone_asgi.upstream.asyncio import AsyncioUpstream
from waystone_asgi.upstream.httpx import HTTPXUpstream

from .calls import LONG, endpoint, exchange, happens, post
from .scripted import (
    Provider,
    Script,
    answer,
    end_tls,
    flood,
    glance,
    hold,
    raw,
    request,
    reset,
    tell,
)

pytestmark = [
    pytest.mark.anyio,
    # httpx and httpcore leave their iterators unfinished when something goes wrong, which trio
    # remarks upon.
    pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning"),
]

OK = b"HTTP/1.1 200 OK\r\n"
BEGUN = OK + b"content-length: 99\r\n\r\nbegin"
UNTIL_CLOSE = OK + b"\r\n{}"
HALF_A_RECORD = b"\x17\x03\x03\x01\x00half"
HALF_A_HANDSHAKE = b"\x16\x03\x03\x01\x00half"

Certificate = Callable[..., ssl.SSLContext]


async def test_tls(upstream: Upstream, certificate: Certificate) -> None:
    """The name is sent and checked, and the connection is used again."""
    names: list[str | None] = []
    tls = certificate("localhost")
    tls.sni_callback = lambda sock, name, context: names.append(name)
    large = bytes(3 << 20)
    with Provider(tls=tls) as provider:
        target = endpoint(provider, host="localhost")
        for body in (b"{}", large, b"{}", Pieces(large, memoryview(large))):
            assert await exchange(upstream, post(target, body)) == (200, b"in order")
        assert [len(sent) for sent in provider.peers[0].requests][1] > len(large)
    assert names == ["localhost"]


async def test_an_address_instead_of_a_name(upstream: Upstream, certificate: Certificate) -> None:
    """A certificate may name an address."""
    with Provider(tls=certificate("127.0.0.1")) as provider:
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


@dataclass(frozen=True)
class Certified:
    """A certificate that is not accepted, and what the error says about it."""

    id: str
    says: str
    name: str = "localhost"
    trusted: bool = True
    expired: bool = False


CERTIFIED = [
    Certified("another name", "certificate is not valid: .*localhost", name="elsewhere.example"),
    Certified("unknown authority", "certificate is not valid: ", trusted=False),
    Certified("expired", "certificate is not valid: .*expired", expired=True),
]


@pytest.mark.parametrize("case", CERTIFIED, ids=lambda case: case.id)
async def test_certificates(case: Certified, upstream: Upstream, authority: trustme.CA) -> None:
    """A certificate that does not prove who the provider is ends the attempt, and says why."""
    by = authority if case.trusted else trustme.CA()
    year = 2020 if case.expired else 2100
    issued = by.issue_cert(
        case.name,
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_after=datetime(year, 12, 31, tzinfo=UTC),
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(tls)
    with Provider(tls=tls) as provider:
        with pytest.raises(UpstreamError, match=case.says):
            await exchange(upstream, post(endpoint(provider, host="localhost")))
        assert provider.requests == 0


async def test_certificates_are_checked_by_default(
    transport: str, certificate: Certificate
) -> None:
    """Without a context of the host's, only what the system trusts is trusted."""
    made: Upstream = AsyncioUpstream() if transport == "asyncio" else HTTPXUpstream()
    with Provider(tls=certificate("localhost")) as provider:
        with pytest.raises(UpstreamError, match="certificate is not valid"):
            await exchange(made, post(endpoint(provider, host="localhost")))
        assert provider.requests == 0
    await made.aclose()


@dataclass(frozen=True)
class Broken:
    """What is done instead of a handshake, or, with `tls`, after the request, and the error."""

    id: str
    script: Script
    says: str
    tls: bool = False
    error: type[UpstreamError] = UpstreamError
    fine_with_httpx: bool = False


BROKEN = [
    Broken("plain HTTP", [answer(status=b"400 Bad"), hold], "no TLS connection"),
    Broken("half a handshake", [HALF_A_HANDSHAKE], "cannot be reached|no TLS connection"),
    Broken("no handshake", [], "cannot be reached|no TLS connection"),
    Broken("reset in the handshake", [reset], "cannot be reached|no TLS connection"),
    Broken("silence", [hold], "connect", error=UpstreamTimeoutError),
    Broken("half a record", [request, BEGUN, raw(HALF_A_RECORD)], "broke off", True),
    # What came before the damage may be lost with it.
    Broken("no record at all", [request, BEGUN, raw(b"plainly wrong"), hold], "off|without", True),
    Broken("close", [request, BEGUN], "broke off", True),
    Broken("close in order", [request, BEGUN, end_tls], "broke off", True),
    Broken("reset", [request, BEGUN, reset], "broke off", True),
    # Somebody on the way may have cut it; httpx takes it for the end.
    Broken("until a rude close", [request, UNTIL_CLOSE], "broke off", True, fine_with_httpx=True),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.id)
async def test_broken_tls(
    case: Broken, upstream: Upstream, transport: str, certificate: Certificate
) -> None:
    """It ends in the right error, and the next request is not harmed."""
    tls = certificate("127.0.0.1") if case.tls else None
    with Provider([case.script], tls=tls) as provider:
        timeouts = Timeouts(connect=0.2 if case.error is UpstreamTimeoutError else 5.0)
        sent = post(endpoint(provider, scheme="https"), timeouts=timeouts)
        if case.fine_with_httpx and transport == "httpx":
            assert await exchange(upstream, sent) == (200, b"{}")
        else:
            with pytest.raises(UpstreamError, match=case.says) as caught:
                await exchange(upstream, sent)
            assert type(caught.value) is case.error
        provider.tls = certificate("127.0.0.1")
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
        assert len(provider.peers) == 2


async def test_until_close(upstream: Upstream, certificate: Certificate) -> None:
    """A body without a length ends with TLS's own goodbye."""
    with Provider([[request, UNTIL_CLOSE, end_tls]], tls=certificate("127.0.0.1")) as provider:
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"{}")
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


async def test_cancel_in_the_handshake(upstream: Upstream) -> None:
    """The provider sees at once that nobody waits any more."""
    greeted = threading.Event()
    with Provider([[glance, tell(greeted), hold]]) as provider:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange, upstream, post(endpoint(provider, scheme="https")))
            await happens(greeted)
            cancelled = time.monotonic()
            tasks.cancel_scope.cancel()
        await happens(provider.peers[0].closed)
        assert provider.peers[0].closed_at - cancelled < 0.1


async def test_cancel_in_the_body(upstream: Upstream, certificate: Certificate) -> None:
    """The provider sees at once that nobody reads any more."""
    with Provider([[request, BEGUN, hold]], tls=certificate("127.0.0.1")) as provider:
        response = await upstream.send(post(endpoint(provider)))
        assert await response.receive() == b"begin"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(response.receive)
            await anyio.wait_all_tasks_blocked()
            cancelled = time.monotonic()
            tasks.cancel_scope.cancel()
        await happens(provider.peers[0].closed)
        assert provider.peers[0].closed_at - cancelled < 0.1
        await response.aclose()


async def test_a_slow_reader(upstream: Upstream, certificate: Certificate) -> None:
    """What is not read stays with the provider."""
    body = bytes(32 << 20)
    script: list[Any] = [request, OK + b"content-length: %d\r\n\r\n" % len(body), flood(body), hold]
    with Provider([script], tls=certificate("127.0.0.1")) as provider:
        response = await upstream.send(post(endpoint(provider), timeouts=LONG))
        await happens(provider.peers[0].paused)
        assert provider.peers[0].sent < len(body) // 2
        received = 0
        while data := await response.receive():
            received += len(data)
        assert received == len(body)
        await response.aclose()
