"""Hedging: a second attempt when the first is late, one answer, and both of them in the record."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from waystone_asgi import Attempt, BearerKeys, Gateway, MemorySink, Provider
from waystone_asgi.exceptions import ConfigurationError, UpstreamError
from waystone_asgi.records import Principal, Target, UpstreamRequest
from waystone_asgi.rules import Retry
from waystone_asgi.testing import FakeAnswer, FakeProvider, chunks, completion

from .asgi import KEY, Answer, Caller, chat, http_scope
from .test_exits import native, turned

pytestmark = pytest.mark.anyio

SOON = 0.01
"""When an attempt is late: those that are late here would not answer at all."""

NEVER = 3600.0
PATH = "/v1/chat/completions"


class Host(FakeProvider):
    """One of the providers; `left` counts the requests that were cancelled before their answer."""

    def __init__(self, *answers: FakeAnswer | UpstreamError | Callable[[], Awaitable[object]]):
        super().__init__(*answers)
        self.left = 0

    async def send(self, request: UpstreamRequest) -> FakeAnswer:
        try:
            return await super().send(request)
        except anyio.get_cancelled_exc_class():
            self.left += 1
            raise


class Hosts:
    """The transport: each provider is a host of its own."""

    def __init__(self, *hosts: Host) -> None:
        self.hosts = dict(zip(("one.test", "two.test", "three.test"), hosts, strict=False))

    async def send(self, request: UpstreamRequest) -> FakeAnswer:
        return await self.hosts[request.endpoint.host].send(request)

    async def aclose(self) -> None:
        pass


def make(*hosts: Host, **settings: Any) -> tuple[Gateway, MemorySink]:
    sink = MemorySink()
    names = ["one", "two", "three"][: len(hosts)]
    defaults: dict[str, Any] = {
        "retry": {"attempts": 1, "hedge_after": SOON, "hedge_share": 1.0},
        "providers": [
            Provider.vllm(name=name, base_url=f"http://{name}.test/v1", models=["m"])
            for name in names
        ],
        "aliases": {"smart": [f"{name}/m" for name in names]},
        "authenticate": BearerKeys([KEY]),
        "upstream": Hosts(*hosts),
        "sinks": [sink],
    }
    return Gateway(**{**defaults, **settings}), sink


def says(text: str, stream: bool, tokens: int = 3) -> FakeAnswer:
    if stream:
        return chunks(text, completion_tokens=tokens)
    return completion(text, completion_tokens=tokens)


def failing(status: int) -> FakeAnswer:
    return FakeAnswer([b'{"error":{"message":"No.","type":"t","code":"c"}}'], status=status)


def silent(stream: bool) -> FakeAnswer:
    """A head and no event: for JSON a head is enough."""
    return FakeAnswer([anyio.sleep_forever], headers=[(b"content-type", b"text/event-stream")])


async def ask(gateway: Gateway, stream: bool = False, model: str = "smart") -> Answer:
    with anyio.fail_after(5):
        return await chat(gateway, model=model, stream=stream)


def kinds(attempts: Sequence[Attempt]) -> list[tuple[str, str | None]]:
    return [(attempt.provider, attempt.error_type) for attempt in attempts]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_second_one_answers(stream: bool) -> None:
    one, two = Host(anyio.sleep_forever), Host(says("two", stream, tokens=7))
    gateway, sink = make(one, two)
    async with gateway.running():
        answer = await ask(gateway, stream)
    assert (answer.status, answer.complete) == (200, True)
    assert b"two" in answer.body
    assert answer.headers["x-waystone-provider"] == "two"
    assert answer.headers["x-waystone-attempts"] == "2"
    assert (len(one.requests), one.left, len(two.requests), two.left) == (1, 1, 1, 0)
    [record] = sink.records
    assert (record.outcome, record.provider, record.output_tokens) == ("ok", "two", 7)
    assert kinds(record.attempts) == [("one", "hedged"), ("two", None)]
    assert [attempt.status for attempt in record.attempts] == [None, 200]
    assert record.attempts[0].seconds >= SOON - 0.001  # uvloop counts in milliseconds
    assert record.upstream_duration is not None
    assert record.upstream_duration <= record.duration


async def test_a_head_is_no_event() -> None:
    late, prompt = silent(stream=True), says("two", stream=True)
    gateway, sink = make(Host(late), Host(prompt))
    async with gateway.running():
        answer = await ask(gateway, stream=True)
    assert b"two" in answer.body
    assert (late.closed, prompt.closed) == (1, 1)
    [record] = sink.records
    assert kinds(record.attempts) == [("one", "hedged"), ("two", None)]
    assert [attempt.status for attempt in record.attempts] == [200, 200]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_first_one_answers_after_all(stream: bool) -> None:
    asked = anyio.Event()

    async def hang() -> None:
        asked.set()
        await anyio.sleep_forever()

    one, two = Host(lambda: asked.wait(), says("one", stream)), Host(hang)
    gateway, sink = make(one, two)
    async with gateway.running():
        answer = await ask(gateway, stream)
    assert b"one" in answer.body
    assert answer.headers["x-waystone-provider"] == "one"
    assert answer.headers["x-waystone-attempts"] == "2"
    assert (one.left, two.left) == (0, 1)
    [record] = sink.records
    assert (record.outcome, record.provider) == ("ok", "one")
    assert kinds(record.attempts) == [("one", None), ("two", "hedged")]


@pytest.mark.parametrize("stream", [False, True])
async def test_both_answer_at_once(stream: bool) -> None:
    asked = anyio.Event()

    async def both() -> None:
        asked.set()

    first, second = says("one", stream), says("two", stream)
    one, two = Host(lambda: asked.wait(), first), Host(both, second)
    gateway, sink = make(one, two)
    async with gateway.running():
        answer = await ask(gateway, stream)
    assert answer.complete
    [record] = sink.records
    assert sorted(str(attempt.error_type) for attempt in record.attempts) == ["None", "hedged"]
    # Each has been closed, or has never been handed out.
    assert one.left + first.closed == two.left + second.closed == 1


async def test_the_answer_comes_in_the_last_moment() -> None:
    """Both timers ring while the event loop is busy: that of the answer first."""
    asked = anyio.Event()

    async def doze() -> None:
        asked.set()
        await anyio.sleep(0.2)

    async def hold_up() -> None:
        await asked.wait()
        threading.Event().wait(0.5)

    one, two = Host(doze, says("one", False)), Host(says("two", False))
    gateway, sink = make(one, two, retry={"attempts": 1, "hedge_after": 0.4})
    async with gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(hold_up)
        assert b"one" in (await ask(gateway)).body
    assert two.requests == []
    assert kinds(sink.records[0].attempts) == [("one", None)]


async def test_who_is_in_time_is_not_hedged() -> None:
    one, two = Host(says("one", False)), Host(says("two", False))
    policy = {"hedge_after": NEVER, "hedge_share": 1.0}
    gateway, sink = make(one, two, retry=policy)
    async with gateway.running():
        for stream in (False, True):
            one.answers = [says("one", stream)]
            assert b"one" in (await ask(gateway, stream)).body
    assert two.requests == []
    assert [len(record.attempts) for record in sink.records] == [1, 1]


async def test_a_failure_in_time_is_not_hedged() -> None:
    one, two = Host(failing(503)), Host(says("two", False))
    gateway, sink = make(one, two, retry={"attempts": 1, "hedge_after": NEVER})
    async with gateway.running():
        assert b"two" in (await ask(gateway)).body
    assert kinds(sink.records[0].attempts) == [("one", "upstream_error"), ("two", None)]


def after(event: anyio.Event) -> Callable[[], Awaitable[object]]:
    return lambda: event.wait()


class Meeting:
    """Two providers, of which each may wait until the other one is asked."""

    def __init__(self) -> None:
        self.first_done = anyio.Event()
        self.second_asked = anyio.Event()

    async def second(self) -> None:
        self.second_asked.set()

    async def first(self) -> None:
        await self.second_asked.wait()


@pytest.mark.parametrize("failure", [failing(503), failing(429), UpstreamError("gone")])
async def test_the_first_one_fails_while_the_second_is_asked(
    failure: FakeAnswer | UpstreamError,
) -> None:
    meeting = Meeting()
    slowly = anyio.lowlevel.checkpoint
    one = Host(meeting.first, failure)
    two = Host(meeting.second, *[slowly] * 9, says("two", False))
    gateway, sink = make(one, two)
    async with gateway.running():
        answer = await ask(gateway)
    assert b"two" in answer.body
    first, second = sink.records[0].attempts
    assert first.error_type not in (None, "hedged")
    assert second.error_type is None


async def test_both_fail_and_others_follow() -> None:
    meeting = Meeting()
    one = Host(meeting.first, failing(503))
    two = Host(meeting.second, failing(500), says("two", False))
    gateway, sink = make(one, two)
    async with gateway.running():
        answer = await ask(gateway)
    assert b"two" in answer.body
    assert answer.headers["x-waystone-attempts"] == "3"
    assert kinds(sink.records[0].attempts) == [
        ("one", "upstream_error"),
        ("two", "upstream_error"),
        ("two", None),
    ]


async def test_both_fail_and_none_follows() -> None:
    meeting = Meeting()
    policy = {"attempts": 1, "on": [503], "hedge_after": SOON}
    one = Host(meeting.first, *[anyio.lowlevel.checkpoint] * 20, failing(500))
    two = Host(meeting.second, failing(503))
    gateway, sink = make(one, two, retry=policy)
    async with gateway.running():
        answer = await ask(gateway)
    assert answer.status == 502
    assert answer.headers["x-waystone-attempts"] == "2"
    assert len(sink.records[0].attempts) == 2


async def test_one_that_refuses_our_credential_is_not_asked_again() -> None:
    meeting = Meeting()
    one = Host(meeting.first, *[anyio.lowlevel.checkpoint] * 20, failing(503))
    two = Host(meeting.second, failing(401), says("two", False))
    three = Host(says("three", False))
    gateway, sink = make(one, two, three)
    async with gateway.running():
        answer = await ask(gateway)
    assert b"three" in answer.body
    assert [attempt.provider for attempt in sink.records[0].attempts] == ["one", "two", "three"]


async def test_a_refusal_of_the_request_is_the_answer() -> None:
    meeting = Meeting()
    one = Host(meeting.first, failing(400))
    two = Host(meeting.second, anyio.sleep_forever)
    gateway, sink = make(one, two)
    async with gateway.running():
        answer = await ask(gateway)
    assert (answer.status, two.left) == (400, 1)
    assert answer.headers["x-waystone-provider"] == "one"
    assert answer.headers["x-waystone-attempts"] == "2"
    assert kinds(sink.records[0].attempts) == [("one", "c"), ("two", "hedged")]


async def test_a_refusal_by_the_second_one_is_not() -> None:
    refused = anyio.Event()

    class Refusing(Host):
        async def send(self, request: UpstreamRequest) -> FakeAnswer:
            refused.set()
            return await super().send(request)

    one = Host(after(refused), *[anyio.lowlevel.checkpoint] * 20, says("one", False))
    gateway, sink = make(one, Refusing(failing(400)))
    async with gateway.running():
        answer = await ask(gateway)
    assert b"one" in answer.body
    assert kinds(sink.records[0].attempts) == [("one", None), ("two", "c")]


async def test_what_breaks_later_is_tried_where_it_began() -> None:
    two = Host(FakeAnswer([b'{"id": '] * 2), says("again", False))
    policy = {"attempts": 2, "hedge_after": SOON}
    gateway, sink = make(Host(anyio.sleep_forever), two, retry=policy)
    async with gateway.running():
        gateway._forwarding.routing.random = lambda: 0.0
        answer = await ask(gateway)
    assert b"again" in answer.body
    assert kinds(sink.records[0].attempts) == [
        ("one", "hedged"),
        ("two", "upstream_error"),
        ("two", None),
    ]


async def test_there_is_one_hedge_a_request() -> None:
    meeting = Meeting()
    one = Host(meeting.first, failing(503))
    two = Host(meeting.second, failing(503), *[anyio.lowlevel.checkpoint] * 5, says("two", False))
    three = Host(says("three", False))
    gateway, _ = make(one, two, three)
    async with gateway.running():
        assert b"two" in (await ask(gateway)).body
    assert three.requests == []


async def test_a_share_of_requests_is_hedged_at_most() -> None:
    policy = {"hedge_after": SOON, "hedge_share": 0.25}
    gateway, _ = make(Host(anyio.sleep_forever), Host(anyio.sleep_forever), retry=policy)
    routing = gateway._forwarding.routing
    route = gateway.catalog.resolve("smart", Principal(id="p"))

    def hedged() -> bool:
        attempts = routing.attempts(route)
        attempts.begin()
        assert attempts.hedge_after == SOON
        return attempts.hedge() is not None

    # One to begin with, and then one of four.
    assert [number for number in range(9) if hedged()] == [0, 3, 7]
    for _ in range(1000):
        routing.attempts(route)
    assert [hedged() for _ in range(14)].count(True) == 13
    # Each policy has a share of its own.
    assert routing.attempts(route, Retry(hedge_after=2.0)).hedge_after == 2.0


async def test_nobody_else_is_there_to_be_asked() -> None:
    one, two = Host(anyio.sleep_forever), Host(says("two", False))
    gateway, sink = make(one, two)
    routing = gateway._forwarding.routing
    async with gateway.running():
        for _ in range(5):
            routing.health.failed(Target(provider="two", model="m"))
        for model in ("smart", "one/m"):
            with anyio.move_on_after(0.1):
                await ask(gateway, model=model)
    assert two.requests == []
    assert [kinds(record.attempts) for record in sink.records] == [[("one", "cancelled")]] * 2


async def test_the_same_model_is_not_asked_twice_at_once() -> None:
    one = Host(anyio.sleep_forever)
    aliases = {"same": "one/m", "smart": ["one/m", "same"]}
    gateway, _ = make(one, aliases=aliases)
    async with gateway.running():
        with anyio.move_on_after(0.1):
            await ask(gateway)
    assert len(one.requests) == 1


async def test_a_rule_may_say_so() -> None:
    one, two = Host(anyio.sleep_forever), Host(says("two", False))
    policy = {"attempts": 1, "fallback": ["two/m"], "hedge_after": SOON}
    rules = [{"name": "r", "condition": "always", "rules": [{"retry": policy}]}]
    gateway, sink = make(one, two, retry=None, rulesets=rules)
    async with gateway.running():
        answer = await ask(gateway, model="one/m")
    assert b"two" in answer.body
    assert kinds(sink.records[0].attempts) == [("one", "hedged"), ("two", None)]


async def test_one_that_is_not_waited_for_is_slower_than_it_was() -> None:
    one, two = Host(anyio.sleep_forever), Host(says("two", False))
    gateway, _ = make(one, two)
    health = gateway._forwarding.routing.health
    async with gateway.running():
        await ask(gateway)
    assert health.latency(Target(provider="one", model="m")) >= SOON - 0.001
    assert not health.rests(Target(provider="one", model="m"))


class Both:
    """One request of which neither attempt is answered."""

    def __init__(self, stream: bool, head: bool) -> None:
        self.answers = [silent(stream), silent(stream)]
        self.asked = anyio.Event()
        self.one = Host(self.answers[0] if head else anyio.sleep_forever)
        self.two = Host(self.note, self.answers[1] if head else anyio.sleep_forever)
        self.gateway, self.sink = make(self.one, self.two)
        self.stream, self.head = stream, head
        document = {"model": "smart", "messages": [{"role": "user", "content": "x"}]}
        self.caller = Caller([json.dumps(document | {"stream": stream}).encode()])

    async def note(self) -> None:
        self.asked.set()

    async def ask(self) -> None:
        scope = http_scope(PATH)
        await self.gateway(scope, self.caller.receive, self.caller.send)

    def check(self, ended: tuple[str, str | None, int] = ("cancelled", None, 499)) -> None:
        [record] = self.sink.records
        assert (record.outcome, record.error_type, record.status) == ended
        assert kinds(record.attempts) == [("one", "cancelled"), ("two", "cancelled")]
        assert record.usage_source == "none"
        if self.head:
            assert [answer.closed for answer in self.answers] == [1, 1]
        else:
            assert (self.one.left, self.two.left) == (1, 1)


BOTH = pytest.mark.parametrize(("stream", "head"), [(False, False), (True, False), (True, True)])


@BOTH
async def test_a_caller_who_leaves_leaves_both(stream: bool, head: bool) -> None:
    both = Both(stream, head)
    with anyio.fail_after(5):
        async with both.gateway.running(), anyio.create_task_group() as tasks:
            tasks.start_soon(both.ask)
            await both.asked.wait()
            both.caller.leave()
    both.check()


@turned
@BOTH
async def test_a_gateway_that_closes_leaves_both(stream: bool, head: bool) -> None:
    both = Both(stream, head)
    async with anyio.create_task_group() as tasks, both.gateway.running():
        tasks.start_soon(both.ask)
        await both.asked.wait()
    both.check(("error", "overloaded", 503))


@native
@BOTH
async def test_asyncio_itself_cancels_both(stream: bool, head: bool) -> None:
    both = Both(stream, head)
    async with both.gateway.running():
        asking = asyncio.create_task(both.ask())
        await both.asked.wait()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    both.check()


async def test_cancelled_while_the_one_that_lost_is_closed() -> None:
    scope = anyio.CancelScope()

    class Slow(FakeAnswer):
        def begin(self) -> FakeAnswer:
            return self

        async def aclose(self) -> None:
            await super().aclose()
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    late, prompt = Slow([anyio.sleep_forever]), says("two", stream=True)
    gateway, sink = make(Host(late), Host(prompt))
    async with gateway.running():
        with scope:
            await ask(gateway, stream=True)
    assert (late.closed > 0, prompt.closed) == (True, 1)
    [record] = sink.records
    assert record.outcome == "cancelled"
    assert [attempt.error_type for attempt in record.attempts] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("second", [False, True])
async def test_a_transport_with_a_bug(second: bool) -> None:
    meeting = Meeting()

    async def bug() -> None:
        raise ZeroDivisionError

    if second:
        one, two = Host(meeting.first, anyio.sleep_forever), Host(meeting.second, bug)
    else:
        one, two = Host(meeting.first, bug), Host(meeting.second, anyio.sleep_forever)
    gateway, sink = make(one, two)
    async with gateway.running():
        answer = await ask(gateway)
    assert answer.status == 500
    [record] = sink.records
    assert record.error_type == "internal_error"
    assert "internal_error" in [attempt.error_type for attempt in record.attempts]
    assert (one.left, two.left) == ((1, 0) if second else (0, 1))


@pytest.mark.parametrize(
    ("retry", "words"),
    [
        ({"hedge_after": 0}, "retry.hedge_after: expected a number above 0"),
        ({"hedge_after": float("nan")}, "retry.hedge_after: expected a number"),
        ({"hedge_after": float("inf")}, "retry.hedge_after: expected a number"),
        ({"hedge_after": "2"}, "retry.hedge_after: expected a number"),
        ({"hedge_after": True}, "retry.hedge_after: expected a number"),
        ({"hedge_after": 1, "hedge_share": 0}, "retry.hedge_share: expected a number above 0"),
        ({"hedge_after": 1, "hedge_share": 1.1}, "retry.hedge_share: expected a number above 0"),
        ({"hedge_share": 0.1}, "retry.hedge_share: belongs beside hedge_after."),
        ({"hedge": 1}, "retry.hedge: unknown key; did you mean hedge_"),
        ({"fallback": ["two/m"]}, "retry.fallback: belongs to a rule"),
        (2, "retry: expected a table of attempts"),
    ],
)
def test_policies_that_are_refused(retry: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(Host(anyio.sleep_forever), retry=retry)
    assert words in str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
async def test_whatever_happens_when_nothing_is_left_over(stream: bool) -> None:
    """Answers, failures, hedges and departures at moments of chance."""
    random = Random(11)
    begun: list[Counted] = []
    under_way = 0

    class Counted(FakeAnswer):
        ended = 0

        async def aclose(self) -> None:
            self.ended += 1

    async def pause() -> None:
        await anyio.sleep(random.choice((0.0, 0.002, 0.004)))

    class Moody(Host):
        async def send(self, request: UpstreamRequest) -> FakeAnswer:
            nonlocal under_way
            under_way += 1
            try:
                await anyio.sleep(random.choice((0.0, 0.002, 0.004, 0.006)))
                if random.random() < 0.2:
                    raise UpstreamError("gone")
                answer = Counted([pause, *says("x", stream).pieces])
                begun.append(answer)
                return answer
            finally:
                under_way -= 1

    policy = {"attempts": 1, "hedge_after": 0.004, "hedge_share": 1.0}
    hosts = [Moody(anyio.sleep_forever) for _ in range(3)]
    gateway, sink = make(*hosts, retry=policy, max_in_flight=1000)
    document = {"model": "smart", "messages": [{"role": "user", "content": "x"}]}
    body = json.dumps(document | {"stream": stream}).encode()

    async def one() -> None:
        caller = Caller([body])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                gateway, http_scope("/v1/chat/completions"), caller.receive, caller.send
            )
            if random.random() < 0.5:
                await anyio.sleep(random.choice((0.002, 0.004, 0.006, 0.008)))
                if random.random() < 0.5:
                    caller.leave()
                else:
                    tasks.cancel_scope.cancel()

    async with gateway.running():
        for _ in range(10):
            async with anyio.create_task_group() as tasks:
                for _ in range(30):
                    tasks.start_soon(one)
    assert len(sink.records) == 300
    assert under_way == 0
    assert [answer.ended for answer in begun].count(0) == 0
    asked = sum(len(record.attempts) for record in sink.records)
    assert asked >= len(begun)
    for record in sink.records:
        answered = [attempt for attempt in record.attempts if attempt.error_type is None]
        assert len(answered) == (1 if record.outcome == "ok" else 0), record
