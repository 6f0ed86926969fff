"""What a provider may answer, and what it must not: each case on every transport and event loop."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from waystone_asgi.exceptions import UpstreamError, UpstreamTimeoutError
from waystone_asgi.records import Endpoint, Timeouts, UpstreamRequest
from waystone_asgi.types import Upstream

from .scripted import (
    Provider,
    Script,
    answer,
    chunked,
    drip,
    endless,
    hold,
    request,
    reset,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
SHORT = Timeouts(connect=2.0, first_byte=0.2, idle=0.2, total=5.0)
TEXT = b'{"answer": "' + b"forty-two " * 40 + b'"}'
NUMBERS = b"".join(b"%d " % (n * 7919) for n in range(200_000))
BARE_DEFLATE = zlib.compressobj(wbits=-15)
BARE = BARE_DEFLATE.compress(TEXT) + BARE_DEFLATE.flush()
BOMB = gzip.compress(bytes(8 << 20))


def endpoint(provider: Provider, *headers: tuple[bytes, bytes], **changes: Any) -> Endpoint:
    """Where the provider is reached."""
    fields: dict[str, Any] = {
        "scheme": "https" if provider.tls else "http",
        "host": "127.0.0.1",
        "port": provider.port,
        "path": "/v1/chat/completions",
        "headers": ((b"authorization", b"Bearer sk-1"), *headers),
    }
    return Endpoint(**(fields | changes))


def post(
    target: Endpoint, body: bytes = b'{"model": "m"}', timeouts: Timeouts = SHORT
) -> UpstreamRequest:
    """A request to it."""
    return UpstreamRequest(endpoint=target, body=body, timeouts=timeouts)


async def exchange(upstream: Upstream, sent: UpstreamRequest) -> tuple[int, bytes]:
    """Send, read to the end, close."""
    response = await upstream.send(sent)
    body = b""
    try:
        while data := await response.receive():
            body += data
    finally:
        await response.aclose()
    return response.status, body


@dataclass(frozen=True, kw_only=True)
class Good:
    """A script, what comes out of it, and whether the connection is used again."""

    id: str
    script: Script
    body: bytes = b"{}"
    status: int = 200
    reused: bool = True
    httpx: Mapping[str, Any] = field(default_factory=dict)


GOOD = [
    Good(id="content-length", script=[request, answer(TEXT)], body=TEXT),
    Good(id="empty", script=[request, answer(b"")], body=b""),
    Good(
        id="chunked",
        script=[request, CHUNKED + chunked(b"ab", b"c" * 300)],
        body=b"ab" + b"c" * 300,
    ),
    Good(
        id="chunk extensions and trailers",
        script=[request, CHUNKED + b"2;a=b\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n"],
    ),
    Good(id="until close", script=[request, OK + b"\r\n{}"], reused=False),
    Good(id="until close, in parts", script=[request, OK, b"\r\n{", b"}"], reused=False),
    Good(
        id="no content", script=[request, b"HTTP/1.1 204 No Content\r\n\r\n"], body=b"", status=204
    ),
    Good(
        id="not modified",
        script=[request, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"],
        body=b"",
        status=304,
    ),
    Good(
        id="redirect",
        script=[request, answer(b"{}", b"location: /elsewhere", status=b"307 Temporary Redirect")],
        status=307,
    ),
    Good(id="refusal", script=[request, answer(status=b"429 Too Many Requests")], status=429),
    Good(id="failure", script=[request, answer(status=b"503 Service Unavailable")], status=503),
    Good(id="no reason", script=[request, answer(status=b"200")]),
    Good(
        id="interim answers",
        script=[
            request,
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nlink: </b>\r\n\r\n" + answer(),
        ],
    ),
    Good(id="byte by byte", script=[request, drip(answer(TEXT[:60]))], body=TEXT[:60]),
    Good(id="chunked byte by byte", script=[request, drip(CHUNKED + chunked(b"{", b"}"))]),
    Good(
        id="connection: close", script=[request, answer(b"{}", b"connection: close")], reused=False
    ),
    Good(
        id="HTTP/1.0",
        script=[request, b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"],
        reused=False,
    ),
    Good(
        id="gzip",
        script=[request, answer(gzip.compress(TEXT), b"content-encoding: gzip")],
        body=TEXT,
    ),
    Good(
        id="gzip of several members, byte by byte",
        script=[
            request,
            drip(
                answer(
                    gzip.compress(TEXT[:20]) + gzip.compress(TEXT[20:]), b"Content-Encoding: X-GZIP"
                )
            ),
        ],
        body=TEXT,
    ),
    Good(
        id="deflate, chunked byte by byte",
        script=[
            request,
            drip(
                OK
                + b"content-encoding: deflate\r\ntransfer-encoding: Chunked\r\n\r\n"
                + chunked(zlib.compress(TEXT)[:7], zlib.compress(TEXT)[7:])
            ),
        ],
        body=TEXT,
    ),
    Good(
        id="deflate without zlib's header",
        script=[request, answer(BARE, b"content-encoding: identity, deflate")],
        body=TEXT,
    ),
    Good(
        id="large and well compressed",
        script=[request, answer(gzip.compress(NUMBERS, 1), b"content-encoding: gzip")],
        body=NUMBERS,
    ),
    Good(id="empty gzip", script=[request, answer(b"", b"content-encoding: gzip")], body=b""),
    Good(
        id="bytes beyond the length",
        script=[request, answer() + b"HTTP/1.1 200 ", hold],
        reused=False,
    ),
    Good(id="a second answer", script=[request, answer() + answer(b"stolen"), hold], reused=False),
    Good(
        id="a body after close",
        script=[request, answer(b"{}", b"connection: close") + b"more", hold],
        reused=False,
    ),
    Good(
        id="a body where there is none",
        script=[request, b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", hold],
        body=b"",
        status=204,
        reused=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A script that ends in an error, whose message contains `says`."""

    id: str
    script: Script
    error: type[UpstreamError] = UpstreamError
    says: str = "not valid HTTP"
    timeouts: Timeouts = SHORT
    httpx: Mapping[str, Any] = field(default_factory=dict)


