"""The corridor with a fake provider: what it answers, what it records, and how it opens."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from waystone_asgi import APIKey, BearerKeys, Gateway, MemorySink, Provider, UsageRecord
from waystone_asgi.entities.memory import MemoryEntities
from waystone_asgi.exceptions import ConfigurationError, UpstreamError
from waystone_asgi.records import Entity
from waystone_asgi.testing import FakeAnswer, FakeProvider, chunks, completion
from waystone_asgi.types import Layers, Message

from .asgi import KEY, Caller, chat, http_scope, request

pytestmark = pytest.mark.anyio


def make(provider: FakeProvider, **settings: Any) -> tuple[Gateway, MemorySink]:
    """A gateway with one provider, one key and one sink, unless the settings say otherwise."""
    sink = MemorySink()
    defaults: dict[str, Any] = {
        "retry": {"attempts": 1},
        "providers": [
            Provider.openai(
                api_key="sk-canary", base_url="http://provider.test/v1", models=["gpt-test", "*"]
            )
        ],
        "authenticate": BearerKeys([KEY]),
        "upstream": provider,
        "sinks": [sink],
    }
    return Gateway(**{**defaults, **settings}), sink


@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_is_answered_and_recorded(stream: bool) -> None:
    answer: FakeAnswer = chunks("Hi", " there") if stream else completion("Hi there")
    gateway, sink = make(FakeProvider(answer))
    async with gateway.running():
        reply = await chat(gateway, stream=stream)
    assert reply.status == 200
    assert reply.complete
    assert b"Hi" in reply.body
    [record] = sink.records
    assert (record.outcome, record.status, record.stream) == ("ok", 200, stream)
    assert (record.input_tokens, record.output_tokens) == (5, 3)
    assert (record.request_model, record.response_model) == ("openai/gpt-test", "test-model")
    assert (record.provider, record.response_id) == ("openai", "chatcmpl-test")
    assert (record.usage_source, record.finish_reasons) == ("provider", ("stop",))
    assert (record.request_id, record.operation) == (reply.headers["x-request-id"], "chat")
    assert (record.time_to_first_chunk is not None) == stream
    [attempt] = record.attempts
    assert (attempt.provider, attempt.model, attempt.status) == ("openai", "gpt-test", 200)
    assert attempt.error_type is None
    assert 0 <= attempt.seconds <= record.duration
    assert answer.closed == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_headers_say_where_the_answer_came_from(stream: bool) -> None:
    answer: FakeAnswer = chunks("Hi") if stream else completion("Hi")
    answer.headers = [*answer.headers, (b"x-ratelimit-limit-requests", b"60"), (b"server", b"x")]
    provider = Provider.groq(
        api_key="gsk", base_url="http://provider.test/v1", name="mine", models=["gpt-test"]
    )
    gateway, _ = make(FakeProvider(answer), providers=[provider], aliases={"fast": "gpt-test"})
    body = {
        "model": "fast",
        "messages": [{"role": "user", "content": "x"}],
        "stream": stream,
        "store": True,
        "metadata": {"a": "b"},
    }
    async with gateway.running():
        headers = [(b"x-request-id", b"my-own.1")]
        reply = await request(gateway, "/v1/chat/completions", body, headers=headers)
    assert reply.headers["x-request-id"] == "my-own.1"
    assert reply.headers["x-waystone-provider"] == "mine"
    assert reply.headers["x-waystone-model"] == "gpt-test"
    assert reply.headers["x-waystone-attempts"] == "1"
    assert set(reply.headers["x-waystone-dropped"].split(", ")) == {"store", "metadata"}
    assert reply.headers["x-ratelimit-limit-requests"] == "60"
    assert "server" not in reply.headers
    timing = reply.headers["server-timing"]
    assert timing.startswith("upstream;dur=")
    assert ", gateway;dur=" in timing
    kind = "text/event-stream; charset=utf-8" if stream else "application/json"
    assert reply.headers["content-type"] == kind


async def test_what_is_sent_to_the_provider() -> None:
    provider = FakeProvider(completion("Hi"))
    gateway, _ = make(provider)
    body = (
        b'{ "model" : "openai/gpt-test", "messages":[{"role":"user","content":"\\u00e9"}],\n'
        b' "temperature":1.0e0, "metadata": {"waystone":"{\\"user\\":\\"ann\\"}"}, "x" : [1 ,2]}'
    )
    async with gateway.running():
        await request(gateway, "/v1/chat/completions", body)
    [sent] = provider.requests
    assert sent.body == (
        b'{ "model" : "gpt-test", "messages":[{"role":"user","content":"\\u00e9"}],\n'
        b' "temperature":1.0e0, "x" : [1 ,2]}'
    )
    headers = dict(sent.endpoint.headers)
    assert headers[b"authorization"] == b"Bearer sk-canary"
    assert sent.endpoint.path == "/v1/chat/completions"


CLAIM = '{"user": {"id": "ann", "metadata": {"tier": "free"}}, "group": "acme"}'


async def test_who_it_was_for_is_merged_and_recorded() -> None:
    entities = MemoryEntities()
    key = APIKey(key=KEY, id="backend", group="acme")
    gateway, sink = make(
        FakeProvider(completion("Hi")), entities=entities, authenticate=BearerKeys([key])
    )
    async with gateway.running():
        assert (await chat(gateway, metadata={"waystone": CLAIM})).status == 200
        assert (await chat(gateway)).status == 200
    assert await entities.metadata("user", "ann") == {"tier": "free"}
    assert await entities.linked("ann", "acme")
    first, second = sink.records
    assert (first.principal, first.user, first.user_source) == ("backend", "ann", "claimed")
    assert (first.group, first.group_source) == ("acme", "key")
    assert (second.user, second.user_source, second.group) == (None, None, "acme")


async def test_the_hosts_hook_sees_the_metadata_and_its_word_counts() -> None:
    async def identify(connection: Any, principal: Any, metadata: Any) -> Any:
        from waystone_asgi import Identity

        assert dict(metadata) == {"team": "red", "waystone": "not JSON"}
        assert connection.headers["x-host"] == "1"
        return Identity(user=Entity("from-the-host"))

    gateway, sink = make(FakeProvider(completion("Hi")), identify=identify)
    body = {
        "model": "gpt-test",
        "messages": [{"role": "user", "content": "x"}],
        "metadata": {"team": "red", "waystone": "not JSON"},
    }
    async with gateway.running():
        headers = [(b"x-host", b"1")]
        assert (await request(gateway, "/v1/chat/completions", body, headers=headers)).status == 200
    assert (sink.records[0].user, sink.records[0].user_source) == ("from-the-host", "host")


# The smaller operations.


async def test_models_are_listed_and_shown() -> None:
    gateway, sink = make(FakeProvider(completion("Hi")), aliases={"fast": "gpt-test"})
    async with gateway.running():
        listed = await request(gateway, "/v1/models", method="GET")
        assert [model["id"] for model in listed.json["data"]] == ["openai/gpt-test", "fast"]
        for name in ("openai/gpt-test", "fast", "gpt-test", "openai/anything/at:all"):
            shown = await request(gateway, f"/v1/models/{name}", method="GET")
            assert shown.json == {
                "id": name,
                "owned_by": "openai",
                "object": "model",
                "created": 0,
            }
        unknown = await request(gateway, "/v1/models/unknown", method="GET")
        assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
        for path in ("/v1/models", "/v1/models/fast"):
            assert (await request(gateway, path, method="GET", key="wk_other")).status == 401
    assert sink.records == []


async def test_a_key_sees_its_own_models() -> None:
    keys = BearerKeys([APIKey(key=KEY, models=("nobody/*",))])
    gateway, _ = make(FakeProvider(completion("Hi")), authenticate=keys)
    async with gateway.running():
        assert (await request(gateway, "/v1/models", method="GET")).json["data"] == []
        shown = await request(gateway, "/v1/models/openai/gpt-test", method="GET")
        assert (shown.status, shown.error["type"]) == (403, "permission_error")


async def test_users_and_groups_are_created_without_a_completion() -> None:
    entities = MemoryEntities()
    gateway, sink = make(FakeProvider(completion("Hi")), entities=entities)
    async with gateway.running():
        both = await request(gateway, "/identify", CLAIM.encode())
        assert (both.status, both.json) == (200, {"user": "ann", "group": "acme"})
        one = await request(gateway, "/identify", {"group": {"id": "acme", "metadata": {"a": 1}}})
        assert one.json == {"user": None, "group": "acme"}
        nobody = await request(gateway, "/identify", {})
        assert (nobody.status, nobody.error["type"]) == (400, "invalid_request_error")
    assert await entities.metadata("user", "ann") == {"tier": "free"}
    assert await entities.metadata("group", "acme") == {"a": 1}
    assert await entities.linked("ann", "acme")
    assert sink.records == []


async def test_a_key_for_one_operation_only() -> None:
    keys = BearerKeys([APIKey(key=KEY, endpoints=("identify",))])
    gateway, sink = make(FakeProvider(completion("Hi")), authenticate=keys)
    async with gateway.running():
        assert (await request(gateway, "/identify", {"user": "ann"})).status == 200
        refused = await chat(gateway)
    assert (refused.status, refused.error["type"]) == (403, "permission_error")
    assert [record.status for record in sink.records] == [403]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_and_readiness(method: str) -> None:
    gateway, _ = make(FakeProvider(completion("Hi")))

    async def status(path: str) -> int:
        return (await request(gateway, path, method=method, key=None)).status

    assert await status("/health") == 200
    async with gateway.running():
        assert [await status("/health"), await status("/ready")] == [200, 200]
    assert [await status("/health"), await status("/ready")] == [200, 503]


# Opening, closing, and how much at once.


async def test_what_is_no_request_is_turned_away() -> None:
    gateway, _ = make(FakeProvider(completion("Hi")))
    caller = Caller()
    await gateway({"type": "websocket"}, caller.receive, caller.send)
    assert caller.answer.messages == [{"type": "websocket.close", "code": 1000}]


async def test_the_servers_lifespan_opens_and_closes() -> None:
    gateway, sink = make(FakeProvider(completion("Hi")))
    sent: list[Message] = []
    steps: Sequence[str] = ["lifespan.startup", "lifespan.shutdown"]
    left = list(steps)

    async def receive() -> Message:
        if len(left) == 1:
            assert (await chat(gateway)).status == 200
        return {"type": left.pop(0)}

    async def send(message: Message) -> None:
        sent.append(message)

    await gateway({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == [f"{step}.complete" for step in steps]
    assert len(sink.records) == 1
    async with gateway.lifespan(None):
        assert (await chat(gateway)).status == 200


async def test_the_first_request_opens_where_no_lifespan_does() -> None:
    sink = EventSink()
    gateway, _ = make(FakeProvider(completion("Hi")), sinks=[sink])
    ready = await request(gateway, "/ready", method="GET")
    assert (ready.status, ready.error["code"]) == (503, "overloaded")
    assert (await chat(gateway)).status == 200
    assert (await request(gateway, "/ready", method="GET")).status == 200
    with anyio.fail_after(5):
        await sink.filled.wait()
    assert len(sink.records) == 1
    async with gateway.running():
        pass  # Takes the gateway over and closes it, since the loop of this test goes on.


class EventSink(MemorySink):
    """Says when the first record is there."""

    def __init__(self) -> None:
        super().__init__()
        self.filled = anyio.Event()

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        await super().emit(records)
        self.filled.set()


class LockedSink(MemorySink):
    """Cannot be opened."""

    async def open(self) -> None:
        raise RuntimeError("canary")


async def test_a_gateway_that_cannot_open_says_so_without_the_reason() -> None:
    gateway, _ = make(FakeProvider(completion("Hi")), sinks=[LockedSink()])
    with pytest.raises(RuntimeError, match="canary"):
        async with gateway.running():
            pass
    gateway, _ = make(FakeProvider(completion("Hi")), sinks=[LockedSink()])
    for _ in range(2):
        answer = await chat(gateway)
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        assert b"canary" not in answer.body


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/identify"])
async def test_a_closed_gateway_sends_callers_elsewhere(path: str) -> None:
    gateway, sink = make(FakeProvider(completion("Hi")))
    async with gateway.running():
        pass
    answer = await request(gateway, path, b"{}")
    assert (answer.status, answer.error["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert sink.records == []


@pytest.mark.parametrize("waits", [{"max_wait": 0}, {"max_wait": 0.01}])
async def test_what_is_too_much_is_refused_before_it_is_read(waits: dict[str, float]) -> None:
    begun, go = anyio.Event(), anyio.Event()

    async def wait() -> None:
        begun.set()
        await go.wait()

    gateway, sink = make(FakeProvider(wait, completion("Hi")), max_in_flight=1, **waits)
    async with gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(chat, gateway)
        await begun.wait()
        for path in ("/v1/chat/completions", "/identify"):
            answer = await request(gateway, path, b"{}")
            assert (answer.status, answer.error["code"]) == (503, "overloaded")
            assert answer.headers["retry-after"] == "1"
            assert (await request(gateway, path, b"{}", key="wk_other")).status == 401
        for path in ("/health", "/ready", "/v1/models"):
            assert (await request(gateway, path, method="GET")).status == 200
        go.set()
    async with gateway.running():
        assert (await chat(gateway)).status == 200
    refused, *answered = sink.records
    assert (refused.status, refused.outcome, refused.error_type) == (503, "error", "overloaded")
    assert [record.status for record in answered] == [200, 200]


async def test_a_transport_of_the_hosts_own_is_left_open() -> None:
    provider = FakeProvider(completion("Hi"))
    gateway, _ = make(provider)
    async with gateway.running():
        pass
    assert provider.open


async def test_a_transport_of_ours_is_made_for_each_life() -> None:
    gateway, _ = make(FakeProvider(completion("Hi")), upstream=None)
    for _ in range(2):
        async with gateway.running():
            assert (await request(gateway, "/ready", method="GET")).status == 200


async def test_a_gateway_from_a_mapping() -> None:
    sink = MemorySink()
    gateway = Gateway.from_config(
        {"path": "/llm/", "api_keys": [KEY], "providers": {"echo": {}}}, sinks=[sink]
    )
    assert gateway.path == "/llm"
    body = {"model": "echo/echo", "messages": [{"role": "user", "content": "one two"}]}
    async with gateway.running():
        answer = await request(gateway, "/v1/chat/completions", body)
    assert answer.json["choices"][0]["message"]["content"] == "one two"
    assert [record.output_tokens for record in sink.records] == [2]


@pytest.mark.parametrize(("path", "expected"), [("/", ""), ("", ""), ("a/b/", "/a/b")])
async def test_the_path_is_written_in_one_way(path: str, expected: str) -> None:
    assert make(FakeProvider(completion("Hi")), path=path)[0].path == expected


class Broken(MemoryEntities):
    """A store with a bug."""

    async def merge(self, user: Entity | None, group: Entity | None) -> tuple[Layers, Layers]:
        raise RuntimeError("canary")


async def test_a_bug_is_answered_in_openais_form_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway, sink = make(FakeProvider(completion("Hi")), entities=Broken())
    with caplog.at_level(logging.ERROR):
        async with gateway.running():
            for answer in (
                await request(gateway, "/identify", {"user": "ann"}),
                await chat(gateway),
            ):
                assert answer.status == 500
                assert answer.error == {
                    "message": "The gateway failed.",
                    "type": "api_error",
                    "param": None,
                    "code": "internal_error",
                }
                assert answer.headers["x-request-id"] in caplog.text
    assert [(r.status, r.outcome, r.error_type) for r in sink.records] == [
        (500, "error", "internal_error")
    ]
    assert "RuntimeError" in caplog.text


async def test_a_request_without_a_host_header() -> None:
    gateway, _ = make(FakeProvider(completion("Hi")))
    async with gateway.running():
        body = json.dumps({"model": "gpt-test", "messages": [{"role": "user", "content": "x"}]})
        caller = Caller([body.encode()])
        scope = http_scope("/prefix/v1/chat/completions", root_path="/prefix")
        await gateway({**scope, "server": None, "client": None}, caller.receive, caller.send)
    assert caller.answer.status == 200


async def test_a_hook_takes_the_place_of_the_keys_in_the_file() -> None:
    gateway = Gateway.from_config(
        {"api_keys": ["wk_file"], "providers": {"echo": {}}},
        authenticate=BearerKeys(["wk_test"]),
    )
    answer = await chat(gateway, model="echo/echo")
    assert answer.status == 200


TARGETS = {
    "providers": [
        Provider.openai(api_key="sk-one", base_url="http://one.test/v1", models=["big"]),
        Provider.groq(api_key="gsk-two", base_url="http://two.test/v1", models=["small"]),
    ],
    "aliases": {"smart": ["openai/big", "groq/small"]},
}


def failing(status: int) -> FakeAnswer:
    body = b'{"error":{"message":"No.","type":"t","code":"c"}}'
    return FakeAnswer([body], status=status, headers=[(b"x-ratelimit-remaining-requests", b"0")])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 401, 408, 409, 429, 500, 503, None])
async def test_an_alias_is_tried_in_order(status: int | None, stream: bool) -> None:
    failure = UpstreamError("gone") if status is None else failing(status)
    provider = FakeProvider(failure, chunks("Hi") if stream else completion("Hi"))
    gateway, sink = make(provider, **TARGETS)
    async with gateway.running():
        reply = await chat(gateway, model="smart", stream=stream)
    assert reply.status == 200
    assert reply.complete
    hosts = [request.endpoint.host for request in provider.requests]
    assert hosts == ["one.test", "two.test"]
    assert b'"small"' in provider.requests[1].body
    assert reply.headers["x-waystone-attempts"] == "2"
    assert reply.headers["x-waystone-provider"] == "groq"
    assert "x-ratelimit-remaining-requests" not in reply.headers
    [record] = sink.records
    assert (record.outcome, record.provider, record.request_model) == ("ok", "groq", "smart")
    first, second = record.attempts
    assert (first.provider, first.model) == ("openai", "big")
    assert first.error_type is not None
    assert (second.provider, second.model, second.error_type) == ("groq", "small", None)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_refusal_of_the_request_is_an_answer(status: int) -> None:
    provider = FakeProvider(failing(status))
    gateway, sink = make(provider, **TARGETS)
    async with gateway.running():
        reply = await chat(gateway, model="smart")
    assert (reply.status, len(provider.requests)) == (status, 1)
    assert reply.headers["x-waystone-attempts"] == "1"
    [record] = sink.records
    assert [attempt.status for attempt in record.attempts] == [status]


async def test_when_every_target_fails_the_last_failure_is_the_answer() -> None:
    provider = FakeProvider(failing(500), failing(429))
    gateway, sink = make(provider, **TARGETS)
    async with gateway.running():
        reply = await chat(gateway, model="smart")
    assert (reply.status, reply.headers["x-waystone-provider"]) == (429, "groq")
    assert reply.headers["x-waystone-attempts"] == "2"
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    [record] = sink.records
    assert [attempt.status for attempt in record.attempts] == [500, 429]


async def test_after_the_first_event_there_is_no_other_target() -> None:
    cut = FakeAnswer(chunks("Hi", "there").pieces[:1])
    provider = FakeProvider(cut)
    gateway, sink = make(provider, **TARGETS)
    async with gateway.running():
        reply = await chat(gateway, model="smart", stream=True)
    assert len(provider.requests) == 1
    assert b'"error"' in reply.body
    assert sink.records[0].outcome == "upstream_cut"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_target_is_tried_twice_unless_said_otherwise(stream: bool) -> None:
    answer = chunks("Hi") if stream else completion("Hi")
    gateway, sink = make(FakeProvider(UpstreamError("gone"), answer), retry=None)
    async with gateway.running():
        reply = await chat(gateway, stream=stream)
    assert (reply.status, reply.headers["x-waystone-attempts"]) == (200, "2")
    [record] = sink.records
    assert [attempt.error_type for attempt in record.attempts] == ["upstream_error", None]


async def test_a_retry_that_makes_no_sense() -> None:
    with pytest.raises(ConfigurationError, match="retry"):
        make(FakeProvider(), retry={"tries": 2})
    with pytest.raises(ConfigurationError, match="attempts"):
        make(FakeProvider(), retry={"attempts": 0})
