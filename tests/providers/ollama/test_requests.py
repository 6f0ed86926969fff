"""What Ollama is sent: each member and message of a request in OpenAI's format."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ollama._types import ChatRequest

from waystone_asgi.exceptions import InvalidRequestError
from waystone_asgi.providers.dialects import Target
from waystone_asgi.providers.ollama import DIALECT
from waystone_asgi.wire.requests import decode_chat_request

USER = {"role": "user", "content": "hello"}
SAID = {"role": "assistant", "content": "a"}
CALL = {"id": "c1", "type": "function", "function": {"name": "roll", "arguments": '{"n": 1}'}}
SENT_CALL = {"id": "c1", "function": {"name": "roll", "arguments": {"n": 1}}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "4"}
SENT_RESULT = {**RESULT, "tool_name": "roll"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
DETAILS = [{"type": "reasoning.text", "text": "t", "format": "anthropic-claude-v1"}]
ROLL = {"name": "roll", "description": "rolls", "parameters": {"type": "object"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAEC"}}
DETAILED = {**IMAGE, "image_url": {"url": "data:image/png;base64,AAEC", "detail": "low"}}


def build(strict: bool = False, **members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = {"model": "ollama/qwen", "messages": [USER], **members}
    asked = decode_chat_request(json.dumps(request).encode())
    built = DIALECT.build_request(asked, Target(model="qwen", strict=strict))
    body = json.loads(bytes(built.body))
    ChatRequest.model_validate(body)
    return body, built.dropped


def tool(function: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"type": "function", "function": function, **members}


def schema(**members: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", **members}}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({}, {}),
        ({"stream": True}, {"stream": True}),
        (
            {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "seed": 7},
            {"options": {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "seed": 7}},
        ),
        (
            {"frequency_penalty": 0.1, "presence_penalty": 0.2},
            {"options": {"frequency_penalty": 0.1, "presence_penalty": 0.2}},
        ),
        ({"max_tokens": 9}, {"options": {"num_predict": 9}}),
        ({"max_completion_tokens": 8.0, "max_tokens": 9}, {"options": {"num_predict": 8}}),
        ({"stop": "a"}, {"options": {"stop": ["a"]}}),
        ({"stop": ["a", "b"]}, {"options": {"stop": ["a", "b"]}}),
        (
            {"options": {"num_ctx": 4096, "seed": 2}, "seed": 1},
            {"options": {"num_ctx": 4096, "seed": 2}},
        ),
        ({"keep_alive": "5m", "think": "high"}, {"keep_alive": "5m", "think": "high"}),
        ({"truncate": False, "shift": False}, {"truncate": False, "shift": False}),
        ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"reasoning_effort": "none"}, {"think": False}),
        ({"reasoning_effort": "minimal"}, {"think": True}),
        ({"reasoning_effort": "high"}, {"think": True}),
        ({"reasoning_effort": "high", "think": False}, {"think": False}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"format": "json"}),
        ({"response_format": schema()}, {"format": "json"}),
        ({"response_format": schema(schema={"type": "object"})}, {"format": {"type": "object"}}),
        ({"format": "json"}, {"format": "json"}),
        ({"tools": []}, {}),
        ({"tools": [tool(ROLL)], "tool_choice": "auto"}, {"tools": [tool(ROLL)]}),
        ({"tools": [tool(ROLL)], "tool_choice": "none"}, {}),
        ({"n": 1, "parallel_tool_calls": True, "store": False}, {}),
    ],
    ids=str,
)
def test_a_member_is_mapped(given: dict[str, Any], written: dict[str, Any]) -> None:
    body = {"model": "qwen", "messages": [USER], "stream": False}
    assert build(strict=True, **given) == (body | written, ())


@pytest.mark.parametrize(
    ("effort", "think"),
    [("none", False), ("minimal", "low"), ("medium", "medium"), ("xhigh", "high")],
)
def test_a_model_that_knows_how_much_is_told(effort: str, think: bool | str) -> None:
    request = {"model": "ollama/x", "messages": [USER], "reasoning_effort": effort}
    asked = decode_chat_request(json.dumps(request).encode())
    built = DIALECT.build_request(asked, Target(model="gpt-oss:20b", strict=True))
    assert json.loads(bytes(built.body))["think"] == think


@pytest.mark.parametrize(
    ("given", "dropped"),
    [
        ({"user": "u", "store": True, "metadata": {"a": "b"}}, ("user", "store", "metadata")),
        ({"n": 2}, ("n",)),
        ({"tools": [tool(ROLL)], "tool_choice": "required"}, ("tool_choice",)),
        ({"tools": [tool(ROLL)], "tool_choice": tool({"name": "roll"})}, ("tool_choice",)),
        ({"parallel_tool_calls": False}, ("parallel_tool_calls",)),
        ({"tools": [{"type": "web_search"}]}, ("tools[].type",)),
        ({"tools": [tool(ROLL | {"strict": True})]}, ("tools[].function.strict",)),
        ({"tools": [tool(ROLL, cache_control={})]}, ("tools[].cache_control",)),
        (
            {"response_format": schema(description="d")},
            ("response_format.json_schema.description",),
        ),
        ({"messages": [USER | {"name": "ann"}]}, ("messages[].name",)),
        (
            {"messages": [{"role": "user", "content": [DETAILED]}]},
            ("messages[].content[].image_url.detail",),
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": "a", "extra_content": {"google": {"a": 1}}}
                ]
            },
            ("messages[].extra_content",),
        ),
        (
            {
                "messages": [
                    {**CALLED, "tool_calls": [{**CALL, "extra_content": {"google": {"a": 1}}}]},
                    RESULT,
                ]
            },
            ("messages[].tool_calls[].extra_content",),
        ),
        (
            {"messages": [{"role": "assistant", "content": "a", "reasoning_details": DETAILS}]},
            ("messages[].reasoning_details",),
        ),
        (
            {"messages": [CALLED, RESULT | {"is_error": True}]},
            ("messages[].is_error",),
        ),
        ({"web_search_options": {}}, ("web_search_options",)),
        ({"messages": [USER, SAID | {"images": [IMAGE]}]}, ("messages[].images",)),
    ],
    ids=str,
)
def test_what_is_left_out_is_named_or_refused(
    given: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    _, named = build(**given)
    assert named == dropped
    with pytest.raises(InvalidRequestError, match=r"does not take") as refusal:
        build(strict=True, **given)
    assert refusal.value.param == dropped[0]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ([{"role": "developer", "content": "s"}], [{"role": "system", "content": "s"}]),
        (
            [{"role": "user", "content": ["a", {"type": "text", "text": "b"}, IMAGE]}],
            [{"role": "user", "content": "ab", "images": ["AAEC"]}],
        ),
        (
            [{"role": "assistant", "content": "a", "reasoning_content": "t"}],
            [{"role": "assistant", "content": "a", "thinking": "t"}],
        ),
        (
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
            [{"role": "assistant", "content": "no"}],
        ),
        (
            [{"role": "assistant", "content": "a", "refusal": "no"}],
            [{"role": "assistant", "content": "a\nno"}],
        ),
        (
            [{"role": "assistant", "content": "", "refusal": "no", "reasoning": "t"}],
            [{"role": "assistant", "content": "no", "thinking": "t"}],
        ),
        (
            [{"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT],
            [{"role": "assistant", "content": "", "tool_calls": [SENT_CALL]}, SENT_RESULT],
        ),
        (
            [
                {"role": "assistant", "function_call": {"name": "roll", "arguments": ""}},
                {"role": "function", "name": "roll", "content": "4"},
            ],
            [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"id": "call_roll", "function": {"name": "roll", "arguments": {}}}
                    ],
                },
                {
                    "role": "tool",
                    "content": "4",
                    "tool_name": "roll",
                    "tool_call_id": "call_roll",
                },
            ],
        ),
    ],
    ids=str,
)
def test_a_message_is_mapped(given: list[dict[str, Any]], written: list[dict[str, Any]]) -> None:
    body, dropped = build(messages=given, strict=True)
    assert body["messages"] == written
    assert dropped == ()


def calling(arguments: str) -> list[dict[str, Any]]:
    call = {**CALL, "function": {"name": "roll", "arguments": arguments}}
    return [USER, {"role": "assistant", "tool_calls": [call]}]


def showing(url: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


@pytest.mark.parametrize(
    ("given", "param", "message"),
    [
        (
            {"messages": showing("https://a.example/b.png")},
            "messages[0].content[0].image_url.url",
            "none is fetched",
        ),
        (
            {"messages": showing("data:image/png")},
            "messages[0].content[0].image_url.url",
            "as bytes",
        ),
        (
            {"messages": showing("data:image/svg+xml,%3Csvg%3E")},
            "messages[0].content[0].image_url.url",
            "base64",
        ),
        (
            {"messages": [{"role": "system", "content": [IMAGE]}]},
            "messages[0].content[0].type",
            "not taken",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "messages[0].content[0].type",
            "'video'",
        ),
        ({"messages": [USER, RESULT]}, "messages[1].tool_call_id", "no such call"),
        (
            {"messages": calling("{")},
            "messages[1].tool_calls[0].function.arguments",
            "JSON object",
        ),
        (
            {"messages": calling("[1]")},
            "messages[1].tool_calls[0].function.arguments",
            "JSON object",
        ),
        ({"reasoning_effort": "some"}, "reasoning_effort", "expected one of"),
        ({"options": 1}, "options", "Expected"),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_refused(given: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message) as refusal:
        build(**given)
    assert (refusal.value.status, refusal.value.param) == (400, param)
