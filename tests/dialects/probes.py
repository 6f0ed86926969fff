"""Requests with one feature each: every member of OpenAI's reference, and of providers' own.

In: nothing. Out: `PROBES`. Values are none that are OpenAI's defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .probing import (
    HELLO,
    JSON,
    MESSAGES,
    MORE,
    OWN,
    TOLD,
    TOOLS,
    Probe,
    in_message,
    in_part,
    member,
    request,
    whole_message,
    whole_part,
)

_PNG = "data:image/png;base64,iVBORw0KGgo="
_PDF = "data:application/pdf;base64,JVBERi0xLjQK"
_SCHEMA: JSON = {"type": "object", "properties": {"city": {"type": "string"}}}
_LOOK: JSON = {"name": "look", "description": "Looks it up.", "parameters": _SCHEMA}
_TOOL: JSON = {"type": "function", "function": _LOOK}
_OTHER: JSON = {"type": "function", "function": {"name": "roll", "parameters": _SCHEMA}}
_CUSTOM: JSON = {"type": "custom", "custom": {"name": "write", "description": "Writes."}}
_CALL: JSON = {
    "id": "call12345",
    "type": "function",
    "function": {"name": "look", "arguments": '{"city":"Bern"}'},
}
_CALLED: JSON = {"role": "assistant", "content": None, "tool_calls": [_CALL]}
_RESULT: JSON = {"role": "tool", "tool_call_id": "call12345", "content": "sunny"}
_CACHED: JSON = {"type": "ephemeral"}


def _form(type: str, **members: Any) -> JSON:
    return {"type": type, **members}


def _choice(mode: str, choice: Any) -> Probe:
    beside = {"tools": [_TOOL, _OTHER]}
    return member("tool_choice", choice, beside, group=TOOLS, told=f"`tool_choice`: `{mode}`")


THINKING = member("reasoning_effort", "medium", told="`reasoning_effort`: `medium`")
NOT_THINKING = member("reasoning_effort", "none", told="`reasoning_effort`: `none`")


def _parameters() -> Iterator[Probe]:
    yield member("temperature", 0.5)
    yield member("temperature", 1.5, told="`temperature` above 1")
    yield member("top_p", 0.5)
    yield member("n", 2)
    yield member("stop", ["END"])
    yield member("seed", 7)
    yield member("max_tokens", 2048)
    yield member("max_completion_tokens", 2048)
    yield member("presence_penalty", 0.5)
    yield member("frequency_penalty", 0.5)
    yield member("logit_bias", {"50256": -100})
    yield member("logprobs", True)
    yield member("top_logprobs", 3, {"logprobs": True})
    yield from (THINKING, NOT_THINKING)
    yield member("verbosity", "low")
    yield member("response_format", _form("json_object"), told="`response_format`: `json_object`")
    named = _form("json_schema", json_schema={"name": "place", "strict": True, "schema": _SCHEMA})
    yield member("response_format", named, told="`response_format`: `json_schema`")
    yield member("modalities", ["text", "audio"])
    yield member("audio", {"voice": "alloy", "format": "wav"})
    yield member("prediction", {"type": "content", "content": "Hello."})
    yield member("web_search_options", {})
    yield member(
        "web_search_options",
        {"search_context_size": "high"},
        {"web_search_options": {}},
        told="`web_search_options.search_context_size`",
    )
    yield member(
        "web_search_options",
        {"user_location": {"type": "approximate", "approximate": {"city": "Bern"}}},
        {"web_search_options": {}},
        told="`web_search_options.user_location`",
    )
    yield member("service_tier", "default", told="`service_tier`: `default`")
    yield member("service_tier", "priority", told="`service_tier`: `priority`")
    yield member("store", True)
    yield member("metadata", {"team": "search"})
    yield member("user", "ann")
    yield member("safety_identifier", "ann")
    yield member("moderation", {"model": "omni-moderation-latest"})
    yield member("prompt_cache_key", "greetings")
    yield member("prompt_cache_options", {"mode": "explicit"})
    yield member("prompt_cache_retention", "24h")
    yield member("unheard_of", 1, told="`unheard_of`")._replace(
        feature="a member that nobody knows"
    )


def _tools() -> Iterator[Probe]:
    yield member("tools", [_TOOL], group=TOOLS)
    strict = {"type": "function", "function": _LOOK | {"strict": True}}
    plain = request([HELLO], tools=[_TOOL])
    place = ("tools", 0, "function", "strict")
    yield Probe(TOOLS, "`tools[].function.strict`", plain | {"tools": [strict]}, plain, place)
    custom = plain | {"tools": [_TOOL, _CUSTOM]}
    yield Probe(TOOLS, "custom tools", custom, plain, ("tools", 1))
    yield _choice("none", "none")
    yield _choice("required", "required")
    yield _choice("function", {"type": "function", "function": {"name": "look"}})
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "look"}}]}
    yield _choice("allowed_tools", {"type": "allowed_tools", "allowed_tools": allowed})
    yield member("parallel_tool_calls", False, {"tools": [_TOOL]}, group=TOOLS)
    yield member("functions", [_LOOK], group=TOOLS)
    yield member("function_call", {"name": "look"}, {"functions": [_LOOK]}, group=TOOLS)


def _messages() -> Iterator[Probe]:
    guide = {"role": "system", "content": "Be brief."}
    yield whole_message("system message", 0, guide, HELLO)
    yield whole_message(
        "developer message", 0, {"role": "developer", "content": "Be brief."}, HELLO
    )
    yield whole_message("system message in the middle", 3, HELLO, TOLD, MORE, guide)
    yield in_message("`name` of a user", [HELLO], 0, "name", value="Ann")
    yield whole_part("text part", {"type": "text", "text": "And there."})
    yield whole_part("image, as a `data:` URL", {"type": "image_url", "image_url": {"url": _PNG}})
    at = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    yield whole_part("image, at a URL", at)
    image: JSON = {"type": "image_url", "image_url": {"url": _PNG}}
    yield in_part("`detail` of an image", image, "image_url", "detail", value="low")
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    yield whole_part("`input_audio`", sound)
    yield whole_part("file, as `file_data`", {"type": "file", "file": {"file_data": _PDF}})
    unnamed: JSON = {"type": "file", "file": {"file_data": _PDF}}
    yield in_part("`filename` of a file", unnamed, "file", "filename", value="a.pdf")
    yield whole_part("file, as `file_id`", {"type": "file", "file": {"file_id": "file-1"}})
    text: JSON = {"type": "text", "text": "And there."}
    yield in_part("`cache_control` of a part", text, "cache_control", value=_CACHED)
    explicit = {"mode": "explicit"}
    feature = "`prompt_cache_breakpoint` of a part"
    yield in_part(feature, text, "prompt_cache_breakpoint", value=explicit)
    yield from _history()


def _history() -> Iterator[Probe]:
    talk = [HELLO, TOLD, MORE]
    yield whole_part("refusal part", {"type": "refusal", "refusal": "I will not."}, "assistant")
    yield in_message("`refusal` of a message", talk, 1, "refusal", value="I will not.")
    yield in_message("`audio` of a message", talk, 1, "audio", value={"id": "audio_1"})
    ask = request([HELLO, TOLD, MORE], tools=[_TOOL])
    calls = ask | {"messages": [HELLO, _CALLED, _RESULT]}
    yield Probe(MESSAGES, "`tool_calls` of a message", calls, ask, ("messages", 1, "tool_calls"))
    yield Probe(MESSAGES, "result of a tool", calls, ask, ("messages", 2))
    functions = {"functions": [_LOOK]}
    called = {"role": "assistant", "content": None, "function_call": _CALL["function"]}
    told = {"role": "function", "name": "look", "content": "sunny"}
    older = request([HELLO, called, told], **functions)
    other = request([HELLO, TOLD, MORE], **functions)
    yield Probe(
        MESSAGES, "`function_call` of a message", older, other, ("messages", 1, "function_call")
    )
    yield Probe(MESSAGES, "result of a function", older, other, ("messages", 2))
    failed = [HELLO, _CALLED, _RESULT]
    yield in_message("`is_error` of a result", failed, 2, "is_error", value=True, tools=[_TOOL])
    seen = {**_RESULT, "content": [{"type": "text", "text": "sunny"}]}
    shown = [HELLO, _CALLED, seen]
    feature = "image in the result of a tool"
    image = {"type": "image_url", "image_url": {"url": _PNG}}
    yield in_message(feature, shown, 2, "content", 1, value=image, tools=[_TOOL])
    thought = "Let me see."
    yield in_message(
        "`reasoning_content` of a message", talk, 1, "reasoning_content", value=thought
    )
    details = [{"type": "reasoning.text", "text": thought, "signature": "c2ln", "index": 0}]
    for form in ("anthropic-claude-v1", "amazon-bedrock-v1"):
        proved = [details[0] | {"format": form}]
        feature = f"`reasoning_details`, `{form}`"
        yield in_message(feature, talk, 1, "reasoning_details", value=proved)
    signed = {"google": {"thought_signature": "c2ln"}}
    yield in_message("`extra_content.google` of a message", talk, 1, "extra_content", value=signed)


def _own() -> Iterator[Probe]:
    values: JSON = {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "top_k": 40,
        "anthropic_beta": ["context-1m-2025-08-07"],
        "safety_settings": [],
        "cached_content": "cachedContents/1",
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "additionalModelRequestFields": {"inferenceConfig": {"topK": 40}},
        "documents": ["Bern is the capital."],
        "safety_mode": "STRICT",
        "options": {"num_ctx": 4096},
        "keep_alive": "5m",
        "think": "high",
    }
    values["safety_settings"] = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]
    for name, value in values.items():
        yield member(name, value, group=OWN)


PROBES = (*_parameters(), *_tools(), *_messages(), *_own())
