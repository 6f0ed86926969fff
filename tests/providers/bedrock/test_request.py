"""What stands beside the messages of a request to Bedrock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.exceptions import InvalidRequestError
from waystone_asgi.providers.bedrock.families import family_of

from .asking import CLAUDE, NOVA, ask, build

SONNET = "us.anthropic.claude-sonnet-4-6"
OPUS = "global.anthropic.claude-opus-4-7"
ALWAYS = "global.anthropic.claude-fable-5-1"
OLD = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA_1 = "amazon.nova-pro-v1:0"
GPT = "openai.gpt-oss-120b-1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abc123"


@pytest.mark.parametrize(
    ("members", "inference", "dropped"),
    [
        ({}, None, ()),
        ({"max_tokens": 5}, {"maxTokens": 5}, ()),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"maxTokens": 6}, ()),
        ({"max_completion_tokens": 128.0}, {"maxTokens": 128}, ()),
        ({"temperature": 0, "top_p": 0.5}, {"temperature": 0}, ("top_p",)),
        ({"temperature": 0, "top_p": 1}, {"temperature": 0}, ()),
        ({"temperature": 1, "top_p": 0.5}, {"topP": 0.5}, ()),
        ({"temperature": 1.5, "top_p": 1}, {"topP": 1}, ("temperature",)),
        ({"stop": ["a", "\n", ""]}, {"stopSequences": ["a"]}, ("stop",)),
        ({"stop": "\n"}, None, ("stop",)),
        ({"stop": "|"}, {"stopSequences": ["|"]}, ()),
        ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}, ()),
        ({"stop": [], "temperature": None, "user": None, "store": False}, None, ()),
        ({"n": 1, "frequency_penalty": 0.0, "parallel_tool_calls": True}, None, ()),
        (
            {"n": 2, "presence_penalty": 1, "frequency_penalty": 1, "parallel_tool_calls": False},
            None,
            ("n", "frequency_penalty", "presence_penalty"),
        ),
        (
            {"seed": 0, "user": "u", "logit_bias": {"1": 1}, "logprobs": True, "store": True},
            None,
            ("seed", "user", "logit_bias", "logprobs", "store"),
        ),
    ],
)
def test_how_to_sample(
    members: dict[str, Any], inference: dict[str, Any] | None, dropped: tuple[str, ...]
) -> None:
    body, lost = ask(**members)
    assert body.get("inferenceConfig") == inference
    assert set(lost) == set(dropped)


def test_families_sample_in_other_ways() -> None:
    said = {"temperature": 0.5, "top_p": 0.5, "stop": ["\n", ""]}
    for model in (NOVA, LLAMA, PROFILE):
        body, lost = ask(model=model, **said)
        assert body["inferenceConfig"] == {"temperature": 0.5, "topP": 0.5, "stopSequences": ["\n"]}
        assert lost == ("stop",)
    body, lost = ask(model="us.anthropic.claude-sonnet-4-20250514-v1:0", temperature=0, top_p=0.5)
    assert (body["inferenceConfig"], lost) == ({"temperature": 0, "topP": 0.5}, ())


@pytest.mark.parametrize(
    ("members", "bound"),
    [({}, 64_000), ({"max_tokens": 5000}, 5000), ({"reasoning_effort": None}, None)],
)
def test_a_budget_is_a_part_of_a_bound_that_is_told(
    members: dict[str, Any], bound: int | None
) -> None:
    body, _ = ask(**{"reasoning_effort": "high", **members})
    assert body.get("inferenceConfig", {}).get("maxTokens") == bound
    if bound is not None:
        assert body["additionalModelRequestFields"] == budget(int(bound * 0.8))


@pytest.mark.parametrize(
    ("model", "additional", "dropped"),
    [
        (CLAUDE, {"top_k": 5}, ()),
        (OLD, {"top_k": 5}, ()),
        (SONNET, {"top_k": 5}, ()),
        (OPUS, None, ("top_k",)),
        (NOVA, {"inferenceConfig": {"topK": 5}}, ()),
        (NOVA_1, {"inferenceConfig": {"topK": 5}}, ()),
        ("cohere.command-r-plus-v1:0", {"k": 5}, ()),
        ("mistral.mixtral-8x7b-instruct-v0:1", {"top_k": 5}, ()),
        (LLAMA, None, ("top_k",)),
        (GPT, None, ("top_k",)),
        (PROFILE, None, ("top_k",)),
    ],
)
def test_top_k_is_where_the_family_takes_it(
    model: str, additional: Any, dropped: tuple[str, ...]
) -> None:
    body, lost = ask(model=model, top_k=5)
    assert body.get("additionalModelRequestFields") == additional
    assert lost == dropped


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("anthropic.claude-v2:1", "none"),
        ("anthropic.claude-instant-v1", "none"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "none"),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "budget"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "budget"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "budget"),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "budget"),
        ("anthropic.claude-opus-4-6-v1", "adaptive"),
        ("anthropic.claude-opus-4-10-v1", "adaptive"),
        ("us.anthropic.claude-sonnet-5", "adaptive"),
        ("global.anthropic.claude-opus-5-5", "always"),
        (f"arn:aws:bedrock:us-east-1:000000000000:inference-profile/{CLAUDE}", "budget"),
        (PROFILE, "none"),
    ],
)
def test_a_family_is_known_by_its_name(model: str, thinking: str) -> None:
    assert family_of(model).thinking == thinking


TOOL = {"type": "function", "function": {"name": "look"}}
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
GIVEN = {"role": "tool", "tool_call_id": "c", "content": "A"}
UNPROVED = [
    {"role": "user", "content": "A"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    GIVEN,
]
UNENDED = [UNPROVED[0], {"role": "assistant", "content": "So"}]
PROOF = {"type": "reasoning.text", "text": "r", "signature": "s"}
PROVED = [UNPROVED[0], UNPROVED[1] | {"reasoning_details": [PROOF]}, GIVEN]
EFFORT = ("reasoning_effort",)
FORCED: dict[str, Any] = {"tools": [TOOL], "tool_choice": "required"}


def budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def nova(effort: str) -> dict[str, Any]:
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}


ADAPTIVE = {"thinking": {"type": "adaptive", "display": "summarized"}}


@pytest.mark.parametrize(
    ("model", "effort", "members", "additional", "output", "dropped"),
    [
        (CLAUDE, "minimal", {}, budget(6400), None, ()),
        (CLAUDE, "medium", {}, budget(32_000), None, ()),
        (CLAUDE, "minimal", {"max_tokens": 2000}, budget(1024), None, ()),
        (CLAUDE, "low", {"max_tokens": 10_000}, budget(2000), None, ()),
        (CLAUDE, "medium", {"max_tokens": 10_000}, budget(5000), None, ()),
        (CLAUDE, "high", {"max_tokens": 10_000}, budget(8000), None, ()),
        (CLAUDE, "xhigh", {"max_tokens": 10_000}, budget(9500), None, ()),
        (CLAUDE, "max", {"max_tokens": 10_000}, budget(9500), None, ()),
        (CLAUDE, "high", {"max_tokens": 1025}, budget(1024), None, ()),
        (CLAUDE, "high", {"max_tokens": 1024}, None, None, EFFORT),
        (CLAUDE, "none", {}, {"thinking": {"type": "disabled"}}, None, ()),
        (CLAUDE, "huge", {}, None, None, EFFORT),
        (
            CLAUDE,
            "low",
            {"temperature": 0.5, "top_p": 0.9, "top_k": 5},
            budget(12_800),
            None,
            ("top_p", "temperature", "top_k"),
        ),
        (CLAUDE, "low", {"top_p": 0.5}, budget(12_800), None, ("top_p",)),
        (CLAUDE, "low", {"temperature": 1, "top_p": 0.95}, budget(12_800), None, ()),
        (CLAUDE, "low", {"tools": [TOOL], "tool_choice": "required"}, None, None, EFFORT),
        (CLAUDE, "low", {"tools": [TOOL], "tool_choice": "auto"}, budget(12_800), None, ()),
        (CLAUDE, "low", {"messages": UNPROVED}, None, None, EFFORT),
        (CLAUDE, "low", {"messages": UNENDED}, None, None, EFFORT),
        (CLAUDE, "low", {"messages": PROVED}, budget(12_800), None, ()),
        (SONNET, "minimal", {"top_p": 1}, ADAPTIVE, {"effort": "low"}, ()),
        (SONNET, "medium", {"temperature": 0}, ADAPTIVE, {"effort": "medium"}, ("temperature",)),
        (SONNET, "none", {}, {"thinking": {"type": "disabled"}}, None, ()),
        (OPUS, "xhigh", {"temperature": 1, "top_p": 1}, ADAPTIVE, {"effort": "xhigh"}, ()),
        (SONNET, "xhigh", {}, ADAPTIVE, {"effort": "max"}, ()),
        (SONNET, "low", FORCED, None, None, EFFORT),
        (ALWAYS, "low", FORCED, ADAPTIVE, {"effort": "low"}, ()),
        (ALWAYS, "low", {}, ADAPTIVE, {"effort": "low"}, ()),
        (ALWAYS, "none", {}, None, None, EFFORT),
        (OPUS, "max", {"top_p": 0.99}, ADAPTIVE, {"effort": "max"}, ("top_p",)),
        (OPUS, "low", {"messages": UNPROVED}, ADAPTIVE, {"effort": "low"}, ()),
        (NOVA, "minimal", {"max_tokens": 9}, nova("low"), None, ()),
        (NOVA, "medium", {"tools": [TOOL], "tool_choice": "required"}, nova("medium"), None, ()),
        (
            NOVA,
            "xhigh",
            {"max_tokens": 9, "temperature": 0, "top_p": 0, "top_k": 1},
            nova("high"),
            None,
            ("temperature", "top_p", "max_completion_tokens", "top_k"),
        ),
        (NOVA, "high", {}, nova("high"), None, ()),
        (NOVA, "none", {}, {"reasoningConfig": {"type": "disabled"}}, None, ()),
        (NOVA_1, "none", {}, None, None, ()),
        (NOVA_1, "low", {}, None, None, EFFORT),
        (GPT, "minimal", {}, {"reasoning_effort": "low"}, None, ()),
        (GPT, "max", {}, {"reasoning_effort": "high"}, None, ()),
        (GPT, "none", {}, None, None, EFFORT),
        (LLAMA, "low", {}, None, None, EFFORT),
        (LLAMA, "none", {}, None, None, ()),
    ],
)
def test_how_hard_to_think(
    model: str,
    effort: str,
    members: dict[str, Any],
    additional: Any,
    output: Any,
    dropped: tuple[str, ...],
) -> None:
    body, lost = ask(model=model, reasoning_effort=effort, **members)
    assert body.get("additionalModelRequestFields") == additional
    assert body.get("outputConfig") == output
    assert lost == dropped


def test_thinking_in_claudes_own_words_passes() -> None:
    body, dropped = ask(reasoning_effort="high", thinking={"type": "disabled"}, temperature=0.5)
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}
    assert body["inferenceConfig"] == {"temperature": 0.5}
    assert not dropped


SCHEMA = {"type": "object", "properties": {"a": {"type": "number"}}}


def schema(**members: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "N", "schema": SCHEMA, **members}}


@pytest.mark.parametrize(
    ("format", "written", "dropped"),
    [
        ({"type": "text"}, None, ()),
        (schema(), {"name": "N"}, ()),
        (schema(strict=True, description="D"), {"name": "N", "description": "D"}, ()),
        ({"type": "json_object"}, None, ("response_format",)),
        ({"type": "json_schema"}, None, ("response_format",)),
        (schema(schema=None), None, ("response_format",)),
    ],
)
def test_the_form_of_the_answer(format: Any, written: Any, dropped: tuple[str, ...]) -> None:
    body, lost = ask(response_format=format)
    assert lost == dropped
    if written is None:
        assert "outputConfig" not in body
        return
    told = body["outputConfig"]["textFormat"]
    assert told["type"] == "json_schema"
    assert json.loads(told["structure"]["jsonSchema"].pop("schema")) == SCHEMA
    assert told["structure"]["jsonSchema"] == written


def test_members_of_converse_pass_under_their_own_names() -> None:
    own = {
        "guardrailConfig": {
            "guardrailIdentifier": "abc",
            "guardrailVersion": "DRAFT",
            "trace": "enabled_full",
        },
        "performanceConfig": {"latency": "optimized"},
        "requestMetadata": {"team": "a b"},
        "serviceTier": {"type": "reserved"},
        "promptVariables": {"x": {"text": "y"}},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "additionalModelRequestFields": {"top_k": 7, "anthropic_beta": ["x"]},
        "outputConfig": {"effort": "low"},
    }
    body, dropped = ask(top_k=5, **own)
    assert body.items() >= own.items()
    assert not dropped


def test_what_is_said_in_both_ways_is_taken_in_bedrocks() -> None:
    body, dropped = ask(
        model=OPUS,
        reasoning_effort="high",
        outputConfig={"effort": "max"},
        additionalModelRequestFields={"thinking": {"type": "adaptive", "display": "omitted"}},
        service_tier="flex",
        serviceTier={"type": "priority"},
        metadata={"a": "b"},
        requestMetadata={"c": "d"},
        response_format=schema(),
    )
    assert body["outputConfig"].keys() == {"effort", "textFormat"}
    assert body["outputConfig"]["effort"] == "max"
    assert body["additionalModelRequestFields"]["thinking"]["display"] == "omitted"
    assert body["serviceTier"] == {"type": "priority"}
    assert body["requestMetadata"] == {"c": "d"}
    assert dropped == ("metadata",)


@pytest.mark.parametrize(
    ("tier", "written", "dropped"),
    [
        ("auto", None, ()),
        ("default", {"type": "default"}, ()),
        ("flex", {"type": "flex"}, ()),
        ("priority", {"type": "priority"}, ()),
        ("scale", None, ("service_tier",)),
        (1, None, ("service_tier",)),
    ],
)
def test_service_tiers(tier: Any, written: Any, dropped: tuple[str, ...]) -> None:
    body, lost = ask(service_tier=tier)
    assert (body.get("serviceTier"), lost) == (written, dropped)


MANY = {f"k{number}": "v" for number in range(17)}


@pytest.mark.parametrize(
    ("metadata", "written", "dropped"),
    [
        ({"waystone": '{"user":"u"}'}, None, ()),
        (
            {"waystone": '{"user":"u"}', "team": "a-b_c.d", "e": ""},
            {"team": "a-b_c.d", "e": ""},
            (),
        ),
        ({"a": "é", "b": "c"}, {"b": "c"}, ("metadata",)),
        ({"a;": "b", "": "c", "d": "x" * 257}, None, ("metadata",)),
        (MANY, dict(list(MANY.items())[:16]), ("metadata",)),
    ],
)
def test_metadata_is_for_the_invocation_log(
    metadata: dict[str, str], written: Any, dropped: tuple[str, ...]
) -> None:
    body, lost = ask(metadata=metadata)
    assert (body.get("requestMetadata"), lost) == (written, dropped)


LOOK = {"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
FULL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
}
FULL_SPEC = {
    "toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": SCHEMA}, "strict": True}
}
PARALLEL = ("parallel_tool_calls",)
CHOSEN = {"type": "function", "function": {"name": "look"}}


def described(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "look", "parameters": parameters}}


def spec(schema: dict[str, Any]) -> dict[str, Any]:
    return {"toolSpec": {"name": "look", "inputSchema": {"json": schema}}}


GROUNDING = {"type": "systemTool", "systemTool": {"name": "nova_grounding"}}


@pytest.mark.parametrize(
    ("members", "config", "dropped"),
    [
        ({}, None, ()),
        ({"tools": [], "tool_choice": "auto"}, None, ()),
        ({"tools": [TOOL, FULL]}, {"tools": [LOOK, FULL_SPEC]}, ()),
        (
            {"tools": [TOOL], "tool_choice": "auto"},
            {"tools": [LOOK], "toolChoice": {"auto": {}}},
            (),
        ),
        (
            {"tools": [TOOL], "tool_choice": "required"},
            {"tools": [LOOK], "toolChoice": {"any": {}}},
            (),
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}},
            {"tools": [LOOK], "toolChoice": {"tool": {"name": "look"}}},
            (),
        ),
        ({"tools": [TOOL], "tool_choice": "none"}, None, ()),
        (
            {"tools": [TOOL], "tool_choice": "none", "messages": UNPROVED},
            {"tools": [LOOK]},
            ("tool_choice",),
        ),
        ({"tool_choice": "none", "messages": UNPROVED}, {"tools": [LOOK]}, ()),
        ({"messages": UNPROVED}, {"tools": [LOOK]}, ()),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"tools": [LOOK]}, PARALLEL),
        ({"tool_choice": "required"}, None, ("tool_choice",)),
        ({"tool_choice": CHOSEN, "messages": UNPROVED}, {"tools": [LOOK]}, ("tool_choice",)),
        ({"tools": [{"type": "custom"}], "tool_choice": "auto"}, None, ("tools[].type",)),
        ({"tools": [described({})]}, {"tools": [LOOK]}, ()),
        (
            {"tools": [described({"oneOf": [{"required": ["a"]}]})]},
            {"tools": [spec({"type": "object", "oneOf": [{"required": ["a"]}]})]},
            (),
        ),
        ({"tools": [GROUNDING]}, {"tools": [{"systemTool": {"name": "nova_grounding"}}]}, ()),
        ({"tools": [{"type": "web_search"}]}, None, ("tools[].type",)),
        ({"tools": [{"type": "custom"}, TOOL]}, {"tools": [LOOK]}, ("tools[].type",)),
        (
            {"tools": [TOOL | {"cache_control": {"type": "ephemeral"}}]},
            {"tools": [LOOK, {"cachePoint": {"type": "default"}}]},
            (),
        ),
    ],
)
def test_tools(members: dict[str, Any], config: Any, dropped: tuple[str, ...]) -> None:
    body, lost = ask(**members)
    assert (body.get("toolConfig"), lost) == (config, dropped)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": "x"}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [TOOL], "tool_choice": "some"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"stop": [1]}, "stop[0]"),
        ({"top_p": "x"}, "top_p"),
        ({"max_tokens": "x"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"top_k": 1.5}, "top_k"),
        ({"response_format": "x"}, "response_format"),
        ({"additionalModelRequestFields": []}, "additionalModelRequestFields"),
        ({"outputConfig": 1}, "outputConfig"),
    ],
)
def test_what_is_not_as_documented_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        build({"messages": [{"role": "user", "content": "A"}], **members})
    assert caught.value.param == param


def test_the_strict_lose_nothing() -> None:
    body = {"messages": [{"role": "user", "content": "A"}], "seed": 1, "n": 2}
    with pytest.raises(InvalidRequestError, match=r"seed.*n"):
        build(body, strict=True)
    assert build(body).dropped == ("seed", "n")
    assert not build(body).headers
