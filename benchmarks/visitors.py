"""The callers of the soak: those who wait, those who leave, and those whose provider fails.

In: a server and a time to stop. Out: counts of `Visit`s, what each came to and whether that was as
it must be. Each keeps its own connection, opens a new one when it has left, and pauses a little
between requests, so that all kinds are always there.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeAlias

import msgspec

from .contenders import Server

USERS = 1_000
_PAUSE_SECONDS = 0.004
_ANSWER_SECONDS = 30.0
_LASTING = "stream-1000-10"
_PATIENT = "stream-20-5"
_LARGE = "burst-4000"

# What the caller must see: the status, and for a stream whether its end may be missing.
_FAILURES = {
    "status-500": 502,
    "status-503": 502,
    "status-429": 429,
    "status-401": 502,
    "reset": 502,
    "garbage": 502,
    "short": 502,
}
_CUTS = {"cut-0": 502, "cut-3": 200}
MODELS = ["slow-20", "hang", _LASTING, _PATIENT, _LARGE, *_FAILURES, *_CUTS]
"""The models that a server must know."""


class Visit(msgspec.Struct, frozen=True, order=True):
    """One kind of request and what it came to; `recorded` is None where it may or may not be."""

    kind: str
    came_to: str
    expected: bool
    recorded: bool | None


Visitor: TypeAlias = Callable[[Server, Counter[Visit], float], Coroutine[Any, Any, None]]
Once: TypeAlias = Callable[["Line", Server], Awaitable[Visit]]


class Line:
    """A caller's connection, opened when it is needed."""

    _reader: asyncio.StreamReader

    def __init__(self, server: Server) -> None:
        self._address = server.address
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, request: bytes) -> None:
        """Send on the open connection, or on a new one."""
        if self._writer is None or self._writer.is_closing() or self._reader.at_eof():
            self.leave()
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        self._writer.write(request)

    async def answer(self) -> tuple[int, bytes]:
        """Status and body; the body is whole, or as much as came before the server closed."""
        async with asyncio.timeout(_ANSWER_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head.split(b" ", 2)[1])
            at = head.find(b"content-length:")
            if at >= 0:
                length = int(head[at + 15 : head.find(b"\r", at)])
                return status, await self._reader.readexactly(length)
            return status, await self._chunks()

    async def some(self) -> bytes:
        """Whatever has come."""
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await self._reader.read(4096)

    def leave(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _chunks(self) -> bytes:
        body = b""
        try:
            while size := int(await self._reader.readline(), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readline()
        except (ValueError, asyncio.IncompleteReadError):
            self.leave()
        return body


def visitors(server: Server) -> Iterable[Visitor]:
    """All who visit at the same time."""
    kinds: list[tuple[int, Once]] = [
        (6, _whole),
        (6, _whole_stream),
        (4, _leaves_stream),
        (4, _leaves_waiting),
        (2, _leaves_at_once),
        (1, _reads_slowly),
        (3, _failing),
        (2, _failing_stream),
        (1, _refused),
    ]
    return [_repeated(once) for count, once in kinds for _ in range(count)]


def _repeated(once: Once) -> Visitor:
    async def visitor(server: Server, counts: Counter[Visit], until: float) -> None:
        line = Line(server)
        try:
            while time.perf_counter() < until:
                try:
                    visit = await once(line, server)
                except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                    name = once.__name__.strip("_").replace("_", " ")
                    visit = Visit(name, type(error).__name__, False, None)
                    line.leave()
                counts[visit] += 1
                await asyncio.sleep(random.uniform(0, 2 * _PAUSE_SECONDS))
        finally:
            line.leave()

    return visitor


async def _whole(line: Line, server: Server) -> Visit:
    await line.send(_request(server, "json"))
    status, body = await line.answer()
    return _visit("waits", status, status == 200 and b'"usage"' in body)


async def _whole_stream(line: Line, server: Server) -> Visit:
    await line.send(_request(server, _PATIENT, stream=True))
    status, body = await line.answer()
    whole = body.count(b'"content":" ') == 20 and body.endswith(b"data: [DONE]\n\n")
    return _visit("waits for a stream", status, status == 200 and whole)


async def _leaves_stream(line: Line, server: Server) -> Visit:
    await line.send(_request(server, _LASTING, stream=True))
    seen = await line.some()
    await asyncio.sleep(random.uniform(0, 0.2))
    line.leave()
    return _visit("leaves a stream", 200, b" 200 " in seen)


async def _leaves_waiting(line: Line, server: Server) -> Visit:
    await line.send(_request(server, "hang"))
    await asyncio.sleep(random.uniform(0.05, 0.15))
    line.leave()
    return Visit("leaves while waiting", "left", True, True)


async def _leaves_at_once(line: Line, server: Server) -> Visit:
    await line.send(_request(server, "slow-20"))
    await asyncio.sleep(random.uniform(0, 0.002))
    line.leave()
    return Visit("leaves at once", "left", True, None)


async def _reads_slowly(line: Line, server: Server) -> Visit:
    await line.send(_request(server, _LARGE, stream=True))
    seen = await line.some()
    for _ in range(20):
        await asyncio.sleep(0.01)
        await line.some()
    line.leave()
    return _visit("reads slowly and leaves", 200, b" 200 " in seen)


async def _failing(line: Line, server: Server) -> Visit:
    model, wanted = random.choice(list(_FAILURES.items()))
    await line.send(_request(server, model))
    status, body = await line.answer()
    return _visit(f"provider fails: {model}", status, status == wanted and b'"error"' in body)


async def _failing_stream(line: Line, server: Server) -> Visit:
    model, wanted = random.choice(list(_CUTS.items()))
    await line.send(_request(server, model, stream=True))
    status, body = await line.answer()
    right = status == wanted and b'"error"' in body and b"[DONE]" not in body
    return _visit(f"provider cuts a stream: {model}", status, right)


async def _refused(line: Line, server: Server) -> Visit:
    request = _request(server, "json")
    requests = {
        401: request.replace(b"Bearer wk_", b"Bearer xx_"),
        404: _request(server, "nosuch"),
        400: request.replace(b'"role":"user"', b'"role":"nono"'),
    }
    wanted, request = random.choice(list(requests.items()))
    await line.send(request)
    status, _ = await line.answer()
    return Visit("is refused", str(status), status == wanted, status != 401)


def _visit(kind: str, status: int, expected: bool) -> Visit:
    return Visit(kind, str(status), expected, True)


def _request(server: Server, model: str, *, stream: bool = False) -> bytes:
    return server.request(model, stream=stream, user=f"user-{random.randrange(USERS)}")
