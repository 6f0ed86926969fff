"""What a provider may answer: each case on every transport and event loop."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass

import pytest

from waystone_asgi.types import Upstream

from .calls import endpoint, exchange, post
from .scripted import Provider, Script, answer, chunked, drip, hold, request

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
GZIP = b"content-encoding: gzip"
TEXT = b'{"answer": "' + b"forty-two " * 40 + b'"}'
NUMBERS = b"".join(b"%d " % (n * 7919) for n in range(200_000))


def bare_deflate(data: bytes) -> bytes:
    """What some servers take "deflate" for: no header, no checksum."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@dataclass(frozen=True)
class Good:
    """What is sent once the request is read, what comes out of it, and whether the connection is
    used again.
    """

    id: str
    script: Script
    body: bytes = b"{}"
    status: int = 200
    reused: bool = True


GOOD = [
    Good("content-length", [answer(TEXT)], TEXT),
    Good("empty", [answer(b"")], b""),
    Good("chunked", [CHUNKED + chunked(b"ab", b"c" * 300)], b"ab" + b"c" * 300),
    Good("extensions, trailers", [CHUNKED + b"2;a=b\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n"]),
    Good("until close", [OK + b"\r\n{}"], reused=False),
    Good("until close, in parts", [OK, b"\r\n{", b"}"], reused=False),
    Good("no content", [b"HTTP/1.1 204 No Content\r\n\r\n"], b"", 204),
    Good("not modified", [b"HTTP/1.1 304 Not\r\ncontent-length: 9\r\n\r\n"], b"", 304),
    Good("redirect", [answer(b"{}", b"location: /else", status=b"307 Moved")], status=307),
    Good("refusal", [answer(status=b"429 Too Many Requests")], status=429),
    Good("failure", [answer(status=b"503 Service Unavailable")], status=503),
    Good("no reason", [answer(status=b"200")]),
    Good(
        "interim answers",
        [
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nlink: </b>\r\n\r\n" + answer(),
        ],
    ),
    Good("byte by byte", [drip(answer(TEXT[:60]))], TEXT[:60]),
    Good("chunked, byte by byte", [drip(CHUNKED + chunked(b"{", b"}"))]),
    Good("connection: close", [answer(b"{}", b"connection: close")], reused=False),
    Good("HTTP/1.0", [b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"], reused=False),
    Good("gzip", [answer(gzip.compress(TEXT), GZIP)], TEXT),
    Good(
        "gzip of two members, byte by byte",
        [
            drip(
                answer(
                    gzip.compress(TEXT[:20]) + gzip.compress(TEXT[20:]),
                    b"Content-Encoding: X-GZIP",
                )
            )
        ],
        TEXT,
    ),
    Good(
        "deflate, chunked, byte by byte",
        [
            drip(
                OK
                + b"content-encoding: deflate\r\ntransfer-encoding: Chunked\r\n\r\n"
                + chunked(zlib.compress(TEXT)[:7], zlib.compress(TEXT)[7:])
            )
        ],
        TEXT,
    ),
    Good(
        "deflate without zlib's header",
        [answer(bare_deflate(TEXT), b"content-encoding: identity, deflate")],
        TEXT,
    ),
    Good("large and compressed", [answer(gzip.compress(NUMBERS, 1), GZIP)], NUMBERS),
    Good("empty gzip", [answer(b"", GZIP)], b""),
    Good("identity", [answer(b"{}", b"content-encoding: identity")]),
    Good("bytes beyond the length", [answer() + b"HTTP/1.1 200 ", hold], reused=False),
    Good("a second answer", [answer() + answer(b"stolen"), hold], reused=False),
    Good("a body after close", [answer(b"{}", b"connection: close") + b"more", hold], reused=False),
    Good(
        "a body where there is none",
        [b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", hold],
        b"",
        204,
        reused=False,
    ),
    Good(
        "bytes beyond a compressed body",
        [answer(gzip.compress(TEXT), GZIP) + b"HTTP", hold],
        TEXT,
        reused=False,
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.id)
async def test_good_answer(case: Good, upstream: Upstream) -> None:
    """The answer comes out whole, and the next request is not harmed by it."""
    more: Script = [request, answer(b"in order"), hold] if case.reused else []
    with Provider([[request, *case.script, *more]]) as provider:
        sent = post(endpoint(provider))
        assert await exchange(upstream, sent) == (case.status, case.body)
        assert await exchange(upstream, sent) == (200, b"in order")
        assert len(provider.peers) == (1 if case.reused else 2)


@pytest.mark.anyio
async def test_headers(upstream: Upstream) -> None:
    """Names come in lower case, values as they are, in order, none lost."""
    lines = [b"X-One: 1", b"set-cookie: a=1", b"x-empty:", b"Set-Cookie: b=2", b"X-Latin: \xe9"]
    with Provider([[request, answer(b"", *lines)]]) as provider:
        response = await upstream.send(post(endpoint(provider)))
        assert await response.receive() == b""
        assert [*response.headers] == [
            (b"x-one", b"1"),
            (b"set-cookie", b"a=1"),
            (b"x-empty", b""),
            (b"set-cookie", b"b=2"),
            (b"x-latin", b"\xe9"),
            (b"content-length", b"0"),
        ]


@pytest.mark.anyio
async def test_the_end_stays_the_end(upstream: Upstream) -> None:
    """Reading and closing after the end change nothing, and take no other request's bytes."""
    with Provider() as provider:
        first = await upstream.send(post(endpoint(provider)))
        assert await first.receive() == b"in order"
        assert await first.receive() == b""
        second = await upstream.send(post(endpoint(provider)))
        await first.aclose()
        assert await first.receive() == b""
        assert await second.receive() == b"in order"
        assert await second.receive() == b""
        assert len(provider.peers) == 1
