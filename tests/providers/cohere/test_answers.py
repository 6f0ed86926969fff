"""Answers, streams and errors of Cohere's that were not recorded, and a talk of two turns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from waystone_asgi.exceptions import (
    GatewayError,
    ProviderRefusedError,
    UpstreamError,
    UpstreamTimeoutError,
)
from waystone_asgi.providers.cohere import DIALECT
from waystone_asgi.providers.dialects import Target
from waystone_asgi.wire.requests import decode_chat_request

from ..recorded import HEAD, Heard, events_of, hear, opened, played, put_together
from .oracle import accept

TOKENS = {"tokens": {"input_tokens": 10.0, "output_tokens": 5.0}}
CALL = {"id": "c1", "type": "function", "function": {"name": "roll", "arguments": '{"n":2}'}}
DOCUMENT = {"id": "d", "text": "t"}
LINKED = {"id": "d", "url": "https://a.example/b", "title": "B"}


def answer(message: dict[str, Any], reason: str | None = "COMPLETE", **members: Any) -> bytes:
    usage = {"usage": TOKENS}
    said = {"id": "a1", "message": message, "finish_reason": reason, **usage, **members}
    return json.dumps(said).encode()


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def citation(*sources: dict[str, Any], **members: Any) -> dict[str, Any]:
    cited = [{"type": "document", "document": source} for source in sources]
    return {"start": 0, "end": 2, "text": "hi", "sources": cited, **members}


def heard(body: bytes) -> Heard:
    return hear(DIALECT.parse_response(body, HEAD).body)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("SOMETHING_NEW", "stop"),
        (None, "stop"),
    ],
)
def test_why_it_ended(reason: str | None, expected: str) -> None:
    assert heard(answer(text("hi"), reason)).finish_reason == expected


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (TOKENS, (10, 5, 0, 0)),
        ({"billed_units": {"input_tokens": 3, "output_tokens": 2}}, (3, 2, 0, 0)),
        (
            TOKENS | {"billed_units": {"input_tokens": 3}, "cached_tokens": 4},
            (10, 5, 4, 0),
        ),
        (TOKENS | {"cached_tokens": 40}, (10, 5, 10, 0)),
        (
            {"tokens": {"input_tokens": 1, "output_tokens": 9, "reasoning_tokens": 7}},
            (1, 9, 0, 7),
        ),
        ({"tokens": {}}, (0, 0, 0, 0)),
        ({}, None),
        (None, None),
    ],
    ids=str,
)
def test_tokens_that_went_through_the_model_are_counted(
    usage: dict[str, Any] | None, counted: tuple[int, ...] | None
) -> None:
    parsed = DIALECT.parse_response(answer(text("hi" * 8), usage=usage), HEAD)
    found = parsed.usage
    assert counted == (
        found
        and (
            found.input_tokens,
            found.output_tokens,
            found.cache_read_input_tokens,
            found.reasoning_output_tokens,
        )
    )
    assert parsed.estimated_output_tokens == (0 if found else 4)


def test_log_probabilities_are_those_of_pieces_of_text() -> None:
    told = [{"text": "hé", "token_ids": [1, 2], "logprobs": [-0.5, -1.0]}, {"text": "?"}]
    body = DIALECT.parse_response(answer(text("hé?"), logprobs=told), HEAD).body
    expected = {"token": "hé", "logprob": -1.5, "bytes": [104, 195, 169], "top_logprobs": []}
    [choice] = ChatCompletion.model_validate_json(body).choices
    assert choice.logprobs is not None
    assert [each.model_dump() for each in choice.logprobs.content or ()] == [expected]
    deltas = [{"message": {"content": {"text": said["text"]}}} for said in told]
    pieces = [event("content-delta", d, logprobs=p) for d, p in zip(deltas, told, strict=True)]
    chunks = list(events_of(played(DIALECT, [*pieces, *END])[1]))
    logprobs = [choice["logprobs"] for chunk in chunks for choice in chunk["choices"]]
    assert logprobs == [{"content": [expected], "refusal": None}, None, None]


def test_a_message_of_nothing_but_calls_has_no_content() -> None:
    body = DIALECT.parse_response(answer({"tool_calls": [CALL]}, "TOOL_CALL"), HEAD).body
    [choice] = json.loads(body)["choices"]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [CALL]


def test_empty_and_unknown_blocks_say_nothing() -> None:
    blocks = [{"type": "text", "text": ""}, {"type": "new", "new": 1}, *text("hi")["content"]]
    assert heard(answer({"content": blocks})).content == "hi"
    assert heard(answer({"content": []})).content == ""


@pytest.mark.parametrize(
    ("cited", "annotated", "kept"),
    [
        (citation(LINKED), 1, False),
        (citation(DOCUMENT), 0, True),
        (citation(LINKED, DOCUMENT), 1, True),
        (citation(LINKED, type="PLAN"), 0, True),
        (citation(), 0, True),
        ({"start": "?"}, 0, True),
    ],
    ids=str,
)
def test_a_citation_is_an_annotation_where_it_has_a_url(
    cited: dict[str, Any], annotated: int, kept: bool
) -> None:
    whole = heard(answer(text("hi") | {"citations": [cited]}))
    url = {"url": LINKED["url"], "title": "B", "start_index": 0, "end_index": 2}
    assert whole.annotations == [{"type": "url_citation", "url_citation": url}] * annotated
    assert whole.extra == [{"cohere": {"citations": [cited]}}] * kept
    delta = {"message": {"citations": cited}}
    _, relayed = played(DIALECT, [event("citation-start", delta), *END])
    streamed = put_together(relayed)
    assert (streamed.annotations, streamed.extra) == (whole.annotations, whole.extra)


def test_what_has_no_index_is_told_at_once() -> None:
    cited = [citation(LINKED), citation(DOCUMENT), citation(LINKED), citation(DOCUMENT)]
    events = [event("citation-start", {"message": {"citations": each}}) for each in cited]
    plan = [event("tool-plan-delta", {"message": {"tool_plan": said}}) for said in ("I ", "plan")]
    _, relayed = played(DIALECT, [*plan, *events, *END])
    streamed = put_together(relayed)
    whole = heard(answer({"tool_plan": "I plan", "citations": cited}))
    assert streamed.details == whole.details
    assert (streamed.annotations, streamed.extra) == (whole.annotations, whole.extra)
    assert len(streamed.annotations) == 2


def test_a_citation_without_a_title_is_called_by_its_url() -> None:
    source = {"type": "tool", "tool_output": {"url": LINKED["url"]}}
    [annotation] = heard(answer(text("hi") | {"citations": [{"sources": [source]}]})).annotations
    assert annotation["url_citation"]["title"] == LINKED["url"]


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (answer(text("a"), "ERROR", error="broken"), UpstreamError, "broken"),
        (answer(text("a"), "ERROR"), UpstreamError, "does not say why"),
        (answer(text("a"), "TIMEOUT"), UpstreamTimeoutError, "too slow"),
        (b"{}", UpstreamError, "not a chat"),
        (b"[]", UpstreamError, "not a chat"),
        (b"no JSON", UpstreamError, "not a chat"),
        (b'{"id":"a","message":"went wrong"}', UpstreamError, "went wrong"),
    ],
)
def test_what_is_no_answer_is_an_error(
    body: bytes, error: type[GatewayError], message: str
) -> None:
    with pytest.raises(error, match=message):
        DIALECT.parse_response(body, HEAD)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"message":"m","id":"i"}', (400, "m", "invalid_request_error", None)),
        (422, b'{"message":"m","error_type":"T"}', (422, "m", "invalid_request_error", "T")),
        (429, b'{"message":"slow down"}', (429, "slow down", "rate_limit_error", None)),
        (
            429,
            b"no JSON",
            (429, "The provider answered 429.", "rate_limit_error", None),
        ),
    ],
)
def test_a_refusal_is_passed_on(
    status: int, body: bytes, expected: tuple[int, str, str, str | None]
) -> None:
    error = DIALECT.parse_error(status, body, ())
    assert isinstance(error, ProviderRefusedError)
    assert (error.status, error.message, error.type, error.code) == expected
    assert error.extra == ({"id": "i"} if b'"id"' in body else {})


def test_some_statuses_have_their_message_as_data() -> None:
    error = DIALECT.parse_error(499, b'{"data":"the request was cancelled"}', ())
    assert (error.status, error.message) == (499, "the request was cancelled")


@pytest.mark.parametrize(("status", "code"), [(403, "upstream_authentication"), (503, None)])
def test_a_failure_is_the_providers(status: int, code: str | None) -> None:
    error = DIALECT.parse_error(status, b'{"message":"m"}', ())
    assert (error.status, error.code) == (502, code or "upstream_error")


# Streams.


def event(type: str, delta: dict[str, Any] | None = None, **members: Any) -> bytes:
    document = {"type": type, **({"delta": delta} if delta else {}), **members}
    return b"event: %b\ndata: %b\n\n" % (type.encode(), json.dumps(document).encode())


END = [event("message-end", {"finish_reason": "COMPLETE", "usage": TOKENS}), b"data: [DONE]\n\n"]


def test_events_that_tell_nothing_are_skipped_and_malformed_ones_counted() -> None:
    pieces = [
        event("message-start", {"message": {"content": [], "tool_calls": []}}, id="a1"),
        event("debug", prompt="p"),
        event("content-start", {"message": {"content": []}}),
        event("content-start"),
        event("tool-call-start", {"message": {"tool_calls": []}}),
        event("tool-call-delta", {"message": {"tool_calls": {}}}),
        event("tool-plan-delta", {"message": {}}),
        event("citation-start", {"message": {"citations": []}}),
        b": a comment\n\n",
        b"data: no JSON\n\n",
        b'data: {"type": 1}\n\n',
        event("content-delta", {"message": {"content": {"text": "hi"}}}),
        *END,
    ]
    stream, relayed = played(DIALECT, pieces)
    assert put_together(relayed).content == "hi"
    assert (stream.malformed, stream.complete, stream.response_id) == (2, True, "a1")


def test_calls_are_counted_whatever_their_index() -> None:
    def start(index: int, arguments: str) -> bytes:
        function = {"name": "roll", "arguments": arguments}
        call = {"id": f"c{index}", "type": "function", "function": function}
        return event("tool-call-start", {"message": {"tool_calls": call}}, index=index)

    delta = {"message": {"tool_calls": {"function": {"arguments": "1}"}}}}
    pieces = [
        start(3, '{"n":'),
        event("tool-call-delta", delta, index=3),
        event("tool-call-end", index=3),
        start(7, ""),
        event("tool-call-end", index=7),
        *END,
    ]
    _, relayed = played(DIALECT, pieces)
    called = [(c["id"], c["arguments"]) for c in put_together(relayed).calls]
    assert called == [("c3", '{"n":1}'), ("c7", "{}")]


@pytest.mark.parametrize(
    ("delta", "status"), [({"finish_reason": "TIMEOUT"}, 504), ({"finish_reason": "ERROR"}, 502)]
)
def test_an_error_after_content_is_the_end(delta: dict[str, Any], status: int) -> None:
    said = event("content-delta", {"message": {"content": {"text": "hi"}}})
    stream, relayed = played(DIALECT, [said, event("message-end", delta), said])
    assert relayed.count(b"data: ") == 1
    assert (stream.complete, stream.started) == (False, True)
    assert stream.error is not None
    assert stream.error.status == status


@pytest.mark.parametrize("before", [[], [("content-delta", {"content": {"text": "hi"}})]])
def test_an_error_that_is_no_event_is_one(before: list[tuple[str, Any]]) -> None:
    pieces = [event(type, {"message": message}) for type, message in before]
    said = b'data: {"message":"too many tokens","id":"i"}\n\n'
    stream, relayed = played(DIALECT, [*pieces, said, *END])
    assert (stream.complete, stream.started, relayed.count(b"data: ")) == (
        False,
        bool(before),
        len(before),
    )
    assert stream.error is not None
    assert (stream.error.status, "too many tokens" in stream.error.message) == (502, True)


def test_a_stream_without_its_end_is_not_complete() -> None:
    said = event("content-delta", {"message": {"content": {"text": "hi"}}})
    stream, relayed = played(DIALECT, [said, b"data: [DONE]\n\n"])
    assert not stream.complete
    assert b"[DONE]" not in relayed


def test_usage_is_told_to_those_who_ask() -> None:
    stream = opened(DIALECT, usage=False)
    relayed = b"".join(map(stream.feed, END)) + stream.finish()
    assert b'"usage"' not in relayed
    assert stream.usage is not None


def test_an_end_that_says_nothing_is_one() -> None:
    stream, _ = played(DIALECT, [event("message-end")])
    assert (stream.complete, stream.usage, stream.finish_reasons) == (True, None, ("stop",))


# Two turns.


def test_what_came_out_goes_back_in() -> None:
    thinking = {"type": "thinking", "thinking": "I think."}
    said = {
        "role": "assistant",
        "content": [thinking],
        "tool_plan": "I will roll.",
        "tool_calls": [CALL],
    }
    result = {"role": "tool", "tool_call_id": "c1", "content": "4"}
    cited = citation(DOCUMENT)
    final = {"role": "assistant", "content": [thinking, *text("A 4.")["content"]]}
    messages: list[dict[str, Any]] = [{"role": "user", "content": "roll"}]
    messages += [heard(answer(said, "TOOL_CALL")).message(), result]
    messages += [heard(answer(final | {"citations": [cited]})).message()]
    messages += [{"role": "user", "content": "again"}]
    request = json.dumps({"model": "cohere/c", "messages": messages}).encode()
    built = DIALECT.build_request(decode_chat_request(request), Target(model="c", strict=True))
    sent = json.loads(bytes(built.body))
    accept(sent)
    assert sent["messages"] == [
        messages[0],
        said,
        result,
        final | {"citations": [cited]},
        messages[-1],
    ]
