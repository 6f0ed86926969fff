"""What becomes of connections: used again, tried again, given up, cancelled, held back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from waystone_asgi.exceptions import UpstreamError, UpstreamTimeoutError
from waystone_asgi.pieces import Body, Pieces
from waystone_asgi.records import Endpoint, Timeouts
from waystone_asgi.types import Upstream, UpstreamResponse

from .calls import LONG, SHORT, endpoint, exchange, happens, post
from .conftest import Build
from .scripted import (
    Peer,
    Provider,
    Script,
    answer,
    endless,
    flood,
    glance,
    hold,
    request,
    reset,
    serve,
    tell,
    until,
)

pytestmark = [
    pytest.mark.anyio,
    # httpx and httpcore leave their iterators unfinished when something goes wrong, which trio
    # remarks upon.
    pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning"),
]

OK = b"HTTP/1.1 200 OK\r\n"
ENDLESS = OK + b"content-length: 99999999\r\n\r\n"
LARGE = b"[" + b"0," * (2 << 20) + b"0]"
UNREAD = bytes(64 << 20)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"model": "m"}', id="small"),
        pytest.param(LARGE, id="large"),
        pytest.param(Pieces(b'{"model":', memoryview(b'"m"'), b"}"), id="small, in pieces"),
        pytest.param(Pieces(b"[[1],", memoryview(LARGE), b"]"), id="large, in pieces"),
    ],
)
async def test_the_request_is_sent_as_it_is(upstream: Upstream, body: Body) -> None:
    """The endpoint's headers, its host, the length, and nothing else."""
    with Provider() as provider:
        target = endpoint(provider, (b"X-Team", b"a b"), path="/v1/chat?api-version=1")
        assert await exchange(upstream, post(target, body)) == (200, b"in order")
        head, _, received = provider.peers[0].requests[0].partition(b"\r\n\r\n")
        line, *headers = head.split(b"\r\n")
        assert line == b"POST /v1/chat?api-version=1 HTTP/1.1"
        assert sorted(header.lower() for header in headers) == [
            b"authorization: bearer sk-1",
            b"content-length: %d" % len(body),
            b"host: 127.0.0.1:%d" % provider.port,
            b"x-team: a b",
        ]
        assert received == bytes(body)


async def test_a_host_of_its_own(upstream: Upstream) -> None:
    """A signed request brings its host header, which is not doubled."""
    with Provider() as provider:
        await exchange(upstream, post(endpoint(provider, (b"Host", b"signed.example"))))
        assert provider.peers[0].requests[0].lower().count(b"host: ") == 1
        assert b"host: signed.example\r\n" in provider.peers[0].requests[0].lower()


async def test_connections_are_used_again(upstream: Upstream) -> None:
    """One after the other takes one connection; at the same time takes several."""
    with Provider() as provider:
        sent = post(endpoint(provider))
        for _ in range(5):
            assert await exchange(upstream, sent) == (200, b"in order")
        assert len(provider.peers) == 1
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(exchange, upstream, sent)
        assert 1 < len(provider.peers) <= 3


async def test_credentials_do_not_share(upstream: Upstream, transport: str) -> None:
    """Another credential is another connection; httpx knows only origins."""
    with Provider() as provider:
        for value in (b"Bearer sk-1", b"Bearer sk-2", b"Bearer sk-1"):
            target = endpoint(provider, headers=((b"authorization", value),))
            assert await exchange(upstream, post(target)) == (200, b"in order")
        assert len(provider.peers) == {"asyncio": 2, "httpx": 1}[transport]


@dataclass(frozen=True)
class Again:
    """What a connection does after one answer, and what then becomes of a second request: an error
    that says `says`, or none.
    """

    id: str
    script: Script
    says: str | None = None
    requests: int = 2
    second: Script | None = None
    timeouts: Timeouts = LONG
    httpx: Mapping[str, Any] = field(default_factory=dict)


NO_RETRY = {"says": "gave no valid answer", "requests": 2}