def late(timer: str) -> dict[str, Any]:
    """What a case says that ends with a timer."""
    return {"error": UpstreamTimeoutError, "says": timer}


NOT_VALID = {"says": "gave no valid answer"}
BROKEN = {"says": "broke off"}
GOES_ON = {"timeouts": Timeouts(first_byte=5.0, idle=5.0, total=0.4)}

BAD = [
    Bad(id="silence", script=[request, hold], **late("first byte")),
    Bad(id="silence, total", script=[request, hold], timeouts=Timeouts(total=0.2), **late("total")),
    Bad(id="accept, close", script=[], says="closed the connection", httpx=NOT_VALID),
    Bad(id="accept, reset", script=[reset], says="closed the connection", httpx=NOT_VALID),
    Bad(id="request, close", script=[request], says="closed the connection", httpx=NOT_VALID),
    Bad(id="request, reset", script=[request, reset], says="closed the connection", httpx=NOT_VALID),
    Bad(id="half a head", script=[request, OK], says="closed the connection", httpx=NOT_VALID),
    Bad(id="half a head, stall", script=[request, OK, hold], **late("first byte")),
    Bad(id="dripping head", script=[request, drip(OK * 9, every=0.02)], **late("first byte")),
    Bad(id="interim answers only", script=[request, endless(b"HTTP/1.1 100 Go on\r\n\r\n")]
        , says="without end", httpx=late("first byte")),
    Bad(id="endless header", script=[request, OK, b"x: ", endless(b"y" * 999)], says="without end",
        httpx=NOT_VALID),
    Bad(id="endless headers", script=[request, OK, endless(b"x: y\r\n" * 99)], says="without end",
        httpx=NOT_VALID),
    Bad(id="too many headers", script=[request, OK, b"x: y\r\n" * 300 + b"\r\n", hold],
        says="too many headers"),
    Bad(id="another protocol", script=[request, b"SSH-2.0-OpenSSH_9.6\r\n", hold], httpx=late("first byte")),
    Bad(id="status 99", script=[request, answer(status=b"099 No"), hold], says="status 99", httpx=NOT_VALID),
    Bad(
        id="switching protocols",
        script=[request, b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello", hold],
        says="status 101",
        httpx=NOT_VALID,
    ),
    Bad(id="NUL in a header", script=[request, answer(b"{}", b"x: a\0b"), hold], httpx=NOT_VALID),
    Bad(id="length and chunked", script=[request, OK + b"content-length: 2\r\ntransfer-encoding: "
        b"chunked\r\n\r\n" + chunked(b"{}"), hold], httpx={"says": "a length and"}),
    Bad(id="two lengths", script=[request, answer(b"{}", b"content-length: 3"), hold], httpx=NOT_VALID),
    Bad(id="no number as length", script=[request, OK + b"content-length: +2\r\n\r\n{}", hold], httpx=NOT_VALID),
    Bad(id="short body", script=[request, OK + b"content-length: 9\r\n\r\n{}"], **BROKEN),
    Bad(id="reset in the body", script=[request, OK + b"content-length: 9\r\n\r\n{}", reset], **BROKEN),
    Bad(id="stall in the body", script=[request, OK + b"content-length: 9\r\n\r\n{}", hold], **late("idle")),
    Bad(
        id="dripping body",
        script=[request, OK + b"content-length: 900\r\n\r\n", drip(b"x" * 900, every=0.02)],
        timeouts=Timeouts(idle=5.0, total=0.3),
        **late("total"),
    ),
    Bad(id="short chunked body", script=[request, CHUNKED + b"2\r\n{}\r\n"], **BROKEN),
    Bad(id="reset in the chunks", script=[request, CHUNKED + b"2\r\n{", reset], **BROKEN),
    Bad(id="chunk size no number", script=[request, CHUNKED + b"x\r\n{}\r\n", hold], httpx=BROKEN),
    Bad(id="chunk of 2**63", script=[request, CHUNKED + b"8000000000000000\r\n{}"], **BROKEN),
    Bad(id="chunk of 2**64", script=[request, CHUNKED + b"10000000000000000\r\n{}"], httpx=BROKEN),
    Bad(id="chunk longer than its size", script=[request, CHUNKED + b"1\r\n{}\r\n", hold], httpx=BROKEN),
    Bad(id="endless chunk extension", script=[request, CHUNKED, b"2;", endless(b"x" * 999)],
        says="without end", httpx=BROKEN),
    Bad(id="endless trailers", script=[request, CHUNKED + chunked(b"{}", end=b"0\r\n"), endless(b"x: y\r\n" * 99)],
        says="without end", httpx=BROKEN),
    Bad(id="unknown transfer coding", script=[request, OK + b"transfer-encoding: gzip, chunked\r\n\r\n", hold],
        says="transfer coding", httpx=NOT_VALID),
    Bad(id="unknown content coding", script=[request, answer(b"{}", b"content-encoding: br"), hold],
        says="content coding"),
    Bad(id="gzip twice", script=[request, answer(b"{}", b"content-encoding: gzip, gzip"), hold],
        says="content coding"),
    Bad(id="damaged gzip", script=[request, answer(b"not gzip", b"content-encoding: gzip"), hold],
        says="damaged"),
    Bad(id="short gzip", script=[request, answer(gzip.compress(TEXT)[:-4], b"content-encoding: gzip"), hold],
        says="inside its compression"),
    Bad(id="bytes beyond deflate", script=[request, answer(zlib.compress(TEXT) + b"x", b"content-encoding: deflate"), hold],
        says="damaged"),
    Bad(id="one byte of deflate", script=[request, answer(b"x", b"content-encoding: deflate"), hold],
        says="inside its compression"),
    Bad(id="zip bomb", script=[request, answer(BOMB, b"content-encoding: gzip"), hold], says="grows too much"),
]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.id)
async def test_good(case: Good, upstream: Upstream, transport: str) -> None:
    """The answer comes out whole, and the next request is not harmed by it."""
    reused = case.httpx.get("reused", case.reused) if transport == "httpx" else case.reused
    script = [*case.script, request, answer(b"in order"), hold] if reused else case.script
    with Provider([script]) as provider:
        sent = post(endpoint(provider))
        assert await exchange(upstream, sent) == (case.status, case.body)
        assert await exchange(upstream, sent) == (200, b"in order")
        assert len(provider.peers) == (1 if reused else 2)


@pytest.mark.anyio
@pytest.mark.parametrize("case", BAD, ids=lambda case: case.id)
async def test_bad(case: Bad, upstream: Upstream, transport: str) -> None:
    """It ends in the right error, the connection is closed, and the next request is not harmed."""
    expected = {"error": case.error, "says": case.says}
    if transport == "httpx":
        expected |= case.httpx
    with Provider([case.script]) as provider:
        with pytest.raises(UpstreamError) as caught:
            await exchange(upstream, post(endpoint(provider), timeouts=case.timeouts))
        assert type(caught.value) is expected["error"]
        assert str(expected["says"]) in caught.value.message
        assert "sk-1" not in caught.value.message
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
        assert len(provider.peers) == 2
