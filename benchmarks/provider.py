"""The fake provider: prebuilt bytes over a raw asyncio Protocol, faster than anything measured.

In: requests, of which it looks for nothing but the end and the model's name; the name is the script
of the answer. Out: bytes.

    json            a chat completion of 780 bytes; so does every name that is no script
    json-N          one of N bytes
    stream-N-MS     N events of 330 bytes, one every MS milliseconds, then finish, usage, [DONE]
    burst-N         the same, as fast as the socket takes them
    slow-MS         the completion, after MS milliseconds
    status-N        an error object under that status
    hang            no answer at all
    reset, garbage, short, cut-N      failures: the connection torn down at once, bytes that are no
                    HTTP, a body that ends early, a stream that breaks off after N events

It runs in the event loop of the load, which never sleeps while it measures (`load._Awake`); or by
itself, as `python -m benchmarks.provider PORT`. It listens on loopback only.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

from . import payloads
from .loops import run

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_MODEL = b'"model":'
_LOOKED_AT = 2048
_FAR = 1 << 60  # the length of a body in chunks
_JSON_HEAD = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_LAST_CHUNK = b"0\r\n\r\n"

Script: TypeAlias = Callable[["Exchange"], None]


class Exchange(asyncio.Protocol):
    """One connection: finds the end of a request, then plays the script that its model names."""

    scripts: dict[bytes, Script] = {}  # noqa: RUF012 - one table for all connections
    streams = 0

    def __init__(self) -> None:
        self._head = b""
        self._start = b""
        self._tail = b""
        self._missing = 0
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False

    def data_received(self, data: bytes) -> None:
        if self._missing > 0:
            self._missing -= len(data)
            self._tail = (data if len(data) > _LOOKED_AT else self._tail + data)[-_LOOKED_AT:]
        else:
            data = self._head + data
            end = data.find(_HEAD_END)
            if end < 0:
                self._head = data
                return
            self._head = b""
            self._missing = _length(data[:end].lower()) - (len(data) - end - 4)
            self._start = data[end : end + _LOOKED_AT]
            self._tail = data[-_LOOKED_AT:]
        if self._missing <= 0 or (self._missing > _FAR and self._tail.endswith(_LAST_CHUNK)):
            self._missing = 0
            self._answer(_name(self._start) or _name(self._tail))

    def _answer(self, name: bytes) -> None:
        script = self.scripts.get(name)
        if script is None:
            script = self.scripts[name] = _script(name.decode())
        script(self)

    def next_stream(self) -> int:
        """Numbers the streams, so that their events are spread evenly over the interval."""
        Exchange.streams += 1
        return Exchange.streams


def _length(head: bytes) -> int:
    at = head.find(_LENGTH)
    if at < 0:
        return 2 * _FAR if b"chunked" in head else 0
    stop = head.find(b"\r", at)
    return int(head[at + len(_LENGTH) : stop if stop >= 0 else None])


def _name(data: bytes) -> bytes:
    at = data.find(_MODEL)
    if at < 0:
        return b""
    start = data.find(b'"', at + len(_MODEL)) + 1
    return data[start : data.find(b'"', start)]


def _script(name: str) -> Script:
    verb, *words = name.split("-")
    if verb not in _SCRIPTS or not all(word.isdigit() for word in words):
        return _json(payloads.ANSWER_BYTES)
    return _SCRIPTS[verb](*map(int, words))


def _json(size: int = payloads.ANSWER_BYTES, *, status: int = 200) -> Script:
    body = payloads.answer(size)
    if status != 200:
        error = {"message": "The model is overloaded.", "type": "server_error", "code": None}
        body = payloads.encode({"error": error})
    whole = _JSON_HEAD % (status, b"OK" if status == 200 else b"Error", len(body)) + body
    return lambda exchange: exchange.transport.write(whole)


def _slow(milliseconds: int) -> Script:
    answer = _json()

    def late(exchange: Exchange) -> None:
        if exchange.open:
            answer(exchange)

    def script(exchange: Exchange) -> None:
        asyncio.get_running_loop().call_later(milliseconds / 1000, late, exchange)

    return script


def _stream(events: int, milliseconds: int) -> Script:
    chunks = _chunks(events)
    chunks[0] = _STREAM_HEAD + chunks[0]
    interval = milliseconds / 1000

    def script(exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        exchange.transport.write(chunks[0])
        # 32 phases, in an order that puts neighbours apart.
        started = loop.time() + interval * (exchange.next_stream() * 13 % 32) / 32

        def tick(count: int) -> None:
            if not exchange.open:
                return
            exchange.transport.write(chunks[count])
            if count < events:
                loop.call_at(started + count * interval, tick, count + 1)

        loop.call_at(started, tick, 1)

    return script


def _burst(events: int) -> Script:
    whole = _STREAM_HEAD + b"".join(_chunks(events))
    return lambda exchange: exchange.transport.write(whole)


def _cut(events: int) -> Script:
    part = _STREAM_HEAD + b"".join(_chunks(events)[:events])

    def script(exchange: Exchange) -> None:
        exchange.transport.write(part)
        exchange.transport.close()

    return script


def _chunks(events: int) -> list[bytes]:
    """The chunks of a stream: one an event, and all that follows in the last one."""
    chunks = [_as_chunk(payloads.event(number)) for number in range(events)]
    return [*chunks, b"".join(map(_as_chunk, payloads.last_events())) + _LAST_CHUNK]


def _fail(data: bytes) -> Script:
    def script(exchange: Exchange) -> None:
        if data:
            exchange.transport.write(data)
            exchange.transport.close()
        else:
            exchange.transport.abort()

    return script


def _as_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_SCRIPTS: dict[str, Callable[..., Script]] = {
    "json": _json,
    "stream": _stream,
    "burst": _burst,
    "slow": _slow,
    "status": lambda status: _json(status=status),
    "hang": lambda: lambda exchange: None,
    "reset": lambda: _fail(b""),
    "garbage": lambda: _fail(b"\x16\x03\x01 this is not HTTP\r\n\r\n"),
    "short": lambda: _fail(_JSON_HEAD % (200, b"OK", 780) + payloads.answer()[:300]),
    "cut": _cut,
}


@asynccontextmanager
async def serving(port: int) -> AsyncIterator[None]:
    """Serve on loopback, within the running event loop."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Exchange, "127.0.0.1", port, backlog=4096)
    try:
        yield
    finally:
        server.close()


async def serve(port: int) -> None:
    """Serve until killed."""
    async with serving(port):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    run(serve(int(sys.argv[1])))
