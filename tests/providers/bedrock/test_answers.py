"""Answers of Bedrock: what each block comes to, whole and streamed alike."""

from __future__ import annotations

from typing import Any

import pytest

from waystone_asgi.exceptions import UpstreamError
from waystone_asgi.providers.bedrock import DIALECT
from waystone_asgi.records import Usage

from .answering import (
    BEGIN,
    ID,
    METADATA,
    RECEIVED,
    USAGE,
    answer,
    delta,
    end,
    event,
    feed,
    head,
    joined,
    open_stream,
    start,
    stop,
)
from .asking import CLAUDE, NOVA

OF_CLAUDE, OURS = "anthropic-claude-v1", "amazon-bedrock-v1"
METRICS = {"bedrock": {"metrics": {"latencyMs": 1}}}
WEB = {"title": "T", "location": {"web": {"url": "https://a.example/b", "domain": "a.example"}}}
UNTITLED = {"location": {"web": {"url": "https://a.example/c"}}}
PAGE = {"title": "D", "source": "s", "location": {"documentPage": {"documentIndex": 0, "start": 1}}}

CITED = {
    "content": [{"text": "wéb."}],
    "citations": [WEB, PAGE, UNTITLED, {"location": {"web": {}}}],
}


def reasoning(**members: Any) -> dict[str, Any]:
    return {"reasoningContent": members}


