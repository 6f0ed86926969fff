"""Streams of OpenAI's form, event by event: what is relayed, and what the record takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi import sse
from waystone_asgi.exceptions import ProviderRefusedError, UpstreamCredentialError, UpstreamError
from waystone_asgi.providers.openai import StreamDecoder
from waystone_asgi.records import Usage
from waystone_asgi.wire.requests import decode_chat_request

DONE = b"data: [DONE]\n\n"


def decoder(**members: Any) -> StreamDecoder:
    request = {
        "model": "x/gpt",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        **members,
    }
    return StreamDecoder(decode_chat_request(json.dumps(request).encode()).view)


def event(document: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(document, separators=(",", ":")).encode()


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return event({"id": "c-1", "model": "gpt-1", "choices": [choice], **more})


USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
COUNTED = Usage(input_tokens=5, output_tokens=3)
HELLO, THERE, STOP = chunk("Hello"), chunk(" there"), chunk(finish="stop")
COUNT = event({"id": "c-1", "model": "gpt-1", "choices": [], "usage": USAGE})
ERROR = event({"error": {"message": "down", "code": 503}})


def relayed(stream: StreamDecoder, *pieces: bytes) -> bytes:
    return b"".join([stream.feed(piece) for piece in pieces]) + stream.finish()


def test_it_begins_with_nothing() -> None:
    stream = decoder()
    assert (stream.started, stream.done, stream.complete) == (False, False, False)
    assert (stream.error, stream.usage, stream.finish_reasons) == (None, None, ())
    assert (stream.response_id, stream.response_model) == (None, None)
    assert (stream.events, stream.malformed, stream.estimated_output_tokens) == (0, 0, 0)


def test_a_whole_stream() -> None:
    stream = decoder()
    assert relayed(stream, HELLO, THERE, STOP, COUNT, DONE) == HELLO + THERE + STOP + DONE
    assert (stream.started, stream.done, stream.complete) == (True, True, True)
    assert (stream.error, stream.usage, stream.finish_reasons) == (None, COUNTED, ("stop",))
    assert (stream.response_id, stream.response_model) == ("c-1", "gpt-1")
    assert (stream.events, stream.malformed, stream.estimated_output_tokens) == (3, 0, 3)


@pytest.mark.parametrize(
    ("pieces", "started"),
    [
        pytest.param([b": wait\n\n"], False, id="comment"),
        pytest.param([b"\n\n"], False, id="blank"),
        pytest.param([b"event: ping\n\n"], False, id="a name without data"),
        pytest.param([HELLO[:-1]], False, id="unfinished"),
        pytest.param([b"data: nonsense\n\n"], False, id="malformed"),
        pytest.param([ERROR], False, id="error"),
        pytest.param([HELLO], True, id="event"),
        pytest.param([b": wait\n\n", HELLO], True, id="an event behind a comment"),
        pytest.param([COUNT], True, id="an event that is hidden"),
        pytest.param([DONE], True, id="the end"),
        pytest.param([HELLO, ERROR], True, id="an error behind an event"),
    ],
)
def test_it_has_started_with_the_first_event_of_an_answer(
    pieces: list[bytes], started: bool
) -> None:
    stream = decoder()
    for piece in pieces:
        stream.feed(piece)
    assert stream.started == started


@pytest.mark.parametrize("asked", [None, {}, {"include_usage": False}, {"include_usage": True}])
@pytest.mark.parametrize(
    ("piece", "hidden"),
    [
        pytest.param(COUNT, True, id="usage alone"),
        pytest.param(event({"usage": USAGE}), True, id="usage without choices"),
        pytest.param(event({"choices": None, "usage": USAGE}), True, id="choices are null"),
        pytest.param(chunk("a", usage=USAGE), False, id="usage beside a choice"),
        pytest.param(chunk("a", usage=None), False, id="usage is null"),
        pytest.param(event({"choices": [], "usage": None}), False, id="no usage, no choices"),
        pytest.param(event({"choices": [], "usage": {}}), True, id="an empty usage"),
        pytest.param(
            event({"choices": [], "prompt_filter_results": []}), False, id="Azure's first event"
        ),
        pytest.param(
            event({"choices": [], "x_groq": {"usage": USAGE}}), False, id="Groq's own usage"
        ),
    ],
)
def test_usage_is_relayed_where_it_was_asked_for(
    asked: dict[str, bool] | None, piece: bytes, hidden: bool
) -> None:
    stream = decoder(stream_options=asked)
    wanted = bool(asked and asked["include_usage"]) if asked else False
    assert stream.feed(HELLO + piece) == HELLO + (b"" if hidden and not wanted else piece)


@pytest.mark.parametrize(
    ("pieces", "counted"),
    [
        pytest.param([HELLO, STOP, DONE], None, id="none"),
        pytest.param([HELLO, STOP, COUNT, DONE], COUNTED, id="before the end"),
        pytest.param([HELLO, STOP, DONE, COUNT], COUNTED, id="behind the end"),
        pytest.param([HELLO, ERROR, COUNT], COUNTED, id="behind an error"),
        pytest.param([HELLO, STOP, COUNT[:-2]], COUNTED, id="unfinished"),
        pytest.param([chunk("a", "stop", usage=USAGE)], COUNTED, id="in the last event"),
        pytest.param(
            [chunk("a", usage={**USAGE, "completion_tokens": 1}), chunk("b", "stop", usage=USAGE)],
            COUNTED,
            id="in each event: the last counts",
        ),
        pytest.param([COUNT, chunk("a", "stop", usage=None)], COUNTED, id="null takes none away"),
        pytest.param([chunk("a", "stop", x_groq={"usage": USAGE})], COUNTED, id="Groq"),
        pytest.param([chunk("a", x_groq={"usage": USAGE}), STOP], COUNTED, id="Groq, early"),
        pytest.param([chunk("a", "stop", x_groq={"id": "r"})], None, id="Groq, without"),
        pytest.param([chunk("a", "stop", x_groq=None)], None, id="Groq, null"),
        pytest.param([chunk("a", usage="many")], None, id="no object"),
    ],
)
@pytest.mark.parametrize("before", [[], [HELLO, THERE]], ids=["first", "in the midst"])
def test_usage_is_taken_wherever_it_comes(
    before: list[bytes], pieces: list[bytes], counted: Usage | None
) -> None:
    stream = decoder()
    relayed(stream, *before, *pieces)
    assert stream.usage == counted


@pytest.mark.parametrize(
    ("n", "pieces", "complete", "end"),
    [
        pytest.param(1, [HELLO], False, b"", id="no finish reason"),
        pytest.param(1, [chunk("a", "")], False, b"", id="an empty finish reason"),
        pytest.param(1, [HELLO, STOP], True, DONE, id="a finish reason"),
        pytest.param(1, [HELLO, STOP, COUNT], True, DONE, id="a finish reason and usage"),
        pytest.param(1, [HELLO, STOP, DONE], True, b"", id="an end"),
        pytest.param(1, [HELLO, DONE], True, b"", id="an end without finish reason"),
        pytest.param(1, [HELLO, STOP, b"data: [DONE]"], True, b"\n\n", id="an end cut short"),
        pytest.param(1, [HELLO, STOP, b"data: [DONE]\n"], True, b"\n\n", id="one line end"),
        pytest.param(1, [HELLO, STOP, b"data: [DONE]\r"], True, b"\n\n", id="one CR"),
        pytest.param(1, [HELLO, STOP, b"data: [DONE]\r\n"], True, b"\n\n", id="one CR LF"),
        pytest.param(1, [HELLO, STOP[:-2]], True, b"\n\n" + DONE, id="the last event cut short"),
        pytest.param(1, [HELLO, STOP, b"\n"], True, DONE, id="a blank line more"),
        pytest.param(1, [HELLO, STOP, ERROR], False, b"", id="an error behind a finish reason"),
        pytest.param(2, [HELLO, STOP], False, b"", id="one choice of two"),
        pytest.param(2, [HELLO, STOP, STOP], False, b"", id="one choice twice"),
        pytest.param(2, [STOP, DONE], True, b"", id="one choice of two, and an end"),
        pytest.param(
            2, [STOP, STOP.replace(b'"index":0', b'"index":1')], True, DONE, id="both choices"
        ),
    ],
)
def test_it_is_complete_with_its_end_or_each_finish_reason(
    n: int, pieces: list[bytes], complete: bool, end: bytes
) -> None:
    stream = decoder(n=n)
    kept = [piece for piece in pieces if piece not in (COUNT, ERROR, b"\n")]
    assert relayed(stream, *pieces) == b"".join(kept) + end
    assert stream.complete == complete
    assert stream.done == complete


@pytest.mark.parametrize("cut", range(1, len(THERE) - 2))
def test_an_event_cut_off_is_not_relayed(cut: int) -> None:
    stream = decoder()
    assert relayed(stream, HELLO, THERE[:cut]) == HELLO
    assert not stream.complete


def test_finish_reasons_are_by_choice_and_the_last_counts() -> None:
    stream = decoder(n=3)
    for index, reason in [(2, "length"), (0, "stop"), (2, "tool_calls"), (0, None), (1, 7)]:
        stream.feed(event({"choices": [{"index": index, "finish_reason": reason}]}))
    assert stream.finish_reasons == ("stop", "tool_calls")


@pytest.mark.parametrize("behind", [DONE, ERROR])
def test_behind_its_end_nothing_is_relayed(behind: bytes) -> None:
    stream = decoder()
    stream.feed(HELLO + behind)
    events = stream.events
    late = [THERE, b": wait\n\n", STOP, COUNT, DONE, chunk("a", model="gpt-2")]
    assert [stream.feed(piece) for piece in late] == [b""] * len(late)
    assert stream.finish() == b""
    assert stream.finish_reasons == ()
    assert stream.events == events == 1
    assert stream.usage == COUNTED


@pytest.mark.parametrize(
    ("piece", "status", "type", "code", "message"),
    [
        pytest.param(
            b'event: error\ndata: {"error":{"message":"no","type":"invalid_request_error",'
            b'"code":"tool_use_failed","status_code":400}}\n\n',
            400,
            "invalid_request_error",
            "tool_use_failed",
            "no",
            id="Groq",
        ),
        pytest.param(
            chunk("", "stop", error={"message": "no", "code": 502, "metadata": {"raw": "x"}}),
            502,
            "api_error",
            "upstream_error",
            "The provider failed (502): no",
            id="OpenRouter",
        ),
        pytest.param(
            event({"choices": [{"index": 0, "error": {"message": "no", "code": 429}}]}),
            429,
            "rate_limit_error",
            "429",
            "no",
            id="OpenRouter, in a choice",
        ),
        pytest.param(
            event({"error": "overloaded"}),
            502,
            "api_error",
            "upstream_error",
            "The provider failed (502): overloaded",
            id="a string",
        ),
        pytest.param(
            event({"choices": [], "x_groq": {"id": "r", "error": "over capacity"}}),
            502,
            "api_error",
            "upstream_error",
            "The provider failed (502): over capacity",
            id="Groq, aside",
        ),
        pytest.param(
            event({"error": {"message": "key sk-canary", "code": 401}}),
            502,
            "api_error",
            "upstream_authentication",
            "The provider refused the gateway's credential for it.",
            id="a refused credential",
        ),
    ],
)
@pytest.mark.parametrize("before", [b"", HELLO, b": wait\n\n"])
def test_an_error_is_taken_and_not_relayed(
    before: bytes, piece: bytes, status: int, type: str, code: str, message: str
) -> None:
    stream = decoder()
    assert stream.feed(before + piece) == before
    error = stream.error
    assert error is not None
    assert (error.status, error.type, error.code) == (status, type, code)
    assert error.message == message
    assert (stream.complete, stream.done) == (False, False)
    assert stream.started == (before == HELLO)
    assert stream.events == (before == HELLO)
    assert stream.finish_reasons == ()
    assert stream.finish() == b""


@pytest.mark.parametrize(
    ("document", "status", "message"),
    [
        (b'{"error":{"message":"no","code":400}}', 400, "no"),
        (b'{\n  "error": {\n    "message": "no",\n    "code": 429\n  }\n}\n', 429, "no"),
        (b'{"choices":[]}', 502, "The provider's answer is not a chat completion."),
        (b"{", 502, "The provider's answer is not a chat completion."),
    ],
)
def test_a_document_in_place_of_a_stream_is_an_error(
    document: bytes, status: int, message: str
) -> None:
    stream = decoder()
    assert relayed(stream, b"", document[:20], document[20:]) == b""
    assert stream.error is not None
    assert (stream.error.status, stream.error.message) == (status, message)
    assert (stream.started, stream.complete) == (False, False)


@pytest.mark.parametrize("rest", [b"", b"\n", b"<html>", b"data", b": wait"])
def test_what_else_stands_in_place_of_a_stream_is_nothing(rest: bytes) -> None:
    stream = decoder()
    assert relayed(stream, rest) == b""
    assert (stream.started, stream.complete, stream.error) == (False, False, None)


def test_the_first_error_counts() -> None:
    stream = decoder()
    refused = event({"error": {"message": "first", "code": 400}, "choices": [{"error": {"a": 1}}]})
    stream.feed(refused + ERROR + event({"error": {"code": 401}}))
    assert isinstance(stream.error, ProviderRefusedError)
    assert not isinstance(stream.error, UpstreamCredentialError)
    assert stream.error.message == "first"


@pytest.mark.parametrize("document", [{"error": None}, {"choices": [{"error": None}]}])
def test_a_null_is_no_error(document: object) -> None:
    stream = decoder()
    assert stream.feed(event(document)) == event(document)
    assert stream.error is None


@pytest.mark.parametrize(
    "malformed",
    [
        pytest.param(b"data: {\n\n", id="cut short"),
        pytest.param(b"data: nonsense\n\n", id="no JSON"),
        pytest.param(b"data:\n\n", id="empty"),
        pytest.param(b"data: 7\n\n", id="a number"),
        pytest.param(b"data: []\n\n", id="an array"),
        pytest.param(b'data: {"choices":{}}\n\n', id="choices are an object"),
        pytest.param(b'data: {"choices":["a"]}\n\n', id="a choice is a string"),
        pytest.param(b'data: {"id":"\xff"}\n\n', id="not UTF-8"),
        pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", id="nested deeply"),
        pytest.param(b'data: {"id":"c-1"}\ndata: {"id":"c-1"}\n\n', id="two documents"),
        pytest.param(b'data: {"id":\n"c-1"}\n\n', id="an LF within"),
        pytest.param(b'data: {"id":\r"c-1"}\n\n', id="a CR within"),
        pytest.param(b'data: {"choices":[{"index":"0"}]}\n\n', id="an index is a string"),
    ],
)
@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
def test_a_malformed_event_is_skipped_and_counted(malformed: bytes, together: bool) -> None:
    stream = decoder()
    pieces = [HELLO, THERE, malformed, THERE, STOP, DONE]
    if together:
        pieces = [HELLO, THERE + malformed + THERE, STOP + DONE]
    assert relayed(stream, *pieces) == HELLO + THERE + THERE + STOP + DONE
    assert (stream.malformed, stream.error) == (1, None)
    assert stream.events == 4
    assert stream.complete


@pytest.mark.parametrize(
    ("documents", "seen"),
    [
        pytest.param([{}], (None, None), id="none"),
        pytest.param([{"id": None, "model": None}], (None, None), id="null"),
        pytest.param([{"id": "", "model": ""}], (None, None), id="empty"),
        pytest.param([{"id": 7, "model": ["m"]}], (None, None), id="no strings"),
        pytest.param([{"id": "a", "model": "m"}], ("a", "m"), id="there"),
        pytest.param([{"id": ""}, {"id": "a", "model": "m"}], ("a", "m"), id="later"),
        pytest.param([{"id": "a", "model": "m"}, {}], ("a", "m"), id="once"),
        pytest.param(
            [{"id": "a", "model": ""}, {"id": "b", "model": "m"}, {"finish": 1, "model": "n"}],
            ("a", "n"),
            id="the first id, the last model",
        ),
    ],
)
@pytest.mark.parametrize("finish", [None, "stop"])
def test_ids_and_models(finish: str | None, documents: list[Any], seen: tuple[object, ...]) -> None:
    stream = decoder()
    choices = [{"index": 0, "finish_reason": finish}]
    pieces = [event({**document, "choices": choices}) for document in documents]
    assert relayed(stream, *pieces) == b"".join(pieces) + (DONE if finish else b"")
    assert (stream.response_id, stream.response_model) == seen


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([HELLO, THERE, THERE], id="an event each"),
        pytest.param([HELLO, THERE + THERE], id="two in one"),
        pytest.param([HELLO + THERE + THERE], id="all in one"),
        pytest.param([HELLO, THERE.replace(b"\n", b"\r\n"), THERE], id="CR LF"),
        pytest.param([HELLO, THERE.replace(b"data: ", b"data:"), THERE], id="no space"),
        pytest.param([HELLO, b"id: 7\n" + THERE, THERE], id="an event's id"),
        pytest.param([HELLO, THERE, b"event: chunk\n" + THERE], id="an event's name"),
        pytest.param([HELLO, chunk('"usage" "error" x_groq [DONE]'), THERE], id="words that look"),
        pytest.param([HELLO, b": wait\n\n" + THERE, THERE + b": wait\n\n"], id="comments"),
        pytest.param([HELLO, chunk("a", usage=None), THERE], id="a null usage"),
        pytest.param([HELLO, chunk("\u2028\x85"), THERE], id="line ends of Unicode"),
        pytest.param([b"\xef\xbb\xbf" + HELLO, THERE, THERE], id="byte order mark"),
        pytest.param([b"\n" + HELLO, b"\n\n" + THERE, THERE], id="blank lines"),
        pytest.param([HELLO, THERE[:9], THERE[9:], THERE], id="one in two"),
        pytest.param([HELLO, THERE + THERE[:9], THERE[9:]], id="one and a half"),
        pytest.param([HELLO, b": wait\n", THERE, THERE], id="a comment's line ahead"),
    ],
)
def test_events_pass_as_they_are(pieces: list[bytes]) -> None:
    stream = decoder()
    given = b"".join(pieces)
    assert b"".join([stream.feed(piece) for piece in pieces]) == given
    assert stream.events == 3
    assert (stream.malformed, stream.error) == (0, None)
    assert stream.feed(STOP + DONE) == STOP + DONE
    assert stream.complete


def test_an_event_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    stream = decoder()
    assert stream.feed(HELLO) == HELLO
    assert stream.feed(b"data: " + b"x" * 1000) == b""
    assert type(stream.error) is UpstreamError
    assert stream.error.message == (
        "The provider's stream cannot be read: an event is longer than 1000 bytes."
    )
    first = stream.error
    for _ in range(100):
        assert stream.feed(b"x" * 600) == b""
    assert stream.error is first
    stream.feed(b"\n\n" + COUNT)
    assert stream.usage == COUNTED
    assert stream.finish() == b""
