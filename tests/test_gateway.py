"""The corridor with a fake provider: what it answers, and what it records."""

from __future__ import annotations

import pytest

from waystone_asgi import BearerKeys, Gateway, MemorySink, Provider
from waystone_asgi.testing import FakeAnswer, FakeProvider, chunks, completion

from .asgi import chat

pytestmark = pytest.mark.anyio


def make(provider: FakeProvider) -> tuple[Gateway, MemorySink]:
    sink = MemorySink()
    gateway = Gateway(
        providers=[Provider.openai(api_key="sk-canary", base_url="http://provider.test/v1")],
        authenticate=BearerKeys(["wk_test"]),
        upstream=provider,
        sinks=[sink],
    )
    return gateway, sink


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
    assert record.usage_source == "provider"
    assert answer.closed == 1
