"""What else a request says: sampling, thinking, form, tools, and members of Gemini's own."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from .requests import build, refused

FORMAT = {"type": "json_schema"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}

CONFIGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "presence_penalty": 1,
            "frequency_penalty": -1,
        },
        {"temperature": 0.5, "topP": 0.9, "seed": 7, "presencePenalty": 1, "frequencyPenalty": -1},
    ),
    ({"max_completion_tokens": 128.0, "max_tokens": 5}, {"maxOutputTokens": 128}),
    ({"max_tokens": 5}, {"maxOutputTokens": 5}),
    ({"n": 2}, {"candidateCount": 2}),
    ({"stop": "a"}, {"stopSequences": ["a"]}),
    ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}),
    ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
    ({"modalities": ["text", "image"]}, {"responseModalities": ["TEXT", "IMAGE"]}),
    ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
    ({"response_format": FORMAT}, {"responseMimeType": "application/json"}),
    (
        {"response_format": {**FORMAT, "json_schema": {"name": "n"}}},
        {"responseMimeType": "application/json"},
    ),
    (
        {
            "response_format": {
                **FORMAT,
                "json_schema": {"name": "n", "strict": True, "schema": SCHEMA, "description": "d"},
            }
        },
        {
            "responseMimeType": "application/json",
            "responseJsonSchema": {**SCHEMA, "description": "d"},
        },
    ),
    ({"top_k": 4, "media_resolution": "LOW"}, {"topK": 4, "mediaResolution": "LOW"}),
    ({"topK": 4, "speechConfig": {"a": 1}}, {"topK": 4, "speechConfig": {"a": 1}}),
    ({"temperature": 1, "generationConfig": {"temperature": 0}}, {"temperature": 0}),
    ({"generation_config": {"topK": 1}}, {"topK": 1}),
]


@pytest.mark.parametrize(("said", "sent"), CONFIGS)
def test_a_configuration(said: dict[str, Any], sent: dict[str, Any]) -> None:
    body, dropped = build(**said)
    assert body["generationConfig"] == sent
    assert dropped == ()


SILENT: list[dict[str, Any]] = [
    {},
    {"n": 1},
    {"stop": None},
    {"stop": []},
    {"response_format": {"type": "text"}},
    {"tools": []},
    {"parallel_tool_calls": True},
    {"store": False},
    {"metadata": {"waystone": '{"user": "u"}'}},
    {"stream": True, "stream_options": {"include_usage": True}},
]


@pytest.mark.parametrize("said", SILENT)
def test_what_says_nothing_is_not_sent(said: dict[str, Any]) -> None:
    assert build(**said) == ({"contents": [{"parts": [{"text": "hello"}], "role": "user"}]}, ())


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"user": "u", "logit_bias": {"1": 2}}, ("user", "logit_bias")),
        ({"metadata": {"a": "b"}, "store": True}, ("metadata", "store")),
        ({"parallel_tool_calls": False}, ("parallel_tool_calls",)),
        ({"service_tier": "flex"}, ("service_tier",)),
    ],
)
def test_what_cannot_be_said_is_named(said: dict[str, Any], names: tuple[str, ...]) -> None:
    assert build(**said)[1] == names
    error = refused(strict=True, **said)
    assert error.param == names[0]
    assert all(name in error.message for name in names)


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"stop": 3}, "stop"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"reasoning_effort": "some"}, "reasoning_effort"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "web_search"}]},
                }
            },
            "tool_choice.allowed_tools",
        ),
    ],
)
def test_what_is_wrong_is_refused(said: dict[str, Any], param: str) -> None:
    assert refused(**said).param == param


def test_a_request_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(480):
        schema = {"items": schema}
    function = {"name": "f", "parameters": schema}
    assert "too deep" in refused(tools=[{"type": "function", "function": function}]).message


BUDGETS = [
    ("none", {"thinkingBudget": 0}),
    ("minimal", {"includeThoughts": True, "thinkingBudget": 1024}),
    ("low", {"includeThoughts": True, "thinkingBudget": 1024}),
    ("medium", {"includeThoughts": True, "thinkingBudget": 8192}),
    ("high", {"includeThoughts": True, "thinkingBudget": 24576}),
    ("xhigh", {"includeThoughts": True, "thinkingBudget": 24576}),
]
LEVELS = [
    ("gemini-3-flash-preview", "minimal", "MINIMAL"),
    ("gemini-3.1-pro-preview", "minimal", "LOW"),
    ("gemini-3.1-pro-preview", "low", "LOW"),
    ("gemini-3.1-pro-preview", "medium", "MEDIUM"),
    ("gemini-3-pro-preview", "medium", "HIGH"),
    ("gemini-flash-latest", "medium", "MEDIUM"),
    ("gemini-3.5-flash", "high", "HIGH"),
    ("gemini-3.5-flash", "max", "HIGH"),
]


@pytest.mark.parametrize(("effort", "thinking"), BUDGETS)
def test_an_effort_is_a_budget(effort: str, thinking: dict[str, Any]) -> None:
    body, dropped = build("gemini-2.5-flash", reasoning_effort=effort)
    assert body["generationConfig"] == {"thinkingConfig": thinking}
    assert dropped == ()


@pytest.mark.parametrize(("model", "effort", "level"), LEVELS)
def test_an_effort_is_a_level(model: str, effort: str, level: str) -> None:
    body, dropped = build(model, reasoning_effort=effort)
    thinking = {"includeThoughts": True, "thinkingLevel": level}
    assert body["generationConfig"] == {"thinkingConfig": thinking}
    assert dropped == ()


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("gemini-2.5-pro", {"thinkingBudget": 128}),
        ("gemini-3-flash-preview", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.1-pro-preview", {"thinkingLevel": "LOW"}),
    ],
)
def test_a_model_that_cannot_but_think(model: str, thinking: dict[str, Any]) -> None:
    body, dropped = build(model, reasoning_effort="none")
    assert body["generationConfig"] == {"thinkingConfig": thinking}
    assert dropped == ("reasoning_effort",)


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemma-3-27b-it"])
@pytest.mark.parametrize(("effort", "names"), [("none", ()), ("low", ("reasoning_effort",))])
def test_a_model_that_cannot_think(model: str, effort: str, names: tuple[str, ...]) -> None:
    body, dropped = build(model, reasoning_effort=effort)
    assert "generationConfig" not in body
    assert dropped == names


def test_the_official_client_knows_all_of_it() -> None:
    said = {
        "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}],
        "reasoning_effort": "high",
        "logprobs": True,
        "top_logprobs": 2,
        "n": 2,
        "stop": "c",
        "modalities": ["text", "image"],
        "top_k": 3,
        "safety_settings": OWN["safetySettings"],
        "cached_content": OWN["cachedContent"],
        "labels": OWN["labels"],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "tool_choice": allowed("auto"),
        "web_search_options": {},
        "response_format": {**FORMAT, "json_schema": {"name": "n", "schema": SCHEMA}},
        **CONFIGS[0][0],
    }
    sent, dropped = build("gemini-3.5-flash", **said)
    config = sent.pop("generationConfig")
    del sent["contents"]
    types.GenerateContentConfig.model_validate({**config, **sent})
    assert dropped == ()


def test_the_callers_own_thinking_counts() -> None:
    own = {"thinking_budget": 7}
    body, _ = build(reasoning_effort="low", thinking_config=own)
    assert body["generationConfig"] == {"thinkingConfig": own}


OWN = {
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "cachedContent": "cachedContents/a",
    "labels": {"team": "a"},
    "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
    "modelArmorConfig": {"promptTemplateName": "a"},
}


def test_a_tier_under_its_own_name_is_passed_on() -> None:
    body, dropped = build(serviceTier="flex")
    assert (body["serviceTier"], dropped) == ("flex", ())


@pytest.mark.parametrize("snake", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_members_of_its_own_are_passed_on(name: str, snake: bool) -> None:
    spelled = "".join(f"_{c.lower()}" if c.isupper() else c for c in name) if snake else name
    body, dropped = build(**{spelled: OWN[name]})
    assert body[name] == OWN[name]
    assert dropped == ()


def test_tools() -> None:
    body, dropped = build(
        tools=[
            {"google_search": {}},
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": SCHEMA},
            },
            {"type": "code_execution"},
            {"type": "custom", "custom": {"name": "h"}},
            {"type": "urlContext", "urlContext": {"a": 1}, "cache_control": {"type": "ephemeral"}},
            {"type": "function", "function": {"name": "g", "parameters": {}, "strict": True}},
        ],
        web_search_options={"search_context_size": "low"},
    )
    functions = [
        {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA},
        {"name": "g"},
    ]
    assert body["tools"] == [
        {"google_search": {}},
        {"functionDeclarations": functions},
        {"code_execution": {}},
        {"urlContext": {"a": 1}},
        {"googleSearch": {}},
    ]
    assert dropped == (
        "tools[].type",
        "tools[].cache_control",
        "tools[].function.strict",
        "web_search_options.search_context_size",
    )


def allowed(mode: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("none", {"mode": "NONE"}),
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "f"}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
        (allowed("auto"), {"mode": "VALIDATED", "allowedFunctionNames": ["f", "g"]}),
        (allowed("required"), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
    ],
)
def test_a_tool_choice(choice: Any, config: dict[str, Any]) -> None:
    assert build(tool_choice=choice)[0]["toolConfig"] == {"functionCallingConfig": config}