def use(id: str, name: str, input: Any, **members: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": id, "name": name, "input": input, **members}}


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def cited(url: str, title: str, start: int, end: int) -> dict[str, Any]:
    citation = {"url": url, "title": title, "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": citation}


INTERLEAVED = [
    {"text": "A"},
    reasoning(reasoningText={"text": "r", "signature": "sig"}),
    {"text": " "},
    use("t1", "f", {}),
    {"text": "B"},
]

# Each: the model, the blocks of a whole answer, the frames of the same, and the message.
CASES: dict[str, tuple[str, list[dict[str, Any]], list[bytes], dict[str, Any]]] = {
    "text": (
        CLAUDE,
        [{"text": "Hé"}, {"text": "llo"}],
        [delta(0, text="H"), delta(0, text="é"), stop(0), delta(1, text="llo"), delta(1, text="")],
        {"content": "Héllo"},
    ),
    "nothing": (CLAUDE, [{"text": ""}], [delta(0, text=""), stop(0)], {}),
    "blocks that are empty or unknown": (
        CLAUDE,
        [{}, {"text": "A"}, {"hologram": {"a": 1}}],
        [stop(0), delta(1, text="A"), stop(1), start(2), delta(2, hologram={"a": 1}), stop(2)],
        {"content": "A"},
    ),
    "no blocks": (CLAUDE, [], [], {}),
    "calls": (
        NOVA,
        [{"text": "A"}, use("t1", "f", {"a": "b"}), use("t2", "g", {})],
        [
            delta(0, text="A"),
            stop(0),
            start(1, toolUse={"toolUseId": "t1", "name": "f"}),
            delta(1, toolUse={"input": ""}),
            delta(1, toolUse={"input": '{"a"'}),
            delta(1, toolUse={"input": ': "b"}'}),
            stop(1),
            start(2, toolUse={"toolUseId": "t2", "name": "g"}),
            delta(2, toolUse={"input": ""}),
            stop(2),
        ],
        {
            "content": "A",
            "tool_calls": [call("t1", "f", '{"a": "b"}'), call("t2", "g", "{}")],
        },
    ),
    "calls that go on at once, without an end": (
        NOVA,
        [use("t1", "f", {"a": 1})],
        [
            start(0, toolUse={"toolUseId": "t1", "name": "f"}),
            delta(0, toolUse={"input": '{"a": 1}'}),
        ],
        {"tool_calls": [call("t1", "f", '{"a": 1}')]},
    ),
    "reasoning": (
        CLAUDE,
        [
            reasoning(reasoningText={"text": "One. Two.", "signature": "sig"}),
            reasoning(redactedContent="QUJD"),
            reasoning(redactedContent="/w=="),
            {"text": "A"},
        ],
        [
            delta(0, reasoningContent={"text": "One."}),
            delta(0, reasoningContent={"text": " Two."}),
            delta(0, reasoningContent={"signature": "s"}),
            delta(0, reasoningContent={"signature": "ig"}),
            stop(0),
            delta(1, reasoningContent={"redactedContent": "QQ=="}),
            delta(1, reasoningContent={"redactedContent": "QkM="}),
            stop(1),
            delta(2, reasoningContent={"redactedContent": "/w=="}),
            stop(2),
            delta(3, text="A"),
            stop(3),
        ],
        {
            "content": "A",
            "reasoning_content": "One. Two.",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "One. Two.",
                    "signature": "sig",
                    "format": OF_CLAUDE,
                    "index": 0,
                },
                {"type": "reasoning.encrypted", "data": "ABC", "format": OF_CLAUDE, "index": 1},
                {"type": "reasoning.encrypted", "data": "/w==", "format": OURS, "index": 2},
            ],
        },
    ),
    "reasoning that is not shown": (
        CLAUDE,
        [reasoning(reasoningText={"text": "", "signature": "sig"}), {"text": "A"}],
        [delta(0, reasoningContent={"signature": "sig"}), stop(0), delta(1, text="A"), stop(1)],
        {
            "content": "A",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "",
                    "signature": "sig",
                    "format": OF_CLAUDE,
                    "index": 0,
                }
            ],
        },
    ),
    "reasoning of others": (
        NOVA,
        [
            reasoning(reasoningText={"text": "[REDACTED]"}),
            reasoning(reasoningText={"text": "R", "signature": "sig"}),
            reasoning(redactedContent="QUJD"),
            reasoning(),
        ],
        [
            delta(0, reasoningContent={"text": "[REDACTED]"}),
            stop(0),
            delta(1, reasoningContent={"text": "R"}),
            delta(1, reasoningContent={"signature": "sig"}),
            stop(1),
            delta(2, reasoningContent={"redactedContent": "QUJD"}),
            stop(2),
            delta(3, reasoningContent={}),
            stop(3),
        ],
        {
            "reasoning_content": "[REDACTED]R",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "R",
                    "signature": "sig",
                    "format": OURS,
                    "index": 0,
                },
                {"type": "reasoning.encrypted", "data": "QUJD", "format": OURS, "index": 1},
            ],
        },
    ),
    "reasoning between texts and behind a call": (
        CLAUDE,
        INTERLEAVED,
        [
            delta(0, text="A"),
            stop(0),
            delta(1, reasoningContent={"text": "r", "signature": None}),
            delta(1, reasoningContent={"signature": "sig"}),
            stop(1),
            delta(2, text=" "),
            stop(2),
            start(3, toolUse={"toolUseId": "t1", "name": "f"}),
            delta(3, toolUse={"input": "{}"}),
            stop(3),
            delta(4, text="B"),
            stop(4),
        ],
        {
            "content": "A B",
            "reasoning_content": "r",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "r",
                    "signature": "sig",
                    "format": OF_CLAUDE,
                    "index": 0,
                }
            ],
            "tool_calls": [call("t1", "f", "{}")],
            "extra_content": {"bedrock": {"metrics": {"latencyMs": 1}, "content": INTERLEAVED}},
        },
    ),
    "citations": (
        NOVA,
        [
            {"text": "By "},
            {"citationsContent": CITED},
        ],
        [
            delta(0, text="By "),
            stop(0),
            delta(1, citation=WEB),
            delta(1, text="wéb"),
            delta(1, citation=PAGE),
            delta(1, citation=UNTITLED),
            delta(1, citation={"location": {"web": {}}}),
            delta(1, text="."),
            stop(1),
        ],
        {
            "content": "By wéb.",
            "annotations": [
                cited("https://a.example/b", "T", 3, 7),
                cited("https://a.example/c", "https://a.example/c", 3, 7),
            ],
            "extra_content": {
                "bedrock": {
                    "metrics": {"latencyMs": 1},
                    "content": [{"text": "By "}, {"citationsContent": CITED}],
                }
            },
        },
    ),
    "tools of the provider's own": (
        NOVA,
        [
            use("s1", "nova_grounding", {"q": 1}, type="server_tool_use"),
            {
                "toolResult": {
                    "toolUseId": "s1",
                    "type": "nova_grounding_result",
                    "status": "success",
                    "content": [{"json": {"a": 1}}, {"text": "b"}],
                }
            },
            {"text": "A"},
        ],
        [
            start(
                0, toolUse={"toolUseId": "s1", "name": "nova_grounding", "type": "server_tool_use"}
            ),
            delta(0, toolUse={"input": '{"q": 1}'}),
            stop(0),
            start(
                1,
                toolResult={
                    "toolUseId": "s1",
                    "type": "nova_grounding_result",
                    "status": "success",
                },
            ),
            delta(1, toolResult=[{"json": {"a": 1}}]),
            delta(1, toolResult=[{"text": "b"}]),
            stop(1),
            delta(2, text="A"),
            stop(2),
        ],
        {
            "content": "A",
            "extra_content": {
                "bedrock": {
                    "metrics": {"latencyMs": 1},
                    "content": [
                        use("s1", "nova_grounding", {"q": 1}, type="server_tool_use"),
                        {
                            "toolResult": {
                                "toolUseId": "s1",
                                "type": "nova_grounding_result",
                                "status": "success",
                                "content": [{"json": {"a": 1}}, {"text": "b"}],
                            }
                        },
                        {"text": "A"},
                    ],
                }
            },
        },
    ),
}
PARAMETERS = [pytest.param(*case, id=name) for name, case in CASES.items()]


