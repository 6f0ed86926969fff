"""What `AsyncioUpstream` alone promises: its pool, its timers, its buffers."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from waystone_asgi.exceptions import UpstreamError, UpstreamTimeoutError
from waystone_asgi.records import Endpoint, Timeouts
from waystone_asgi.upstream.alarm import Alarm
from waystone_asgi.upstream.answer import AsyncioResponse
from waystone_asgi.upstream.asyncio import AsyncioUpstream
from waystone_asgi.upstream.connection import BUFFER_SIZE

from .calls import endpoint, exchange, happens, post
from .conftest import ASYNCIO, UVLOOP, Backend
from .scripted import Peer, Provider, answer, glance, hold, request, serve, until

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
ENDLESS = OK + b"content-length: 99999999\r\n\r\n"


@pytest.fixture(params=[ASYNCIO, UVLOOP], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """The event loops that there are for it."""
    backend: Backend = request.param
    return backend


@pytest.fixture
async def upstream() -> AsyncIterator[AsyncioUpstream]:
    """One with room for two connections."""
    upstream = AsyncioUpstream(max_connections=2)
    yield upstream
    await upstream.aclose()
    assert upstream.open_connections == upstream.idle_connections == 0


async def become(condition: Callable[[], bool]) -> None:
    """Let the event loop run until the condition holds."""
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110, there is no event to wait for
            await anyio.sleep(0.001)


async def test_counts(upstream: AsyncioUpstream) -> None:
    """A connection is open from the first request on, and idle from the last byte on."""
    assert (upstream.open_connections, upstream.idle_connections) == (0, 0)
    with Provider() as provider:
        response = await upstream.send(post(endpoint(provider)))
        # The body came with the head: nobody needs to read it for the connection to be free.
        assert (upstream.open_connections, upstream.idle_connections) == (1, 1)
        assert await response.receive() == b"in order"
    await become(lambda: upstream.open_connections == 0)
    assert upstream.idle_connections == 0


async def test_the_end_is_known_before_it_is_read(upstream: AsyncioUpstream) -> None:
    """An answer has ended when its reader has all of it, not when the last of it has come."""
    with Provider() as provider:
        response = await upstream.send(post(endpoint(provider)))
        assert isinstance(response, AsyncioResponse)
        assert not response.ended
        await response.receive()
        assert response.ended


async def test_data_nobody_asked_for(upstream: AsyncioUpstream) -> None:
    """An idle connection that speaks is closed at once."""
    go = threading.Event()
    with Provider([[request, answer(), until(go), b"H", hold]]) as provider:
        await exchange(upstream, post(endpoint(provider)))
        assert upstream.idle_connections == 1
        go.set()
        await happens(provider.peers[0].closed)
        assert upstream.open_connections == upstream.idle_connections == 0


async def test_the_latest_is_used_first(upstream: AsyncioUpstream) -> None:
    """So that those that are not needed grow old."""
    one, two = threading.Event(), threading.Event()
    scripts = [[request, until(event), answer(b"in order"), serve] for event in (one, two)]
    with Provider(scripts) as provider:
        sent = post(endpoint(provider))
        async with anyio.create_task_group() as tasks:
            for count in (1, 2):
                tasks.start_soon(exchange, upstream, sent)
                await become(lambda count=count: provider.requests == count)  # type: ignore[misc]
            two.set()
            await become(lambda: upstream.idle_connections == 1)
            one.set()
        for _ in range(3):
            await exchange(upstream, sent)
        assert [len(peer.requests) for peer in provider.peers] == [4, 1]


async def test_idle_for_too_long() -> None:
    """An idle connection is closed in time, and used until then."""
    upstream = AsyncioUpstream(keep_alive=0.15)
    with Provider() as provider:
        for _ in range(5):
            assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
            await anyio.sleep(0.04)
        assert len(provider.peers) == 1
        await happens(provider.peers[0].closed)
        await become(lambda: upstream.open_connections == 0)
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
        assert len(provider.peers) == 2
    await upstream.aclose()


async def test_a_connection_that_was_lost_unnoticed(upstream: AsyncioUpstream) -> None:
    """The event loop has not seen yet that the provider has closed."""
    ended = threading.Event()

    def end(peer: Peer) -> None:
        peer.sock.close()
        ended.set()

    with Provider([[request, answer(), end]]) as provider:
        await exchange(upstream, post(endpoint(provider)))
        ended.wait(5)  # The loop stands still meanwhile.
        assert upstream.idle_connections == 1
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


async def test_nothing_is_kept_of_an_endpoint_that_is_made_for_one_request(
    upstream: AsyncioUpstream,
) -> None:
    """It would put others out of memory; what it opens is used again nevertheless."""
    with Provider() as provider:
        await exchange(upstream, post(target := endpoint(provider)))
        for _ in range(3):
            await exchange(upstream, post(endpoint(provider, once=True)))
        assert list(upstream._prepared) == [target]
        assert [len(peer.requests) for peer in provider.peers] == [4]


async def test_memory_is_bounded(upstream: AsyncioUpstream) -> None:
    """Whatever the provider sends, and in however small pieces, little waits for the reader."""

    def send_all(peer: Peer) -> None:
        peer.sock.settimeout(0.2)
        try:
            while True:
                peer.sock.sendall(b"1\r\nx\r\n" * 9999)
        except TimeoutError:
            peer.paused.set()
        peer.wait_for_close()

    chunked = OK + b"transfer-encoding: chunked\r\n\r\n"
    with Provider([[request, chunked, send_all]]) as provider:
        response = await upstream.send(post(endpoint(provider)))
        assert isinstance(response, AsyncioResponse)
        await happens(provider.peers[0].paused)
        assert 0 < sum(map(len, response.pieces)) + 64 * len(response.pieces) <= BUFFER_SIZE
        assert len(await response.receive()) <= BUFFER_SIZE
        await response.aclose()
        await happens(provider.peers[0].closed)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", ["given back", "closed"])
async def test_cancelled_in_the_queue(how: str, when: str) -> None:
    """Who leaves the queue in the moment its turn comes hands the place on."""
    upstream = AsyncioUpstream(max_connections=1)
    compressed = answer(gzip.compress(b"in order"), b"content-encoding: gzip")
    with Provider([[request, compressed, serve]]) as provider:
        sent = post(endpoint(provider))
        response = await upstream.send(sent)
        assert await response.receive() == b"in order"
        second, third = (asyncio.create_task(exchange(upstream, sent)) for _ in range(2))
        await asyncio.sleep(0)
        # The connection is still held. From here on nobody else runs before the last line.
        if when == "before":
            second.cancel()
        if how == "given back":
            assert await response.receive() == b""
        else:
            await response.aclose()
        second.cancel()
        assert await third == (200, b"in order")
        assert second.cancelled()
        assert len(provider.peers) == (1 if how == "given back" else 2)
    await upstream.aclose()


async def test_a_connection_given_to_who_needs_a_new_one() -> None:
    """What is sent again goes over a new connection, even when the pool is full of others."""
    upstream = AsyncioUpstream(max_connections=1)
    with Provider([[request, answer(), request]]) as one, Provider() as two:
        await exchange(upstream, post(endpoint(one)))
        async with anyio.create_task_group() as tasks:
            # The first finds its connection dead, and stands in the line behind the others.
            for target in (endpoint(one), endpoint(two), endpoint(one), endpoint(one)):
                tasks.start_soon(exchange, upstream, post(target))
        assert one.requests == 5
        assert two.requests == 1
    await upstream.aclose()


async def test_closing_while_others_wait() -> None:
    """Who waits for a connection, or is about to get one, is told."""
    upstream = AsyncioUpstream(max_connections=1)
    with Provider([[hold]]) as provider:
        first, second, third = (
            asyncio.create_task(exchange(upstream, post(endpoint(provider)))) for _ in range(3)
        )
        await asyncio.sleep(0)
        third.cancel()
        await upstream.aclose()
        for task in (first, second):
            with pytest.raises(UpstreamError):
                await task
        with pytest.raises(asyncio.CancelledError):
            await third
        assert upstream.open_connections == 0
    assert len(provider.peers) <= 1


async def test_closing_what_was_never_opened() -> None:
    """There is nothing to close."""
    await AsyncioUpstream().aclose()


async def test_a_parked_connection_is_lost(upstream: AsyncioUpstream) -> None:
    """All has arrived before the provider closed, though it is not decompressed yet."""
    compressed = answer(gzip.compress(b"in order"), b"content-encoding: gzip")
    with Provider([[request, compressed]]) as provider:
        response = await upstream.send(post(endpoint(provider)))
        await become(lambda: upstream.open_connections == 0)
        assert [await response.receive(), await response.receive()] == [b"in order", b""]
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


async def test_a_closing_transport_is_not_used(upstream: AsyncioUpstream) -> None:
    """Between the failure of a transport and the news of it, somebody may ask for it."""
    with Provider() as provider:
        await exchange(upstream, post(endpoint(provider)))
        assert upstream._pool is not None
        (connection,) = upstream._pool.sockets
        connection._transport.close()
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
        assert len(provider.peers) == 2


async def test_an_answer_while_the_request_is_sent(upstream: AsyncioUpstream) -> None:
    """The request goes on while its answer is read."""
    head = OK + b"content-length: 9\r\n\r\nbegin"
    go = threading.Event()
    with Provider([[glance, head, until(go), request, b" end", hold]]) as provider:
        response = await upstream.send(post(endpoint(provider), bytes(32 << 20)))
        assert await response.receive() == b"begin"
        go.set()
        assert await response.receive() == b" end"
        assert await response.receive() == b""
        await response.aclose()


async def test_every_address_is_tried(
    upstream: AsyncioUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that does not answer leaves time for the next one."""

    async def getaddrinfo(host: str, port: int, *, type: int) -> list[tuple[Any, ...]]:
        return [(0, 0, 0, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with Provider() as provider:
        target = endpoint(provider, host="provider.example")
        assert await exchange(upstream, post(target)) == (200, b"in order")


async def test_many_endpoints(upstream: AsyncioUpstream) -> None:
    """Endpoints that are made for one request each are forgotten, and share a connection."""
    with Provider() as provider:
        for number in range(1100):
            headers = (
                (b"authorization", b"AWS4-HMAC-SHA256 Credential=AKID/1, Signature=%d" % number),
                (b"x-amz-date", b"%d" % number),
                (b"anthropic-beta", b"files-%d" % number),
                (b"content-type", b"multipart/form-data; boundary=%d" % number),
            )
            target = endpoint(provider, path=f"/{number}", headers=headers)
            assert await exchange(upstream, post(target)) == (200, b"in order")
        assert len(provider.peers) == 1
        assert len(upstream._prepared) == 1024
        assert upstream._pool is not None
        assert len(upstream._pool.sites) == 1


async def test_lost_before_it_is_used(
    upstream: AsyncioUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is closed between being made and being handed out."""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def connect_and_wait(*args: Any, **keywords: Any) -> Any:
        transport, protocol = await connect(*args, **keywords)
        await become(lambda: protocol.closed)
        return transport, protocol

    monkeypatch.setattr(loop, "create_connection", connect_and_wait)
    with Provider([[]]) as provider:
        with pytest.raises(UpstreamError, match="closed the connection"):
            await exchange(upstream, post(endpoint(provider)))
        monkeypatch.undo()
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


async def test_cancelled_as_the_answer_arrives(upstream: AsyncioUpstream) -> None:
    """The connection is free already, and stays so."""
    with Provider() as provider:
        task = asyncio.create_task(exchange(upstream, post(endpoint(provider))))
        while not upstream.idle_connections:  # noqa: ASYNC110, every turn of the loop counts
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
        assert len(provider.peers) == 1


async def test_an_alarm_that_was_cancelled() -> None:
    """It may be set again, by a transport that does not know yet, and stays silent."""
    rung: list[bool] = []
    loop = asyncio.get_running_loop()
    alarm, other = (Alarm(loop, lambda: rung.append(True)) for _ in range(2))
    alarm.set(loop.time() + 5)
    alarm.cancel()
    alarm.set(loop.time())
    other.set(loop.time() + 0.01)
    await become(lambda: bool(rung))
    assert rung == [True]


async def test_hosts(upstream: AsyncioUpstream) -> None:
    """The default port is left out of the host header, an IPv6 address is put in brackets."""
    for scheme, host, port, expected in [
        ("http", "provider.example", 80, b"host: provider.example\r\n"),
        ("https", "provider.example", 443, b"host: provider.example\r\n"),
        ("https", "provider.example", 80, b"host: provider.example:80\r\n"),
        ("http", "::1", 8000, b"host: [::1]:8000\r\n"),
        ("http", "b\u00fccher.example", 80, b"host: xn--bcher-kva.example\r\n"),
    ]:
        target = Endpoint(scheme=scheme, host=host, port=port, path="/")
        with pytest.raises(UpstreamError):
            await upstream.send(post(target, timeouts=Timeouts(connect=0)))
        assert expected in upstream._prepared[target][0]


async def test_no_time_at_all(upstream: AsyncioUpstream) -> None:
    """Times of zero are times."""
    with Provider() as provider:
        sent = post(endpoint(provider), timeouts=Timeouts(total=0))
        with pytest.raises(UpstreamTimeoutError):
            await exchange(upstream, sent)
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")


def test_another_event_loop() -> None:
    """An upstream that was not closed may be used on another loop, as test clients do."""
    upstream = AsyncioUpstream()
    with Provider([[request, answer(b"{}", b"connection: close")]]) as provider:
        sent = post(endpoint(provider))
        assert asyncio.run(exchange(upstream, sent)) == (200, b"{}")

        async def use_and_close() -> tuple[int, bytes]:
            result = await exchange(upstream, sent)
            await upstream.aclose()
            return result

        assert asyncio.run(use_and_close()) == (200, b"in order")
