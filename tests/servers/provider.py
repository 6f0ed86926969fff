"""A provider over real sockets: what it does is chosen by the name of the model it is asked for.

It runs in a thread with an event loop of its own. Times are `time.monotonic`, which all processes
of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

TICK_SECONDS = 0.05
TICKS = 6
WAIT_SECONDS = 10.0

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


class Exchange:
    """One request and its answer.

    `held` is set when the answer has come to where it waits for the test, `closed` when the gateway
    has closed the connection before the end.
    """

    def __init__(
        self, body: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> None:
        self.body = body
        self.headers = headers
        self.writes: list[float] = []
        self.held = threading.Event()
        self.closed = threading.Event()
        self.closed_at = 0.0
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._released = asyncio.Event()

    @property
    def model(self) -> str:
        model: str = self.body["model"]
        return model

    async def write(self, data: bytes) -> None:
        """Send, and note when."""
        self.writes.append(time.monotonic())
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int, content_type: str, length: int | None, *more: str) -> None:
        """Send the head of an answer, chunked where there is no length."""
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", framing, *more]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        await self._writer.drain()

    async def json(self, status: int, document: object, *more: str) -> None:
        """Send a whole answer."""
        body = json.dumps(document).encode()
        await self.head(status, "application/json", len(body), *more)
        await self.write(body)

    async def event(self, document: object) -> None:
        """Send one event of a stream."""
        data = document if isinstance(document, str) else json.dumps(document)
        event = f"data: {data}\n\n".encode()
        await self.write(b"%x\r\n%b\r\n" % (len(event), event))

    async def stream(self, *documents: object) -> None:
        """Send a whole stream."""
        await self.head(200, "text/event-stream", None)
        for document in documents:
            await self.event(document)
        await self.end()

    async def end(self) -> None:
        """Send the end of a chunked answer."""
        await self.write(b"0\r\n\r\n")

    async def hold(self) -> None:
        """Say nothing more until the test releases it."""
        self.held.set()
        await self._released.wait()

    def release(self) -> None:
        """From the test's thread: go on."""
        self._loop.call_soon_threadsafe(self._released.set)

    def reset(self) -> None:
        """Break the connection, and not merely close it: what is under way may be lost."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        raise ConnectionResetError

    def left(self) -> None:
        """The gateway has closed the connection."""
        self.closed_at = time.monotonic()
        self.closed.set()


Behaviour: TypeAlias = Callable[[Exchange], Awaitable[None]]


def completion(model: str, message: dict[str, Any], finish_reason: str = "stop") -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1700000000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": USAGE,
    }


def chunk(model: str, delta: dict[str, Any] | None, finish_reason: str | None = None) -> object:
    """An event of a stream; the one with usage has no delta."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": model,
        "choices": [] if delta is None else [choice],
        **({"usage": USAGE} if delta is None else {}),
    }


def deltas(exchange: Exchange) -> list[dict[str, Any]]:
    """The message that the model's name asks for, in pieces."""
    if exchange.model == "tools":
        call = {"index": 0, "id": "call_1", "type": "function"}
        return [
            {"role": "assistant", "content": None},
            {"tool_calls": [{**call, "function": {"name": "get_weather", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '"Zürich"}'}}]},
        ]
    said = exchange.body["messages"][-1]["content"]
    if exchange.model == "structured":
        said = '{"city": "Zürich", "degrees": 21}'
    return [{"role": "assistant", "content": ""}, *({"content": letter} for letter in said)]


async def plain(exchange: Exchange) -> None:
    """Say what was said, call the tool, or give the structured answer."""
    finish = "tool_calls" if exchange.model == "tools" else "stop"
    pieces = deltas(exchange)
    model = exchange.model
    if exchange.body.get("stream"):
        events = [chunk(model, piece) for piece in pieces]
        await exchange.stream(*events, chunk(model, {}, finish), chunk(model, None), "[DONE]")
        return
    message: dict[str, Any] = {"content": "".join(piece.get("content") or "" for piece in pieces)}
    if exchange.model == "tools":
        function = {"name": "get_weather", "arguments": '{"city": "Zürich"}'}
        call = {"id": "call_1", "type": "function", "function": function}
        message = {"content": None, "tool_calls": [call]}
    await exchange.json(200, completion(exchange.model, message, finish))


async def ticking(exchange: Exchange) -> None:
    """One event every `TICK_SECONDS`, the first after the head by as much."""
    await exchange.head(200, "text/event-stream", None)
    for number in range(TICKS):
        await asyncio.sleep(TICK_SECONDS)
        await exchange.event(chunk("ticking", {"content": f"{number} "}))
    await asyncio.sleep(TICK_SECONDS)
    await exchange.event(chunk("ticking", {}, "stop"))
    await exchange.event("[DONE]")
    await exchange.end()


