"""Cohere's recorded chats: answers, streams, errors and requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.exceptions import GatewayError, ProviderRefusedError
from waystone_asgi.providers.cohere import DIALECT
from waystone_asgi.providers.dialects import Target
from waystone_asgi.wire.requests import decode_chat_request

from ..recorded import (
    HEAD,
    RECEIVED,
    Heard,
    Recorded,
    cases,
    cuts,
    hear,
    played,
    put_together,
    recordings,
)
from .oracle import accept

CHATS = recordings("cohere", "cohere_chat_v2")
REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
}


def events(chat: Recorded) -> list[dict[str, Any]]:
    lines = chat.body.decode().split("\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


def fails(chat: Recorded) -> bool:
    return b'"finish_reason":"ERROR"' in chat.body


WHOLE = [chat for chat in CHATS if not chat.stream and chat.status == 200]
STREAMED = [chat for chat in CHATS if chat.stream and not fails(chat)]
REFUSED = [chat for chat in CHATS if chat.status >= 400]
FAILED = [chat for chat in CHATS if chat.stream and fails(chat)]


def test_all_kinds_are_recorded() -> None:
    assert [len(kind) for kind in (WHOLE, STREAMED, REFUSED, FAILED)] == [8, 4, 2, 2]


def whole(chat: Recorded) -> dict[str, Any]:
    """The answer of a recording; that of a stream is put together."""
    if not chat.stream:
        answer: dict[str, Any] = json.loads(chat.body)
        return answer
    message: dict[str, Any] = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    answer = {"message": message}
    for event in events(chat):
        delta = event.get("delta", {})
        added = delta.get("message", {})
        match event["type"]:
            case "message-start":
                answer["id"] = event["id"]
            case "content-start":
                message["content"].append(added["content"])
            case "content-delta":
                for name, text in added["content"].items():
                    message["content"][-1][name] += text
            case "tool-plan-delta":
                message["tool_plan"] += added["tool_plan"]
            case "tool-call-start":
                message["tool_calls"].append(added["tool_calls"])
            case "tool-call-delta":
                piece = added["tool_calls"]["function"]["arguments"]
                message["tool_calls"][-1]["function"]["arguments"] += piece
            case "citation-start":
                message["citations"].append(added["citations"])
            case "message-end":
                answer |= {"finish_reason": delta["finish_reason"], "usage": delta["usage"]}
    return answer


def check(heard: Heard, answer: dict[str, Any]) -> None:
    """What was heard is what the provider said."""
    message, usage = answer["message"], answer["usage"]
    blocks = message.get("content", [])
    thinking = "".join(b["thinking"] for b in blocks if b["type"] == "thinking")
    plan = message.get("tool_plan", "")
    assert heard.id == answer["id"]
    assert (heard.created, heard.model) == (RECEIVED, "asked-for")
    assert heard.content == "".join(b["text"] for b in blocks if b["type"] == "text")
    assert heard.reasoning == thinking + plan
    assert [detail["text"] for detail in heard.details] == [plan] * bool(plan)
    assert [(c["id"], c["name"], json.loads(c["arguments"])) for c in heard.calls] == [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"] or "{}"))
        for c in message.get("tool_calls", ())
    ]
    cited = [c for each in heard.extra for c in each["cohere"]["citations"]]
    assert cited == message.get("citations", [])
    assert heard.finish_reason == REASONS[answer["finish_reason"]]
    tokens = usage["tokens"]
    assert heard.usage is not None
    assert heard.usage["prompt_tokens"] == tokens["input_tokens"]
    assert heard.usage["completion_tokens"] == tokens["output_tokens"]
    assert heard.usage["total_tokens"] == tokens["input_tokens"] + tokens["output_tokens"]
    cached = heard.usage["prompt_tokens_details"]["cached_tokens"]
    assert cached == usage.get("cached_tokens", 0)
    reasoning = heard.usage["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning == tokens.get("reasoning_tokens", 0)


@pytest.mark.parametrize("chat", cases(WHOLE))
def test_an_answer_says_what_was_recorded(chat: Recorded) -> None:
    answer = DIALECT.parse_response(chat.body, HEAD)
    heard = hear(answer.body)
    check(heard, json.loads(chat.body))
    assert (answer.response_id, answer.response_model) == (heard.id, heard.model)
    assert answer.finish_reasons == (heard.finish_reason,)
    assert answer.usage is not None
    assert answer.estimated_output_tokens == 0


@pytest.mark.parametrize("chat", cases(STREAMED))
def test_a_stream_says_what_was_recorded(chat: Recorded) -> None:
    stream, relayed = played(DIALECT, chat.pieces)
    heard = put_together(relayed)
    check(heard, whole(chat))
    assert stream.complete
    assert stream.malformed == 0
    assert (stream.response_id, stream.finish_reasons) == (heard.id, (heard.finish_reason,))


@pytest.mark.parametrize("chat", cases(STREAMED))
def test_a_stream_may_be_cut_anywhere(chat: Recorded) -> None:
    _, expected = played(DIALECT, [chat.body])
    for pieces in cuts(chat.body):
        _, relayed = played(DIALECT, pieces)
        assert relayed == expected
    _, relayed = played(DIALECT, [bytes([byte]) for byte in chat.body])
    assert relayed == expected


@pytest.mark.parametrize("chat", cases(REFUSED))
def test_an_error_keeps_its_status_and_message(chat: Recorded) -> None:
    error = DIALECT.parse_error(chat.status, chat.body, ())
    said = json.loads(chat.body)
    if chat.status == 401:
        assert (error.status, error.code) == (502, "upstream_authentication")
        assert said["message"] not in error.message
        return
    assert isinstance(error, ProviderRefusedError)
    assert (error.status, error.message) == (chat.status, said["message"])
    assert (error.type, error.code) == ("invalid_request_error", said["error_type"])
    assert error.too_long


@pytest.mark.parametrize("chat", cases(FAILED))
def test_a_failure_ends_a_stream_without_its_end(chat: Recorded) -> None:
    stream, relayed = played(DIALECT, chat.pieces)
    assert b"[DONE]" not in relayed
    assert not stream.complete
    assert stream.started
    assert isinstance(stream.error, GatewayError)
    end = events(chat)[-1]["delta"]
    assert end["error"] in stream.error.message
    assert (stream.error.status, stream.error.code) == (502, "upstream_error")
    assert stream.finish_reasons == ()


# Requests: the form that a caller of ours gives them, and back.

ASKED = [chat for chat in CHATS if chat.request]
DOCUMENT_RESULT = "a result that is a document, which OpenAI's format has no part for"
EXCEPTIONS = {"cohere-cohere_chat_v2-n-3e58bedcf724": DOCUMENT_RESULT}


def inexpressible(chat: Recorded) -> bool:
    parts = [
        part
        for message in (chat.request or {})["messages"]
        if isinstance(message.get("content"), list)
        for part in message["content"]
    ]
    return any(part["type"] == "document" for part in parts)


def openai_form(request: dict[str, Any]) -> dict[str, Any]:
    """The same request in OpenAI's format."""
    asked = {**request, "messages": [_message(m) for m in request["messages"]]}
    for ours, theirs in (("stop", "stop_sequences"), ("top_p", "p"), ("top_k", "k")):
        if theirs in asked:
            asked[ours] = asked.pop(theirs)
    if "tool_choice" in asked:
        asked["tool_choice"] = asked["tool_choice"].lower()
    return asked


def _message(message: dict[str, Any]) -> dict[str, Any]:
    message = dict(message)
    if plan := message.pop("tool_plan", ""):
        message["reasoning_content"] = plan
        detail = {"type": "reasoning.text", "text": plan, "format": "cohere-tool-plan-v2"}
        message["reasoning_details"] = [detail]
    content = message.get("content")
    if isinstance(content, list) and content and content[0]["type"] == "thinking":
        message["reasoning_content"] = content[0]["thinking"]
        message["content"] = content[1:]
    return message


@pytest.mark.parametrize("chat", cases(chat for chat in ASKED if not inexpressible(chat)))
def test_a_recorded_request_is_written_again(chat: Recorded) -> None:
    request = chat.request or {}
    asked = decode_chat_request(json.dumps(openai_form(request)).encode())
    built = DIALECT.build_request(asked, Target(model=request["model"], strict=True))
    written = json.loads(bytes(built.body))
    assert written == {"stream": False} | request
    assert built.dropped == ()
    accept(written)


def test_the_exceptions_are_those_that_cannot_be_said() -> None:
    assert {chat.id for chat in ASKED if inexpressible(chat)} == set(EXCEPTIONS)
