"""Requests to a scripted provider, and how they end."""

from __future__ import annotations

import threading
from typing import Any

import anyio.to_thread

from waystone_asgi.pieces import Body
from waystone_asgi.records import Endpoint, Timeouts, UpstreamRequest
from waystone_asgi.types import Upstream

from .scripted import Provider

SHORT = Timeouts(connect=2.0, first_byte=0.2, idle=0.2, total=5.0)
"""For providers that stall: a test waits for one of these."""

LONG = Timeouts(connect=5.0, first_byte=10.0, idle=10.0, total=20.0)
"""For everything that is no matter of time."""


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
    target: Endpoint, body: Body = b'{"model": "m"}', timeouts: Timeouts = LONG
) -> UpstreamRequest:
    """A request to it."""
    return UpstreamRequest(endpoint=target, content=body, timeouts=timeouts)


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


async def happens(event: threading.Event) -> None:
    """Wait for what the provider's thread notes."""
    assert await anyio.to_thread.run_sync(event.wait, 5.0)
