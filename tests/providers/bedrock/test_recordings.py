"""Each recorded exchange with Bedrock: what the caller gets of it, and what was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from waystone_asgi.exceptions import UpstreamCredentialError
from waystone_asgi.providers.bedrock import DIALECT
from waystone_asgi.providers.dialects import Target
from waystone_asgi.wire.chat import ChatCompletionRequest, StreamOptions
from waystone_asgi.wire.requests import decode_chat_request

from .answering import feed, joined, read_answer
from .asking import validate
from .recordings import (
    ANSWERS,
    ERRORS,
    RECEIVED,
    REQUESTS,
    STREAMS,
    Exchange,
    read_message,
    read_recorded,
)

STREAMED = ChatCompletionRequest("m", True, StreamOptions(include_usage=True))


def test_all_of_them_are_here() -> None:
    assert (len(ANSWERS), len(STREAMS), len(ERRORS)) == (9, 7, 5)


@pytest.mark.parametrize("exchange", ANSWERS)
def test_answers_say_what_was_recorded(exchange: Exchange) -> None:
    parsed = DIALECT.parse_response(exchange.body, exchange.head)
    document = read_answer(parsed.body)
    (choice,) = document["choices"]
    recorded = read_recorded(exchange)
    assert recorded.text or recorded.calls
    assert read_message(choice["message"], choice["finish_reason"], document["usage"]) == recorded
    assert document["id"] == exchange.headers.get("x-amzn-requestid", "")
    assert document["model"] == exchange.model
    assert document["created"] == choice["created"] == RECEIVED
    assert choice["message"]["contents"] == choice["message"]["content"]
    assert parsed.usage is not None
    assert parsed.usage.input_tokens == recorded.usage[0]
    assert parsed.finish_reasons == (recorded.finish_reason,)


def cuts(exchange: Exchange) -> Iterator[list[bytes]]:
    """As it was received, at every byte, and in two at each of many places."""
    body = exchange.body
    yield exchange.pieces
    yield [body[position : position + 1] for position in range(len(body))]
    for position in range(1, len(body), max(1, len(body) // 400)):
        yield [body[:position], body[position:]]


@pytest.mark.parametrize("exchange", STREAMS)
def test_streams_say_what_was_recorded_in_any_cut(exchange: Exchange) -> None:
    whole = feed(DIALECT.open_stream(STREAMED, exchange.head), [exchange.body])
    recorded = read_recorded(exchange)
    message = joined(whole)
    assert recorded.text or recorded.calls
    assert read_message(message, message["finish_reason"], message["usage"]) == recorded
    for pieces in cuts(exchange):
        stream = DIALECT.open_stream(STREAMED, exchange.head)
        assert feed(stream, pieces) == whole
        assert stream.complete
        assert stream.error is None
        assert not stream.malformed
        assert stream.usage is not None
        assert stream.usage.input_tokens == recorded.usage[0]
        assert stream.response_id == exchange.headers.get("x-amzn-requestid")
        assert stream.finish_reasons == (recorded.finish_reason,)


@pytest.mark.parametrize("exchange", STREAMS)
def test_streams_that_lose_a_byte_are_not_complete(exchange: Exchange) -> None:
    body = exchange.body
    for position in range(0, len(body), max(1, len(body) // 200)):
        stream = DIALECT.open_stream(STREAMED, exchange.head)
        wrong = bytearray(body)
        wrong[position] ^= 0x10
        relayed = feed(stream, [bytes(wrong)])
        assert stream.error is not None or not stream.complete
        assert b"[DONE]" not in relayed


@pytest.mark.parametrize("exchange", ERRORS)
def test_errors_keep_status_and_message(exchange: Exchange) -> None:
    headers = tuple((k.encode(), v.encode()) for k, v in exchange.headers.items())
    error = DIALECT.parse_error(exchange.status, exchange.body, headers)
    if exchange.status == 403:
        assert isinstance(error, UpstreamCredentialError)
        return
    assert error.status == exchange.status
    assert error.message == json.loads(exchange.body)["message"]
    assert error.type == "invalid_request_error"
    name = exchange.headers.get("x-amzn-errortype", "").partition(":")[0]
    assert error.code == (name or None)


@pytest.mark.parametrize("exchange", REQUESTS)
def test_requests_become_what_was_recorded(exchange: Exchange) -> None:
    asked = {"model": "bedrock/m", **in_openais_form(exchange.request)}
    target = Target(model=exchange.model, strict=True)
    built = DIALECT.build_request(decode_chat_request(json.dumps(asked).encode()), target)
    body = json.loads(bytes(built.body))
    validate(body, exchange.model)
    assert normal(body) == normal(exchange.request)


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what says nothing: empty members, the status of results that are no errors,
    and how a schema within a string is spaced.
    """
    said = {name: value for name, value in body.items() if value not in ({}, [])}
    for turn in said["messages"]:
        for block in turn["content"]:
            if block.get("toolResult", {}).get("status") == "success":
                del block["toolResult"]["status"]
    if "outputConfig" in said:
        structure = said["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
        structure["schema"] = json.loads(structure["schema"])
    return said


def in_openais_form(body: dict[str, Any]) -> dict[str, Any]:
    """A recorded request as a caller of OpenAI's API writes it."""
    inference = body.get("inferenceConfig", {})
    names = {
        "maxTokens": "max_tokens",
        "temperature": "temperature",
        "topP": "top_p",
        "stopSequences": "stop",
    }
    asked: dict[str, Any] = {names[name]: value for name, value in inference.items()}
    for name in ("guardrailConfig", "additionalModelRequestFields"):
        if name in body:
            asked[name] = body[name]
    if tools := body.get("toolConfig"):
        asked["tools"] = [_tool(tool["toolSpec"]) for tool in tools["tools"]]
        if "toolChoice" in tools:
            assert tools["toolChoice"] == {"auto": {}}
            asked["tool_choice"] = "auto"
    if output := body.get("outputConfig"):
        schema = dict(output["textFormat"]["structure"]["jsonSchema"])
        schema["schema"] = json.loads(schema["schema"])
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    system = [{"role": "system", "content": block["text"]} for block in body.get("system", ())]
    turns = [message for turn in body["messages"] for message in _messages(turn)]
    return {"messages": system + turns, **asked}


def _tool(spec: dict[str, Any]) -> dict[str, Any]:
    function = {name: spec[name] for name in ("name", "description", "strict") if name in spec}
    return {
        "type": "function",
        "function": function | {"parameters": spec["inputSchema"]["json"]},
    }


def _messages(turn: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if turn["role"] == "assistant":
        yield _assistant(turn["content"])
        return
    parts: list[dict[str, Any]] = []
    for block in turn["content"]:
        ((kind, value),) = block.items()
        if kind == "toolResult":
            yield _result(value)
        elif kind == "text":
            parts.append({"type": "text", "text": value})
        elif kind == "cachePoint":
            parts[-1]["cache_control"] = {"type": "ephemeral"}
        elif kind in ("image", "video"):
            url = {"url": value["source"]["s3Location"]["uri"]}
            parts.append({"type": f"{kind}_url", f"{kind}_url": url})
        else:
            parts.append({"type": kind, kind: value})
    if parts:
        yield {"role": "user", "content": parts}


def _result(value: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "tool", "tool_call_id": value["toolUseId"]}
    if not all("text" in block for block in value["content"]):
        extra = {"bedrock": {"toolResult": {"content": value["content"]}}}
        return {**message, "content": "", "extra_content": extra}
    texts = [{"type": "text", "text": block["text"]} for block in value["content"]]
    return {**message, "content": texts}


def _assistant(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    for block in blocks:
        if "text" in block:
            message["content"] = block["text"]
        elif "toolUse" in block:
            use = block["toolUse"]
            function = {"name": use["name"], "arguments": json.dumps(use["input"])}
            call = {"id": use["toolUseId"], "type": "function", "function": function}
            message.setdefault("tool_calls", []).append(call)
        else:
            shown = block["reasoningContent"]["reasoningText"]
            detail = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
            message["reasoning_details"] = [detail | shown]
    return message
