"""What goes wrong behind a translated answer: what the caller is told, and what the record says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import anyio
import pytest

from waystone_asgi import Verdict
from waystone_asgi.exceptions import UpstreamError
from waystone_asgi.testing import FakeAnswer, FakeProvider, Piece

from ..asgi import Answer, Caller, chat, http_scope
from .scripts import SCRIPTS, Script, encoded
from .through import ABANDONED, CREDENTIAL, JSON, Through, played, provider

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(ABANDONED)]

NAMES = [name for name in SCRIPTS if "vertex" not in name]
SECONDS = 5
"""A bound for failures, never waited for."""

WAITS = "3"


def streamed(script: Script, pieces: Sequence[Piece]) -> FakeAnswer:
    return played(pieces, {"content-type": script.streams})


def saying(script: Script) -> list[bytes]:
    """The events of a stream that says something."""
    return script.events(script.said, script.stopped)


def content(script: Script) -> list[bytes]:
    """Those up to the last piece of its text."""
    events = saying(script)
    last = max(at for at, event in enumerate(events) if b"there." in event)
    return events[: last + 1]


def one_and_two(script: Script, *answers: FakeAnswer, **settings: Any) -> Through:
    """Two providers of the type, for one model."""
    return Through(
        FakeProvider(*answers),
        *(provider(script.type, name=name) for name in ("one", "two")),
        aliases={"smart": [f"{name}/{script.model}" for name in ("one", "two")]},
        **settings,
    )


async def ask(through: Through, script: Script, *, stream: bool = True, **members: Any) -> Answer:
    """The answer as it comes, byte for byte."""
    with anyio.fail_after(SECONDS):
        async with through.gateway.running():
            model = f"{script.type}/{script.model}"
            return await chat(through.gateway, **{"model": model, "stream": stream} | members)


def events_of(body: bytes) -> list[JSON]:
    """The events of a stream that did not end with `[DONE]`."""
    assert body.endswith(b"\n\n")
    assert b"[DONE]" not in body
    return [json.loads(event.removeprefix(b"data: ")) for event in body.split(b"\n\n")[:-1]]


def text_of(chunks: Sequence[JSON]) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def check_broken(answer: Answer) -> JSON:
    """The error at the end of a stream that said something and ended too early."""
    assert answer.status == 200
    assert answer.complete
    *chunks, last = events_of(answer.body)
    assert text_of(chunks) == "Hello there."
    assert not [True for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]
    error: JSON = last["error"]
    return error


@pytest.mark.parametrize("name", NAMES)
async def test_what_has_come_is_told_at_once(name: str) -> None:
    script = SCRIPTS[name]
    seen: list[str] = []
    body = {
        "model": f"{script.type}/{script.model}",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }
    caller = Caller([encoded(body)])

    async def look() -> None:
        seen.append(text_of(events_of(caller.answer.body)) if caller.answer.body else "")

    pieces = [piece for event in saying(script) for piece in (event, look)]
    through = Through(FakeProvider(streamed(script, pieces)), provider(script.type))
    async with through.gateway.running():
        await through.gateway(http_scope("/v1/chat/completions"), caller.receive, caller.send)
    come = list(accumulate(saying(script)))
    assert "Hello there." in seen
    assert seen == [
        "Hello " * (b"Hello" in data) + "there." * (b"there" in data) for data in come[: len(seen)]
    ]
    assert caller.answer.headers["content-type"].startswith("text/event-stream")
    assert caller.answer.headers["cache-control"] == "no-cache"
    assert caller.answer.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503, 529])
@pytest.mark.parametrize("name", NAMES)
async def test_an_error_has_its_status(name: str, status: int, stream: bool) -> None:
    script = SCRIPTS[name]
    headers = {"content-type": "application/json", "retry-after": WAITS}
    answer = played([script.fault(f"Not with {CREDENTIAL}.")], headers, status)
    through = Through(FakeProvider(answer), provider(script.type))
    got = await ask(through, script, stream=stream)
    assert CREDENTIAL.encode() not in got.body
    expected = status if status < 500 and status not in (401, 403) else 502
    assert (got.status, got.headers["retry-after"]) == (expected, WAITS)
    if status in (401, 403):
        assert got.error["code"] == "upstream_authentication"
    else:
        assert got.error["message"].endswith("Not with ***.")
    record = through.record
    assert (record.outcome, record.status, record.usage_source) == ("error", expected, "none")
    assert [attempt.status for attempt in record.attempts] == [status]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [401, 429, 500, 529])
@pytest.mark.parametrize("name", NAMES)
async def test_a_failure_is_mended_elsewhere(name: str, status: int, stream: bool) -> None:
    script = SCRIPTS[name]
    failed = played([script.fault("Not now.")], {"content-type": "application/json"}, status)
    good = streamed(script, saying(script))
    if not stream:
        good = played([script.whole(script.said, script.stopped)], {})
    through = one_and_two(script, failed, good)
    got = await through.ask(
        {"model": "smart", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    )
    assert got.message["content"] == "Hello there."
    assert (got.headers["x-waystone-provider"], got.headers["x-waystone-attempts"]) == ("two", "2")
    record = through.record
    assert (record.outcome, record.provider) == ("ok", "two")
    assert [(each.provider, each.status) for each in record.attempts] == [
        ("one", status),
        ("two", 200),
    ]


@pytest.mark.parametrize("name", NAMES)
async def test_an_error_in_the_place_of_a_stream_is_an_answer(name: str) -> None:
    script = SCRIPTS[name]
    through = Through(
        FakeProvider(streamed(script, [script.failure("Not now.")])), provider(script.type)
    )
    got = await ask(through, script)
    assert got.status >= 500
    assert got.headers["content-type"] == "application/json"
    assert "Not now." in got.error["message"]
    record = through.record
    assert (record.outcome, record.status) == ("error", got.status)
    assert (record.usage_source, record.finish_reasons) == ("none", ())


@pytest.mark.parametrize("name", NAMES)
async def test_such_an_error_is_mended_elsewhere(name: str) -> None:
    script = SCRIPTS[name]
    bad = streamed(script, [script.failure("Not now.")])
    through = one_and_two(script, bad, streamed(script, saying(script)))
    got = await ask(through, script, model="smart")
    assert (got.status, got.headers["x-waystone-provider"]) == (200, "two")
    assert got.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("name", NAMES)
async def test_an_error_after_content_ends_the_stream(name: str) -> None:
    script = SCRIPTS[name]
    pieces = [*content(script), script.failure(f"Not with {CREDENTIAL}."), *saying(script)]
    through = Through(FakeProvider(streamed(script, pieces)), provider(script.type))
    error = check_broken(await ask(through, script))
    assert "Not with ***." in error["message"]
    record = through.record
    assert (record.outcome, record.status) == ("error", 200)
    assert record.finish_reasons == ()
    assert record.output_tokens > 0


CUTS: dict[str, list[Piece]] = {"ended": [], "broken": [UpstreamError("It broke off.")]}


@pytest.mark.parametrize("within", [False, True], ids=["between", "within"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", NAMES)
async def test_a_stream_that_is_cut_has_no_end(name: str, cut: str, within: bool) -> None:
    script = SCRIPTS[name]
    told = content(script)
    following = saying(script)[len(told)]
    pieces: list[Piece] = [*told, *([following[: len(following) // 2]] * within), *CUTS[cut]]
    through = Through(FakeProvider(streamed(script, pieces)), provider(script.type))
    error = check_broken(await ask(through, script))
    assert (error["type"], error["code"]) == ("api_error", "upstream_error")
    record = through.record
    assert (record.outcome, record.status) == ("upstream_cut", 200)
    assert record.error_type == "upstream_error"
    assert (record.usage_source, record.finish_reasons) == ("estimated", ())
    assert record.output_tokens > 0


async def test_a_frame_with_a_wrong_checksum_ends_the_stream() -> None:
    script = SCRIPTS["bedrock"]
    told = content(script)
    wrong = bytearray(saying(script)[len(told)])
    wrong[-1] ^= 1
    through = Through(
        FakeProvider(streamed(script, [*told, bytes(wrong), *saying(script)])), provider("bedrock")
    )
    error = check_broken(await ask(through, script))
    assert "cannot be read" in error["message"]
    assert (through.record.outcome, through.record.finish_reasons) == ("error", ())


@pytest.mark.parametrize("name", NAMES)
async def test_a_caller_who_leaves_pays_what_was_said(name: str) -> None:
    script = SCRIPTS[name]
    waits = anyio.Event()

    async def wait() -> None:
        waits.set()
        await anyio.sleep_forever()

    upstream = streamed(script, [*content(script), wait])
    through = Through(FakeProvider(upstream), provider(script.type))
    body = {
        "model": f"{script.type}/{script.model}",
        "messages": [{"role": "user", "content": "Hello, are you there?"}],
        "stream": True,
    }
    caller = Caller([encoded(body)])
    with anyio.fail_after(SECONDS):
        async with through.gateway.running(), anyio.create_task_group() as tasks:
            scope = http_scope("/v1/chat/completions")
            tasks.start_soon(through.gateway, scope, caller.receive, caller.send)
            await waits.wait()
            caller.leave()
    record = through.record
    assert (record.outcome, record.usage_source) == ("cancelled", "estimated")
    assert record.input_tokens > 0
    assert record.output_tokens > 0
    assert upstream.closed == 1


@pytest.mark.parametrize("name", NAMES)
async def test_a_stream_that_does_not_begin_in_time_is_late(name: str) -> None:
    script = SCRIPTS[name]
    first = saying(script)[0]
    upstream = streamed(script, [first[: len(first) // 2], anyio.sleep_forever])
    through = Through(FakeProvider(upstream), provider(script.type), timeouts={"first_byte": 0.02})
    got = await ask(through, script)
    assert (got.status, got.error["code"]) == (504, "upstream_timeout")
    record = through.record
    assert (record.outcome, record.error_type) == ("error", "upstream_timeout")
    assert upstream.closed == 1


@pytest.mark.parametrize("name", NAMES)
async def test_a_stream_that_is_held_is_asked_for_again(name: str) -> None:
    script = SCRIPTS[name]
    through = one_and_two(
        script,
        streamed(script, content(script)),
        streamed(script, saying(script)),
        retry={"attempts": 1, "hold": "complete"},
    )
    got = await through.ask(
        {"model": "smart", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    )
    assert (got.message["content"], got.finish_reason) == ("Hello there.", "stop")
    record = through.record
    assert (record.outcome, record.provider, record.usage_source) == ("ok", "two", "provider")
    assert [attempt.error_type for attempt in record.attempts] == ["upstream_error", None]


def stars(text: str, context: object) -> Verdict:
    return Verdict.replaced(text.replace("there", "*****"))


def blocks(text: str, context: object) -> Verdict:
    return Verdict.blocked("No greetings.") if "Hello" in text else Verdict.passed()


def guarded(script: Script, guard: Any, *, stream: bool) -> Through:
    answer = streamed(script, saying(script))
    if not stream:
        answer = played([script.whole(script.said, script.stopped)], {})
    rule = {"check_output": "all"}
    return Through(
        FakeProvider(answer),
        provider(script.type),
        guards={"all": guard},
        rulesets=[{"name": "r", "condition": "always", "rules": [rule]}],
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", NAMES)
async def test_a_guard_sees_what_is_said(name: str, stream: bool) -> None:
    script = SCRIPTS[name]
    asked = {
        "model": f"{script.type}/{script.model}",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": stream,
    }
    through = guarded(script, stars, stream=stream)
    got = await through.ask(asked)
    assert (got.message["content"], got.finish_reason) == ("Hello *****.", "stop")
    assert (through.record.outcome, through.record.usage_source) == ("ok", "provider")
    through = guarded(script, blocks, stream=stream)
    refused = await ask(through, script, stream=stream)
    assert (refused.status, refused.error["code"]) == (403, "blocked_by_rule")
    assert (through.record.outcome, through.record.usage_source) == ("blocked", "provider")
