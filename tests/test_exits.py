"""One record on every way out: answered, refused, failed, left, cancelled, shut down.

What the gateway awaits is the host's, the provider's or the server's, so each of their awaits is a
step here, and at each step in turn something happens: the request is cancelled, the caller leaves,
the server cannot send, a seam fails. Every time there is one record that says so, the provider's
answer is closed, and nothing of the request is left.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import pytest
import trio.testing

from waystone_asgi import Gateway, Identity, MemorySink, Principal, Provider, UsageRecord
from waystone_asgi.entities.memory import MemoryEntities
from waystone_asgi.exceptions import (
    PermissionDeniedError,
    UpstreamError,
    UpstreamTimeoutError,
)
from waystone_asgi.records import Entity, UpstreamRequest
from waystone_asgi.testing import FakeAnswer, FakeProvider, Piece, chunks, completion
from waystone_asgi.types import Layers, Message

from .asgi import Answer, Caller, chat, http_scope

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"
USER = {"role": "user", "content": "x" * 40}
CANARY = "canary-c20d"
SECONDS = 5
"""No exit takes longer; it is a bound for failures and never waited for."""

native = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)
"""For asyncio's own cancellation, which comes once and passes shields."""

turned = pytest.mark.parametrize(
    "anyio_backend",
    [pytest.param(("trio", {"clock": trio.testing.MockClock(autojump_threshold=0.01)}), id="trio")],
)
"""For long waits: a clock that jumps to the next deadline when nobody has anything to do."""


class Steps:
    """Counts the awaits of a request, and acts at number `at`. `passed` are those that went on."""

    def __init__(self, at: int, act: Callable[[str], Awaitable[object] | None]) -> None:
        self.at = at
        self._act = act
        self.taken: list[str] = []
        self.passed: list[str] = []

    @property
    def where(self) -> str | None:
        """The step at which it acted; None when the request had fewer."""
        return self.taken[self.at - 1] if len(self.taken) >= self.at else None

    async def take(self, name: str) -> None:
        self.taken.append(name)
        if len(self.taken) == self.at and (acting := self._act(name)) is not None:
            await acting
        await anyio.lowlevel.checkpoint()
        self.passed.append(name)


class Entities(MemoryEntities):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    async def merge(self, user: Entity | None, group: Entity | None) -> tuple[Layers, Layers]:
        await self._steps.take("merge")
        return await super().merge(user, group)


class SteppingAnswer(FakeAnswer):
    """An answer with a step before each piece, and one while it is closed."""

    def __init__(self, answer: FakeAnswer, steps: Steps) -> None:
        self.steps = steps
        pieces: list[Piece] = []
        for number, piece in enumerate(answer.pieces):
            pieces += (lambda number=number: steps.take(f"answer {number}"), piece)
        super().__init__(pieces, status=answer.status, headers=answer.headers)

    async def aclose(self) -> None:
        await super().aclose()
        await self.steps.take("close")


