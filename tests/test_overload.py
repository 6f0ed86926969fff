"""Too many requests at once, through the whole gateway: who waits, who is refused, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.asgi import Answer, Caller, http_scope, request
from waystone_asgi import BearerKeys, Gateway, MemorySink, Principal, Provider
from waystone_asgi.authentication import APIKey
from waystone_asgi.testing import FakeAnswer, FakeProvider, chunks, completion
from waystone_asgi.types import Message

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"
BODY = json.dumps(
    {"model": "openai/m", "messages": [{"role": "user", "content": "hello"}]}
).encode()
SECONDS = 20


class Held:
    """A gateway with one place, whose first answer ends when told to."""

    def __init__(self, first: FakeAnswer | None = None, **settings: Any) -> None:
        self.asked = anyio.Event()
        self.go = anyio.Event()
        self.sink = MemorySink()
        self.answers: dict[str, Answer] = {}
        fake = (
            FakeProvider(self._hold, completion("Hi"), *[completion("Hi")] * 9)
            if first is None
            else FakeProvider(first, *[completion("Hi")] * 9)
        )
        self.gateway = Gateway(
            **{
                "retry": {"attempts": 1},
                "providers": [Provider.openai(api_key="sk", base_url="http://provider.test/v1")],
                "authenticate": BearerKeys([APIKey(key=f"wk_{name}", id=name) for name in "abc"]),
                "upstream": fake,
                "sinks": [self.sink],
                "max_in_flight": 1,
                "max_wait": 10.0,
            }
            | settings
        )

    async def _hold(self) -> None:
        self.asked.set()
        await self.go.wait()

    @property
    def places(self) -> Any:
        return self.gateway._places

    async def ask(self, name: str, key: str = "a", pieces: tuple[bytes, ...] = (BODY,)) -> None:
        caller = Caller(pieces)
        await self.gateway(http_scope(PATH, key=f"wk_{key}"), caller.receive, caller.send)
        self.answers[name] = caller.answer

    async def waiting(self, count: int) -> None:
        await until(lambda: self.places.waiting == count)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(SECONDS):
        while not condition():
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_request_waits_for_a_place_and_is_answered(pieces: int) -> None:
    held = Held()
    size = -(-len(BODY) // pieces)
    body = tuple(BODY[start : start + size] for start in range(0, len(BODY), size))
    async with held.gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(held.ask, "first")
        await held.asked.wait()
        tasks.start_soon(held.ask, "second", "b", body)
        await held.waiting(1)
        # What is no request to a model is not counted.
        for path in ("/health", "/ready", "/v1/models"):
            assert (await request(held.gateway, path, method="GET", key="wk_a")).status == 200
        held.go.set()
    assert {name: answer.status for name, answer in held.answers.items()} == {
        "first": 200,
        "second": 200,
    }
    assert [(r.principal, r.outcome) for r in held.sink.records] == [("a", "ok"), ("b", "ok")]
    assert held.places.free == 1


async def test_a_stream_keeps_its_place_until_its_end() -> None:
    asked, go = anyio.Event(), anyio.Event()

    async def hold() -> None:
        asked.set()
        await go.wait()

    pieces = chunks("Hi", " there").pieces
    held = Held(FakeAnswer([*pieces[:2], hold, *pieces[2:]]))
    streamed: list[Answer] = []

    async def stream() -> None:
        body = json.loads(BODY) | {"stream": True}
        streamed.append(await request(held.gateway, PATH, body, key="wk_a"))

    async with held.gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(stream)
        await asked.wait()
        tasks.start_soon(held.ask, "second")
        await held.waiting(1)
        assert not held.answers
        go.set()
    assert b"[DONE]" in streamed[0].body
    assert held.answers["second"].status == 200


async def test_a_caller_who_leaves_waits_no_longer() -> None:
    held = Held()
    leaver = Caller([BODY])
    async with held.gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(held.ask, "first")
        await held.asked.wait()
        tasks.start_soon(held.gateway, http_scope(PATH, key="wk_b"), leaver.receive, leaver.send)
        await held.waiting(1)
        leaver.leave()
        await held.waiting(0)
        held.go.set()
    assert leaver.answer.messages == []
    assert sorted((r.principal, r.outcome, r.status) for r in held.sink.records) == [
        ("a", "ok", 200),
        ("b", "cancelled", 499),
    ]
    assert held.places.free == 1


@pytest.mark.parametrize("full", [True, False], ids=["the line is full", "in time"])
async def test_whoever_is_refused_has_one_record(full: bool) -> None:
    held = Held(max_waiting=1, max_wait=10.0 if full else 0.01)
    async with held.gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(held.ask, "first")
        await held.asked.wait()
        if full:
            tasks.start_soon(held.ask, "second", "b")
            await held.waiting(1)
        await held.ask("refused", "c")
        held.go.set()
    refused = held.answers["refused"]
    assert (refused.status, refused.error["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == ("10" if full else "1")
    [record] = [record for record in held.sink.records if record.principal == "c"]
    assert (record.status, record.outcome, record.error_type) == (503, "error", "overloaded")
    assert (record.attempts, record.usage_source, record.operation) == ((), "none", "chat")
    assert len(held.sink.records) == 2 + full


async def test_a_flood_of_one_principal_leaves_room_for_another() -> None:
    held = Held(max_waiting=3)
    async with held.gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(held.ask, "first")
        await held.asked.wait()
        for number in range(3):
            tasks.start_soon(held.ask, f"flood {number}")
            await held.waiting(number + 1)
        tasks.start_soon(held.ask, "other", "b")
        await until(lambda: "flood 2" in held.answers)
        held.go.set()
    assert held.answers["flood 2"].status == 503
    answered = [record.principal for record in held.sink.records if record.status == 200]
    # Turns are taken from whoever came first.
    assert answered == ["a", "a", "b", "a"]


async def test_those_who_wait_are_refused_when_the_gateway_closes() -> None:
    held = Held()

    async def go_on() -> None:
        await until(lambda: "second" in held.answers)
        held.go.set()

    async with anyio.create_task_group() as tasks, held.gateway.running():
        tasks.start_soon(held.ask, "first")
        await held.asked.wait()
        tasks.start_soon(held.ask, "second", "b")
        await held.waiting(1)
        tasks.start_soon(go_on)
    second = held.answers["second"]
    assert (second.status, second.headers["retry-after"]) == (503, "1")
    assert "shutting down" in second.error["message"]
    assert held.answers["first"].status == 200
    assert sorted((r.principal, r.status) for r in held.sink.records) == [("a", 200), ("b", 503)]
    async with held.gateway.running():
        assert (await request(held.gateway, PATH, BODY, key="wk_a")).status == 200


async def test_naming_takes_a_place_too() -> None:
    held = Held()
    named: list[Answer] = []

    async def name() -> None:
        body = {"user": "ann"}
        named.append(await request(held.gateway, "/identify", body, key="wk_b"))

    async with held.gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(held.ask, "first")
        await held.asked.wait()
        tasks.start_soon(name)
        await held.waiting(1)
        held.go.set()
    assert [answer.status for answer in named] == [200]
    assert held.places.free == 1


async def test_a_host_that_knows_of_its_end_drains_early() -> None:
    """Streams that are not over in time end in an error that can be seen, and have one record."""
    asked = anyio.Event()

    async def hang() -> None:
        asked.set()
        await anyio.sleep_forever()

    pieces = chunks("Hi", " there").pieces
    held = Held(FakeAnswer([*pieces[:2], hang]))
    streamed: list[Answer] = []

    async def stream() -> None:
        body = json.loads(BODY) | {"stream": True}
        streamed.append(await request(held.gateway, PATH, body, key="wk_a"))

    async with held.gateway.running():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream)
            await asked.wait()
            await held.gateway.drain(within=0)
        assert (await request(held.gateway, "/ready", method="GET")).status == 503
        refused = await request(held.gateway, PATH, BODY, key="wk_a")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    [answer] = streamed
    assert answer.complete
    assert b"[DONE]" not in answer.body
    assert json.loads(answer.messages[-1]["body"].removeprefix(b"data: "))["error"]["code"] == (
        "overloaded"
    )
    [record] = held.sink.records
    assert (record.status, record.outcome, record.error_type) == (200, "error", "overloaded")
    assert record.usage_source == "estimated"


async def test_a_caller_who_does_not_read_is_not_waited_for_without_end() -> None:
    """The error event of a stream that is cut has a second."""
    asked = anyio.Event()

    async def hang() -> None:
        asked.set()
        await anyio.sleep_forever()

    async def send(message: Message) -> None:
        if b"overloaded" in message.get("body", b""):
            await anyio.sleep_forever()

    held = Held(FakeAnswer([*chunks("Hi").pieces[:2], hang]))
    body = json.dumps(json.loads(BODY) | {"stream": True}).encode()
    async with held.gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(held.gateway, http_scope(PATH, key="wk_a"), Caller([body]).receive, send)
        await asked.wait()
        with anyio.fail_after(SECONDS):
            await held.gateway.drain(0)
    assert [record.outcome for record in held.sink.records] == ["error"]


async def test_a_bug_in_a_stream_that_has_begun_is_told() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    held = Held(FakeAnswer([*chunks("Hi").pieces[:2], broken]))
    async with held.gateway.running():
        answer = await chat_as(held, stream=True)
    assert answer.complete
    assert b'"code":"internal_error"' in answer.messages[-1]["body"]
    assert [(r.status, r.error_type) for r in held.sink.records] == [(200, "internal_error")]


async def chat_as(held: Held, **changes: Any) -> Answer:
    body = json.loads(BODY) | changes
    return await request(held.gateway, PATH, body, key="wk_a")


async def test_a_call_that_is_thrown_away_sends_nothing() -> None:
    """As an event loop does with what is left when it has gone."""

    class Pause:
        def __await__(self) -> Iterator[None]:
            yield

    async def authenticate(connection: object) -> Principal:
        await Pause()
        raise AssertionError("it goes no further")

    held = Held(authenticate=authenticate)
    caller = Caller([BODY])
    async with held.gateway.running():
        call = held.gateway(http_scope(PATH), caller.receive, caller.send)
        call.send(None)
        call.close()
    assert caller.answer.messages == []
    assert (held.sink.records, held.places.free) == ([], 1)
