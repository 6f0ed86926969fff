"""Recorded streams that break off: what came is kept, and nothing looks complete that is not."""

from __future__ import annotations

import json

import pytest

from waystone_asgi import BearerKeys, Gateway, MemorySink, Provider
from waystone_asgi.exceptions import UpstreamError
from waystone_asgi.testing import FakeAnswer, FakeProvider

from ..asgi import request
from .exchanges import DONE, Event, Exchange, cases
from .gateway import asking, spelled
from .readings import as_told, rest_of

pytestmark = pytest.mark.anyio

BROKEN = UpstreamError("The answer broke off.")
ENDS: dict[str, list[UpstreamError]] = {"closed": [], "broken": [BROKEN]}


def spoken(exchange: Exchange) -> list[Event]:
    """The events before the first that has a finish reason: an answer that is not complete."""
    events = []
    for event in exchange.events:
        choices = (event.document or {}).get("choices", [])
        if any(choice.get("finish_reason") for choice in choices):
            break
        events.append(event)
    return events


def can_break_off(exchange: Exchange) -> bool:
    """Whether it says something before it has a finish reason."""
    events = spoken(exchange)
    begun = any(event.document is not None for event in events)
    return begun and len(events) < len(exchange.events)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("exchange", cases(can_break_off))
async def test_a_stream_that_breaks_off_ends_in_an_error(exchange: Exchange, end: str) -> None:
    events = spoken(exchange)
    half = exchange.events[len(events)].raw[:-9]
    pieces = [*[event.raw for event in events], half, *ENDS[end]]
    sink = MemorySink()
    gateway = Gateway(
        retry={"attempts": 1},
        providers=[
            Provider(
                name=exchange.type,
                type=exchange.type,
                api_key="sk-test",
                base_url="http://provider.test/v1",
            )
        ],
        authenticate=BearerKeys(["wk_test"]),
        upstream=FakeProvider(FakeAnswer(pieces)),
        sinks=[sink],
    )
    async with gateway.running():
        answer = await request(gateway, "/v1/chat/completions", spelled(asking(exchange)))
    assert answer.status == 200
    assert answer.complete
    rest = rest_of(answer.body, [as_told(exchange.provider, event) for event in events])
    error = json.loads(rest.removeprefix(b"data: "))["error"]
    assert (error["type"], error["code"]) == ("api_error", "upstream_error")
    assert DONE not in answer.body
    [record] = sink.records
    assert (record.outcome, record.status, record.error_type) == (
        "upstream_cut",
        200,
        "upstream_error",
    )
    assert record.finish_reasons == ()
    assert record.input_tokens > 0
