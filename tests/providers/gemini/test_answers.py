"""Whole answers: every kind of part, end and count."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.types.chat import ChatCompletion

from waystone_asgi.exceptions import ProviderRefusedError, UpstreamError
from waystone_asgi.providers.gemini import DIALECT
from waystone_asgi.providers.gemini.tokens import count
from waystone_asgi.records import Usage
from waystone_asgi.wire.gemini.answers import UsageMetadata

from .answers import HEAD, answer, message_of

TEXT = {"text": "héllo"}
CALL = {"functionCall": {"name": "f", "args": {"a": 1.0}, "id": "x"}, "thoughtSignature": "s"}


def ended(reason: Any, **members: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": [TEXT]}
    body = answer({"candidates": [{"content": content, "finishReason": reason, **members}]})
    ChatCompletion.model_validate(body)
    choice: dict[str, Any] = body["choices"][0]
    return choice


def test_an_answer_has_every_member_that_is_promised() -> None:
    document = {
        "candidates": [{"content": {"parts": [TEXT]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
        "modelVersion": "gemini-9",
        "responseId": "r",
        "createTime": "2026-02-15T07:50:37.854117Z",
    }
    assert answer(document) == {
        "id": "r",
        "object": "chat.completion",
        "created": 1771141837,
        "model": "gemini-9",
        "choices": [
            {
                "index": 0,
                "created": 1771141837,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {
                    "role": "assistant",
                    "content": "héllo",
                    "contents": "héllo",
                    "refusal": None,
                    "annotations": [],
                    "audio": None,
                },
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_what_the_provider_does_not_say_is_not_made_up() -> None:
    body = json.dumps({"candidates": [{"content": {"parts": [{"text": "12345678"}]}}]}).encode()
    translated = DIALECT.parse_response(body, HEAD)
    document = json.loads(translated.body)
    assert (document["id"], document["model"]) == ("", "asked-for")
    assert document["created"] == HEAD.received
    assert document["choices"][0]["finish_reason"] is None
    assert (translated.response_id, translated.response_model) == (None, None)
    assert translated.usage is None
    assert translated.finish_reasons == ()
    assert translated.estimated_output_tokens == 2


@pytest.mark.parametrize(
    ("reason", "said", "ordinary"),
    [
        ("STOP", "stop", True),
        ("MAX_TOKENS", "length", True),
        (1, "stop", True),
        (2, "length", True),
        ("SAFETY", "content_filter", False),
        ("RECITATION", "content_filter", False),
        ("LANGUAGE", "content_filter", False),
        ("BLOCKLIST", "content_filter", False),
        ("PROHIBITED_CONTENT", "content_filter", False),
        ("SPII", "content_filter", False),
        ("MODEL_ARMOR", "content_filter", False),
        ("IMAGE_SAFETY", "content_filter", False),
        ("IMAGE_PROHIBITED_CONTENT", "content_filter", False),
        ("IMAGE_RECITATION", "content_filter", False),
        (3, "content_filter", False),
        (6, "content_filter", False),
        (7, "content_filter", False),
        (8, "content_filter", False),
        (9, "content_filter", False),
        (10, "stop", False),
        (11, "content_filter", False),
        ("MALFORMED_FUNCTION_CALL", "stop", False),
        ("UNEXPECTED_TOOL_CALL", "stop", False),
        ("NO_IMAGE", "stop", False),
        ("OTHER", "stop", False),
        ("OF_TOMORROW", "stop", False),
    ],
)
def test_why_it_ended(reason: Any, said: str, ordinary: bool) -> None:
    choice = ended(reason, finishMessage="because")
    assert choice["finish_reason"] == said
    google = {"finish_reason": reason, "finish_message": "because"}
    assert choice["message"].get("extra_content") == (None if ordinary else {"google": google})
    if not ordinary:
        assert "finish_message" not in ended(reason)["message"]["extra_content"]["google"]


def test_an_answer_may_call_and_be_cut() -> None:
    content = {"parts": [CALL]}
    for reason, said in (("STOP", "tool_calls"), ("MAX_TOKENS", "length"), ("OTHER", "tool_calls")):
        body = answer({"candidates": [{"content": content, "finishReason": reason}]})
        assert body["choices"][0]["finish_reason"] == said


@pytest.mark.parametrize("content", [None, {}, {"parts": None}, {"parts": []}, {"parts": [{}]}])
def test_an_answer_may_say_nothing(content: Any) -> None:
    body = answer({"candidates": [{"content": content, "finishReason": "SAFETY"}]})
    assert body["choices"][0]["message"]["content"] is None


def test_thoughts_and_text_and_calls() -> None:
    message = message_of(
        {"text": "hm", "thought": True},
        {"text": "m", "thought": True},
        {"text": "he"},
        {"text": "llo", "thoughtSignature": "t"},
        CALL,
        {"functionCall": {"name": "g"}},
    )
    assert message["reasoning_content"] == "hmm"
    assert message["content"] == "hello"
    assert message["extra_content"] == {"google": {"thought_signature": "t"}}
    first, second = message["tool_calls"]
    assert first == {
        "id": "x",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a":1.0}'},
        "extra_content": {"google": {"thought_signature": "s"}},
    }
    assert second["id"].startswith("call_gemini_")
    assert second["function"] == {"name": "g", "arguments": "{}"}
    assert "extra_content" not in second


def test_made_ids_differ_and_are_the_same_each_time() -> None:
    parts = [{"functionCall": {"name": "f", "args": {}}}] * 2
    made = [[call["id"] for call in message_of(*parts)["tool_calls"]] for _ in range(2)]
    assert made[0] == made[1]
    assert len(set(made[0])) == 2
    candidate = {"content": {"parts": parts}}
    other = answer({"responseId": "other", "candidates": [candidate]})
    assert made[0][0] != other["choices"][0]["message"]["tool_calls"][0]["id"]


IMAGE = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}


def test_images() -> None:
    message = message_of({"text": "a"}, IMAGE, {**IMAGE, "thoughtSignature": "s"})
    url = {"url": "data:image/png;base64,AAAA"}
    signature = {"google": {"thought_signature": "s"}}
    assert message["images"] == [
        {"type": "image_url", "image_url": url},
        {"type": "image_url", "image_url": url, "extra_content": signature},
    ]
    assert "extra_content" not in message


def test_an_image_alone_has_a_content() -> None:
    assert message_of(IMAGE)["content"] == ""


def test_images_of_thoughts_are_not_shown() -> None:
    assert "images" not in message_of({**IMAGE, "thought": True}, {"text": "a"})


RAN = [
    {"text": "a"},
    {"executableCode": {"language": "PYTHON", "code": "1"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
    {"text": "b"},
]
KEPT: list[list[dict[str, Any]]] = [
    RAN,
    [{"text": "a", "thoughtSignature": "1"}, {"text": "b"}],
    [{"text": "t", "thought": True, "thoughtSignature": "1"}, {"text": "b"}],
    [CALL, {"text": "after"}],
    [{"text": "a"}, {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AAAA"}}],
    [{"toolCall": {"a": 1}, "thoughtSignature": "1"}, {"toolResponse": {"b": 2}}, {"text": "c"}],
]


@pytest.mark.parametrize("parts", KEPT)
def test_what_a_message_cannot_say_is_kept_whole(parts: list[dict[str, Any]]) -> None:
    message = message_of(*parts)
    assert message["extra_content"] == {"google": {"parts": parts}}
    texts = [part["text"] for part in parts if "text" in part and not part.get("thought")]
    assert message["content"] == "".join(texts)


@pytest.mark.parametrize("unknown", [{}, {"hologram": {"a": 1}}, {"text": ""}, {"text": None}])
def test_parts_that_are_not_known_are_skipped(unknown: dict[str, Any]) -> None:
    message = message_of({"text": "a"}, unknown, {"text": "b"})
    assert message["content"] == "ab"
    assert "extra_content" not in message


def test_a_signature_may_come_alone() -> None:
    message = message_of({"text": "a"}, {"thoughtSignature": "s"})
    assert message["content"] == "a"
    assert message["extra_content"] == {"google": {"thought_signature": "s"}}


@pytest.mark.parametrize("call", [{"name": "f"}, {"name": "f", "args": None}])
def test_a_call_without_arguments(call: dict[str, Any]) -> None:
    (said,) = message_of({"functionCall": call})["tool_calls"]
    assert said["function"]["arguments"] == "{}"


def test_several_candidates() -> None:
    candidates = [
        {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"},
        {"content": {"parts": [CALL]}, "finishReason": "STOP", "index": 1},
    ]
    translated = DIALECT.parse_response(json.dumps({"candidates": candidates}).encode(), HEAD)
    document = json.loads(translated.body)
    assert [choice["index"] for choice in document["choices"]] == [0, 1]
    assert translated.finish_reasons == ("stop", "tool_calls")


@pytest.mark.parametrize("message", [None, "Not that."])
def test_a_prompt_that_was_blocked(message: str | None) -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": message}
    body = answer({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4}})
    ChatCompletion.model_validate(body)
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] is None
    assert choice["message"]["refusal"] == message
    google = {"block_reason": "PROHIBITED_CONTENT"}
    assert choice["message"]["extra_content"] == {"google": google}
    assert body["usage"]["prompt_tokens"] == 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"{}",
        b'{"candidates":[]}',
        b'{"promptFeedback":{}}',
        b'{"candidates":1}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":[}}]}}]}',
    ],
)
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        DIALECT.parse_response(body, HEAD)
    assert caught.value.status == 502


@pytest.mark.parametrize("listed", [False, True])
def test_an_error_under_status_200(listed: bool) -> None:
    error = {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}
    with pytest.raises(ProviderRefusedError) as caught:
        DIALECT.parse_response(json.dumps([error] if listed else error).encode(), HEAD)
    assert (caught.value.status, caught.value.code) == (429, "RESOURCE_EXHAUSTED")


def test_log_probabilities() -> None:
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}, {"token": "b"}],
        "topCandidates": [{"candidates": [{"token": "a", "logProbability": -1}]}],
    }
    choice = ended("STOP", logprobsResult=result)
    assert choice["logprobs"] == {
        "content": [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "a", "logprob": -1.0, "bytes": [97]}],
            },
            {"token": "b", "logprob": 0.0, "bytes": [98], "top_logprobs": []},
        ],
        "refusal": None,
    }


WEB = {"web": {"uri": "https://a.test", "title": "A"}}
GROUNDING: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"groundingChunks": [WEB]}, []),
    (
        {
            "groundingChunks": [WEB, {"maps": {"uri": "https://b.test"}}, {"web": {}}, {}],
            "groundingSupports": [
                {"segment": {"endIndex": 6, "text": "héllo"}, "groundingChunkIndices": [0, 1, 2]},
                {"segment": {"startIndex": 7, "endIndex": 12}, "groundingChunkIndices": [3, 9, 0]},
            ],
        },
        [
            ("https://a.test", "A", "héllo"),
            ("https://b.test", "", "héllo"),
            ("https://a.test", "A", "world"),
        ],
    ),
    (
        {
            "groundingChunks": [{"retrievedContext": {"uri": "gs://b/c", "title": "C"}}],
            "groundingSupports": [
                {"segment": {"startIndex": 900, "text": "world"}, "groundingChunkIndices": [0]},
                {
                    "segment": {"startIndex": 1, "endIndex": 3, "text": "gone"},
                    "groundingChunkIndices": [0],
                },
                {"groundingChunkIndices": [0]},
            ],
        },
        [("gs://b/c", "C", "world"), ("gs://b/c", "C", "é"), ("gs://b/c", "C", "")],
    ),
    ({"groundingChunks": 3}, []),
]


@pytest.mark.parametrize(("metadata", "cited"), GROUNDING)
def test_grounding(metadata: dict[str, Any], cited: list[tuple[str, str, str]]) -> None:
    message = message_of({"text": "héllo world"}, groundingMetadata=metadata)
    assert _cited(message) == cited
    assert message["extra_content"] == {"google": {"grounding_metadata": metadata}}


def _cited(message: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    for remark in message["annotations"]:
        assert remark["type"] == "url_citation"
        citation = remark["url_citation"]
        text = message["content"][citation["start_index"] : citation["end_index"]]
        found.append((citation["url"], citation["title"], text))
    return found


def test_grounding_of_a_later_part() -> None:
    support = {"segment": {"partIndex": 2, "endIndex": 2}, "groundingChunkIndices": [0]}
    message = message_of(
        {"text": "é", "thoughtSignature": "1"},
        {"text": "thought", "thought": True},
        {"text": "ab"},
        groundingMetadata={"groundingChunks": [WEB], "groundingSupports": [support]},
    )
    assert _cited(message) == [("https://a.test", "A", "ab")]


@pytest.mark.parametrize("name", ["citationSources", "citations"])
def test_recitation(name: str) -> None:
    sources = [
        {"startIndex": 1, "endIndex": 3, "uri": "https://a.test", "title": "A"},
        {"startIndex": 0, "endIndex": 1},
    ]
    message = message_of(TEXT, citationMetadata={name: sources})
    assert _cited(message) == [("https://a.test", "A", "é")]
    assert message_of(TEXT, citationMetadata={name: 3})["annotations"] == []


def test_what_has_no_member_is_kept_as_google_wrote_it() -> None:
    said = {"urlContextMetadata": {"urlMetadata": []}, "safetyRatings": [{"category": "a"}]}
    google = {"url_context_metadata": {"urlMetadata": []}, "safety_ratings": [{"category": "a"}]}
    assert message_of(TEXT, **said)["extra_content"] == {"google": google}
    assert "extra_content" not in message_of(TEXT, groundingMetadata={})


def audio(tokens: int) -> list[dict[str, Any]]:
    return [{"modality": "TEXT", "tokenCount": 1}, {"modality": "AUDIO", "tokenCount": tokens}]


@pytest.mark.parametrize(
    ("metadata", "usage"),
    [
        ({}, None),
        ({"trafficType": "ON_DEMAND"}, None),
        ({"promptTokenCount": 0}, Usage()),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "toolUsePromptTokenCount": 30,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 7,
                "promptTokensDetails": audio(40),
                "toolUsePromptTokensDetails": audio(5),
                "cacheTokensDetails": audio(30),
                "candidatesTokensDetails": audio(4),
            },
            Usage(
                input_tokens=130,
                output_tokens=27,
                cache_read_input_tokens=60,
                reasoning_output_tokens=7,
                input_audio_tokens=45,
                output_audio_tokens=4,
                cache_read_audio_tokens=30,
            ),
        ),
        (
            {"promptTokenCount": 5, "cachedContentTokenCount": 9, "promptTokensDetails": audio(9)},
            Usage(input_tokens=5, cache_read_input_tokens=5, input_audio_tokens=5),
        ),
    ],
)
def test_tokens(metadata: dict[str, Any], usage: Usage | None) -> None:
    assert count(msgspec.convert(metadata, UsageMetadata)) == usage


@pytest.mark.parametrize(
    ("tier", "said"),
    [("standard", "default"), ("flex", "flex"), ("priority", "priority"), ("x", None), (1, None)],
)
def test_service_tiers(tier: Any, said: str | None) -> None:
    usage = {"promptTokenCount": 1, "serviceTier": tier}
    assert answer({"candidates": [{}], "usageMetadata": usage}).get("service_tier") == said