AGAIN = [
    Again("close", [request], requests=3, httpx=NO_RETRY),
    Again("reset", [request, reset], requests=3, httpx=NO_RETRY),
    Again("close twice", [request], "closed the", 3, second=[request], httpx=NO_RETRY),
    Again("reset twice", [request], "closed the", 3, second=[request, reset], httpx=NO_RETRY),
    Again("one byte", [request, b"H"], "closed the connection", httpx=NO_RETRY),
    Again("interim", [request, b"HTTP/1.1 100 Go\r\n\r\n"], "closed the", httpx=NO_RETRY),
    Again("head", [request, OK + b"content-length: 2\r\n\r\n"], "broke off"),
    Again("silence", [request, hold], "first byte", timeouts=SHORT),
]


@pytest.mark.parametrize("case", AGAIN, ids=lambda case: case.id)
async def test_what_is_sent_again(case: Again, upstream: Upstream, transport: str) -> None:
    """Only what a used connection dropped without a byte of answer, and only once."""
    expected = {"says": case.says, "requests": case.requests}
    if transport == "httpx":
        expected |= case.httpx
    first = [request, answer(), *case.script]
    with Provider([first] if case.second is None else [first, case.second]) as provider:
        target = endpoint(provider)
        assert await exchange(upstream, post(target)) == (200, b"{}")
        sent = post(target, timeouts=case.timeouts)
        if expected["says"] is None:
            assert await exchange(upstream, sent) == (200, b"in order")
        else:
            with pytest.raises(UpstreamError, match=str(expected["says"])):
                await exchange(upstream, sent)
        assert provider.requests == expected["requests"]


async def test_an_idle_connection_is_closed(upstream: Upstream) -> None:
    """By the provider: the next request takes another one, and notices nothing."""
    ended = threading.Event()

    def end(peer: Peer) -> None:
        peer.sock.close()
        ended.set()

    with Provider([[request, answer(), end]]) as provider:
        sent = post(endpoint(provider))
        assert await exchange(upstream, sent) == (200, b"{}")
        await happens(ended)
        assert await exchange(upstream, sent) == (200, b"in order")


async def test_an_idle_connection_speaks(upstream: Upstream) -> None:
    """What nobody asked for is no answer to the next request."""
    go, gone = threading.Event(), threading.Event()
    script: Script = [request, answer(), until(go), answer(b"stolen"), tell(gone), hold]
    with Provider([script]) as provider:
        sent = post(endpoint(provider))
        assert await exchange(upstream, sent) == (200, b"{}")
        go.set()
        await happens(gone)
        assert await exchange(upstream, sent) == (200, b"in order")
        await happens(provider.peers[0].closed)


async def read_once(upstream: Upstream, target: Endpoint) -> UpstreamResponse:
    """An answer of which the first bytes are read, and more is to come."""
    response = await upstream.send(post(target))
    assert await response.receive() == b"begin"
    return response


@pytest.mark.parametrize("script", [[request], [request, OK]], ids=["none", "half"])
async def test_cancel_before_the_head(upstream: Upstream, script: Script) -> None:
    """The provider sees at once that nobody waits any more."""
    waiting = threading.Event()
    with Provider([[*script, tell(waiting), hold]]) as provider:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange, upstream, post(endpoint(provider)))
            await happens(waiting)
            cancelled = time.monotonic()
            tasks.cancel_scope.cancel()
        await happens(provider.peers[0].closed)
        assert provider.peers[0].closed_at - cancelled < 0.1
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
        assert len(provider.peers) == 2


async def test_cancel_in_the_body(upstream: Upstream) -> None:
    """The provider sees at once that nobody reads any more."""
    with Provider([[request, ENDLESS + b"begin", hold]]) as provider:
        response = await read_once(upstream, endpoint(provider))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(response.receive)
            await anyio.wait_all_tasks_blocked()
            cancelled = time.monotonic()
            tasks.cancel_scope.cancel()
        await happens(provider.peers[0].closed)
        assert provider.peers[0].closed_at - cancelled < 0.1
        with pytest.raises(UpstreamError):
            await response.receive()
        await response.aclose()
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
        assert len(provider.peers) == 2