class Stage:
    """A gateway whose seams take steps, and one caller of it."""

    def __init__(self, answer: FakeAnswer, steps: Steps, **settings: Any) -> None:
        self.steps = steps
        self.sink = MemorySink()
        self.left = anyio.Event()
        self.caller = Answer()
        self.fake = SteppingAnswer(answer, steps)
        self.gateway = Gateway(
            retry={"attempts": 1},
            **{
                "providers": [Provider.openai(api_key="sk", base_url="http://provider.test/v1")],
                "upstream": FakeProvider(lambda: steps.take("provider"), self.fake),
                "authenticate": self._authenticate,
                "identify": self._identify,
                "entities": Entities(steps),
                "sinks": [self.sink],
            }
            | settings,
        )
        self._pieces: list[bytes] = []

    async def ask(self, *, stream: bool) -> None:
        body = {"model": "openai/m", "messages": [USER], "stream": stream}
        text = json.dumps(body).encode()
        self._pieces = [text[:20], text[20:]]
        await self.gateway(http_scope(PATH), self._receive, self._send)

    async def _authenticate(self, connection: object) -> Principal:
        await self.steps.take("authenticate")
        return Principal(id="p")

    async def _identify(self, *arguments: object) -> Identity:
        await self.steps.take("identify")
        return Identity(user=Entity("ann"))

    async def _receive(self) -> Message:
        if self._pieces:
            await self.steps.take("receive")
            if not self.left.is_set():
                body = self._pieces.pop(0)
                return {"type": "http.request", "body": body, "more_body": bool(self._pieces)}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.steps.take(message["type"])
        self.caller.messages.append(message)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the gateway; it closes at once, since it does not wait for what is not there."""
        with anyio.fail_after(SECONDS):
            async with self.gateway.running():
                yield
                await self._let_go()

    async def _let_go(self) -> None:
        departures = self.gateway._departures
        assert not departures._visits
        while departures._waiting:
            await anyio.lowlevel.checkpoint()

    def check(self, *, stream: bool, failed: str | None = None) -> UsageRecord | None:
        """The record that must be there, having compared it with the steps that were passed."""
        passed = self.steps.passed
        if "authenticate" not in passed:
            assert self.sink.records == []
            return None
        [record] = self.sink.records
        assert (record.principal, record.operation) == ("p", "chat")
        assert record.user == ("ann" if "identify" in passed else None)
        if "merge" in passed and "provider" in self.steps.taken:
            [attempt] = record.attempts
            assert (attempt.provider, attempt.model) == ("openai", "m")
            assert attempt.status == (200 if "provider" in passed else None)
            if self.steps.where == "close" or (complete(self.caller) and not failed):
                assert attempt.error_type is None
            else:
                assert attempt.error_type == (failed or "cancelled")
        else:
            assert record.attempts == ()
        if "provider" in passed:
            assert self.fake.closed >= 1
        assert record.usage_source == self._expected_source(stream)
        return record

    def _expected_source(self, stream: bool) -> str:
        """What can be known of the usage, from how much of the answer had come."""
        pieces = sum(step.startswith("answer ") for step in self.steps.passed)
        if not stream:
            # A whole answer is counted once it is whole.
            return "provider" if pieces == len(self.fake.pieces) // 2 else "none"
        return "none" if pieces == 0 else "estimated" if pieces < USAGE_PIECE else "provider"


def complete(answer: Answer) -> bool:
    """Whether it has ended, and not by being cut."""
    return answer.complete and b'"code":"overloaded"' not in answer.body


USAGE_PIECE = 4
"""Of `chunks("Hi", " there")` the fourth piece has the usage."""


def answer_of(stream: bool) -> FakeAnswer:
    return chunks("Hi", " there") if stream else FakeAnswer([*halves(completion("Hi there"))])


def halves(answer: FakeAnswer) -> tuple[bytes, bytes]:
    [piece] = answer.pieces
    assert isinstance(piece, bytes)
    return piece[:30], piece[30:]


STEPS = {
    False: [
        *("authenticate", "receive", "receive", "identify", "merge", "provider"),
        *("answer 0", "answer 1", "http.response.start", "http.response.body", "close"),
    ],
    True: [
        *("authenticate", "receive", "receive", "identify", "merge", "provider", "answer 0"),
        *("http.response.start", "http.response.body", "answer 1", "http.response.body"),
        *("answer 2", "http.response.body", "answer 3", "answer 4", "http.response.body", "close"),
    ],
}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_takes_every_step(stream: bool) -> None:
    stage = Stage(answer_of(stream), Steps(0, lambda name: None))
    async with stage.running():
        await stage.ask(stream=stream)
    assert stage.steps.passed == STEPS[stream]
    record = stage.check(stream=stream)
    assert record is not None
    assert (record.status, record.outcome, record.error_type) == (200, "ok", None)
    assert (record.input_tokens, record.output_tokens) == (5, 3)


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelled_at_every_step(stream: bool) -> None:
    for number, name in enumerate(STEPS[stream], 1):
        scope = anyio.CancelScope()
        stage = Stage(answer_of(stream), Steps(number, lambda name, scope=scope: scope.cancel()))
        async with stage.running():
            with scope:
                await stage.ask(stream=stream)
        assert stage.steps.where == name
        check_cancelled(stage, stream)


@native
@pytest.mark.parametrize("stream", [False, True])
async def test_cancelled_by_asyncio_itself_at_every_step(stream: bool) -> None:
    for number, name in enumerate(STEPS[stream], 1):
        tasks: list[asyncio.Task[None]] = []
        stage = Stage(
            answer_of(stream), Steps(number, lambda name, tasks=tasks: tasks[0].cancel() and None)
        )
        async with stage.running():
            tasks.append(asyncio.create_task(stage.ask(stream=stream)))
            with suppress(asyncio.CancelledError):
                await tasks[0]
        assert stage.steps.where == name
        check_cancelled(stage, stream)


def check_cancelled(stage: Stage, stream: bool) -> None:
    record = stage.check(stream=stream)
    if record is None:
        assert stage.steps.where == "authenticate"
        assert stage.caller.messages == []
        return
    whole = complete(stage.caller)
    assert record.outcome == ("ok" if whole else "cancelled")
    ending = len(STEPS[True]) - 1
    if stream and not whole and len(stage.caller.messages) > 1 and stage.steps.at != ending:
        # Somebody may still read it, and must not take it for all there is.
        last = stage.caller.messages[-1]
        assert b'"code":"overloaded"' in last["body"]
        assert not last.get("more_body")
    assert record.error_type is None
    # From the head on, the status is the one that was sent, or was about to be.
    begun = "http.response.start" in stage.steps.taken
    assert record.status == (200 if begun else 499)
    assert (record.time_to_first_chunk is not None) == (stream and begun)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_leaves_at_every_step(stream: bool) -> None:
    """The step hangs when the caller has left, so only the departure can end it."""
    for number, name in enumerate(STEPS[stream], 1):
        if name == "authenticate" or name.startswith("http.") or name == "close":
            continue  # The first is before the body; the server's own awaits end by themselves.

        def leave(name: str, stages: list[Stage]) -> Awaitable[object] | None:
            stages[0].left.set()
            return None if name == "receive" else anyio.sleep_forever()

        stages: list[Stage] = []
        stage = Stage(
            answer_of(stream), Steps(number, lambda name, stages=stages: leave(name, stages))
        )
        stages.append(stage)
        async with stage.running():
            await stage.ask(stream=stream)
        assert stage.steps.where == name
        record = stage.check(stream=stream)
        assert record is not None
        if stage.caller.complete:
            assert record.outcome == "ok"
        else:
            begun = "http.response.start" in stage.steps.taken
            assert (record.outcome, record.error_type) == ("cancelled", None)
            assert record.status == (200 if begun else 499)
            assert "http.response.start" not in stage.steps.taken or stream


@pytest.mark.parametrize("kind", [OSError, BrokenPipeError, ConnectionResetError])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_cannot_send_at_every_step(stream: bool, kind: type[OSError]) -> None:
    def fail(name: str) -> None:
        raise kind("gone")

    for number, name in enumerate(STEPS[stream], 1):
        if not name.startswith("http."):
            continue
        stage = Stage(answer_of(stream), Steps(number, fail))
        async with stage.running():
            await stage.ask(stream=stream)
        assert stage.steps.where == name
        record = stage.check(stream=stream)
        assert record is not None
        assert (record.status, record.outcome, record.error_type) == (200, "cancelled", None)
        # Nothing is sent to somebody who is gone.
        assert stage.steps.taken[number:] == ["close"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_seam_with_a_bug_at_every_step(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)

    def fail(name: str) -> None:
        raise RuntimeError(CANARY)

    for number, name in enumerate(STEPS[stream], 1):
        stage = Stage(answer_of(stream), Steps(number, fail))
        async with stage.running():
            await stage.ask(stream=stream)
        assert stage.steps.where == name
        record = stage.check(stream=stream, failed="internal_error")
        if record is None:
            assert stage.caller.status == 401
            continue
        begun = "http.response.start" in STEPS[stream][:number]
        assert (record.status, record.outcome) == (200 if begun else 500, "error")
        if not begun:
            assert (stage.caller.status, stage.caller.error["code"]) == (500, "internal_error")
        assert record.error_type == "internal_error"
        assert CANARY not in stage.caller.body.decode()
        assert CANARY not in caplog.text


# What providers do.


class Exit(NamedTuple):
    """What a provider does, and what comes of it."""

    answer: FakeAnswer | UpstreamError
    status: int
    error_type: str | None
    attempt: int | None
    outcome: str = "error"
    source: str = "none"
    streams: tuple[bool, ...] = (False, True)


def refusal(status: int, **error: object) -> FakeAnswer:
    text = json.dumps({"error": {"message": "No.", "type": "their_type", **error}}).encode()
    return FakeAnswer([text], status=status, headers=[(b"retry-after", b"7")])


def streamed(*pieces: Piece) -> FakeAnswer:
    return FakeAnswer(pieces, headers=[(b"content-type", b"text/event-stream")])


HI, THERE, STOP, USAGE, DONE = chunks("Hi", " there").pieces
WHOLE = halves(completion("Hi"))
EVENT_ERROR = b'data: {"error":{"message":"No.","type":"their_type","code":"their_code"}}\n\n'
JSON, SSE = (False,), (True,)

OK: dict[str, Any] = {"outcome": "ok", "source": "provider", "streams": SSE}
CUT: dict[str, Any] = {"outcome": "upstream_cut", "source": "estimated", "streams": SSE}

EXITS: dict[str, Exit] = {
    "400": Exit(refusal(400), 400, "their_type", 400),
    "400 with a code": Exit(refusal(400, code="their_code"), 400, "their_code", 400),
    "400 without JSON": Exit(FakeAnswer([b"No."], status=400), 400, "invalid_request_error", 400),
    "404": Exit(refusal(404, code="model_not_found"), 404, "model_not_found", 404),
    "413": Exit(refusal(413), 413, "their_type", 413),
    "429": Exit(refusal(429, code="rate_limit_exceeded"), 429, "rate_limit_exceeded", 429),
    "401": Exit(refusal(401), 502, "upstream_authentication", 401),
    "403": Exit(refusal(403), 502, "upstream_authentication", 403),
    "500": Exit(refusal(500), 502, "upstream_error", 500),
    "503": Exit(refusal(503), 502, "upstream_error", 503),
    "529": Exit(refusal(529), 502, "upstream_error", 529),
    "302": Exit(FakeAnswer([b""], status=302), 502, "upstream_error", 302),
    "204": Exit(FakeAnswer([], status=204), 502, "upstream_error", 204),
    "a refusal that breaks off": Exit(
        FakeAnswer([b"{", UpstreamError("x")], status=400), 502, "upstream_error", 400
    ),
    "no connection": Exit(UpstreamError("x"), 502, "upstream_error", None),
    "no connection in time": Exit(UpstreamTimeoutError("x"), 504, "upstream_timeout", None),
    "nothing": Exit(FakeAnswer([]), 502, "upstream_error", 200),
    "no body in time": Exit(FakeAnswer([UpstreamTimeoutError("x")]), 504, "upstream_timeout", 200),
    "half a body in time": Exit(
        FakeAnswer([WHOLE[0], UpstreamTimeoutError("x")]), 504, "upstream_timeout", 200
    ),
    "half a body": Exit(FakeAnswer([WHOLE[0]]), 502, "upstream_error", 200),
    "a body that breaks off": Exit(
        FakeAnswer([WHOLE[0], UpstreamError("x")]), 502, "upstream_error", 200
    ),
    "not JSON": Exit(FakeAnswer([b"<html>"]), 502, "upstream_error", 200),
    "an empty object": Exit(FakeAnswer([b"{}"]), 502, "upstream_error", 200),
    "an array": Exit(FakeAnswer([b"[]"]), 502, "upstream_error", 200),
    "deep": Exit(FakeAnswer([b'{"choices":' + b"[" * 100_000]), 502, "upstream_error", 200),
    "wrong choices": Exit(FakeAnswer([b'{"choices":[5]}']), 502, "upstream_error", 200),
    "no choices": Exit(FakeAnswer([b'{"choices":[]}']), 502, "upstream_error", 200),
    "no message": Exit(FakeAnswer([b'{"choices":[{}]}']), 502, "upstream_error", 200),
    "an error under 200": Exit(refusal(200), 502, "upstream_error", 200, streams=JSON),
    "a refusal under 200": Exit(refusal(200, code=429), 429, "429", 200, streams=JSON),
    "no usage": Exit(
        FakeAnswer([b'{"id":"i","choices":[{"index":0,"message":{"content":"Hi"}}]}']),
        200,
        None,
        200,
        **OK | {"source": "estimated", "streams": JSON},
    ),
    "a comment": Exit(streamed(b": x\n\n"), 502, "upstream_error", 200, streams=SSE),
    "an error first": Exit(streamed(EVENT_ERROR), 502, "upstream_error", 200, streams=SSE),
    "an error after a comment": Exit(
        streamed(b": x\n\n", EVENT_ERROR), 502, "upstream_error", 200, streams=SSE
    ),
    "an error in the middle": Exit(
        streamed(HI, EVENT_ERROR), 200, "upstream_error", 200, source="estimated", streams=SSE
    ),
    "an error in the end": Exit(
        streamed(HI, STOP, USAGE, EVENT_ERROR),
        200,
        "upstream_error",
        200,
        source="provider",
        streams=SSE,
    ),
    "a stream cut short": Exit(streamed(HI), 200, "upstream_error", 200, **CUT),
    "a stream that breaks off": Exit(
        streamed(HI, UpstreamError("x")), 200, "upstream_error", 200, **CUT
    ),
    "a stream that stops": Exit(
        streamed(HI, UpstreamTimeoutError("x")), 200, "upstream_timeout", 200, **CUT
    ),
    "a stream without [DONE]": Exit(streamed(HI, STOP, USAGE), 200, None, 200, **OK),
    "a stream that breaks off after its end": Exit(
        streamed(HI, STOP, UpstreamError("x")), 200, None, 200, **OK | {"source": "estimated"}
    ),
    "a stream that goes on after [DONE]": Exit(
        streamed(HI, STOP, DONE, USAGE, UpstreamError("x")), 200, None, 200, **OK
    ),
    "a stream with nonsense": Exit(
        streamed(HI, b"data: {nonsense\n\n", STOP, USAGE, DONE), 200, None, 200, **OK
    ),
}


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        pytest.param(name, stream, id=f"{name}, {'stream' if stream else 'whole'}")
        for name, case in EXITS.items()
        for stream in case.streams
    ],
)
async def test_what_providers_do(name: str, stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    case = EXITS[name]
    gateway, sink = plain(FakeProvider(case.answer))
    async with gateway.running():
        answer = await chat(gateway, stream=stream)
    [record] = sink.records
    assert (record.status, record.outcome, record.error_type) == (
        case.status,
        case.outcome,
        case.error_type,
    )
    assert answer.status == case.status
    assert answer.complete
    [attempt] = record.attempts
    assert (attempt.status, attempt.error_type) == (case.attempt, case.error_type)
    assert record.usage_source == case.source
    assert (record.output_tokens > 0) == (case.source != "none")
    if isinstance(case.answer, FakeAnswer):
        assert case.answer.closed >= 1
    if case.status >= 400:
        assert answer.error["message"]
        assert (answer.error["code"] or answer.error["type"]) == case.error_type
        assert answer.headers.get("retry-after") == (
            "7"
            if isinstance(case.answer, FakeAnswer) and case.answer.headers[0][1] == b"7"
            else None
        )
    elif case.outcome != "ok":
        assert answer.body.count(b'"error"') == 1
        assert b"[DONE]" not in answer.body
        # A reason to finish is passed on, never made up.
        assert isinstance(case.answer, FakeAnswer)
        assert (b'"stop"' in answer.body) == (STOP in case.answer.pieces)
    elif stream:
        assert answer.body.endswith(b"data: [DONE]\n\n")
    # What providers do is no news to an operator, save what nobody else is told.
    assert ("Malformed events" in caplog.text) is ("with nonsense" in name)
    assert len(caplog.records) == ("with nonsense" in name)


async def test_a_caller_who_leaves_after_the_end_cancels_nothing() -> None:
    caller = Caller(
        [json.dumps({"model": "openai/m", "messages": [USER], "stream": True}).encode()]
    )

    async def leave() -> None:
        assert caller.answer.complete
        caller.leave()
        await anyio.wait_all_tasks_blocked()

    answer = streamed(HI, STOP, DONE, leave, USAGE)
    gateway, sink = plain(FakeProvider(answer))
    async with gateway.running():
        await gateway(http_scope(PATH), caller.receive, caller.send)
    [record] = sink.records
    assert (record.outcome, record.usage_source, record.output_tokens) == ("ok", "provider", 3)
    assert (answer.received, answer.closed) == (5, 1)


def plain(provider: FakeProvider, **settings: Any) -> tuple[Gateway, MemorySink]:
    sink = MemorySink()
    defaults: dict[str, Any] = {
        "retry": {"attempts": 1},
        "providers": [Provider.openai(api_key="sk", base_url="http://provider.test/v1")],
        "upstream": provider,
        "allow_anonymous": True,
        "sinks": [sink],
    }
    return Gateway(**{**defaults, **settings}), sink


# What hooks do.


def hook(result: object) -> Callable[..., object]:
    def plain_hook(*arguments: object) -> object:
        if isinstance(result, Exception):
            raise result
        return result

    return plain_hook


@pytest.mark.parametrize(
    ("result", "status"),
    [
        *((value, 401) for value in (None, "p", {}, Principal(id=""), RuntimeError("x"))),
        (PermissionDeniedError("x"), 403),
    ],
    ids=repr,
)
async def test_who_is_not_known_leaves_no_record(result: object, status: int) -> None:
    gateway, sink = plain(
        FakeProvider(completion("Hi")), allow_anonymous=False, authenticate=hook(result)
    )
    async with gateway.running():
        assert (await chat(gateway)).status == status
    assert sink.records == []


@pytest.mark.parametrize(
    ("result", "status", "error_type"),
    [
        *((value, 500, "internal_error") for value in (None, {}, "ann", RuntimeError("x"))),
        (Identity(user="ann"), 500, "internal_error"),  # type: ignore[arg-type]
        (Identity(user=Entity("")), 400, "invalid_request_error"),
        (PermissionDeniedError("x"), 403, "permission_error"),
    ],
    ids=repr,
)
async def test_who_cannot_be_identified_leaves_one(
    result: object, status: int, error_type: str
) -> None:
    gateway, sink = plain(FakeProvider(completion("Hi")), identify=hook(result))
    async with gateway.running():
        assert (await chat(gateway)).status == status
    [record] = sink.records
    assert (record.status, record.outcome, record.error_type) == (status, "error", error_type)
    assert (record.user, record.attempts) == (None, ())


# Shutdown.


async def test_a_gateway_that_closes_waits_for_its_requests() -> None:
    begun, go = anyio.Event(), anyio.Event()

    async def wait() -> None:
        begun.set()
        await go.wait()

    gateway, sink = plain(FakeProvider(wait, completion("Hi")))
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await chat(gateway))

    async def look() -> None:
        await anyio.wait_all_tasks_blocked()
        late = await chat(gateway)
        assert (late.status, late.error["code"]) == (503, "overloaded")
        go.set()

    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(SECONDS):
            async with gateway.running():
                tasks.start_soon(ask)
                await begun.wait()
                tasks.start_soon(look)
    assert [answer.status for answer in answers] == [200]
    assert [record.outcome for record in sink.records] == ["ok"]


@turned
@pytest.mark.parametrize("stream", [False, True])
async def test_a_gateway_that_closes_waits_for_a_while_only(stream: bool) -> None:
    begun = anyio.Event()

    async def hang() -> None:
        begun.set()
        await anyio.sleep_forever()

    answer = FakeAnswer([HI, hang] if stream else [WHOLE[0], hang])
    gateway, sink = plain(FakeProvider(answer))
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await chat(gateway, stream=stream))

    async with anyio.create_task_group() as tasks:
        async with gateway.running():
            tasks.start_soon(ask)
            await begun.wait()
        [record] = sink.records
        assert (record.outcome, record.error_type) == ("error", "overloaded")
        assert record.status == (200 if stream else 503)
    assert answer.closed == 1
    [answered] = answers
    assert (answered.status, answered.complete) == (record.status, True)
    shown = answered.messages[-1]["body"].removeprefix(b"data: ")
    assert json.loads(shown)["error"]["code"] == "overloaded"
    assert stream or answered.headers["retry-after"] == "1"


@turned
async def test_a_gateway_that_closes_does_not_wait_for_a_body_without_end() -> None:
    gateway, sink = plain(FakeProvider(completion("never asked")))
    caller = Caller([b'{"model":', b"never sent"])
    reading = anyio.Event()

    async def receive() -> Message:
        if reading.is_set():
            await anyio.sleep_forever()
        reading.set()
        return await caller.receive()

    async with anyio.create_task_group() as tasks:
        async with gateway.running():
            scope = http_scope("/v1/chat/completions")
            tasks.start_soon(gateway, scope, receive, caller.send)
            await reading.wait()
        [record] = sink.records
    assert (record.outcome, record.status) == ("error", 503)
    assert caller.answer.status == 503


@turned
async def test_a_gateway_that_closes_asks_nobody_any_more_who_calls() -> None:
    """A record could not be handed over when the hook returns."""
    asked = anyio.Event()

    async def authenticate(connection: object) -> Principal:
        asked.set()
        await anyio.sleep(100)
        return Principal(id="p")

    gateway, sink = plain(
        FakeProvider(completion("Hi")), allow_anonymous=False, authenticate=authenticate
    )
    answered = anyio.Event()

    async def ask() -> None:
        assert (await chat(gateway)).status == 503
        answered.set()

    async with anyio.create_task_group() as tasks:
        async with gateway.running():
            tasks.start_soon(ask)
            await asked.wait()
        with anyio.fail_after(1):
            await answered.wait()
    assert (sink.records, len(gateway.outbox)) == ([], 0)


BACKENDS = [
    pytest.param("asyncio", {"use_uvloop": False}, id="asyncio"),
    pytest.param("asyncio", {"use_uvloop": True}, id="uvloop"),
    pytest.param("trio", {}, id="trio"),
]


class Halting(MemorySink):
    """Takes its first batch slowly, so that the event loop ends meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = anyio.Event()

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        if not self.begun.is_set():
            self.begun.set()
            await anyio.sleep(0.05)
        await super().emit(records)


