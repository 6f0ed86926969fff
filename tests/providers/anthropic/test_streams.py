"""What streams come to that are not as the API reference draws them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.exceptions import ProviderRefusedError, UpstreamError
from waystone_asgi.providers.dialects import Stream
from waystone_asgi.records import Usage

from .written import added, chunks, events, opened

JSON = dict[str, Any]

START: JSON = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "model": "claude-x",
        "content": [],
        "usage": {"input_tokens": 9, "output_tokens": 1},
    },
}
STOP: JSON = {"type": "message_stop"}
DONE = b"data: [DONE]\n\n"


def begin(index: int, **block: Any) -> JSON:
    return {"type": "content_block_start", "index": index, "content_block": block}


def add(index: int, type: str, **delta: Any) -> JSON:
    return {"type": "content_block_delta", "index": index, "delta": {"type": type, **delta}}


def say(text: str) -> JSON:
    return add(0, "text_delta", text=text)


def stop(index: int = 0) -> JSON:
    return {"type": "content_block_stop", "index": index}


def end(stop_reason: str | None = "end_turn", **usage: int) -> JSON:
    event = {"type": "message_delta", "delta": {"stop_reason": stop_reason}}
    return event | ({"usage": usage} if usage else {})


TEXT = (begin(0, type="text", text=""), say("So."), stop())
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def fed(*documents: JSON) -> tuple[Stream, bytes]:
    stream = opened()
    return stream, stream.feed(events(*documents)) + stream.finish()


def message(*documents: JSON) -> JSON:
    """What comes of a stream that ends well."""
    stream, data = fed(START, *documents)
    assert (stream.complete, stream.malformed) == (True, 0)
    assert data.endswith(DONE)
    return added(chunks(data))


def test_pieces_come_as_they_are_sent() -> None:
    stream = opened()
    assert stream.feed(events(START, {"type": "ping"})) == b""
    assert not stream.started
    first = chunks(stream.feed(events(TEXT[0])))
    assert first[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert stream.started
    second = chunks(stream.feed(events(TEXT[1])))
    assert second[0]["choices"][0]["delta"] == {"content": "So."}
    assert stream.feed(events(TEXT[2])) == b""
    assert stream.estimated_output_tokens == 2
    last = stream.feed(events(end(output_tokens=3)))
    assert chunks(last)[0]["choices"][0]["finish_reason"] == "stop"
    assert stream.usage == Usage(input_tokens=9, output_tokens=3)
    assert stream.feed(events(STOP)) == DONE
    assert stream.finish() == b""


def test_it_has_begun_though_the_model_thinks_in_silence() -> None:
    stream = opened()
    data = stream.feed(events(START, begin(0, type="thinking", thinking="", signature="")))
    assert chunks(data)[0]["choices"][0]["delta"] == {"role": "assistant"}


def test_parallel_calls() -> None:
    told = message(
        begin(0, type="tool_use", id="a", name="look", input={}),
        add(0, "input_json_delta", partial_json=""),
        add(0, "input_json_delta", partial_json='{"x":'),
        add(0, "input_json_delta", partial_json=" 1}"),
        stop(0),
        begin(1, type="tool_use", id="b", name="look", input={"y": 2}),
        stop(1),
        begin(2, type="tool_use", id="c", name="look"),
        stop(2),
        end("tool_use"),
        STOP,
    )
    calls = [(call["id"], call["function"]["arguments"]) for call in told["tool_calls"]]
    assert calls == [("a", '{"x": 1}'), ("b", '{"y":2}'), ("c", "{}")]
    assert told["finish_reason"] == "tool_calls"
    assert "content" not in told


def test_blocks_that_begin_with_something() -> None:
    told = message(
        begin(0, type="thinking", thinking="Hm", signature="old"),
        add(0, "thinking_delta", thinking="."),
        add(0, "signature_delta", signature="sig"),
        begin(1, type="text", text="S"),
        add(1, "text_delta", text="o."),
        end(),
    )
    assert (told["reasoning_content"], told["content"]) == ("Hm.", "So.")
    assert told["reasoning_details"][0]["text"] == "Hm."
    assert told["reasoning_details"][0]["signature"] == "sig"


def test_arguments_that_the_bound_has_cut() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search"}
    told = message(
        begin(0, **search, input={}),
        add(0, "input_json_delta", partial_json='{"query": "a'),
        end("max_tokens"),
        STOP,
    )
    assert told["extra_content"] == {"anthropic": {"content": [{**search, "input": {}}]}}
    assert told["finish_reason"] == "length"


def test_a_history_that_was_made_shorter_is_carried_whole() -> None:
    told = message(
        begin(0, type="compaction", content=None),
        add(0, "compaction_delta", content="What was said.", encrypted_content="x"),
        add(0, "signature_delta", signature="s"),
        stop(0),
        end("compaction"),
        STOP,
    )
    (block,) = told["extra_content"]["anthropic"]["content"]
    assert block == {
        "type": "compaction",
        "content": "What was said.",
        "encrypted_content": "x",
        "signature": "s",
    }
    assert told["finish_reason"] == "stop"


def test_a_block_that_grows_in_a_way_not_known_here_is_not_carried() -> None:
    told = message(
        begin(0, type="hologram"), add(0, "hologram_delta", sides=3), stop(), *TEXT_AT_1, end()
    )
    assert (told["content"], told.get("extra_content")) == ("So.", None)


TEXT_AT_1 = (begin(1, type="text", text=""), add(1, "text_delta", text="So."), stop(1))


@pytest.mark.parametrize(
    "documents",
    [
        (*TEXT, end(), STOP, STOP),
        (*TEXT, stop(), end(), STOP),
        (*TEXT, stop(5), end(), STOP),
        (*TEXT, end(None, output_tokens=2), end(), STOP),
        (*TEXT, end(), end("max_tokens"), STOP),
        (*TEXT[:2], end(), STOP),
        (*TEXT, end()),
        (*TEXT, {"type": "message_delta"}, end(), STOP),
        ({"type": "message_start"}, {"type": "news", "index": 7}, *TEXT, end(), STOP),
    ],
)
def test_an_end_that_is_reached_all_the_same(documents: tuple[JSON, ...]) -> None:
    told = message(*documents)
    assert (told["content"], told["finish_reason"]) == ("So.", "stop")


@pytest.mark.parametrize(
    "documents", [(), TEXT[:1], TEXT[:2], TEXT, (*TEXT, STOP), (*TEXT, end(None), STOP)]
)
def test_a_stream_without_an_end(documents: tuple[JSON, ...]) -> None:
    stream, data = fed(START, *documents)
    assert not stream.complete
    assert stream.finish_reasons == ()
    assert DONE not in data


@pytest.mark.parametrize(
    "wrong",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        events(begin(0, type="tool_use", id=5)),
        events({"type": "content_block_start", "index": 0}),
        events({"type": "content_block_start", "index": 0, "content_block": []}),
        events({"type": "content_block_delta", "index": 0}),
        events(add(7, "text_delta", text="?")),
    ],
)
def test_events_that_cannot_be_read_are_skipped_and_counted(wrong: bytes) -> None:
    stream = opened()
    data = stream.feed(events(START, *TEXT) + wrong + events(end(), STOP))
    assert stream.malformed == 1
    assert added(chunks(data))["content"] == "So."
    assert stream.complete


def test_an_error_before_the_answer() -> None:
    stream, data = fed(START, ERROR)
    assert (stream.started, stream.complete, data) == (False, False, b"")
    assert isinstance(stream.error, UpstreamError)
    assert stream.error.message == "The provider failed (529): Overloaded"


def test_an_error_after_content() -> None:
    stream, data = fed(START, *TEXT[:2], ERROR, say("More."), end(), STOP)
    told = added(chunks(data))
    assert (told["content"], told.get("finish_reason")) == ("So.", None)
    assert not stream.complete
    assert DONE not in data


def test_an_error_that_names_the_caller() -> None:
    stream, _ = fed({"type": "error", "error": {"type": "rate_limit_error", "message": "Slow."}})
    assert isinstance(stream.error, ProviderRefusedError)
    assert (stream.error.status, stream.error.message) == (429, "Slow.")


def test_usage_of_the_beginning_and_of_the_end_are_one() -> None:
    start = json.loads(json.dumps(START))
    start["message"]["usage"] = {
        "input_tokens": 4,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 1,
    }
    stream, _ = fed(start, *TEXT, end(input_tokens=8, output_tokens=7))
    assert stream.usage == Usage(
        input_tokens=158,
        output_tokens=7,
        cache_read_input_tokens=100,
        cache_write_input_tokens=50,
    )
    assert (stream.response_id, stream.response_model) == ("msg_1", "claude-x")


def test_a_stream_that_does_not_say_who_answers() -> None:
    stream, data = fed(*TEXT, end(output_tokens=2))
    assert {(chunk["id"], chunk["model"]) for chunk in chunks(data)} == {("req_1", "claude")}
    assert (stream.response_id, stream.response_model) == ("req_1", None)
