"""What is sent of a request's members, and what is named as left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.exceptions import InvalidRequestError
from waystone_asgi.providers.anthropic import DIALECT, VERTEX_DIALECT
from waystone_asgi.providers.dialects import Target

from .oracle import accept
from .written import HELLO, MODEL, body, built, request

OLD, OPUS_5 = "claude-sonnet-4-5", "claude-opus-5"
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
PLAIN = {"type": "function", "function": {"name": "look"}}
LOOK = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
CHOSEN = {"type": "function", "function": {"name": "look"}}


def described(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "look", "parameters": parameters}}


def test_the_least() -> None:
    assert body() == {"model": MODEL, "max_tokens": 1000, "messages": [HELLO]}


@pytest.mark.parametrize(
    ("model", "known", "sent"),
    [
        ("claude-3-haiku-20240307", None, 4096),
        ("claude-opus-4-1", None, 32_000),
        (OLD, None, 64_000),
        (OPUS_5, None, 128_000),
        ("a-deployment", None, 8192),
        (OPUS_5, 5, 5),
    ],
)
def test_without_a_bound_the_models_own_is_sent(model: str, known: int | None, sent: int) -> None:
    target = Target(model=model, max_output_tokens=known)
    document = json.loads(bytes(DIALECT.build_request(request(), target).body))
    assert document["max_tokens"] == sent


def test_on_vertex_the_model_is_in_the_path() -> None:
    sent = VERTEX_DIALECT.build_request(request(), Target(model=MODEL, max_output_tokens=5))
    assert json.loads(bytes(sent.body)) == {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 5,
        "messages": [HELLO],
    }


@pytest.mark.parametrize(
    ("members", "sent"),
    [
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"max_tokens": 7.0}, {"max_tokens": 7}),
        ({"modalities": ["text"], "top_logprobs": 0, "verbosity": "medium"}, {}),
        ({"max_completion_tokens": 8.0, "max_tokens": 7}, {"max_tokens": 8}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ({"stream": False, "n": 1, "store": False, "frequency_penalty": 0}, {}),
        ({"temperature": 0.5, "top_k": 3},) * 2,
        ({"top_p": 0.9},) * 2,
        ({"temperature": 1, "top_p": 0.9}, {"top_p": 0.9}),
        ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5}),
        ({"max_tokens": 0},) * 2,
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"safety_identifier": "s"}, {"metadata": {"user_id": "s"}}),
        ({"metadata": {"user_id": "m"}}, {"metadata": {"user_id": "m"}}),
        ({"metadata": {"waystone": "{}"}}, {}),
        ({"stop": "a"}, {"stop_sequences": ["a"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop_sequences": ["a"]},) * 2,
        ({"service_tier": "auto"},) * 2,
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"service_tier": "standard_only"},) * 2,
        ({"response_format": {"type": "text"}}, {}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": SCHEMA, "strict": True},
                }
            },
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        (
            {
                "output_config": {"effort": "low"},
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": SCHEMA, "description": "What for."},
                },
            },
            {
                "output_config": {
                    "format": {
                        "type": "json_schema",
                        "schema": {"description": "What for.", **SCHEMA},
                    },
                    "effort": "low",
                }
            },
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 0.5},) * 2,
        ({"container": "container_1", "speed": "fast", "inference_geo": "eu"},) * 2,
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}},) * 2,
        ({"user_profile_id": "u", "workspace_id": "w"},) * 2,
    ],
)
def test_members_that_are_said(members: dict[str, Any], sent: dict[str, Any]) -> None:
    written = built(strict=True, **members)
    document = json.loads(bytes(written.body))
    assert document == {**body(), **sent}
    assert (written.dropped, written.headers) == ((), ())
    accept(document)


@pytest.mark.parametrize(
    ("members", "sent", "dropped"),
    [
        ({"temperature": 1.5}, {}, ("temperature",)),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}, ("top_p",)),
        ({"temperature": 1.5, "top_p": 0.9}, {"top_p": 0.9}, ("temperature",)),
        ({"n": 2, "seed": 1, "logit_bias": {"1": 1}}, {}, ("n", "seed", "logit_bias")),
        ({"response_format": {"type": "json_object"}}, {}, ("response_format",)),
        ({"response_format": {"type": "json_schema"}}, {}, ("response_format",)),
        ({"metadata": {"a": "b"}}, {}, ("metadata",)),
        ({"stop": ["a", "\n"]}, {"stop_sequences": ["a"]}, ("stop",)),
        ({"stop": "a", "stop_sequences": ["b"]}, {"stop_sequences": ["a"]}, ("stop_sequences",)),
        ({"service_tier": "flex"}, {}, ("service_tier",)),
        ({"tool_choice": "required"}, {}, ("tool_choice",)),
        ({"tool_choice": "auto", "parallel_tool_calls": False}, {}, ()),
        (
            {"thinking": {"type": "disabled"}, "reasoning_effort": "high"},
            {"thinking": {"type": "disabled"}},
            ("reasoning_effort",),
        ),
    ],
)
def test_members_that_are_left_out(
    members: dict[str, Any], sent: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    written = built(**members)
    assert json.loads(bytes(written.body)) == {**body(), **sent}
    assert written.dropped == dropped
    if dropped:
        with pytest.raises(InvalidRequestError) as refused:
            built(strict=True, **members)
        assert refused.value.param == dropped[0]


def thinking(effort: str) -> dict[str, Any]:
    return {
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": effort},
    }


def budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


@pytest.mark.parametrize(
    ("model", "members", "sent", "dropped"),
    [
        (MODEL, {"reasoning_effort": "minimal"}, thinking("low"), ()),
        (MODEL, {"reasoning_effort": "medium"}, thinking("medium"), ()),
        (OPUS_5, {"reasoning_effort": "xhigh"}, thinking("xhigh"), ()),
        (OPUS_5, {"reasoning_effort": "max"}, thinking("max"), ()),
        (OPUS_5, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
        # Between the highest and the next, older ones have none; the newest always think.
        (MODEL, {"reasoning_effort": "xhigh"}, thinking("max"), ()),
        ("claude-fable-5-1", {"reasoning_effort": "low"}, thinking("low"), ()),
        ("claude-fable-5-1", {"reasoning_effort": "none"}, {}, ("reasoning_effort",)),
        ("a-deployment", {"reasoning_effort": "high"}, thinking("high"), ()),
        (MODEL, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
        (MODEL, {"reasoning_effort": "huge"}, {}, ("reasoning_effort",)),
        (OLD, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
        (OLD, {"reasoning_effort": "minimal"}, budget(1024), ()),
        (OLD, {"reasoning_effort": "medium"}, budget(5000), ()),
        (OLD, {"reasoning_effort": "max"}, budget(9500), ()),
        (OLD, {"reasoning_effort": "huge"}, {}, ("reasoning_effort",)),
        (OLD, {"reasoning_effort": "low", "max_tokens": 1024}, {}, ("reasoning_effort",)),
        ("claude-3-5-haiku-latest", {"reasoning_effort": "low"}, {}, ("reasoning_effort",)),
        # While it thinks, a temperature is refused; without, it is not.
        (OLD, {"reasoning_effort": "low", "temperature": 0.2}, budget(2000), ("temperature",)),
        (MODEL, {"reasoning_effort": "low", "top_k": 5}, thinking("low"), ("top_k",)),
        (MODEL, {"reasoning_effort": "low", "top_p": 0.5}, thinking("low"), ("top_p",)),
        (
            MODEL,
            {"reasoning_effort": "low", "top_p": 0.95, "temperature": 1},
            {**thinking("low"), "top_p": 0.95},
            (),
        ),
        (
            MODEL,
            {"reasoning_effort": "none", "temperature": 0.2},
            {"thinking": {"type": "disabled"}, "temperature": 0.2},
            (),
        ),
        ("claude-sonnet-4-0",) + ({"temperature": 0.2, "top_p": 0.5},) * 2 + ((),),
        (OPUS_5, {"temperature": 0.2, "top_p": 0.5}, {}, ("temperature", "top_p")),
        (OPUS_5, {"temperature": 1, "top_p": 1}, {}, ()),
    ],
)
def test_thinking(
    model: str, members: dict[str, Any], sent: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    members = {"max_tokens": 10_000, **members}
    written = built(to=model, **members)
    document = json.loads(bytes(written.body))
    expected = {"model": model, "max_tokens": members["max_tokens"], "messages": [HELLO], **sent}
    assert document == expected
    assert written.dropped == dropped
    accept(document)


CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLED = [
    HELLO,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "a", "content": "seen"},
]
PROOF = {"type": "reasoning.text", "text": "Hm.", "signature": "s"}
PROVED = [HELLO, CALLED[1] | {"reasoning_details": [PROOF]}, CALLED[2]]
WHOLE = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
USE = {"type": "tool_use", "id": "a", "name": "look", "input": {}}
CARRIED = [
    HELLO,
    CALLED[1] | {"extra_content": {"anthropic": {"content": [WHOLE, USE]}}},
    CALLED[2],
]


@pytest.mark.parametrize(
    ("model", "messages", "thinks"),
    [
        (OLD, CALLED, False),
        (OLD, PROVED, True),
        (OLD, CARRIED, True),
        (OLD, [*CALLED, {"role": "assistant", "content": "So."}, HELLO], True),
        (OLD, [*CALLED, {"role": "assistant", "content": "So."}], False),
        (MODEL, CALLED, True),
    ],
)
def test_a_budget_needs_the_reasoning_before_calls(
    model: str, messages: list[dict[str, Any]], thinks: bool
) -> None:
    """The provider refuses to think on from an answer that does not begin with its thoughts."""
    sent = built(*messages, to=model, max_tokens=5000, tools=[PLAIN], reasoning_effort="low")
    assert ("thinking" in json.loads(bytes(sent.body))) is thinks
    assert sent.dropped == (() if thinks else ("reasoning_effort",))


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 7.5}, "max_tokens"),
        ({"stop": [1]}, "stop[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": 5}]}, "tools[0]"),
        ({"tools": [PLAIN], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [PLAIN], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"tools": [PLAIN], "tool_choice": {"type": 5}}, "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, "tools[0].type"),
        ({"anthropic_beta": ["a\r\nx-evil: 1"]}, "anthropic_beta[0]"),
        ({"output_config": []}, "output_config"),
    ],
)
def test_members_that_are_refused(members: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        built(**members)
    assert refused.value.param == where


def test_how_much_is_searched_cannot_be_said() -> None:
    sent = built(web_search_options={"search_context_size": "high"})
    assert sent.dropped == ("web_search_options.search_context_size",)


def test_betas_travel_in_a_header() -> None:
    sent = built(anthropic_beta=["interleaved-thinking-2025-05-14", "b"])
    assert sent.headers == ((b"anthropic-beta", b"interleaved-thinking-2025-05-14,b"),)
    assert "anthropic_beta" not in json.loads(bytes(sent.body))


@pytest.mark.parametrize(
    ("members", "sent"),
    [
        ({"tools": [PLAIN]}, {"tools": [LOOK]}),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "look",
                            "description": "",
                            "parameters": SCHEMA,
                            "strict": True,
                        },
                        "cache_control": {"type": "ephemeral"},
                        "defer_loading": True,
                    },
                    SEARCH,
                ]
            },
            {
                "tools": [
                    {
                        "name": "look",
                        "description": "",
                        "input_schema": SCHEMA,
                        "strict": True,
                        "cache_control": {"type": "ephemeral"},
                        "defer_loading": True,
                    },
                    SEARCH,
                ]
            },
        ),
        ({"tools": [described({})]}, {}),
        (
            {"tools": [described({"oneOf": [{"required": ["a"]}]})]},
            {
                "tools": [
                    LOOK | {"input_schema": {"type": "object", "oneOf": [{"required": ["a"]}]}}
                ]
            },
        ),
        ({"tools": [PLAIN], "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
        ({"tools": [PLAIN], "tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        ({"tools": [PLAIN], "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        (
            {"tools": [PLAIN], "tool_choice": CHOSEN},
            {"tool_choice": {"type": "tool", "name": "look"}},
        ),
        (
            {"tools": [PLAIN], "parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            {"tools": [PLAIN], "tool_choice": "required", "parallel_tool_calls": False},
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        ),
        (
            {"tools": [PLAIN], "tool_choice": "none", "parallel_tool_calls": False},
            {"tool_choice": {"type": "none"}},
        ),
        ({"tools": [PLAIN], "parallel_tool_calls": True}, {}),
        ({"tools": []}, {"tools": None}),
        (
            {"tools": [PLAIN], "web_search_options": {"search_context_size": "medium"}},
            {"tools": [LOOK, {"type": "web_search_20250305", "name": "web_search"}]},
        ),
        (
            {
                "web_search_options": {
                    "user_location": {"type": "approximate", "approximate": {"country": "DE"}}
                }
            },
            {
                "tools": [
                    {
                        "type": "web_search_20250305",
                        "name": "web_search",
                        "user_location": {"type": "approximate", "country": "DE"},
                    }
                ]
            },
        ),
    ],
)
def test_tools(members: dict[str, Any], sent: dict[str, Any]) -> None:
    written = built(strict=True, **members)
    document = json.loads(bytes(written.body))
    accept(document)
    expected = {**body(), "tools": [LOOK], **sent}
    assert document == {name: value for name, value in expected.items() if value is not None}


@pytest.mark.parametrize(
    ("model", "sent", "dropped"),
    [
        (OLD, {}, ("reasoning_effort",)),
        (MODEL, {}, ("reasoning_effort",)),
        (OPUS_5, thinking("high"), ()),
    ],
)
def test_a_forced_call_excludes_thinking_but_of_the_newest(
    model: str, sent: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    members: dict[str, Any] = {"tools": [PLAIN], "tool_choice": "required"}
    written = built(to=model, max_tokens=2000, reasoning_effort="high", **members)
    document = json.loads(bytes(written.body))
    assert {k: document[k] for k in ("thinking", "output_config") if k in document} == sent
    assert written.dropped == dropped