@pytest.mark.parametrize(("backend", "options"), BACKENDS)
@pytest.mark.parametrize("halfway", [False, True])
def test_a_gateway_that_nobody_closes_ends_with_its_event_loop(
    backend: str, options: dict[str, Any], halfway: bool
) -> None:
    sinks: list[Halting] = []

    async def main() -> None:
        sinks.append(Halting())
        gateway, _ = plain(FakeProvider(completion("Hi")), sinks=sinks)
        await chat(gateway)
        if halfway:
            await sinks[0].begun.wait()
            await chat(gateway)

    anyio.run(main, backend=backend, backend_options=options)
    assert [record.outcome for record in sinks[0].records] == ["ok"] * (2 if halfway else 1)


# Sinks.


class Slow(MemorySink):
    """Takes nothing before `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = anyio.Event()
        self.go = anyio.Event()

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        self.begun.set()
        await self.go.wait()
        await super().emit(records)


class Failing(MemorySink):
    """Takes nothing."""

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        raise RuntimeError("no room")


async def test_a_slow_sink_delays_nobody_while_there_is_room() -> None:
    slow = Slow()
    gateway, _ = plain(FakeProvider(completion("Hi")), sinks=[slow])
    with anyio.fail_after(SECONDS):
        async with gateway.running():
            await chat(gateway)
            await slow.begun.wait()
            for _ in range(20):
                assert (await chat(gateway)).status == 200
            slow.go.set()
    assert len(slow.records) == 21
    assert (gateway.outbox.dropped, gateway.outbox.failed) == (0, 0)


async def test_a_sink_that_fails_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    good = MemorySink()
    gateway, _ = plain(FakeProvider(completion("Hi")), sinks=[Failing(), good])
    async with gateway.running():
        assert (await chat(gateway)).status == 200
    assert len(good.records) == 1
    assert gateway.outbox.failed == 1
    assert "Failing did not take 1 records" in caplog.text


async def test_a_full_queue_makes_requests_wait() -> None:
    slow = Slow()
    gateway, _ = plain(FakeProvider(completion("Hi")), sinks=[slow], queue_limit=1)
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await chat(gateway))

    with anyio.fail_after(SECONDS):
        async with gateway.running():
            await ask()
            await slow.begun.wait()
            await ask()
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                assert len(gateway.outbox) == 1
                slow.go.set()
    assert [answer.status for answer in answers] == [200] * 5
    assert len(slow.records) == 5
    assert gateway.outbox.dropped == 0


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_full_queue_drops_records_when_told_so(
    cancelled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    slow = Slow()
    gateway, _ = plain(FakeProvider(completion("Hi")), sinks=[slow], queue_limit=1, overflow="drop")
    with anyio.fail_after(SECONDS):
        async with gateway.running():
            await chat(gateway)
            await slow.begun.wait()
            for _ in range(3):
                with anyio.CancelScope() as scope:
                    if cancelled:
                        scope.cancel()
                    await chat(gateway)
            slow.go.set()
    assert len(slow.records) == 2
    assert gateway.outbox.dropped == 2
    assert "2 dropped" in caplog.text


@turned
async def test_a_sink_that_hangs_keeps_neither_requests_nor_the_gateway() -> None:
    slow, good = sinks = Slow(), MemorySink()
    gateway, _ = plain(FakeProvider(completion("Hi")), sinks=sinks, queue_limit=1)
    async with gateway.running():
        await chat(gateway)
        await slow.begun.wait()
        for _ in range(3):
            assert (await chat(gateway)).status == 200
    assert slow.records == []
    # What is lost is counted for each sink that lost it.
    lost = gateway.outbox.failed + gateway.outbox.dropped
    assert 4 <= lost <= 4 + len(sinks)
    assert len(good.records) <= gateway.outbox.failed


# The transport.


class Buggy(FakeProvider):
    """A transport of the host's own that raises what it should not."""

    async def send(self, request: UpstreamRequest) -> FakeAnswer:
        raise ZeroDivisionError


async def test_a_transport_with_a_bug() -> None:
    gateway, sink = plain(Buggy())
    async with gateway.running():
        assert (await chat(gateway)).error["code"] == "internal_error"
    [record] = sink.records
    assert (record.status, record.error_type) == (500, "internal_error")
    assert [attempt.error_type for attempt in record.attempts] == ["internal_error"]
