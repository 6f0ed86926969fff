"""What Cohere is sent: each member and message of a request in OpenAI's format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.exceptions import InvalidRequestError
from waystone_asgi.providers.cohere import DIALECT
from waystone_asgi.providers.dialects import Target
from waystone_asgi.wire.requests import decode_chat_request

USER = {"role": "user", "content": "hello"}
SAID = {"role": "assistant", "content": "a"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAEC"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "roll", "arguments": '{"n": 1}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "4"}
DETAILS = [{"type": "reasoning.text", "text": "t", "format": "anthropic-claude-v1"}]
ROLL = {"name": "roll", "description": "rolls", "parameters": {"type": "object"}}
LOOK = {"name": "look", "parameters": {"type": "object"}}


def build(strict: bool = False, **members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = {"model": "cohere/command", "messages": [USER], **members}
    asked = decode_chat_request(json.dumps(request).encode())
    built = DIALECT.build_request(asked, Target(model="command", strict=strict))
    return json.loads(bytes(built.body)), built.dropped


def tool(function: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"type": "function", "function": function, **members}


def schema(**members: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", **members}}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({}, {}),
        ({"stream": True}, {"stream": True}),
        ({"temperature": 0.5, "seed": 7}, {"temperature": 0.5, "seed": 7}),
        (
            {"frequency_penalty": 0.1, "presence_penalty": 0.2},
            {"frequency_penalty": 0.1, "presence_penalty": 0.2},
        ),
        ({"top_p": 0.9, "top_k": 5}, {"p": 0.9, "k": 5}),
        ({"logprobs": True}, {"logprobs": True}),
        ({"p": 0.9, "k": 5}, {"p": 0.9, "k": 5}),
        ({"max_tokens": 9}, {"max_tokens": 9}),
        ({"max_completion_tokens": 8.0}, {"max_tokens": 8}),
        ({"max_completion_tokens": 8, "max_tokens": 9}, {"max_tokens": 8}),
        ({"stop": "a"}, {"stop_sequences": ["a"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop_sequences": ["a"]}, {"stop_sequences": ["a"]}),
        ({"n": 1}, {}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        (
            {"reasoning_effort": "low"},
            {"thinking": {"type": "enabled", "token_budget": 1024}},
        ),
        ({"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}}),
        (
            {"reasoning_effort": "low", "thinking": {"type": "disabled"}},
            {"thinking": {"type": "disabled"}},
        ),
        ({"documents": ["a"], "priority": 1}, {"documents": ["a"], "priority": 1}),
        ({"safety_mode": "STRICT"}, {"safety_mode": "STRICT"}),
        ({"citation_options": {"mode": "OFF"}}, {"citation_options": {"mode": "OFF"}}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"tools": [tool({"name": "roll", "parameters": None})]},
            {"tools": [tool({"name": "roll", "parameters": {"type": "object", "properties": {}}})]},
        ),
        (
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_object"}},
        ),
        (
            {"response_format": schema(schema={"type": "object"})},
            {"response_format": {"type": "json_object", "json_schema": {"type": "object"}}},
        ),
        ({"response_format": schema()}, {"response_format": {"type": "json_object"}}),
        ({"tools": []}, {}),
        ({"tools": [tool(ROLL)]}, {"tools": [tool(ROLL)]}),
        (
            {"tools": [tool({"name": "a"})]},
            {"tools": [tool({"name": "a", "parameters": {"type": "object", "properties": {}}})]},
        ),
        (
            {"tools": [tool(ROLL | {"strict": True})]},
            {"tools": [tool(ROLL)], "strict_tools": True},
        ),
        (
            {"tools": [tool(ROLL | {"strict": True})], "strict_tools": False},
            {"tools": [tool(ROLL)], "strict_tools": False},
        ),
        ({"tools": [tool(ROLL)], "tool_choice": "auto"}, {"tools": [tool(ROLL)]}),
        (
            {"tools": [tool(ROLL)], "tool_choice": "none"},
            {"tools": [tool(ROLL)], "tool_choice": "NONE"},
        ),
        (
            {"tools": [tool(ROLL)], "tool_choice": "required"},
            {"tools": [tool(ROLL)], "tool_choice": "REQUIRED"},
        ),
        (
            {"tools": [tool(ROLL), tool(LOOK)], "tool_choice": tool({"name": "look"})},
            {"tools": [tool(LOOK)], "tool_choice": "REQUIRED"},
        ),
        ({"parallel_tool_calls": True, "user": None, "store": False, "metadata": {}}, {}),
        ({"metadata": {"waystone": '{"user": "ann"}'}}, {}),
    ],
    ids=str,
)
def test_a_member_is_mapped(given: dict[str, Any], written: dict[str, Any]) -> None:
    body = {"model": "command", "messages": [USER], "stream": False}
    assert build(strict=True, **given) == (body | written, ())


@pytest.mark.parametrize(
    ("given", "dropped"),
    [
        ({"user": "u", "store": True, "metadata": {"a": "b"}}, ("user", "store", "metadata")),
        ({"n": 2}, ("n",)),
        ({"top_logprobs": 2, "unknown": [1]}, ("top_logprobs", "unknown")),
        ({"parallel_tool_calls": False}, ("parallel_tool_calls",)),
        ({"tools": [{"type": "web_search"}]}, ("tools[].type",)),
        (
            {"tools": [tool(ROLL | {"strict": True}), tool(LOOK)]},
            ("tools[].function.strict",),
        ),
        (
            {"tools": [tool(ROLL, cache_control={"type": "ephemeral"})]},
            ("tools[].cache_control",),
        ),
        (
            {"response_format": schema(description="d")},
            ("response_format.json_schema.description",),
        ),
        ({"messages": [USER | {"name": "ann"}]}, ("messages[].name",)),
        ({"messages": [USER, SAID | {"images": [IMAGE]}]}, ("messages[].images",)),
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
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "a", "cache_control": {}}],
                    }
                ]
            },
            ("messages[].content[].cache_control",),
        ),
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


def image(**members: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", **members}}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ([{"role": "system", "content": "s"}], [{"role": "system", "content": "s"}]),
        ([{"role": "developer", "content": "s"}], [{"role": "system", "content": "s"}]),
        (
            [{"role": "user", "content": ["a", {"type": "text", "text": "b"}]}],
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                }
            ],
        ),
        (
            [{"role": "user", "content": [image(), image(detail="low")]}],
            [{"role": "user", "content": [image(), image(detail="low")]}],
        ),
        (
            [CALLED, RESULT],
            [{"role": "assistant", "tool_calls": [CALL]}, RESULT],
        ),
        (
            [
                {**CALLED, "tool_calls": [{**CALL, "function": {"name": "roll", "arguments": ""}}]},
                RESULT | {"content": [{"type": "text", "text": "4"}]},
            ],
            [
                {
                    "role": "assistant",
                    "tool_calls": [{**CALL, "function": {"name": "roll", "arguments": "{}"}}],
                },
                RESULT | {"content": [{"type": "text", "text": "4"}]},
            ],
        ),
        (
            [
                {"role": "assistant", "function_call": CALL["function"]},
                {"role": "function", "name": "roll", "content": "4"},
            ],
            [
                {"role": "assistant", "tool_calls": [{**CALL, "id": "call_roll"}]},
                {"role": "tool", "tool_call_id": "call_roll", "content": "4"},
            ],
        ),
        (
            [{"role": "assistant", "content": "a", "reasoning_content": "t"}],
            [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "t"},
                        {"type": "text", "text": "a"},
                    ],
                }
            ],
        ),
        (
            [{**CALLED, "reasoning": "t"}, RESULT],
            [
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "t"}],
                    "tool_calls": [CALL],
                },
                RESULT,
            ],
        ),
        (
            [{"role": "assistant", "content": "a", "refusal": "no"}],
            [
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "no"}],
                }
            ],
        ),
        (
            [{"role": "assistant", "content": "", "refusal": "no"}],
            [{"role": "assistant", "content": "no"}],
        ),
        (
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
            [{"role": "assistant", "content": [{"type": "text", "text": "no"}]}],
        ),
        (
            [
                {"role": "assistant", "content": "a", "extra_content": extra}
                for extra in ({"google": {}}, {"cohere": 1}, {"cohere": {"citations": {}}}, 1)
            ],
            [{"role": "assistant", "content": "a"}] * 4,
        ),
    ],
    ids=str,
)
def test_a_message_is_mapped(given: list[dict[str, Any]], written: list[dict[str, Any]]) -> None:
    body, dropped = build(messages=given, strict=True)
    assert body["messages"] == written
    assert dropped == ()


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"messages": [USER, RESULT]}, "messages[1].tool_call_id"),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "system", "content": [image()]}]},
            "messages[0].content[0].type",
        ),
        ({"stop": 1}, "stop"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "some"}, "tool_choice"),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_refused(given: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        build(**given)
    assert (refusal.value.status, refusal.value.param) == (400, param)
