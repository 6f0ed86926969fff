"""The four timers through a whole gateway: what is late moves on, or is said so."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import anyio
import pytest

from waystone_asgi import BearerKeys, Gateway, MemorySink, Timeouts
from waystone_asgi import Provider as Providing
from waystone_asgi.testing import FakeAnswer, chunks, completion
from waystone_asgi.types import Upstream

from ..asgi import KEY, Answer, chat
from .calls import happens
from .scripted import Peer, Provider, Script, Step, answer, chunked, endless, hold, request

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning"),
]

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n"
COMMENT = chunked(b": still working\n\n", end=b"")
LONG: dict[str, float] = {"connect": 10.0, "first_byte": 10.0, "idle": 10.0, "total": 20.0}

both = pytest.mark.parametrize("stream", [False, True])


def pieces(answer: FakeAnswer) -> list[bytes]:
    return [piece for piece in answer.pieces if isinstance(piece, bytes)]


def good(stream: bool, text: str = "two") -> Script:
    """A whole answer in good order."""
    if stream:
        return [request, STREAM + chunked(*pieces(chunks(text)))]
    return [request, answer(*pieces(completion(text)), b"content-type: application/json")]


def event(text: str = "first") -> bytes:
    return chunked(pieces(chunks(text))[0], end=b"")


def repeat(data: bytes) -> Step:
    """Step: send it every few milliseconds until the gateway closes."""

    def step(peer: Peer) -> None:
        with suppress(OSError):
            while not peer.closed.wait(0.01):
                peer.sock.sendall(data)
        peer.note_close()

    return step


@contextmanager
def asking(
    upstream: Upstream, *scripts: Script | int, retry: Any = None, **timeouts: float
) -> Iterator[tuple[Gateway, MemorySink, list[Provider]]]:
    """A gateway whose alias leads to providers that play one script each, or to a given port."""
    sink = MemorySink()
    with ExitStack() as stack:
        providers: list[Provider] = []
        ports = []
        for script in scripts:
            if isinstance(script, int):
                ports.append(script)
                continue
            providers.append(stack.enter_context(Provider([script] * 3)))
            ports.append(providers[-1].port)
        yield (
            Gateway(
                providers=[
                    Providing.vllm(name=f"p{port}", base_url=f"http://127.0.0.1:{port}/v1")
                    for port in ports
                ],
                aliases={"smart": [f"p{port}/m" for port in ports]},
                authenticate=BearerKeys([KEY]),
                sinks=[sink],
                upstream=upstream,
                timeouts=Timeouts(**{**LONG, **timeouts}),
                retry=retry or {"attempts": 1},
            ),
            sink,
            providers,
        )


async def ask(gateway: Gateway, stream: bool) -> Answer:
    async with gateway.running():
        with anyio.fail_after(15):
            return await chat(gateway, model="smart", stream=stream)


SILENT: dict[str, tuple[bool, list[Step]]] = {
    "nothing": (False, [hold]),
    "nothing, stream": (True, [hold]),
    "half a head": (False, [b"HTTP/1.1 200 OK\r\n", hold]),
    "head": (False, [HEAD, hold]),
    "head, stream": (True, [STREAM, hold]),
    "one comment, stream": (True, [STREAM + COMMENT, hold]),
    "comments, stream": (True, [STREAM, repeat(COMMENT)]),
    "comments without end, stream": (True, [STREAM, endless(COMMENT)]),
    "half an event, stream": (True, [STREAM + chunked(b"data: {", end=b""), hold]),
}


async def at_once(check: Callable[[str, Upstream], Awaitable[None]], upstream: Upstream) -> None:
    """Check all of them at the same time: each is there to be waited for."""
    async with anyio.create_task_group() as tasks:
        for case in SILENT:
            tasks.start_soon(check, case, upstream, name=case)


async def test_the_first_byte_moves_on(upstream: Upstream) -> None:
    await at_once(check_moving_on, upstream)


async def check_moving_on(case: str, upstream: Upstream) -> None:
    stream, steps = SILENT[case]
    # It is the bound of those that answer too, on a machine that has much to do.
    with asking(upstream, [request, *steps], good(stream), first_byte=1.0) as made:
        gateway, sink, providers = made
        reply = await ask(gateway, stream)
        await happens(providers[0].peers[0].closed)
    assert (reply.status, reply.complete) == (200, True), case
    assert b"two" in reply.body
    assert reply.headers["x-waystone-attempts"] == "2"
    [record] = sink.records
    assert (record.outcome, record.output_tokens) == ("ok", 3)
    assert [attempt.error_type for attempt in record.attempts] == ["upstream_timeout", None]
    assert 0.9 < record.attempts[0].seconds < 10.0


async def test_where_nobody_answers_it_is_said(upstream: Upstream) -> None:
    await at_once(check_saying, upstream)


async def check_saying(case: str, upstream: Upstream) -> None:
    stream, steps = SILENT[case]
    with asking(upstream, [request, *steps], first_byte=0.1, retry={"attempts": 2}) as made:
        gateway, sink, _ = made
        gateway._forwarding.routing.random = lambda: 0.0
        reply = await ask(gateway, stream)
    assert (reply.status, reply.error["code"]) == (504, "upstream_timeout"), case
    assert "too slow" in reply.error["message"]
    assert "first byte" in reply.error["message"]
    [record] = sink.records
    assert [attempt.error_type for attempt in record.attempts] == ["upstream_timeout"] * 2
    assert (record.outcome, record.usage_source) == ("error", "none")


@both
async def test_the_body_of_an_answer_is_awaited_as_long_as_its_head(
    stream: bool, upstream: Upstream
) -> None:
    """A model that thinks has sent its head at once; idle is for what has begun to speak."""

    def pause(peer: Peer) -> None:
        peer.closed.wait(0.4)

    script = good(stream)
    whole = script[1]
    assert isinstance(whole, bytes)
    head, _, body = whole.partition(b"\r\n\r\n")
    late: Script = [request, head + b"\r\n\r\n", pause, body]
    with asking(upstream, late, idle=0.1) as (gateway, sink, _):
        reply = await ask(gateway, stream)
    assert (reply.status, reply.complete) == (200, True)
    assert [attempt.error_type for attempt in sink.records[0].attempts] == [None]


async def test_no_connection_moves_on(upstream: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        crowd = [socket.socket() for _ in range(2)]
        for sock in crowd:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        port: int = listener.getsockname()[1]
        with asking(upstream, port, good(stream=False), connect=0.5) as (gateway, sink, _):
            assert b"two" in (await ask(gateway, stream=False)).body
        assert sink.records[0].attempts[0].error_type == "upstream_timeout"
        with asking(upstream, port, connect=0.2) as (gateway, _, _):
            reply = await ask(gateway, stream=False)
        assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
        assert "connect" in reply.error["message"]
        for sock in crowd:
            sock.close()


@pytest.mark.parametrize(
    ("timer", "steps", "timeouts"),
    [
        ("idle", [hold], {"idle": 0.2}),
        ("total", [repeat(COMMENT)], {"total": 0.8}),
    ],
)
async def test_a_stream_that_stalls_is_cut_and_said_so(
    timer: str, steps: list[Step], timeouts: dict[str, float], upstream: Upstream
) -> None:
    script: Script = [request, STREAM + event(), *steps]
    with asking(upstream, script, good(stream=True), **timeouts) as (gateway, sink, providers):
        reply = await ask(gateway, stream=True)
        await happens(providers[0].peers[0].closed)
    assert (reply.status, reply.complete) == (200, True)
    last = reply.body.rstrip().rpartition(b"\n\n")[2]
    error = json.loads(last.removeprefix(b"data: "))["error"]
    assert error["code"] == "upstream_timeout"
    assert "too slow" in error["message"]
    assert timer in error["message"]
    assert b"[DONE]" not in reply.body
    assert b"two" not in reply.body
    [record] = sink.records
    assert (record.outcome, record.error_type) == ("upstream_cut", "upstream_timeout")
    assert record.usage_source == "estimated"
    assert [attempt.error_type for attempt in record.attempts] == ["upstream_timeout"]


async def test_an_answer_that_stalls_moves_on(upstream: Upstream) -> None:
    stalled: Script = [request, HEAD + b'{"id": ', hold]
    with asking(upstream, stalled, good(stream=False), idle=0.2) as (gateway, sink, _):
        reply = await ask(gateway, stream=False)
    assert (reply.status, b"two" in reply.body) == (200, True)
    with asking(upstream, stalled, idle=0.2) as (gateway, sink, _):
        reply = await ask(gateway, stream=False)
    assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
    assert "idle" in reply.error["message"]
    assert sink.records[0].usage_source == "none"


async def test_after_the_total_nobody_else_is_asked(upstream: Upstream) -> None:
    slow: Script = [request, HEAD, repeat(b" ")]
    with asking(upstream, slow, good(stream=False), total=0.4) as (gateway, sink, providers):
        reply = await ask(gateway, stream=False)
        assert providers[1].peers == []
    assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
    assert "total" in reply.error["message"]
    assert [attempt.error_type for attempt in sink.records[0].attempts] == ["upstream_timeout"]


@pytest.mark.parametrize("case", ["nothing", "nothing, stream", "head, stream", "comments, stream"])
async def test_a_hedge_closes_the_connection_that_lost(case: str, upstream: Upstream) -> None:
    stream, steps = SILENT[case]
    policy = {"attempts": 1, "hedge_after": 0.1}
    with asking(upstream, [request, *steps], good(stream), retry=policy) as made:
        gateway, sink, providers = made
        reply = await ask(gateway, stream)
        await happens(providers[0].peers[0].closed)
    assert (reply.status, reply.complete) == (200, True)
    assert b"two" in reply.body
    [record] = sink.records
    assert [attempt.error_type for attempt in record.attempts] == ["hedged", None]
    assert (record.outcome, record.output_tokens) == ("ok", 3)


@both
async def test_a_hedge_that_loses_is_closed_too(stream: bool, upstream: Upstream) -> None:
    script = good(stream, "one")
    asked: list[Provider] = []

    def wait(peer: Peer) -> None:
        while not (asked and asked[0].peers and asked[0].peers[0].requests):
            peer.closed.wait(0.005)

    first: Script = [request, wait, *script[1:]]
    policy = {"attempts": 1, "hedge_after": 0.05}
    with asking(upstream, first, [request, hold], retry=policy) as (gateway, sink, providers):
        asked.append(providers[1])
        reply = await ask(gateway, stream)
        await happens(providers[1].peers[0].closed)
    assert b"one" in reply.body
    assert [attempt.error_type for attempt in sink.records[0].attempts] == [None, "hedged"]