@pytest.mark.parametrize(("model", "blocks", "frames", "message"), PARAMETERS)
def test_whole_answers(model: str, blocks: Any, frames: Any, message: dict[str, Any]) -> None:
    document, parsed = answer(*blocks, model=model, usage=USAGE, metrics={"latencyMs": 1})
    assert document["model"] == model
    assert document["created"] == RECEIVED
    assert document["id"] == parsed.response_id == ID
    (choice,) = document["choices"]
    assert choice["finish_reason"] == "stop"
    content = message.get("content", None if "tool_calls" in message else "")
    assert choice["message"] == {
        "role": "assistant",
        "refusal": None,
        "audio": None,
        "annotations": [],
        "extra_content": METRICS,
        **message,
        "content": content,
        "contents": content,
    }


@pytest.mark.parametrize("size", [1, 5, 100, 100_000])
@pytest.mark.parametrize(("model", "blocks", "frames", "message"), PARAMETERS)
def test_streamed_answers_are_the_same_in_any_cut(
    model: str, blocks: Any, frames: list[bytes], message: dict[str, Any], size: int
) -> None:
    data = b"".join([BEGIN, *frames, end(), METADATA])
    stream = open_stream(model)
    relayed = feed(stream, [data[start : start + size] for start in range(0, len(data), size)])
    assert stream.complete
    assert stream.done
    assert stream.error is None
    assert not stream.malformed
    assert relayed.endswith(b"data: [DONE]\n\n")
    found = joined(relayed)
    usage = found.pop("usage")
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (8, 10)
    assert found == {
        "role": "assistant",
        "annotations": [],
        "content": None,
        "finish_reason": "stop",
        "extra_content": METRICS,
        **message,
    }


@pytest.mark.parametrize(
    ("reason", "finish_reason", "told"),
    [
        ("end_turn", "stop", False),
        ("tool_use", "tool_calls", False),
        ("max_tokens", "length", False),
        ("stop_sequence", "stop", True),
        ("guardrail_intervened", "content_filter", True),
        ("content_filtered", "content_filter", True),
        ("malformed_model_output", "stop", True),
        ("malformed_tool_use", "stop", True),
        ("model_context_window_exceeded", "length", True),
        ("something_new", "stop", True),
    ],
)
def test_why_it_stopped(reason: str, finish_reason: str, told: bool) -> None:
    document, parsed = answer({"text": "A"}, stop=reason)
    assert document["choices"][0]["finish_reason"] == finish_reason
    assert parsed.finish_reasons == (finish_reason,)
    extra = document["choices"][0]["message"].get("extra_content")
    assert extra == ({"bedrock": {"stopReason": reason}} if told else None)
    stream = open_stream()
    relayed = feed(stream, [BEGIN, delta(0, text="A"), end(reason), event("metadata", usage=USAGE)])
    assert joined(relayed)["finish_reason"] == finish_reason
    assert joined(relayed).get("extra_content") == extra
    assert stream.finish_reasons == (finish_reason,)


