"""A provider that takes its time over each answer: `python -m tests.servers.serve NAME FD` this.

Streams come an event at a time, whole answers in two halves.
"""

from __future__ import annotations

import json
import os
from itertools import pairwise

import anyio

from tests.interleavings.clocks import living
from waystone_asgi.testing import chunks, completion
from waystone_asgi.types import Receive, Scope, Send

WORDS = 8
PAUSE_SECONDS = 0.003

EVENTS = [piece for piece in chunks(*["word"] * WORDS).pieces if isinstance(piece, bytes)]
[WHOLE] = [piece for piece in completion("word " * WORDS).pieces if isinstance(piece, bytes)]
HALVES = [WHOLE[begin:end] for begin, end in pairwise([0, 100, len(WHOLE)])]


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
        except OSError:
            continue  # That of the listing itself.
    return count


async def read(receive: Receive) -> bytes:
    """The body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Send, document: object) -> None:
    """Send a document."""
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer whatever is asked, and `/left` with what this process has open."""
    assert scope["type"] == "http"
    if scope["path"] == "/left":
        await answer(send, {"tasks": living(), "sockets": sockets()})
        return
    stream = b'"stream":true' in (await read(receive)).replace(b" ", b"")
    kind = b"text/event-stream" if stream else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for piece in EVENTS if stream else HALVES:
        await anyio.sleep(PAUSE_SECONDS)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
