"""What a provider must not do: each case on every transport and event loop."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from waystone_asgi.exceptions import UpstreamError, UpstreamTimeoutError
from waystone_asgi.records import Timeouts
from waystone_asgi.types import Upstream

from .calls import LONG, SHORT, endpoint, exchange, post
from .scripted import Provider, Script, answer, chunked, drip, endless, hold, request, reset

pytestmark = [
    pytest.mark.anyio,
    # httpx and httpcore leave their iterators unfinished when something goes wrong, which trio
    # remarks upon.
    pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning"),
]

OK = b"HTTP/1.1 200 OK\r\n"
NINE = OK + b"content-length: 9\r\n\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
GZIP = b"content-encoding: gzip"
DEFLATE = b"content-encoding: deflate"
TEXT = b'{"answer": "' + b"forty-two " * 40 + b'"}'
BOMB = gzip.compress(bytes(8 << 20))


@dataclass(frozen=True)
class Bad:
    """What is done once the request is read, and the error it ends in, whose message matches
    `says`; `httpx` is what is different there.
    """

    id: str
    script: Script
    says: str = "not valid HTTP"
    error: type[UpstreamError] = UpstreamError
    timeouts: Timeouts = LONG
    httpx: Mapping[str, Any] = field(default_factory=dict)
    reads: bool = True


def late(timer: str) -> dict[str, Any]:
    """What a case is that ends with a timer."""
    return {"error": UpstreamTimeoutError, "says": timer, "timeouts": SHORT}


# Of a provider that has sent its head and is silent, the first byte is awaited and no other.
EARLY_ONLY = Timeouts(connect=2.0, first_byte=0.2, idle=5.0, total=5.0)
IDLE_ONLY = Timeouts(connect=2.0, first_byte=5.0, idle=0.2, total=5.0)

# httpx has one message for whatever goes wrong before the body, and one for the body.
HEAD: dict[str, Any] = {"says": "gave no valid answer"}
EARLY: dict[str, Any] = {"says": "gave no valid answer|be reached"}
BODY: dict[str, Any] = {"says": "broke off"}

BAD = [
    Bad("silence", [hold], **late("first byte")),
    Bad("silence for too long", [hold], **(late("total") | {"timeouts": Timeouts(total=0.2)})),
    Bad("accept, close", [], "closed the connection", httpx=HEAD, reads=False),
    # The reset may come before the connection is made.
    Bad("accept, reset", [reset], "closed the|be reached", httpx=EARLY, reads=False),
    Bad("close", [], "closed the connection", httpx=HEAD),
    Bad("reset", [reset], "closed the connection", httpx=HEAD),
    Bad("half a head", [OK], "closed the connection", httpx=HEAD),
    Bad("half a head, stall", [OK, hold], **late("first byte")),
    Bad("a head and no body", [NINE, hold], **(late("first byte") | {"timeouts": EARLY_ONLY})),
    Bad("a body without end", [NINE + b"{}", hold], **(late("idle") | {"timeouts": IDLE_ONLY})),
    Bad(
        "a head and no body for too long",
        [CHUNKED, hold],
        **(late("total") | {"timeouts": Timeouts(total=0.2)}),
    ),
    Bad("dripping head", [drip(OK * 9, every=0.02)], **late("first byte")),
    # httpcore reads on as long as there are interim answers.
    Bad(
        "interim answers only",
        [endless(b"HTTP/1.1 100 Go on\r\n\r\n" * 99)],
        "without end",
        httpx=late("first byte"),
    ),
    Bad("endless header", [OK, b"x: ", endless(b"y" * 9999)], "without end", httpx=HEAD),
    Bad("endless headers", [OK, endless(b"x: y\r\n" * 999)], "without end", httpx=HEAD),
    Bad("too many headers", [OK, b"x: y\r\n" * 300 + b"\r\n", hold], "too many headers"),
    # h11 waits for the end of the head before it looks.
    Bad("another protocol", [b"SSH-2.0-OpenSSH_9.6\r\n", hold], httpx=late("first byte")),
    Bad("status 99", [answer(status=b"099 No"), hold], "status 99", httpx=HEAD),
    Bad(
        "switching protocols",
        [b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello", hold],
        "status 101",
        httpx=HEAD,
    ),
    Bad("NUL in a header", [answer(b"{}", b"x: a\0b"), hold], httpx=HEAD),
    Bad(
        "length and chunked",
        [OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(b"{}"), hold],
        httpx={"says": "a length and a transfer coding"},
    ),
    Bad("two lengths", [answer(b"{}", b"content-length: 3"), hold], httpx=HEAD),
    Bad("no number as length", [OK + b"content-length: +2\r\n\r\n{}", hold], httpx=HEAD),
    Bad("short body", [NINE + b"{}"], **BODY),
    Bad("reset in the body", [NINE + b"{}", reset], **BODY),
    Bad("stall in the body", [NINE + b"{}", hold], **late("idle")),
    Bad(
        "dripping body",
        [OK + b"content-length: 900\r\n\r\n", drip(b"x" * 900, every=0.02)],
        **(late("total") | {"timeouts": Timeouts(idle=5.0, total=0.3)}),
    ),
    Bad("short chunked body", [CHUNKED + b"2\r\n{}\r\n"], **BODY),
    Bad("reset in the chunks", [CHUNKED + b"2\r\n{", reset], **BODY),
    Bad("no number as chunk size", [CHUNKED + b"x\r\n{}\r\n", hold], httpx=BODY),
    Bad("chunk of 2**63, close", [CHUNKED + b"8000000000000000\r\n{}"], **BODY),
    Bad("chunk of 2**63, stall", [CHUNKED + b"8000000000000000\r\n{}", hold], **late("idle")),
    Bad("chunk of 2**64", [CHUNKED + b"10000000000000000\r\n{}", hold], httpx=late("idle")),
    Bad("chunk longer than its size", [CHUNKED + b"1\r\n{}\r\n", hold], httpx=BODY),
    Bad("endless extension", [CHUNKED, b"2;", endless(b"x" * 9999)], "without end", httpx=BODY),
    Bad(
        "endless trailers",
        [CHUNKED + b"0\r\n", endless(b"x: y\r\n" * 999)],
        "without end",
        httpx=BODY,
    ),
    Bad(
        "unknown transfer coding",
        [OK + b"transfer-encoding: gzip, chunked\r\n\r\n", hold],
        "transfer coding",
        httpx=HEAD,
    ),
    Bad("unknown coding", [answer(b"{}", b"content-encoding: br"), hold], "content coding"),
    Bad("gzip twice", [answer(b"{}", GZIP + b", gzip"), hold], "content coding"),
    Bad("damaged gzip", [answer(b"not gzip", GZIP), hold], "damaged"),
    Bad("short gzip", [answer(gzip.compress(TEXT)[:-4], GZIP), hold], "inside its compression"),
    Bad("bytes beyond deflate", [answer(zlib.compress(TEXT) + b"x", DEFLATE), hold], "damaged"),
    Bad("one byte of deflate", [answer(b"x", DEFLATE), hold], "inside its compression"),
    Bad("zip bomb", [answer(BOMB, GZIP), hold], "grows too much"),
    Bad(
        "chunked zip bomb",
        [OK + GZIP + b"\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(BOMB, end=b""), hold],
        "grows too much",
    ),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.id)
async def test_bad_answer(case: Bad, upstream: Upstream, transport: str) -> None:
    """It ends in the right error, the connection is closed, and the next request is not harmed."""
    expected: dict[str, Any] = {
        "error": case.error,
        "says": case.says,
        "timeouts": case.timeouts,
    }
    if transport == "httpx":
        expected |= case.httpx
    script = [request, *case.script] if case.reads else case.script
    with Provider([script]) as provider:
        with pytest.raises(UpstreamError) as caught:
            await exchange(upstream, post(endpoint(provider), timeouts=expected["timeouts"]))
        assert type(caught.value) is expected["error"]
        assert re.search(expected["says"], caught.value.message)
        assert "sk-1" not in caught.value.message
        assert await exchange(upstream, post(endpoint(provider))) == (200, b"in order")
        assert len(provider.peers) == 2


async def test_the_error_stays(upstream: Upstream) -> None:
    """What had arrived before the body broke off is delivered; after that the error is repeated."""
    with Provider([[request, NINE + b"{}"]]) as provider:
        response = await upstream.send(post(endpoint(provider)))
        assert await response.receive() == b"{}"
        for _ in range(2):
            with pytest.raises(UpstreamError, match="broke off"):
                await response.receive()
        await response.aclose()