TRACE = {"guardrail": {"inputAssessment": {"abc": {"topicPolicy": {}}}, "modelOutput": ["x"]}}
TRAILER = {
    "trace": TRACE,
    "performanceConfig": {"latency": "optimized"},
    "serviceTier": {"type": "reserved"},
    "usage": USAGE,
}


def test_what_openai_has_no_word_for_is_kept() -> None:
    fields = {"additionalModelResponseFields": {"stop_sequence": "|"}}
    document, _ = answer({"text": "A"}, stop="guardrail_intervened", **TRAILER, **fields)
    kept = {name: value for name, value in TRAILER.items() if name != "usage"}
    expected = {"bedrock": {"stopReason": "guardrail_intervened", **kept, **fields}}
    assert document["choices"][0]["message"]["extra_content"] == expected
    assert "service_tier" not in document
    frames = [BEGIN, end("guardrail_intervened", **fields), event("metadata", **TRAILER)]
    assert joined(feed(open_stream(), frames))["extra_content"] == expected


def test_the_tier_and_the_model_that_answered_are_told() -> None:
    model = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
    told = {
        "trace": {"promptRouter": {"invokedModelId": model}},
        "serviceTier": {"type": "flex"},
        "usage": USAGE,
    }
    document, parsed = answer({"text": "A"}, **told)
    assert (document["model"], document["service_tier"]) == (model, "flex")
    assert parsed.response_model == model
    stream = open_stream()
    relayed = feed(stream, [BEGIN, delta(0, text="A"), end(), event("metadata", **told)])
    assert stream.response_model == model
    assert relayed.count(b'"service_tier":"flex"') == 3


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (USAGE, Usage(input_tokens=8, output_tokens=10)),
        (
            {
                "inputTokens": 5,
                "outputTokens": 6,
                "totalTokens": 111,
                "cacheReadInputTokens": 70,
                "cacheWriteInputTokens": 30,
                "cacheDetails": [
                    {"ttl": "1h", "inputTokens": 20},
                    {"ttl": "5m", "inputTokens": 10},
                ],
            },
            Usage(
                input_tokens=105,
                output_tokens=6,
                cache_read_input_tokens=70,
                cache_write_input_tokens=30,
                cache_write_1h_input_tokens=20,
            ),
        ),
        (
            {"inputTokens": 5, "cacheReadInputTokens": None, "cacheDetails": None},
            Usage(input_tokens=5),
        ),
        ({"inputTokens": "many"}, None),
        ({"inputTokens": 1, "outputTokens": -1}, None),
        ([], None),
    ],
)
def test_tokens(usage: Any, counted: Usage | None) -> None:
    document, parsed = answer({"text": "A" * 40}, usage=usage)
    assert parsed.usage == counted
    assert parsed.estimated_output_tokens == (10 if counted is None else 0)
    if counted is None:
        assert document["usage"] is None
    else:
        assert document["usage"]["prompt_tokens"] == counted.input_tokens
        details = document["usage"]["prompt_tokens_details"]
        assert details["cached_tokens"] == counted.cache_read_input_tokens
    stream = open_stream(include_usage=False)
    relayed = feed(stream, [BEGIN, end(), event("metadata", usage=usage)])
    assert stream.usage == counted
    assert stream.complete
    assert b'"usage"' not in relayed


def test_tokens_that_nobody_counted_are_estimated() -> None:
    assert answer({"text": "A" * 40})[1].estimated_output_tokens == 10
    assert answer({"text": "A" * 40})[1].usage is None


def test_an_answer_without_an_id_has_none() -> None:
    body = b'{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn"}'
    parsed = DIALECT.parse_response(body, head(x="y"))
    assert parsed.response_id is None
    assert b'"id":""' in parsed.body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"message":"no"}',
        b'{"output":{},"stopReason":"end_turn"}',
        b'{"output":{"message":{"role":"assistant","content":[]}}}',
        b'{"output":{"message":{"role":"assistant","content":[{"toolUse":{}}]}},"stopReason":"x"}',
        b'{"output":{"message":{"role":"assistant","content":[{"reasoningContent":'
        b'{"redactedContent":"!"}}]}},"stopReason":"x"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        DIALECT.parse_response(body, head())
    assert caught.value.status == 502