async def test_close_in_the_body(upstream: Upstream) -> None:
    """Closing the answer closes the connection, also while the socket is not read."""
    for script in ([b"begin", hold], [b"begin", endless(bytes(65536))]):
        with Provider([[request, ENDLESS, *script]]) as provider:
            response = await upstream.send(post(endpoint(provider)))
            await response.receive()
            await anyio.wait_all_tasks_blocked()
            closed = time.monotonic()
            await response.aclose()
            await happens(provider.peers[0].closed)
            assert provider.peers[0].closed_at - closed < 0.1
            with pytest.raises(UpstreamError):
                await response.receive()
            assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
            assert len(provider.peers) == 2


async def test_a_slow_reader_holds_the_provider_back(upstream: Upstream) -> None:
    """What does not fit into some buffers stays where it is, until it is read."""
    head = OK + b"content-length: %d\r\n\r\n" % len(UNREAD)
    with Provider([[request, head, flood(UNREAD), hold]]) as provider:
        response = await upstream.send(post(endpoint(provider)))
        await happens(provider.peers[0].paused)
        assert provider.peers[0].sent < len(UNREAD) // 2
        received = 0
        while data := await response.receive():
            assert len(data) <= 262144
            received += len(data)
        assert received == len(UNREAD)
        await response.aclose()


async def test_a_slow_reader_is_not_a_slow_provider(upstream: Upstream) -> None:
    """The idle time is that of the provider, not that of the caller."""
    go = threading.Event()
    script: Script = [request, ENDLESS + b"begin", until(go), b"more", hold]
    with Provider([script]) as provider:
        response = await upstream.send(post(endpoint(provider), timeouts=SHORT))
        assert await response.receive() == b"begin"
        await anyio.sleep(2 * SHORT.idle)
        go.set()
        assert await response.receive() == b"more"
        with pytest.raises(UpstreamTimeoutError, match="idle"):
            await response.receive()
        await response.aclose()


async def test_total_while_nobody_reads(upstream: Upstream) -> None:
    """The total time ends the answer of a caller who does not read it, too."""
    timeouts = Timeouts(first_byte=0.3, idle=5.0, total=0.3)
    with Provider([[request, ENDLESS + b"begin", hold]]) as provider:
        response = await upstream.send(post(endpoint(provider), timeouts=timeouts))
        assert await response.receive() == b"begin"
        await anyio.sleep(0.4)
        with pytest.raises(UpstreamTimeoutError, match="total"):
            await response.receive()
        await response.aclose()
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


async def test_a_provider_that_does_not_read(upstream: Upstream, transport: str) -> None:
    """A request that gets stuck is given up; to httpx it is all one time to the first byte."""
    timer = {"asyncio": "write", "httpx": "first byte"}[transport]
    stop = threading.Event()
    with Provider([[until(stop)]]) as provider:
        with pytest.raises(UpstreamTimeoutError, match=timer):
            await exchange(upstream, post(endpoint(provider), UNREAD, SHORT))
        stop.set()
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


async def test_a_provider_that_reads_slowly(upstream: Upstream, transport: str) -> None:
    """As long as the request moves on, its time to the first byte has not begun."""

    def sip(peer: Peer) -> None:
        peer.sip(1 << 20, every=0.01)

    with Provider([[sip, answer()]]) as provider:
        sent = post(endpoint(provider), UNREAD, SHORT)
        if transport == "httpx":
            with pytest.raises(UpstreamTimeoutError, match="first byte"):
                await exchange(upstream, sent)
        else:
            assert await exchange(upstream, sent) == (200, b"{}")
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


async def test_an_answer_before_the_request_is_sent(upstream: Upstream, transport: str) -> None:
    """A provider may refuse a large request early; the connection is not used again."""
    script: Script = [glance, answer(b"{}", status=b"413 Too Large"), hold]
    with Provider([script]) as provider:
        sent = post(endpoint(provider), UNREAD, SHORT)
        if transport == "httpx":  # It looks for an answer once it has sent all.
            with pytest.raises(UpstreamError):
                await exchange(upstream, sent)
        else:
            assert await exchange(upstream, sent) == (413, b"{}")
        await happens(provider.peers[0].closed)
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
        assert len(provider.peers) == 2


