"""A gateway whose surroundings move only when they are told to: callers, provider, time, host.

Each move is one thing that one of them does. Between two moves everything waits, so a list of moves
is one interleaving, and it can be played again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

import anyio
import anyio.abc
import anyio.lowlevel

from tests.asgi import Answer, http_scope
from tests.limits.watched import WatchedCounters
from waystone_asgi import Gateway, MemorySink, Principal, Provider
from waystone_asgi.exceptions import UpstreamError, UpstreamTimeoutError
from waystone_asgi.limits.guarded import GuardedCounters
from waystone_asgi.loops import on_asyncio
from waystone_asgi.records import UpstreamRequest
from waystone_asgi.testing import chunks, completion
from waystone_asgi.types import HTTPConnection, Message

from .clocks import settled, turn

EVENTS = cast("tuple[bytes, ...]", chunks("Hi", " there").pieces)
[WHOLE] = cast("tuple[bytes]", completion("Hi there").pieces)
EVENT_ERROR = b'data: {"error":{"message":"No.","type":"their_type","code":"their_code"}}\n\n'
REFUSAL = b'{"error":{"message":"No.","type":"their_type","code":"their_code"}}'
PATH = "/v1/chat/completions"
HEDGED = {"hedge_after": 1.0, "hedge_share": 1.0}
RULES = [
    {"usage": {"concurrent": 9, "of": "principal"}, "block": "Too many."},
    {"usage": {"requests": 99, "per": "month", "of": "principal"}, "block": "Too often."},
    {"usage": {"tokens": 99_999, "per": "month", "of": "principal"}, "block": "Too much."},
]

Move = tuple[str, str, int]
"""Who does what, and for which of the requests."""


Doing = tuple[str, Callable[[], None]]


class Setting(NamedTuple):
    """What differs from one world to another.

    `slow` callers take each message when they choose to, `raising` servers say that a caller has
    left, `waiting` counters are reached over something that takes time, and a `narrow` queue has
    room for one record. A `native` abort is a cancellation of asyncio's own. A `hedged` request
    asks a second model after a second, a `crowded` gateway serves one request and lets one wait,
    and streams that are `whole` are held until they are complete.
    """

    stream: bool = True
    requests: int = 1
    attempts: int = 1
    slow: bool = False
    raising: bool = False
    waiting: bool = False
    narrow: bool = False
    native: bool = False
    hedged: bool = False
    crowded: bool = False
    whole: bool = False


class Gate:
    """Where one task at a time waits for a move."""

    def __init__(self) -> None:
        self._event: anyio.Event | None = None
        self._given: Any = None

    @property
    def closed(self) -> bool:
        """Whether somebody waits."""
        return self._event is not None

    async def passed(self) -> Any:
        """Wait; what the move gave, raised if it is an exception."""
        assert self._event is None
        self._event = anyio.Event()
        try:
            await self._event.wait()
        finally:
            self._event = None
        if isinstance(self._given, Exception):
            raise self._given
        return self._given

    def open(self, given: object = None) -> None:
        """Let go of who waits."""
        assert self._event is not None
        self._given = given
        self._event.set()


class Response:
    """One answer of the provider's; `given` is what the gateway has taken of it."""

    def __init__(self, status: int, body: tuple[bytes, ...]) -> None:
        self.status = status
        self.headers = ((b"content-type", b"text/event-stream"),)
        self.left = [*body, b""]
        self.given: list[bytes] = []
        self.gate = Gate()
        self.closed = 0

    async def receive(self) -> bytes:
        if self.given[-1:] == [b""]:
            return b""
        data: bytes = await self.gate.passed()
        self.given.append(data)
        return data

    async def aclose(self) -> None:
        self.closed += 1
        await anyio.lowlevel.checkpoint()


