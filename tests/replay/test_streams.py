"""Streams as they were recorded, through a gateway on a real socket."""

from __future__ import annotations

import json

import pytest

from ..asgi import Answer
from .exchanges import Exchange, cases, of_kind, split_events
from .gateway import ABANDONED, Replay, asking, spelled
from .published import chunk_faults
from .readings import StreamReading, read_error, read_stream, rest_of
from .server import Player

pytestmark = pytest.mark.anyio

CHUNK_EXCEPTIONS = {
    "azure_openai-s-4b5794775964": ({"object"}, "the filter's first event has an empty `object`"),
    "azure_openai-s-50282cf28f99": ({"object"}, "the filter's first event has an empty `object`"),
    "azure_openai-s-b0dff29fa88c": ({"object"}, "the filter's first event has an empty `object`"),
    "perplexity-s-c98262e79e44": ({"object"}, "the last `object` is `chat.completion.done`"),
}
SERVICE_TIERS = ("groq", "huggingface")


def asking_for_usage(exchange: Exchange, usage_asked: bool) -> bytes:
    """The recorded request, with and without the wish for a usage chunk."""
    options = {"include_usage": True} if usage_asked else None
    return spelled(asking(exchange, stream_options=options))


@pytest.mark.parametrize("usage_asked", [True, False], ids=["usage", "no-usage"])
@pytest.mark.parametrize("exchange", of_kind("stream"))
async def test_a_stream_is_relayed_as_recorded(
    exchange: Exchange, usage_asked: bool, player: Player
) -> None:
    replay = Replay(exchange, player, "network")
    answer = await replay.ask(asking_for_usage(exchange, usage_asked))
    reading = read_stream(exchange, usage_asked=usage_asked)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == (
        "no-cache",
        "no",
    )
    _check_relayed(answer, reading, exchange)
    _check_record(replay, reading)


def _check_relayed(answer: Answer, reading: StreamReading, exchange: Exchange) -> None:
    """The recorded bytes, and behind them the error that the provider ended with, if any."""
    assert answer.complete
    rest = rest_of(answer.body, reading.relayed)
    if reading.error is None:
        assert rest == b""
        return
    assert rest.startswith(b"data: ")
    assert rest.endswith(b"\n\n")
    error = json.loads(rest[6:])["error"]
    assert reading.error["message"] in error["message"]
    if reading.error.get("status_code") == 400:
        assert error == {"param": None, **reading.error}
    else:
        assert (error["type"], error["code"]) == ("api_error", "upstream_error")


def _check_record(replay: Replay, reading: StreamReading) -> None:
    record = replay.record
    assert record.stream
    assert record.status == 200
    assert record.outcome == ("ok" if reading.error is None else "error")
    assert (record.response_id, record.response_model) == (
        reading.response_id,
        reading.response_model,
    )
    assert record.finish_reasons == reading.finish_reasons
    assert record.usage_source == ("provider" if reading.usage else "estimated")
    counted = (
        record.input_tokens,
        record.cache_read_input_tokens,
        record.cache_write_input_tokens,
        record.output_tokens,
        record.reasoning_output_tokens,
    )
    if reading.usage:
        assert counted == reading.usage
    else:
        assert record.input_tokens > 0
        assert record.output_tokens > 0
    assert record.time_to_first_chunk is not None


@pytest.mark.parametrize("exchange", of_kind("stream"))
async def test_each_event_has_the_official_form(exchange: Exchange, player: Player) -> None:
    answer = await Replay(exchange, player, "whole").ask(asking_for_usage(exchange, True))
    faults: set[str] = set()
    for event in split_events(answer.body):
        if event.document is not None and "error" not in event.document:
            faults |= chunk_faults(event.document)
    excepted, _ = CHUNK_EXCEPTIONS.get(exchange.id, (set(), ""))
    if exchange.provider in SERVICE_TIERS:
        faults.discard("service_tier")
    assert faults == excepted


@pytest.mark.filterwarnings(ABANDONED)
@pytest.mark.parametrize("exchange", cases(lambda x: x.stream and len(x.body) < 2000))
async def test_a_stream_may_come_byte_by_byte(exchange: Exchange, player: Player) -> None:
    whole = await Replay(exchange, player, "whole").ask(asking_for_usage(exchange, False))
    replay = Replay(exchange, player, "bytes")
    cut = await replay.ask(asking_for_usage(exchange, False))
    assert (cut.status, cut.body) == (whole.status, whole.body)
    assert cut.complete


@pytest.mark.filterwarnings(ABANDONED)
@pytest.mark.parametrize("exchange", cases(lambda x: x.kind == "error" and x.stream))
async def test_an_error_in_place_of_a_stream_is_no_stream(
    exchange: Exchange, player: Player
) -> None:
    answer = await Replay(exchange, player, "network").ask(asking_for_usage(exchange, True))
    assert answer.status == read_error(exchange)["status"]
    assert answer.headers["content-type"] == "application/json"
