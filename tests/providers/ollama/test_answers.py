"""Answers and streams of Ollama's that were not recorded, and a conversation of two turns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from waystone_asgi.exceptions import GatewayError, UpstreamError
from waystone_asgi.providers.dialects import Head, Target
from waystone_asgi.providers.ollama import DIALECT
from waystone_asgi.sse import MAX_EVENT_BYTES
from waystone_asgi.wire.requests import decode_chat_request

from ..recorded import HEAD, RECEIVED, Heard, events_of, hear, opened, played, put_together

CALL = {"function": {"name": "roll", "arguments": {"n": 2}}}


def line(said: dict[str, Any] | None = None, **members: Any) -> bytes:
    message = {"message": {"role": "assistant", **said}} if said is not None else {}
    document = {"model": "qwen", "created_at": "2026-01-02T03:04:05.123456789Z", **message}
    return json.dumps(document | members).encode() + b"\n"


def done(said: dict[str, Any] | None = None, **members: Any) -> bytes:
    return line(said or {"content": ""}, done=True, eval_count=3, **members)


def heard(body: bytes) -> Heard:
    return hear(DIALECT.parse_response(body, HEAD).body)


@pytest.mark.parametrize(
    ("reason", "said", "expected"),
    [
        ("stop", {"content": "a"}, "stop"),
        ("length", {"content": "a"}, "length"),
        ("stop", {"tool_calls": [CALL]}, "tool_calls"),
        ("length", {"tool_calls": [CALL]}, "length"),
        ("load", {"content": ""}, "stop"),
        (None, {"content": "a"}, "stop"),
    ],
)
def test_why_it_ended(reason: str | None, said: dict[str, Any], expected: str) -> None:
    body = done(said, done_reason=reason)
    assert heard(body).finish_reason == expected
    stream, relayed = played(DIALECT, [body])
    assert put_together(relayed).finish_reason == expected
    assert stream.complete


@pytest.mark.parametrize(
    ("created_at", "created"),
    [
        ("2026-01-02T03:04:05.123456789Z", 1767323045),
        ("2026-01-02T04:04:05+01:00", 1767323045),
        ("yesterday", RECEIVED),
        (None, RECEIVED),
    ],
)
def test_when_it_was_created(created_at: str | None, created: int) -> None:
    body = done({"content": "a"}, created_at=created_at)
    assert heard(body).created == created
    assert put_together(played(DIALECT, [body])[1]).created == created


def test_an_id_is_made_of_what_the_answer_says() -> None:
    first, again = heard(done({"content": "a"})), heard(done({"content": "b"}))
    later = heard(done({"content": "a"}, created_at="2026-01-02T03:04:06Z"))
    assert first.id == again.id != later.id


def test_who_answers_is_who_was_asked_where_it_is_not_said() -> None:
    answer = DIALECT.parse_response(done({"content": "a"}, model=None), Head(model="m", received=1))
    assert json.loads(answer.body)["model"] == "m"
    assert answer.response_model is None


@pytest.mark.parametrize(
    ("told", "counted", "estimated"),
    [
        ({"prompt_eval_count": 5, "eval_count": 3}, (5, 3), 0),
        ({"prompt_eval_count": None, "eval_count": 3}, (0, 3), 0),
        ({"prompt_eval_count": -1, "eval_count": -1}, (0, 0), 0),
        ({"eval_count": None}, None, 2),
    ],
)
def test_tokens_are_counted_where_they_are_told(
    told: dict[str, Any], counted: tuple[int, int] | None, estimated: int
) -> None:
    answer = DIALECT.parse_response(line({"content": "12345678"}, done=True, **told), HEAD)
    usage = answer.usage
    assert (usage and (usage.input_tokens, usage.output_tokens)) == counted
    assert answer.estimated_output_tokens == estimated


def test_calls_without_ids_get_the_same_ones_whole_and_streamed() -> None:
    calls = [CALL, CALL, {"id": "own", "function": {"name": "look"}}]
    whole = heard(done({"tool_calls": calls}))
    _, relayed = played(
        DIALECT, [line({"tool_calls": calls[:1]}), line({"tool_calls": calls[1:]}), done()]
    )
    assert put_together(relayed).calls == whole.calls
    first, second, third = whole.calls
    assert first["id"].startswith("call_")
    assert first["id"] != second["id"]
    assert third == {"id": "own", "name": "look", "arguments": "{}"}


def test_a_message_of_nothing_but_calls_has_no_content() -> None:
    body = DIALECT.parse_response(done({"content": "", "tool_calls": [CALL]}), HEAD).body
    [choice] = json.loads(body)["choices"]
    assert choice["message"]["content"] is None
    assert "index" not in choice["message"]["tool_calls"][0]


def test_members_that_are_null_say_nothing() -> None:
    nulls = dict.fromkeys(("content", "thinking", "images", "tool_calls"))
    assert heard(done(nulls)).content == ""
    assert put_together(played(DIALECT, [line(nulls), line(), done()])[1]).content == ""


def test_log_probabilities_are_those_of_openai() -> None:
    token = {"token": "a", "logprob": -0.5}
    other = {**token, "bytes": [97], "top_logprobs": [{**token, "bytes": [97]}]}
    whole = json.loads(
        DIALECT.parse_response(done({"content": "aa"}, logprobs=[token, other]), HEAD).body
    )
    expected = [{**token, "bytes": None, "top_logprobs": []}, other]
    ChatCompletion.model_validate(whole)
    assert whole["choices"][0]["logprobs"] == {"content": expected, "refusal": None}
    pieces = [
        line({"content": "a"}, logprobs=[token]),
        line({"content": ""}, logprobs=[other]),
        done(logprobs=[]),
    ]
    events = list(events_of(played(DIALECT, pieces)[1]))
    logprobs = [choice["logprobs"] for event in events for choice in event["choices"]]
    assert [each and each["content"] for each in logprobs] == [expected[:1], expected[1:], None]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"it broke"}', "it broke"),
        (b"{}", "not a chat"),
        (b"[]", "not a chat"),
        (b"no JSON", "not a chat"),
    ],
)
def test_what_is_no_answer_is_an_error(body: bytes, message: str) -> None:
    with pytest.raises(UpstreamError, match=message):
        DIALECT.parse_response(body, HEAD)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, (400, None)), (429, (429, None)), (500, (502, "upstream_error"))],
)
def test_an_error_has_its_message(status: int, expected: tuple[int, str | None]) -> None:
    error: GatewayError = DIALECT.parse_error(status, b'{"error":"m"}', ())
    assert (error.status, error.code) == expected
    assert "m" in error.message


# Streams.


def test_a_line_may_end_in_any_way_and_be_cut_anywhere() -> None:
    lines = [line({"thinking": "t"}), line({"content": "é\u2028"}), b"\n\r\n", done()]
    body = b"".join(lines).replace(b"}\n", b"}\r\n").removesuffix(b"\r\n")
    _, expected = played(DIALECT, [body])
    told = put_together(expected)
    assert (told.content, told.reasoning, told.finish_reason) == ("é\u2028", "t", "stop")
    for at in range(len(body)):
        stream, relayed = played(DIALECT, [body[:at], b"", body[at:]])
        assert (relayed, stream.malformed) == (expected, 0)


def test_an_error_after_content_is_the_end() -> None:
    pieces = [line({"content": "a"}), b'{"error":"it broke"}\n', line({"content": "b"})]
    stream, relayed = played(DIALECT, pieces)
    assert relayed.count(b"data: ") == 1
    assert (stream.complete, stream.started) == (False, True)
    assert stream.error is not None
    assert "it broke" in stream.error.message


def test_an_error_in_the_place_of_a_stream_begins_none() -> None:
    stream, relayed = played(DIALECT, [b'{"error":"it broke"}'])
    assert (stream.started, relayed) == (False, b"")
    assert isinstance(stream.error, UpstreamError)


def test_what_is_cut_in_the_middle_is_malformed_and_not_complete() -> None:
    stream, relayed = played(DIALECT, [line({"content": "a"}), done()[:-20]])
    assert (stream.malformed, stream.complete, stream.finish_reasons) == (1, False, ())
    assert b"[DONE]" not in relayed


def test_malformed_lines_are_counted_and_skipped() -> None:
    pieces = [b"no JSON\n", b"[]\n", line({"content": "a"}), b'{"done": "yes"}\n', done()]
    stream, relayed = played(DIALECT, pieces)
    assert put_together(relayed).content == "a"
    assert (stream.malformed, stream.complete) == (3, True)


def test_a_line_without_end_is_given_up() -> None:
    stream = opened(DIALECT)
    piece = b"x" * (MAX_EVENT_BYTES // 2)
    for _ in range(3):
        stream.feed(piece)
    assert stream.error is not None
    assert "longer than" in stream.error.message


# Two turns.


def test_what_came_out_goes_back_in() -> None:
    said = {"role": "assistant", "content": "", "thinking": "I roll.", "tool_calls": [CALL]}
    final = {"role": "assistant", "content": "A 4.", "thinking": "It is 4."}
    first = heard(done(said)).message()
    result = {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "4"}
    messages = [{"role": "user", "content": "roll"}, first, result, heard(done(final)).message()]
    messages.append({"role": "user", "content": "again"})
    request = json.dumps({"model": "ollama/c", "messages": messages}).encode()
    built = DIALECT.build_request(decode_chat_request(request), Target(model="c", strict=True))
    call = {"id": result["tool_call_id"], **CALL}
    assert json.loads(bytes(built.body))["messages"] == [
        messages[0],
        said | {"tool_calls": [call]},
        result | {"tool_name": "roll"},
        final,
        messages[-1],
    ]


def test_a_call_without_arguments_has_empty_ones() -> None:
    body = done({"tool_calls": [{"function": {"name": "roll", "arguments": None}}]})
    for answer in (heard(body), put_together(played(DIALECT, [body])[1])):
        assert [call["arguments"] for call in answer.calls] == ["{}"]