class Request:
    """One caller and its request, from the scope to the end of the application's call."""

    def __init__(self, setting: Setting, number: int) -> None:
        self.setting = setting
        self.id = f"request-{number}"
        self.authenticating, self.sending = Gate(), Gate()
        self.asking: list[Gate] = []
        self.caller, self.delivered = Answer(), Answer()
        self.authenticated = False
        self.responses: list[Response] = []
        self.left = self.aborted = self.ended = False
        self.scope = anyio.CancelScope()
        self.task: asyncio.Task[Any] | None = None
        self._inbox: list[Message] = []
        self._news = anyio.Event()
        document = {
            "model": "both" if setting.attempts > 1 or setting.hedged else "one/m",
            "messages": [{"role": "user", "content": "x" * 40}],
            "stream": setting.stream,
        }
        text = json.dumps(document).encode()
        self._body = [text[:20], text[20:]]

    async def run(self, gateway: Gateway) -> None:
        """Be served."""
        current.set(self)
        if on_asyncio():
            self.task = asyncio.current_task()
        try:
            with self.scope:
                headers = [(b"x-request-id", self.id.encode())]
                await gateway(http_scope(PATH, headers=headers), self._receive, self._send)
        except asyncio.CancelledError:
            assert self.aborted
            assert self.setting.native
        finally:
            self.ended = True

    async def _receive(self) -> Message:
        while not self._inbox and not self.left:
            await self._news.wait()
        return self._inbox.pop(0) if self._inbox else {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.caller.messages.append(message)
        if self.setting.slow and not self.left:
            await self.sending.passed()
        if self.left and self.setting.raising:
            raise OSError("gone")
        await anyio.lowlevel.checkpoint()
        self.delivered.messages.append(message)

    def moves(self) -> Iterator[Doing]:
        """What caller and provider can do now."""
        if self.ended:
            return
        if self.authenticating.closed:
            yield "authenticate", self.authenticating.open
        if not self.left:
            if self._body:
                yield "body", self._give
            if self.sending.closed:
                yield "read", self.sending.open
            yield "leave", self._leave
        if not self.aborted:
            yield "abort", self._abort
        for number, gate in enumerate(self.asking):
            if gate.closed:
                yield from named(number, self._begins(gate))
        for number, response in enumerate(self.responses):
            if response.gate.closed:
                yield from named(number, self._answers(response))

    def _begins(self, gate: Gate) -> Iterator[Doing]:
        yield "head", lambda: gate.open(200)
        yield "refuse", lambda: gate.open(503)
        yield "unreachable", lambda: gate.open(UpstreamError("Nobody there."))
        yield "first byte", lambda: gate.open(UpstreamTimeoutError("Too late."))

    def _answers(self, response: Response) -> Iterator[Doing]:
        gate = response.gate
        yield "next", lambda: gate.open(response.left.pop(0) if response.left else b"")
        if response.status == 200:
            yield "end", lambda: gate.open(b"")
            yield "cut", lambda: gate.open(UpstreamError("Cut."))
            yield "idle", lambda: gate.open(UpstreamTimeoutError("Too slow."))
            if self.setting.stream:
                yield "error", lambda: gate.open(EVENT_ERROR)

    def _give(self) -> None:
        body = self._body.pop(0)
        self._inbox.append({"type": "http.request", "body": body, "more_body": bool(self._body)})
        self._tell()

    def _leave(self) -> None:
        self.left = True
        self._tell()
        if self.sending.closed:
            self.sending.open()

    def _abort(self) -> None:
        self.aborted = True
        if self.setting.native and self.task is not None:
            self.task.cancel()
        else:
            self.scope.cancel()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()


def named(number: int, moves: Iterable[Doing]) -> Iterator[Doing]:
    """The moves of one of several attempts."""
    for name, do in moves:
        yield f"{name} {number + 1}" if number else name, do


current: ContextVar[Request] = ContextVar("current")


class World:
    """One life of one gateway, and the requests that it serves."""

    def __init__(self, setting: Setting, tasks: anyio.abc.TaskGroup) -> None:
        self.setting = setting
        self.requests = [Request(setting, number) for number in range(setting.requests)]
        self.sink = MemorySink()
        self.counters = WatchedCounters(waiting=setting.waiting)
        self.taken: list[Move] = []
        self.opened, self.draining, self.closed = anyio.Event(), anyio.Event(), anyio.Event()
        self.host = anyio.CancelScope()
        self._tasks = tasks
        self._turned = False
        self._host: asyncio.Task[Any] | None = None
        self._cancelled = 0
        self.gateway = Gateway(
            providers=[
                Provider.openai(name=name, api_key="sk", base_url="http://p.test/v1")
                for name in ("one", "two")
            ],
            aliases={"both": ["one/m", "two/m"]},
            retry={"attempts": setting.attempts} | (HEDGED if setting.hedged else {}),
            hold="complete" if setting.whole else "first_event",
            keep_alive=1.0,
            max_in_flight=1 if setting.crowded else 100,
            max_waiting=1 if setting.crowded else 100,
            authenticate=self._authenticate,
            upstream=self,
            sinks=[self.sink],
            counters=GuardedCounters(self.counters) if setting.waiting else self.counters,
            rulesets=[{"name": "all", "condition": "always", "rules": RULES}],
            queue_limit=1 if setting.narrow else 100,
        )

    async def begin(self) -> None:
        """Open, and let the callers come."""
        self._tasks.start_soon(self._live)
        await self.opened.wait()
        for request in self.requests:
            self._tasks.start_soon(request.run, self.gateway)
        await settled()

    async def _live(self) -> None:
        if self.setting.native and on_asyncio():
            self._host = asyncio.current_task()
        try:
            with self.host:
                async with self.gateway.running():
                    self.opened.set()
                    await self.draining.wait()
        except asyncio.CancelledError:
            assert self._host is not None
        self.closed.set()

    def _cancel(self) -> None:
        self._cancelled += 1
        if self._host is not None:
            self._host.cancel()
        else:
            self.host.cancel()

    async def _authenticate(self, connection: HTTPConnection) -> Principal:
        request = current.get()
        await request.authenticating.passed()
        request.authenticated = True
        return Principal(id="p")

    async def send(self, request: UpstreamRequest) -> Response:
        """See `types.Upstream`."""
        caller = current.get()
        gate = Gate()
        caller.asking.append(gate)
        status = await gate.passed()
        good = EVENTS if self.setting.stream else (WHOLE[:30], WHOLE[30:])
        response = Response(status, good if status == 200 else (REFUSAL,))
        caller.responses.append(response)
        return response

    async def aclose(self) -> None:
        """See `types.Upstream`."""

    @property
    def ended(self) -> bool:
        """Whether all callers have been served."""
        return all(request.ended for request in self.requests)

    def moves(self) -> dict[Move, Callable[[], object]]:
        """All that can be done now."""
        found: dict[Move, Callable[[], object]] = {}
        for number, request in enumerate(self.requests):
            found.update({("request", name, number): do for name, do in request.moves()})
        if not self._turned:
            found["time", "tick", 0] = lambda: turn(0.0625)
            if self.setting.attempts > 1 or self.setting.hedged or self.setting.crowded:
                found["time", "second", 0] = lambda: turn(1.0)
        if not self.draining.is_set():
            found["host", "drain", 0] = self.draining.set
        elif not self.closed.is_set():
            found["host", "close", 0] = lambda: turn(33.0)
        if not self.closed.is_set() and self._cancelled < (2 if self._host else 1):
            found["host", "cancel", 0] = self._cancel
        return found

    async def move(self, move: Move) -> None:
        """Do it, and wait until nothing moves any more."""
        done = self.moves()[move]()
        self.taken.append(move)
        self._turned = move[0] == "time"
        if done is not None:
            await done  # type: ignore[misc]
        await settled()

    async def finish(self, order: tuple[str, ...]) -> None:
        """Go on with the first possible of these moves until all is over, and close."""
        for _ in range(99):
            if self.ended:
                break
            self._turned = False
            moves = self.moves()
            chosen = [m for name in order for m in moves if m[1].rstrip(" 0123456789") == name]
            await self.move(chosen[0] if chosen else ("time", "tick", 0))
        assert self.ended, "a request did not end"
        await turn(0.5)
        self.draining.set()
        await turn(40.0)
        assert self.closed.is_set(), "the gateway did not close"
