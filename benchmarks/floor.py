"""The floor: an ASGI app that forwards bytes and does nothing else, and one that only answers.

A pooled asyncio Protocol with httptools: no TLS, no timers, no limits, no authentication, no look
into a body. Whatever a gateway costs above `Floor` is its own; `direct` shows what is the server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import httptools

from . import payloads

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_KEPT = (b"content-type", b"content-length")
_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"authorization: Bearer sk-bench\r\ncontent-length: %d\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """One connection to the provider, with the answer that is arriving on it."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, body: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.begun = self.complete = False
        self.transport.writelines((_HEAD % len(body), body))

    async def arrival(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError())

    def on_header(self, name: bytes, value: bytes) -> None:
        if (name := name.lower()) in _KEPT:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.begun = True

    def on_body(self, data: bytes) -> None:
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.complete = True


class Floor:
    """Forwards each request to the provider at `port` and the answer back, as it arrives."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        message = await receive()
        body: bytes = message["body"]
        if message["more_body"]:
            pieces = [body]
            while message["more_body"]:
                message = await receive()
                pieces.append(message["body"])
            body = b"".join(pieces)
        connection = self._idle.pop() if self._idle else await self._connect()
        connection.send(body)
        while not connection.begun:
            await connection.arrival()
        head = {"status": connection.status, "headers": connection.headers}
        await send({"type": "http.response.start", **head})
        while not connection.complete:
            if connection.pieces:
                await send(_body(connection.pieces, more=True))
            else:
                await connection.arrival()
        await send(_body(connection.pieces, more=False))
        self._idle.append(connection)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        return connection


def _body(pieces: list[bytes], *, more: bool) -> Message:
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    pieces.clear()
    return {"type": "http.response.body", "body": data, "more_body": more}


class Direct:
    """Answers at once, and asks nobody."""

    def __init__(self) -> None:
        self._body = payloads.answer()
        self._headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self._body)),
        ]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})
