"""Streams of Bedrock that are not as they should be, and how they end."""

from __future__ import annotations

import json

import pytest

from waystone_asgi.exceptions import UpstreamError

from .answering import (
    BEGIN,
    ID,
    METADATA,
    delta,
    encode_frame,
    end,
    event,
    feed,
    frame_of,
    joined,
    open_stream,
    read_events,
    start,
    stop,
)
from .asking import CLAUDE

TEXT = [BEGIN, delta(0, text="A"), stop(0)]


def test_the_first_event_says_who_answers() -> None:
    stream = open_stream()
    assert (stream.feed(BEGIN), stream.started) == (b"", False)
    first = json.loads(stream.feed(delta(0, text="A"))[6:])
    assert stream.started
    assert not stream.complete
    assert (first["id"], first["model"]) == (ID, CLAUDE)
    assert (stream.response_id, stream.response_model) == (ID, CLAUDE)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "A"}


def test_usage_and_the_end_come_with_the_metadata() -> None:
    stream = open_stream()
    assert b"finish_reason" in stream.feed(b"".join(TEXT))
    assert stream.feed(end()) == b""
    assert stream.complete
    assert not stream.done
    relayed = stream.feed(METADATA)
    assert b'"finish_reason":"stop"' in relayed
    assert relayed.endswith(b"data: [DONE]\n\n")
    assert stream.done
    assert stream.estimated_output_tokens == stream.events == 3
    assert stream.feed(b"".join(TEXT)) == stream.finish() == b""


def test_an_answer_without_its_metadata_is_complete() -> None:
    stream = open_stream()
    relayed = feed(stream, [*TEXT, end("max_tokens")])
    assert joined(relayed)["finish_reason"] == "length"
    assert relayed.endswith(b"data: [DONE]\n\n")
    assert stream.usage is None


@pytest.mark.parametrize("rest", [b"", end()[:-1], METADATA, b"\x00"])
def test_an_answer_without_its_end_is_not_complete(rest: bytes) -> None:
    stream = open_stream()
    relayed = feed(stream, [*TEXT, rest])
    assert not stream.complete
    assert not stream.finish_reasons
    assert joined(relayed)["finish_reason"] is None
    assert b"[DONE]" not in relayed


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (METADATA[:-1] + b"\x00", "checksum"),
        (b"\x00" * 16, "checksum"),
        (encode_frame(b"{}", event_type="x").replace(b"\x07", b"\x0f"), "checksum"),
        (b"data: {}\n\n", "checksum"),
    ],
)
def test_a_wrong_frame_is_an_error_and_the_end(broken: bytes, says: str) -> None:
    stream = open_stream()
    relayed = feed(stream, [b"".join(TEXT) + broken + end() + METADATA])
    assert joined(relayed)["content"] == "A"
    assert isinstance(stream.error, UpstreamError)
    assert says in stream.error.message
    assert "cannot be read" in stream.error.message
    assert not stream.complete
    assert b"[DONE]" not in relayed


def test_an_error_after_the_end_is_one_all_the_same() -> None:
    stream = open_stream()
    relayed = feed(stream, [*TEXT, end(), b"\x00" * 16])
    assert stream.error is not None
    assert not stream.complete
    assert joined(relayed)["finish_reason"] is None


def test_a_frame_whose_headers_are_none_is_an_error() -> None:
    stream = open_stream()
    feed(stream, [*TEXT, frame_of(b"\x04name\x0f", b"{}"), end(), METADATA])
    assert stream.error is not None
    assert "unknown type" in stream.error.message
    assert not stream.complete


@pytest.mark.parametrize(
    "skipped",
    [
        event("somethingNew", contentBlockIndex=0, delta={"text": "B"}),
        delta(0, hologram={"a": 1}),
        start(0, hologram={"a": 1}),
        stop(7),
        delta(5, toolUse={"input": "{}"}),
        delta(5, toolResult=[{"text": "B"}]),
        encode_frame(b'{"contentBlockIndex":0}', message_type="event"),
    ],
    ids=["event", "delta", "start", "stop", "no call", "no result", "no type"],
)
def test_what_is_not_known_is_skipped(skipped: bytes) -> None:
    stream = open_stream()
    assert joined(feed(stream, [*TEXT, skipped, end(), METADATA]))["content"] == "A"
    assert stream.complete
    assert not stream.malformed


@pytest.mark.parametrize(
    "malformed",
    [
        encode_frame(b"", event_type="contentBlockDelta", message_type="event"),
        encode_frame(b"{", event_type="contentBlockDelta", message_type="event"),
        event("contentBlockDelta", contentBlockIndex="0", delta={"text": "B"}),
        event("contentBlockStart", contentBlockIndex=0),
        event("contentBlockStop"),
        event("messageStop"),
        delta(0, text=1),
        delta(0, reasoningContent={"redactedContent": "!"}),
        encode_frame(b"[" * 100_000, event_type="metadata", message_type="event"),
    ],
)
def test_what_is_malformed_is_skipped_and_counted(malformed: bytes) -> None:
    stream = open_stream()
    assert joined(feed(stream, [*TEXT, malformed, end(), METADATA]))["content"] == "A"
    assert stream.complete
    assert stream.malformed == 1


def test_a_block_that_begins_with_pieces_of_several_kinds_is_what_it_is_last() -> None:
    pieces = [delta(0, text="A"), delta(0, citation={"title": "T"}), delta(0, text="B"), stop(0)]
    message = joined(feed(open_stream(), [BEGIN, *pieces, end(), METADATA]))
    assert message["content"] == "AB"
    (block,) = message["extra_content"]["bedrock"]["content"]
    assert block["citationsContent"]["content"] == [{"text": "AB"}]


def test_input_of_the_providers_own_tools_that_is_no_json_is_kept() -> None:
    tool = {"toolUseId": "s", "name": "n", "type": "server_tool_use"}
    frames = [BEGIN, start(0, toolUse=tool), delta(0, toolUse={"input": "{"}), end(), METADATA]
    message = joined(feed(open_stream(), frames))
    assert message["extra_content"]["bedrock"]["content"] == [{"toolUse": tool | {"input": "{"}}]


def test_calls_are_told_as_they_come() -> None:
    stream = open_stream()
    frames = [
        start(0, toolUse={"toolUseId": "t1", "name": "f"}),
        delta(0, toolUse={"input": '{"a":'}),
        delta(0, toolUse={"input": "1}"}),
    ]
    told = [
        next(read_events(stream.feed(frame)))["choices"][0]["delta"]["tool_calls"]
        for frame in frames
    ]
    assert told == [
        [{"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"a":'}}],
        [{"index": 0, "function": {"arguments": "1}"}}],
    ]


def test_citations_are_told_at_once() -> None:
    """A client has no way to add to a list of what has no index."""
    cited = [{"location": {"web": {"url": f"https://a.example/{n}"}}} for n in range(2)]
    blocks = [(delta(n, citation=each), stop(n)) for n, each in enumerate(cited)]
    relayed = feed(open_stream(), [BEGIN, *(frame for block in blocks for frame in block), end()])
    found = [remark["url_citation"]["url"] for remark in joined(relayed)["annotations"]]
    assert found == ["https://a.example/0", "https://a.example/1"]
