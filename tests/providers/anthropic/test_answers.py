"""What a caller gets of an answer, whole or streamed: each case in both forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from waystone_asgi.exceptions import (
    GatewayError,
    ProviderRefusedError,
    UpstreamCredentialError,
    UpstreamError,
)
from waystone_asgi.providers.anthropic import DIALECT
from waystone_asgi.providers.dialects import Answer, Head
from waystone_asgi.records import Usage

from ..heads import raw
from .written import added, answered, chunks, events, opened

JSON = dict[str, Any]

USAGE = {"input_tokens": 10, "output_tokens": 5}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
OMITTED = {"type": "thinking", "thinking": "", "signature": "sig"}
REDACTED = {"type": "redacted_thinking", "data": "secret"}
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
NEW = {"type": "hologram", "shape": {"sides": 3}}
CITED = {
    "type": "web_search_result_location",
    "url": "https://a.example/",
    "title": "A",
    "cited_text": "a",
    "encrypted_index": "i",
}
PAGE = {
    "type": "page_location",
    "cited_text": "a",
    "document_index": 0,
    "document_title": None,
    "start_page_number": 1,
    "end_page_number": 2,
}
FOUND_AT = {"type": "search_result_location", "source": "https://b.example/", "title": None}


def text(said: str, **members: Any) -> JSON:
    return {"type": "text", "text": said, **members}


def use(id: str, given: Any, **members: Any) -> JSON:
    return {"type": "tool_use", "id": id, "name": "look", "input": given, **members}


def message(*blocks: JSON, stop_reason: str | None = "end_turn", **members: Any) -> JSON:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(blocks),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": USAGE,
        **members,
    }


def streamed(document: JSON) -> Iterator[JSON]:
    """The events in which the provider would have sent the message."""
    ending = ("stop_reason", "stop_sequence", "stop_details", "container")
    start = {k: v for k, v in document.items() if k not in ending} | {"content": []}
    yield {"type": "message_start", "message": start}
    yield {"type": "ping"}
    for index, block in enumerate(document["content"]):
        begin, changes = begun(block)
        yield {"type": "content_block_start", "index": index, "content_block": begin}
        for change in changes:
            yield {"type": "content_block_delta", "index": index, "delta": change}
        yield {"type": "content_block_stop", "index": index}
    delta = {name: document[name] for name in ending if name in document}
    yield {"type": "message_delta", "delta": delta, "usage": document["usage"]}
    yield {"type": "message_stop"}


def begun(block: JSON) -> tuple[JSON, list[JSON]]:
    """How a block begins, and the pieces that follow."""
    if block["type"] == "text":
        pieces = [{"type": "text_delta", "text": said} for said in halves(block["text"])]
        cited = [
            {"type": "citations_delta", "citation": citation}
            for citation in block.get("citations") or ()
        ]
        return {**block, "text": "", **({"citations": []} if cited else {})}, [*cited, *pieces]
    if block["type"] == "thinking":
        pieces = [
            {"type": "thinking_delta", "thinking": said} for said in halves(block["thinking"])
        ]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*pieces, signed]
    if block["type"].endswith("tool_use"):
        written = json.dumps(block["input"]) if block["input"] else ""
        pieces = [{"type": "input_json_delta", "partial_json": said} for said in halves(written)]
        return {**block, "input": {}}, pieces
    return block, []


def halves(said: str) -> tuple[str, ...]:
    middle = len(said) // 2
    return (said[:middle], said[middle:])


def caller_gets(document: JSON) -> JSON:
    """The choice that a caller gets of an answer, which is the same whole and in pieces."""
    whole = answered(document)
    ChatCompletion.model_validate(whole, strict=True)
    choice: JSON = whole["choices"][0]
    stream = opened()
    data = stream.feed(events(*streamed(document))) + stream.finish()
    assert stream.complete
    assert (stream.malformed, stream.error) == (0, None)
    for chunk in chunks(data):
        ChatCompletionChunk.model_validate(chunk, strict=True)
    pieces = added(chunks(data))
    assert pieces.pop("finish_reason") == choice["finish_reason"]
    told = {k: v for k, v in choice["message"].items() if v not in (None, []) and k != "contents"}
    assert {k: v for k, v in pieces.items() if v is not None} == told
    return choice


def detail(index: int, **members: Any) -> JSON:
    kind = "encrypted" if "data" in members else "text"
    return {
        "type": f"reasoning.{kind}",
        **members,
        "format": "anthropic-claude-v1",
        "index": index,
    }


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([text("Hi.")], {"content": "Hi."}),
        ([text("")], {"content": ""}),
        ([THINKING, text("")], {"content": ""}),
        ([], {"content": None}),
        (
            [THINKING, text("Hi.")],
            {
                "content": "Hi.",
                "reasoning_content": "Hm.",
                "reasoning_details": [detail(0, text="Hm.", signature="sig")],
            },
        ),
        (
            [OMITTED, REDACTED, text("Hi.")],
            {
                "content": "Hi.",
                "reasoning_details": [
                    detail(0, text="", signature="sig"),
                    detail(1, data="secret"),
                ],
            },
        ),
        (
            [text("Look:"), use("a", {"x": 1}), use("b", {}, caller={"type": "direct"})],
            {
                "content": "Look:",
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "look", "arguments": '{"x": 1}'},
                    },
                    {
                        "id": "b",
                        "type": "function",
                        "function": {"name": "look", "arguments": "{}"},
                    },
                ],
            },
        ),
    ],
)
def test_what_a_message_tells(blocks: list[JSON], expected: JSON) -> None:
    told = caller_gets(message(*blocks))["message"]
    assert {name: told[name] for name in expected} == expected
    assert "extra_content" not in told
    assert told["contents"] == told["content"]
    assert (told["refusal"], told["annotations"], told["audio"]) == (None, [], None)


@pytest.mark.parametrize(
    ("blocks", "content"),
    [
        ([SEARCH, FOUND, text("So.")], "So."),
        ([NEW, text("So.")], "So."),
        ([text("It "), text("is.")], "It is."),
        ([text("It."), THINKING], "It."),
        ([THINKING, use("a", {"x": 1}), THINKING], None),
        ([use("a", {"x": 1}), text("So.")], "So."),
        ([use("a", {"x": 1}, caller={"type": "code_execution_20260120"})], None),
        ([text("So.", citations=[PAGE])], "So."),
    ],
)
def test_what_only_the_blocks_tell(blocks: list[JSON], content: str | None) -> None:
    told = caller_gets(message(*blocks))["message"]
    assert told["content"] == content
    assert told["extra_content"] == {"anthropic": {"content": blocks}}


def test_citations() -> None:
    told = caller_gets(
        message(text("So: "), text("äa", citations=[CITED, PAGE, FOUND_AT]), text("."))
    )["message"]
    assert told["annotations"] == [
        {
            "url_citation": {
                "url": url,
                "title": title,
                "start_index": 4,
                "end_index": 6,
            },
            "type": "url_citation",
        }
        for url, title in (("https://a.example/", "A"), ("https://b.example/", ""))
    ]


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason", "told"),
    [
        ("end_turn", "stop", False),
        ("max_tokens", "length", False),
        ("tool_use", "tool_calls", False),
        ("stop_sequence", "stop", True),
        ("pause_turn", "stop", True),
        ("refusal", "content_filter", True),
        ("model_context_window_exceeded", "length", True),
        ("something_new", "stop", True),
    ],
)
def test_why_it_ended(stop_reason: str, finish_reason: str, told: bool) -> None:
    choice = caller_gets(message(text("So."), stop_reason=stop_reason))
    assert choice["finish_reason"] == finish_reason
    extra = choice["message"].get("extra_content", {}).get("anthropic", {})
    assert extra == ({"stop_reason": stop_reason} if told else {})


def test_an_end_that_is_not_told() -> None:
    choice = answered(message(text("So."), stop_reason=None))["choices"][0]
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("details", "refusal"),
    [
        ({"type": "refusal", "category": "cyber", "explanation": "Not that."}, "Not that."),
        ({"type": "refusal", "category": None, "explanation": None}, None),
        ({"explanation": 5}, None),
    ],
)
def test_a_refusal(details: JSON, refusal: str | None) -> None:
    choice = caller_gets(message(text("So"), stop_reason="refusal", stop_details=details))
    assert choice["message"]["refusal"] == refusal
    extra = choice["message"]["extra_content"]["anthropic"]
    assert extra == {"stop_reason": "refusal", "stop_details": details}


def test_how_it_ended() -> None:
    container = {"id": "container_1", "expires_at": "2026-11-23T00:00:00Z"}
    choice = caller_gets(
        message(text("So."), stop_reason="stop_sequence", stop_sequence="```", container=container)
    )
    assert choice["message"]["extra_content"]["anthropic"] == {
        "stop_reason": "stop_sequence",
        "stop_sequence": "```",
        "container": container,
    }


@pytest.mark.parametrize(
    ("usage", "counted", "tier"),
    [
        (USAGE, Usage(input_tokens=10, output_tokens=5), None),
        (
            {
                "input_tokens": 1,
                "cache_read_input_tokens": 20,
                "cache_creation_input_tokens": 300,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 100,
                    "ephemeral_1h_input_tokens": 200,
                },
                "output_tokens": 40,
                "output_tokens_details": {"thinking_tokens": 30},
                "service_tier": "priority",
            },
            Usage(
                input_tokens=321,
                output_tokens=40,
                cache_read_input_tokens=20,
                cache_write_input_tokens=300,
                cache_write_1h_input_tokens=200,
                reasoning_output_tokens=30,
            ),
            "priority",
        ),
        (
            {
                "input_tokens": 1,
                "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
                "output_tokens": 4,
                "service_tier": "standard",
            },
            Usage(
                input_tokens=6,
                output_tokens=4,
                cache_write_input_tokens=5,
                cache_write_1h_input_tokens=3,
            ),
            "default",
        ),
        ({"input_tokens": None, "service_tier": "batch"}, Usage(), None),
    ],
)
def test_usage(usage: JSON, counted: Usage, tier: str | None) -> None:
    document = message(text("So."), usage=usage)
    answer = parsed(document)
    assert answer.usage == counted
    whole = json.loads(answer.body)
    assert whole.get("service_tier") == tier
    assert whole["usage"]["total_tokens"] == counted.input_tokens + counted.output_tokens
    stream = opened(stream_options={"include_usage": True})
    pieces = chunks(stream.feed(events(*streamed(document))))
    assert stream.usage == counted
    assert pieces[-1]["usage"] == whole["usage"]
    assert {chunk.get("service_tier") for chunk in pieces} == {tier}


def parsed(document: object, **headers: str) -> Answer:
    head = Head(model="asked", received=7, headers=raw(headers))
    return DIALECT.parse_response(json.dumps(document).encode(), head)


@pytest.mark.parametrize("usage", [None, {"input_tokens": -1}, {"output_tokens": "many"}])
def test_usage_that_is_none(usage: Any) -> None:
    answer = parsed(message(text("So."), usage=usage))
    assert answer.usage is None
    assert answer.estimated_output_tokens > 10
    assert json.loads(answer.body)["usage"] is None


def test_who_answers_where_that_is_not_told() -> None:
    answer = parsed({"content": [text("So.")]}, **{"request-id": "req_9"})
    whole = json.loads(answer.body)
    assert (whole["id"], whole["model"], whole["created"]) == ("req_9", "asked", 7)
    assert (answer.response_id, answer.response_model) == ("req_9", None)


@pytest.mark.parametrize(
    ("document", "kind", "status"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, None, 502),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}},
            ProviderRefusedError,
            400,
        ),
        ({"error": "m"}, None, 502),
        ({"error": {"message": "m", "code": 429}}, ProviderRefusedError, 429),
        ({}, None, 502),
        ([], None, 502),
        ({"content": "So."}, None, 502),
        ("So.", None, 502),
    ],
)
def test_what_is_no_answer(document: Any, kind: type[GatewayError] | None, status: int) -> None:
    with pytest.raises(UpstreamError) as failed:
        parsed(document)
    assert isinstance(failed.value, kind or UpstreamError)
    assert failed.value.status == status


@pytest.mark.parametrize("block", [NEW, use("a", {"x": "ä"}), text("ä")])
def test_an_answer_that_is_not_in_utf_8(block: JSON) -> None:
    body = json.dumps(message(block), ensure_ascii=False).replace("sides", "ä").encode("latin-1")
    with pytest.raises(UpstreamError):
        DIALECT.parse_response(body, Head(model="asked", received=7))


@pytest.mark.parametrize(
    ("status", "type", "expected"),
    [
        (400, "invalid_request_error", ProviderRefusedError),
        (401, "authentication_error", UpstreamCredentialError),
        (403, "permission_error", UpstreamCredentialError),
        (404, "not_found_error", ProviderRefusedError),
        (413, "request_too_large", ProviderRefusedError),
        (429, "rate_limit_error", ProviderRefusedError),
        (500, "api_error", UpstreamError),
        (529, "overloaded_error", UpstreamError),
    ],
)
def test_errors(status: int, type: str, expected: type[GatewayError]) -> None:
    body = json.dumps(
        {"type": "error", "error": {"type": type, "message": "m"}, "request_id": "req_1"}
    ).encode()
    for given in (status, 200):
        error = DIALECT.parse_error(given, body, ())
        assert error.__class__ is expected
        if isinstance(error, ProviderRefusedError):
            assert (error.status, error.type, error.message) == (status, type, "m")


def test_an_error_that_a_proxy_sends() -> None:
    error = DIALECT.parse_error(503, b"<html>", ())
    assert error.message == "The provider failed (503): The provider answered 503."


def test_a_prompt_that_is_too_long() -> None:
    said = "prompt is too long: 210000 tokens > 200000 maximum"
    body = json.dumps({"error": {"type": "invalid_request_error", "message": said}}).encode()
    error = DIALECT.parse_error(400, body, ())
    assert isinstance(error, ProviderRefusedError)
    assert error.too_long
