"""Rules at work in the gateway: who is refused, sent elsewhere, counted, and told of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from waystone_asgi import (
    BearerKeys,
    ConfigurationError,
    Gateway,
    GuardContext,
    MemorySink,
    Provider,
    Verdict,
)
from waystone_asgi.allowances import _span, estimate
from waystone_asgi.charges import Charge, Refused, Taken
from waystone_asgi.exceptions import UpstreamError
from waystone_asgi.limits import MemoryCounters
from waystone_asgi.testing import FakeAnswer, FakeProvider, chunks, completion
from waystone_asgi.wire.requests import decode_chat_request

from .asgi import KEY, Answer, Caller, http_scope, request

pytestmark = pytest.mark.anyio

PRICES = {"openai/big": {"input_mtok": 1.0, "output_mtok": 2.0}}
ANN = '{"user": {"id": "ann", "metadata": {"tier": "free"}}, "group": "acme"}'
DAY = 86400.0


def make(
    provider: FakeProvider, *rules: dict[str, Any], condition: Any = "always", **settings: Any
) -> tuple[Gateway, MemorySink]:
    """A gateway with two providers, priced, and one ruleset."""
    sink = MemorySink()
    defaults: dict[str, Any] = {
        "retry": {"attempts": 1},
        "providers": [
            Provider.openai(
                api_key="sk-one", base_url="http://one.test/v1", models=["big", "tiny"]
            ),
            Provider.groq(api_key="gsk-two", base_url="http://two.test/v1", models=["small"]),
        ],
        "authenticate": BearerKeys([KEY]),
        "upstream": provider,
        "sinks": [sink],
        "prices": PRICES,
        "rulesets": [{"name": "test", "condition": condition, "rules": list(rules)}],
    }
    return Gateway(**{**defaults, **settings}), sink


async def ask(gateway: Gateway, model: str = "openai/big", **members: Any) -> Answer:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "hello"}],
        "metadata": {"waystone": ANN},
        "max_completion_tokens": 10,
        **members,
    }
    return await request(gateway, "/v1/chat/completions", body)


def limit(block: str = "Enough.", **usage: Any) -> dict[str, Any]:
    return {"usage": {"of": "user", **usage}, "block": block}


async def test_a_block_refuses_before_anything_is_sent() -> None:
    provider = FakeProvider()
    gateway, sink = make(provider, {"model": "openai/*", "block": "Not today.", "tag": "seen"})
    async with gateway.running():
        answer = await ask(gateway)
    assert answer.status == 403
    error = answer.error
    assert (error["type"], error["code"]) == ("permission_error", "blocked_by_rule")
    assert error["message"] == "Not today."
    assert provider.requests == []
    [record] = sink.records
    assert (record.outcome, record.status, record.error_type) == ("blocked", 403, "blocked_by_rule")
    assert (record.user, record.group, record.attempts) == ("ann", "acme", ())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_limit_on_requests_counts_and_says_so(stream: bool) -> None:
    answers = [chunks("Hi") if stream else completion("Hi") for _ in range(2)]
    gateway, sink = make(FakeProvider(*answers), limit(requests=2, per="day"))
    async with gateway.running():
        first = await ask(gateway, stream=stream)
        second = await ask(gateway, stream=stream)
        third = await ask(gateway, stream=stream)
        other = await ask(gateway, stream=stream, metadata={"waystone": '{"user": "bob"}'})
    assert [first.status, second.status, third.status] == [200, 200, 429]
    for answer, left in ((first, "1"), (second, "0")):
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
        assert answer.headers["x-ratelimit-remaining-requests"] == left
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
    error = third.error
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert 0 < int(third.headers["retry-after"]) <= DAY
    assert [record.outcome for record in sink.records] == ["ok", "ok", "blocked", "ok"]
    assert other.status == 200


async def test_our_own_limits_take_the_place_of_the_providers() -> None:
    answer = completion("Hi")
    answer.headers = [
        *answer.headers,
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-limit-images", b"5"),
    ]
    gateway, _ = make(FakeProvider(answer), limit(requests=2, per="day"))
    async with gateway.running():
        reply = await ask(gateway)
    sent = reply.messages[0]["headers"]
    assert [value for name, value in sent if name == b"x-ratelimit-limit-requests"] == [b"2"]
    assert reply.headers["x-ratelimit-limit-images"] == "5"


async def test_spending_is_counted_in_what_the_answer_cost() -> None:
    answer = completion("Hi", prompt_tokens=1000, completion_tokens=500)
    gateway, sink = make(FakeProvider(answer), limit(usd=0.004, per="month"))
    async with gateway.running():
        replies = [await ask(gateway, max_completion_tokens=500) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].error["code"] == "insufficient_quota"
    assert [record.cost_usd for record in sink.records] == [
        Decimal("0.002"),
        Decimal("0.002"),
        None,
    ]
    assert sink.records[0].price_version is not None


async def test_a_spent_budget_lets_a_free_model_pass() -> None:
    prices = {**PRICES, "openai/tiny": {"input_mtok": 0, "output_mtok": 0}}
    gateway, _ = make(FakeProvider(completion("Hi")), limit(usd=0, per="month"), prices=prices)
    async with gateway.running():
        assert (await ask(gateway)).status == 429
        assert (await ask(gateway, "openai/tiny")).status == 200


async def test_a_limit_of_nothing_allows_nothing() -> None:
    gateway, _ = make(FakeProvider(), limit(requests=0, per="minute"))
    async with gateway.running():
        assert (await ask(gateway)).status == 429


@pytest.mark.parametrize("stream", [False, True])
async def test_what_failed_before_the_first_token_is_given_back(stream: bool) -> None:
    answer = chunks("Hi") if stream else completion("Hi")
    provider = FakeProvider(UpstreamError("gone"), FakeAnswer([b"{}"], status=500), answer)
    gateway, sink = make(provider, limit(requests=1, per="day"))
    async with gateway.running():
        replies = [await ask(gateway, stream=stream) for _ in range(4)]
    assert [reply.status for reply in replies] == [502, 502, 200, 429]
    assert [record.outcome for record in sink.records] == ["error", "error", "ok", "blocked"]


async def test_a_call_under_way_holds_its_place() -> None:
    release = anyio.Event()
    gateway, _ = make(FakeProvider(release.wait, completion("Hi")), limit(concurrent=1))
    replies: list[Answer] = []

    async def first() -> None:
        replies.append(await ask(gateway))

    async with gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        assert (await ask(gateway)).status == 429
        release.set()
    async with gateway.running():
        assert (await ask(gateway)).status == 200
    assert [reply.status for reply in replies] == [200]


async def test_a_caller_who_leaves_gives_back_the_reservation() -> None:
    counters = MemoryCounters()
    provider = FakeProvider(anyio.sleep_forever, completion("Hi"))
    gateway, sink = make(provider, limit(concurrent=1), counters=counters)
    body = {"model": "openai/big", "messages": [{"role": "user", "content": "x"}]}
    body["metadata"] = {"waystone": ANN}
    caller = Caller([json.dumps(body).encode()])
    async with gateway.running():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                gateway, http_scope("/v1/chat/completions"), caller.receive, caller.send
            )
            await anyio.wait_all_tasks_blocked()
            caller.leave()
        assert (await ask(gateway)).status == 200
    assert [record.outcome for record in sink.records] == ["cancelled", "ok"]


async def test_a_limit_may_change_the_model() -> None:
    provider = FakeProvider(completion("Hi"), completion("Hi"))
    rule = {"usage": {"requests": 1, "per": "day", "of": "user"}, "change_model_to": "groq/small"}
    gateway, sink = make(provider, rule)
    async with gateway.running():
        replies = [await ask(gateway) for _ in range(2)]
    assert [reply.headers["x-waystone-provider"] for reply in replies] == ["openai", "groq"]
    assert [reply.headers["x-waystone-model"] for reply in replies] == ["big", "small"]
    assert [record.request_model for record in sink.records] == ["openai/big"] * 2
    assert [record.provider for record in sink.records] == ["openai", "groq"]


async def test_metadata_decides() -> None:
    provider = FakeProvider(completion("Hi"), completion("Hi"))
    gateway, sink = make(
        provider,
        {"model": "openai/big", "change_model_to": "openai/tiny", "tag": "degraded"},
        condition={"metadata": "tier", "equals": "free"},
    )
    async with gateway.running():
        await ask(gateway)
        await ask(gateway, metadata={"waystone": '{"user": "bob"}'})
    sent = [json.loads(request.body)["model"] for request in provider.requests]
    assert sent == ["tiny", "big"]
    assert [record.tags for record in sink.records] == [("degraded",), ()]


async def test_a_claim_is_not_what_the_host_says() -> None:
    condition = {"metadata": "tier", "equals": "free", "source": "host"}
    gateway, _ = make(FakeProvider(completion("Hi")), {"block": "No."}, condition=condition)
    async with gateway.running():
        assert (await ask(gateway)).status == 200


async def test_retry_and_fallback() -> None:
    provider = FakeProvider(
        FakeAnswer([b"{}"], status=503), FakeAnswer([b"{}"], status=503), completion("Hi")
    )
    rule = {"retry": {"attempts": 2, "fallback": ["groq/small"]}}
    gateway, sink = make(provider, rule)
    async with gateway.running():
        reply = await ask(gateway)
    assert (reply.status, reply.headers["x-waystone-attempts"]) == (200, "3")
    hosts = [request.endpoint.host for request in provider.requests]
    assert hosts == ["one.test", "one.test", "two.test"]
    assert [attempt.status for attempt in sink.records[0].attempts] == [503, 503, 200]


async def test_a_fallback_may_be_for_one_failure_only() -> None:
    refusal = b'{"error":{"message":"Too long.","code":"context_length_exceeded"}}'
    provider = FakeProvider(
        FakeAnswer([refusal], status=400), completion("Hi"), FakeAnswer([b"{}"], status=500)
    )
    rule = {"retry": {"fallback": ["groq/small"], "on": ["context_length"]}}
    gateway, _ = make(provider, rule)
    async with gateway.running():
        assert (await ask(gateway)).headers["x-waystone-provider"] == "groq"
        assert (await ask(gateway)).status == 502


async def test_a_shadow_only_notes() -> None:
    provider = FakeProvider(completion("Hi"), completion("Hi"))
    gateway, sink = make(provider, {**limit(requests=1, per="day"), "shadow": True})
    async with gateway.running():
        replies = [await ask(gateway) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 200]
    assert sink.records[0].tags == ()
    [note] = sink.records[1].tags
    assert "test" in note


async def test_at_the_same_time_no_more_than_the_limit_pass() -> None:
    gateway, sink = make(
        FakeProvider(*[completion("Hi") for _ in range(10)]), limit(requests=10, per="day")
    )
    async with gateway.running(), anyio.create_task_group() as tasks:
        for _ in range(40):
            tasks.start_soon(ask, gateway)
    outcomes = [record.outcome for record in sink.records]
    assert (outcomes.count("ok"), outcomes.count("blocked")) == (10, 30)


class WaitingCounters(MemoryCounters):
    """Counters that wait, as those behind a network do; `settled` is what they came to know."""

    def __init__(self) -> None:
        super().__init__()
        self.settled: list[tuple[int, ...]] = []
        self.opened = 0

    async def open(self) -> None:
        self.opened += 1

    async def aclose(self) -> None:
        self.opened -= 1

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        await anyio.lowlevel.checkpoint()
        await super().settle(taken, amounts)
        self.settled.append(tuple(amounts))


class SharedCounters:
    """As a backend of the host's own would be: not of this package's classes."""

    def __init__(self) -> None:
        self.inner = WaitingCounters()

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        return await self.inner.reserve(charges, now=now, lease=lease, id=id)

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        await self.inner.settle(taken, amounts)


async def test_settling_survives_cancellation() -> None:
    counters = SharedCounters()
    provider = FakeProvider(anyio.sleep_forever)
    gateway, _ = make(provider, limit(concurrent=1), counters=counters)
    async with gateway.running():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, gateway)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert counters.inner.settled == [(0,)]


async def test_counters_are_opened_and_closed_with_the_gateway() -> None:
    counters = WaitingCounters()
    gateway, _ = make(FakeProvider(), limit(requests=1, per="day"), counters=counters)
    assert counters.opened == 0
    async with gateway.running():
        assert counters.opened == 1
    assert counters.opened == 0


def test_times_are_written_as_openai_writes_them() -> None:
    assert [_span(seconds) for seconds in (-1, 0, 59, 60, 3600, 86400)] == [
        b"0s",
        b"0s",
        b"59s",
        b"1m0s",
        b"1h0m0s",
        b"24h0m0s",
    ]


def looks(text: str, context: GuardContext) -> Verdict:
    if "bad" in text:
        return Verdict.blocked("Withheld.")
    return Verdict.replaced("[kept]") if "secret" in text else Verdict.passed()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "status", "shown", "outcome"),
    [
        ("good", 200, "good", "ok"),
        ("a secret", 200, "[kept]", "ok"),
        ("bad", 403, "Withheld.", "blocked"),
    ],
)
async def test_a_guard_looks_at_answers(
    said: str, status: int, shown: str, outcome: str, stream: bool
) -> None:
    answer = chunks(*said.split(" ")) if stream else completion(said)
    gateway, sink = make(
        FakeProvider(answer),
        {"check_output": "looks"},
        limit(requests=5, per="day"),
        guards={"looks": looks},
    )
    async with gateway.running():
        reply = await ask(gateway, stream=stream)
    assert reply.status == status
    assert shown.encode() in reply.body
    assert b"secret" not in reply.body
    [record] = sink.records
    assert record.outcome == outcome
    if stream and outcome == "blocked":
        # The rest was not generated, and so neither was the count.
        assert record.usage_source == "estimated"
    else:
        assert (record.input_tokens, record.output_tokens) == (5, 3)
    assert [attempt.error_type for attempt in record.attempts] == [None]


async def test_a_guard_that_blocks_late_ends_the_stream() -> None:
    answer = chunks("good " * 10, "bad")
    gateway, sink = make(
        FakeProvider(answer), {"check_output": "looks"}, guards={"looks": looks}, guard_window=10
    )
    async with gateway.running():
        reply = await ask(gateway, stream=True)
    assert reply.status == 200
    assert b"good" in reply.body
    assert b"blocked_by_rule" in reply.body
    assert b"[DONE]" not in reply.body
    assert (sink.records[0].outcome, sink.records[0].error_type) == ("blocked", "blocked_by_rule")


async def test_a_guard_that_fails_lets_nothing_through(caplog: pytest.LogCaptureFixture) -> None:
    def broken(text: str, context: GuardContext) -> Verdict:
        raise ValueError(text)

    gateway, sink = make(
        FakeProvider(completion("secret")), {"check_output": "g"}, guards={"g": broken}
    )
    async with gateway.running():
        reply = await ask(gateway)
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert "secret" not in caplog.text
    assert sink.records[0].outcome == "error"


def test_a_rule_names_a_guard_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="check_output"):
        make(FakeProvider(), {"check_output": "nobody"})


@pytest.mark.parametrize(
    ("members", "output_tokens"),
    [
        ({}, None),
        ({"max_completion_tokens": 20}, 20),
        ({"max_completion_tokens": 20.0, "n": 3}, 60),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 5}, 5),
        ({"max_tokens": None}, None),
        ({"max_tokens": "many"}, None),
        ({"max_tokens": 10**30}, None),
        ({"stop": ["max_tokens"]}, None),
    ],
)
def test_what_a_request_may_use(members: dict[str, Any], output_tokens: int | None) -> None:
    document = {"model": "m", "messages": [{"role": "user", "content": "x" * 400}], **members}
    body = json.dumps(document).encode()
    found = estimate(decode_chat_request(body))
    assert found.output_tokens == output_tokens
    assert found.input_tokens == len(body) // 4
