"""Streams that are held until they are complete, so that one that is cut is asked for again."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import anyio
import pytest

from waystone_asgi import Gateway, MemorySink, Provider, UsageRecord, Verdict
from waystone_asgi.exceptions import UpstreamError, UpstreamTimeoutError
from waystone_asgi.sse import DONE
from waystone_asgi.testing import FakeAnswer, FakeProvider, Piece, chunks, completion
from waystone_asgi.wire.members import encode

from .asgi import Answer, Caller, chat, http_scope

pytestmark = pytest.mark.anyio

HI, THERE, STOP, USAGE, _ = chunks("Hi", " there").pieces
ERROR = b'data: {"error":{"message":"Overloaded.","type":"server_error","code":null}}\n\n'
WHOLE = chunks("Hi", " there")
BODY = {"model": "fast", "messages": [{"role": "user", "content": "x" * 40}], "stream": True}

SECONDS = 5
"""A bound for failures, never waited for."""

CUTS: dict[str, Sequence[Piece]] = {
    "ended": [HI, THERE],
    "broken": [HI, UpstreamError("It broke off.")],
    "late": [HI, UpstreamTimeoutError("It was late.")],
    "error": [HI, ERROR],
    "counted": [HI, USAGE, UpstreamError("It broke off.")],
}


def make(*answers: FakeAnswer, **settings: Any) -> tuple[Gateway, MemorySink]:
    """A gateway that knows two providers for the one model."""
    sink = MemorySink()
    providers = [
        Provider.openai(name=name, api_key="sk", base_url=f"http://{name}.test/v1")
        for name in ("one", "two")
    ]
    defaults: dict[str, Any] = {
        "providers": providers,
        "aliases": {"fast": ["one/m", "two/m"]},
        "prices": {f"{name}/m": {"input_mtok": 1, "output_mtok": 2} for name in ("one", "two")},
        "upstream": FakeProvider(*answers),
        "allow_anonymous": True,
        "sinks": [sink],
        "hold": "complete",
        "retry": {"attempts": 1},
    }
    return Gateway(**defaults | settings), sink


async def ask(gateway: Gateway) -> Answer:
    async with gateway.running():
        return await chat(gateway, BODY)


def attempts(record: UsageRecord) -> list[tuple[str, int | None, str | None]]:
    return [(each.provider, each.status, each.error_type) for each in record.attempts]


@pytest.mark.parametrize("cut", CUTS)
async def test_a_stream_that_is_cut_is_restarted_elsewhere(cut: str) -> None:
    broken = FakeAnswer(CUTS[cut])
    gateway, sink = make(broken, WHOLE)
    answer = await ask(gateway)
    assert answer.status == 200
    assert answer.headers["x-waystone-attempts"] == "2"
    assert answer.headers["x-waystone-provider"] == "two"
    assert answer.body == b"".join([HI, THERE, STOP, DONE])  # type: ignore[list-item]
    [record] = sink.records
    failed = "upstream_timeout" if cut == "late" else "upstream_error"
    assert attempts(record) == [("one", 200, failed), ("two", 200, None)]
    assert (record.status, record.outcome, record.error_type) == (200, "ok", None)
    assert (record.provider, record.usage_source) == ("two", "provider")
    assert (record.input_tokens, record.output_tokens) == (5, 3)
    assert record.cost_usd == Decimal("0.000011")
    assert record.time_to_first_chunk is not None
    assert broken.closed == 1


@pytest.mark.parametrize("cut", CUTS)
async def test_with_no_target_left_it_is_an_ordinary_error(cut: str) -> None:
    gateway, sink = make(FakeAnswer(CUTS[cut]))
    answer = await ask(gateway)
    assert answer.status == (504 if cut == "late" else 502)
    assert answer.headers["x-waystone-attempts"] == "2"
    assert answer.headers["content-type"] == "application/json"
    [record] = sink.records
    assert (record.status, record.outcome) == (answer.status, "error")
    # The caller got nothing of it.
    assert (record.usage_source, record.cost_usd, record.output_tokens) == ("none", None, 0)
    assert (record.response_id, record.time_to_first_chunk) == (None, None)


@pytest.mark.parametrize(
    ("hold", "of_rule", "restarted"),
    [
        ("first_event", None, False),
        ("first_event", "complete", True),
        ("complete", None, True),
        ("complete", "first_event", False),
    ],
)
async def test_a_rule_comes_before_the_gateway(
    hold: str, of_rule: str | None, restarted: bool
) -> None:
    retry = {"attempts": 1} | ({"hold": of_rule} if of_rule else {})
    rules = [{"name": "r", "condition": "always", "rules": [{"retry": retry}]}]
    gateway, sink = make(FakeAnswer(CUTS["ended"]), WHOLE, hold=hold, rulesets=rules)
    answer = await ask(gateway)
    assert answer.body.endswith(DONE) is restarted
    [record] = sink.records
    assert record.outcome == ("ok" if restarted else "upstream_cut")
    assert len(record.attempts) == 1 + restarted


async def test_a_guard_blocks_what_is_held_with_a_plain_error() -> None:
    rules = [{"name": "r", "condition": "always", "rules": [{"check_output": "no"}]}]
    gateway, sink = make(
        FakeAnswer([HI, THERE, STOP, USAGE, DONE]),
        rulesets=rules,
        guards={"no": lambda text, context: Verdict.blocked("Not this.")},
        guard_window=1000,
    )
    answer = await ask(gateway)
    assert (answer.status, answer.error["message"]) == (403, "Not this.")
    [record] = sink.records
    assert (record.outcome, record.usage_source) == ("blocked", "estimated")
    assert len(record.attempts) == 1


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("pieces", [0, 2])
async def test_a_caller_who_leaves_while_it_comes(held: bool, pieces: int) -> None:
    """What the provider wrote for him is his, whether or not it had been passed on."""
    waits = anyio.Event()

    async def wait() -> None:
        waits.set()
        await anyio.sleep_forever()

    caller = Caller([encode(BODY)])
    limit = {"usage": {"tokens": 10**6, "past": "30d", "of": "everyone"}, "block": "Enough."}
    gateway, sink = make(
        completion("Hi"),
        FakeAnswer([*(HI, THERE)[:pieces], wait]),
        completion("Hi"),
        hold="complete" if held else "first_event",
        rulesets=[{"name": "r", "condition": "always", "rules": [limit]}],
    )
    with anyio.fail_after(SECONDS):
        async with gateway.running():
            before = await left(gateway)
            async with anyio.create_task_group() as tasks:
                scope = http_scope("/v1/chat/completions")
                tasks.start_soon(gateway, scope, caller.receive, caller.send)
                await waits.wait()
                caller.leave()
            after = await left(gateway)
    first, record, _ = sink.records
    assert record.outcome == "cancelled"
    assert record.status == (499 if held or not pieces else 200)
    assert [each.error_type for each in record.attempts] == ["cancelled"]
    if pieces:
        # Settled: what was said, and what was asked, which is estimated.
        assert (record.usage_source, record.output_tokens) == ("estimated", 2)
        assert record.input_tokens > 0
        assert record.cost_usd is not None
    else:
        # Released.
        assert (record.usage_source, record.output_tokens, record.cost_usd) == ("none", 0, None)
    assert before - after == tokens(first) + tokens(record)


async def left(gateway: Gateway) -> int:
    """What the limit leaves while a request is under way, as its headers tell."""
    answer = await chat(gateway, {**BODY, "stream": False})
    return int(answer.headers["x-ratelimit-remaining-tokens"])


def tokens(record: UsageRecord) -> int:
    return record.input_tokens + record.output_tokens
