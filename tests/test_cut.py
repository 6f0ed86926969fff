"""Streams that break off after they began: what their callers, records and later requests see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import pytest

from waystone_asgi import Gateway, MemorySink, Provider, UsageRecord, Verdict
from waystone_asgi.exceptions import UpstreamError
from waystone_asgi.routing.health import FAILURES
from waystone_asgi.testing import FakeAnswer, FakeProvider, Piece, chunks
from waystone_asgi.wire.members import encode

from .asgi import Caller, chat, http_scope

pytestmark = pytest.mark.anyio

HI, THERE, STOP, USAGE, DONE = chunks("Hi", " there").pieces
BROKEN = UpstreamError("It broke off.")
BODY = {"model": "fast", "messages": [{"role": "user", "content": "x"}], "stream": True}
SECONDS = 5
"""A bound for failures, never waited for."""


def make(
    *answers: FakeAnswer, guard: Callable[..., Verdict] | None = None
) -> tuple[Gateway, MemorySink]:
    """A gateway that knows two providers for the one model, and may have a guard."""
    rule = {"check_output": "all"} if guard else {"tag": "t"}
    sink = MemorySink()
    gateway = Gateway(
        providers=[
            Provider.openai(name=name, api_key="sk", base_url=f"http://{name}.test/v1")
            for name in ("one", "two")
        ],
        aliases={"fast": ["one/m", "two/m"]},
        upstream=FakeProvider(*answers),
        allow_anonymous=True,
        sinks=[sink],
        retry={"attempts": 1},
        rulesets=[{"name": "r", "condition": "always", "rules": [rule]}],
        guards={"all": guard} if guard else None,
        guard_window=4,
    )
    return gateway, sink


async def test_a_target_whose_streams_break_off_is_left_alone() -> None:
    gateway, _ = make(*[FakeAnswer([HI, BROKEN])] * FAILURES, chunks("Hi"))
    async with gateway.running():
        answers = [await chat(gateway, BODY) for _ in range(FAILURES + 1)]
    assert [answer.headers["x-waystone-provider"] for answer in answers] == [
        *["one"] * FAILURES,
        "two",
    ]


async def test_a_guard_that_ends_streams_says_nothing_of_the_target() -> None:
    blocked, _ = make(
        FakeAnswer([HI, THERE, THERE, STOP, DONE]),
        guard=lambda text, context: Verdict.blocked("No.") if context.before else Verdict.passed(),
    )
    async with blocked.running():
        answers = [await chat(blocked, BODY) for _ in range(FAILURES + 1)]
    assert {answer.headers["x-waystone-provider"] for answer in answers} == {"one"}
    assert all(b"No." in answer.body for answer in answers)


@pytest.mark.parametrize("count", [0, 2])
async def test_malformed_events_are_counted(count: int, caplog: pytest.LogCaptureFixture) -> None:
    bad = b'data: {"choices":[{"secret\n\n'
    gateway, _ = make(FakeAnswer([HI, *[bad] * count, THERE, STOP, USAGE, DONE]))
    async with gateway.running():
        answer = await chat(gateway, BODY)
    assert answer.body == b"".join([HI, THERE, STOP, DONE])  # type: ignore[list-item]
    told = [record.message for record in caplog.records]
    assert told == (["Malformed events of one/m that were skipped: 2."] if count else [])


async def left(pieces: Sequence[Piece], guard: Callable[..., Verdict] | None = None) -> UsageRecord:
    """The record of a caller who leaves when so much has come."""
    waits = anyio.Event()

    async def wait() -> None:
        waits.set()
        await anyio.sleep_forever()

    gateway, sink = make(FakeAnswer([*pieces, wait]), guard=guard)
    caller = Caller([encode(BODY)])
    with anyio.fail_after(SECONDS):
        async with gateway.running(), anyio.create_task_group() as tasks:
            scope = http_scope("/v1/chat/completions")
            tasks.start_soon(gateway, scope, caller.receive, caller.send)
            await waits.wait()
            caller.leave()
    [record] = sink.records
    return record


@pytest.mark.parametrize(
    ("pieces", "source", "tokens"),
    [
        ([HI, THERE], "estimated", 2),
        ([HI, THERE, STOP], "estimated", 3),
        ([HI, USAGE], "provider", 3),
    ],
)
@pytest.mark.parametrize("guarded", [False, True])
async def test_a_caller_who_leaves_pays_what_was_said(
    pieces: Sequence[Piece], source: str, tokens: int, guarded: bool
) -> None:
    """Also what a guard still held back: the provider wrote it for him."""
    guard = (lambda text, context: Verdict.passed()) if guarded else None
    record = await left(pieces, guard)
    assert (record.outcome, record.usage_source) == ("cancelled", source)
    assert (record.output_tokens, record.input_tokens > 0) == (tokens, True)
    assert record.response_model == "test-model"


@pytest.mark.parametrize("pieces", [[], [b": thinking\n\n"], [b"data: {no\n\n"]])
async def test_a_caller_who_leaves_before_the_first_event_pays_nothing(
    pieces: Sequence[Piece],
) -> None:
    record = await left(pieces)
    assert (record.outcome, record.usage_source) == ("cancelled", "none")
    assert (record.input_tokens, record.output_tokens, record.cost_usd) == (0, 0, None)


async def test_a_stream_that_a_guard_held_back_whole_costs_nothing_when_it_breaks_off() -> None:
    """The caller gets an error with a status, and somebody else could be asked."""
    gateway, sink = make(
        FakeAnswer([HI, BROKEN]), chunks("Hi"), guard=lambda text, context: Verdict.passed()
    )
    async with gateway.running():
        answer = await chat(gateway, BODY)
        assert (answer.status, answer.headers["x-waystone-provider"]) == (200, "two")
    [record] = sink.records
    assert [attempt.error_type for attempt in record.attempts] == ["upstream_error", None]
    assert (record.provider, record.output_tokens, record.usage_source) == ("two", 3, "provider")