async def test_connection_refused(upstream: Upstream) -> None:
    """Nobody listens."""
    with Provider() as provider:
        target = endpoint(provider)
    with pytest.raises(UpstreamError, match=r"^The provider refused the connection\.$"):
        await exchange(upstream, post(target))


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".invalid", "nowhere..invalid"])
async def test_a_host_that_does_not_resolve(upstream: Upstream, host: str) -> None:
    """There is no such host."""
    with Provider() as provider, pytest.raises(UpstreamError) as caught:
        await exchange(upstream, post(endpoint(provider, host=host)))
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/caf\u00e9"},
        {"path": "/a b"},
        {"path": "/a\r\nx-more: 1"},
        {"headers": ((b"x", b"1\r\nx-more: 1"),)},
        {"headers": ((b"x\n", b"1"),)},
        {"headers": ((b"x", b"1\0"),)},
    ],
    ids=lambda changes: repr(changes)[1:30],
)
async def test_what_cannot_be_sent(upstream: Upstream, changes: dict[str, Any]) -> None:
    """What would change the request's meaning on the wire is not sent."""
    with Provider() as provider:
        with pytest.raises(UpstreamError):
            await exchange(upstream, post(endpoint(provider, **changes)))
        assert provider.requests == 0


async def test_connecting_takes_too_long(upstream: Upstream) -> None:
    """A host that does not answer at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        # Nobody accepts: two fill the queue, and the next attempt hears nothing.
        crowd = [socket.socket() for _ in range(2)]
        for sock in crowd:
            sock.setblocking(False)
            sock.connect_ex(address)
        target = Endpoint(scheme="http", host=address[0], port=address[1], path="/")
        with pytest.raises(UpstreamTimeoutError, match="connect"):
            await exchange(upstream, post(target, timeouts=Timeouts(connect=0.2)))
        for sock in crowd:
            sock.close()


async def test_the_pool_is_full(build: Build) -> None:
    """Who waits too long for a connection is told what for; the others are not disturbed."""
    upstream = build(max_connections=1)
    with Provider([[request, ENDLESS + b"begin", hold]]) as provider:
        response = await read_once(upstream, endpoint(provider))
        with pytest.raises(UpstreamTimeoutError, match="pool"):
            await exchange(upstream, post(endpoint(provider), timeouts=Timeouts(connect=0.1)))
        with anyio.move_on_after(0.05) as scope:
            await exchange(upstream, post(endpoint(provider)))
        assert scope.cancelled_caught
        await response.aclose()
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


async def test_waiting_for_a_connection(build: Build, transport: str) -> None:
    """First come, first served, over one connection, also to another place."""
    upstream = build(max_connections=1)
    go = threading.Event()
    order: list[int] = []

    async def call(number: int, target: Endpoint) -> None:
        assert await exchange(upstream, post(target)) == (200, b"in order")
        order.append(number)

    with Provider([[request, until(go), answer(b"in order"), serve]]) as one, Provider() as two:
        async with anyio.create_task_group() as tasks:
            for number, provider in enumerate((one, one, two, two, one)):
                tasks.start_soon(call, number, endpoint(provider))
                await anyio.wait_all_tasks_blocked()
            go.set()
        # httpx serves those first for whom it has a connection.
        assert (sorted(order) if transport == "httpx" else order) == [0, 1, 2, 3, 4]
        # Nobody waits: the place of the idle connection is taken.
        await call(5, endpoint(two))


async def drain(response: UpstreamResponse) -> None:
    """Read to the end."""
    while await response.receive():
        pass


async def test_closing_the_upstream(build: Build) -> None:
    """Idle connections are closed, answers break off, and nothing is left open."""
    upstream = build()
    come, go = threading.Event(), threading.Event()
    idle: Script = [request, tell(come), until(go), answer(b"in order"), hold]
    with Provider([idle, [request, ENDLESS + b"begin", hold]]) as provider:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange, upstream, post(endpoint(provider)))
            await happens(come)
            response = await upstream.send(post(endpoint(provider)))
            go.set()
        await upstream.aclose()
        for peer in provider.peers:
            await happens(peer.closed)
        with pytest.raises(UpstreamError):
            await drain(response)
        await response.aclose()
        # The upstream may be opened again.
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