async def silent(exchange: Exchange) -> None:
    """Nothing at all, until released."""
    await exchange.hold()
    await plain(exchange)


async def half(exchange: Exchange) -> None:
    """Half an answer, and the rest when released."""
    if exchange.body.get("stream"):
        await exchange.head(200, "text/event-stream", None)
        await exchange.event(chunk("half", {"content": "first"}))
        await exchange.hold()
        await exchange.event(chunk("half", {"content": " last"}))
        await exchange.event(chunk("half", {}, "stop"))
        await exchange.event("[DONE]")
        await exchange.end()
    else:
        body = json.dumps(completion("half", {"content": "first last"})).encode()
        await exchange.head(200, "application/json", len(body))
        await exchange.write(body[:40])
        await exchange.hold()
        await exchange.write(body[40:])


async def cut(exchange: Exchange) -> None:
    """One event, and then the connection breaks."""
    await exchange.head(200, "text/event-stream", None)
    await exchange.event(chunk("cut", {"content": "first"}))
    raise ConnectionResetError


async def reset(exchange: Exchange) -> None:
    """The connection breaks before an answer."""
    raise ConnectionResetError


async def garbage(exchange: Exchange) -> None:
    """Something that is no completion."""
    await exchange.json(200, ["no", "completion"])


async def refuse(exchange: Exchange) -> None:
    """`status-429` and its like: an error as OpenAI sends it."""
    status = int(exchange.model.removeprefix("status-"))
    error = {
        "message": f"This is a {status}.",
        "type": "scripted_error",
        "param": "messages",
        "code": f"scripted_{status}",
    }
    limits = ("retry-after: 7", "x-ratelimit-remaining-requests: 0")
    await exchange.json(status, {"error": error}, *limits)


BEHAVIOURS: dict[str, Behaviour] = {
    "plain": plain,
    "twin": plain,
    "tools": plain,
    "structured": plain,
    "ticking": ticking,
    "silent": silent,
    "half": half,
    "cut": cut,
    "reset": reset,
    "garbage": garbage,
}


def by_name(exchange: Exchange) -> Behaviour:
    """What the model's name stands for."""
    return refuse if exchange.model.startswith("status-") else BEHAVIOURS[exchange.model]


class ScriptedProvider:
    """The provider at `url`. `take` gives the exchanges one by one, by model."""

    def __init__(self, choose: Callable[[Exchange], Behaviour] = by_name) -> None:
        self.url = ""
        self._choose = choose
        self._exchanges: list[Exchange] = []
        self._arrived = threading.Condition()

    def take(self, model: str) -> Exchange:
        """The next exchange for the model, waiting for it if need be."""

        def find() -> Exchange | None:
            return next((each for each in self._exchanges if each.model == model), None)

        with self._arrived:
            exchange = self._arrived.wait_for(find, WAIT_SECONDS)
            assert exchange is not None, f"nobody asked for {model}"
            self._exchanges.remove(exchange)
            return exchange

    def forget(self) -> None:
        """Drop the exchanges that nobody took."""
        with self._arrived:
            self._exchanges.clear()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, until it breaks."""
        try:
            first = await reader.read(1)
            while first:
                first = await self._exchange(first, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _exchange(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        """Answer one request; the first byte of the next one, or nothing."""
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = [line.partition(": ") for line in head[1:] if line]
        headers = {name.lower(): value for name, _, value in pairs}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        exchange = Exchange(body, headers, writer)
        with self._arrived:
            self._exchanges.append(exchange)
            self._arrived.notify_all()
        answering = asyncio.ensure_future(self._choose(exchange)(exchange))
        # Nobody pipelines: what comes before the end of the answer can only be the end.
        coming = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([answering, coming], return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                exchange.left()
                return b""
            await answering
            return await coming
        finally:
            answering.cancel()
            coming.cancel()


@contextmanager
def scripted_provider(
    choose: Callable[[Exchange], Behaviour] = by_name,
) -> Iterator[ScriptedProvider]:
    """The provider, in a thread, on a free loopback port."""
    started: Future[tuple[ScriptedProvider, Callable[[], object]]] = Future()

    async def serve() -> None:
        provider = ScriptedProvider(choose)
        server = await asyncio.start_server(provider.handle, "127.0.0.1", 0)
        provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        started.set_result((provider, partial(loop.call_soon_threadsafe, stopping.set)))
        await stopping.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=[serve()], name="provider")
    thread.start()
    provider, stop = started.result(WAIT_SECONDS)
    try:
        yield provider
    finally:
        stop()
        thread.join(WAIT_SECONDS)
