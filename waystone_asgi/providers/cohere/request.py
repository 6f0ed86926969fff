"""A request as Cohere's chat API takes it.

In: a decoded request. Out: its body, and the names of what was left out. Members under Cohere's own
names (`documents`, `citation_options`, `safety_mode`, `thinking`, `strict_tools`, `priority`, …)
pass as they are.
"""

from __future__ import annotations

from typing import Any

from ...wire.conversations import (
    ResponseFormat,
    Tool,
    decode_messages,
    read_tool_choice,
    read_tools,
)
from ...wire.fields import Fields
from ...wire.members import encode
from ...wire.requests import ChatRequest
from ..dialects import Built, Target
from .messages import write_messages

_OWN = (
    "documents",
    "citation_options",
    "safety_mode",
    "thinking",
    "strict_tools",
    "stop_sequences",
    "priority",
    "k",
    "p",
)
_SAME = ("temperature", "seed", "frequency_penalty", "presence_penalty", "logprobs")
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 4096}
"""Tokens for each `reasoning_effort`; above there is no bound, and `none` turns thinking off."""


def build_request(request: ChatRequest, target: Target) -> Built:
    """The body for `/v2/chat`."""
    fields = Fields(request)
    view = request.view
    body: dict[str, Any] = {
        "model": target.model,
        "messages": write_messages(decode_messages(request), fields),
        "stream": bool(view.stream),
    }
    _write_tools(body, fields)
    _write_format(body, fields)
    _write_sampling(body, fields)
    _write_effort(body, fields)
    for name in _OWN:
        if (value := fields.raw(name)) is not None:
            body[name] = value
    return Built(body=encode(body), dropped=fields.check(strict=target.strict))


def _write_sampling(body: dict[str, Any], fields: Fields) -> None:
    for name in _SAME:
        if (value := fields.raw(name)) is not None:
            body[name] = value
    for name, own in (("top_p", "p"), ("top_k", "k")):
        if (value := fields.raw(name)) is not None:
            body[own] = value
    older, newer = fields.raw("max_tokens"), fields.take("max_completion_tokens", float)
    if newer is not None:
        body["max_tokens"] = int(newer)
    elif older is not None:
        body["max_tokens"] = older
    stop = fields.take("stop", str | list[str])
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if (fields.take("n", float) or 1) > 1:
        fields.drop("n")


def _write_tools(body: dict[str, Any], fields: Fields) -> None:
    tools = read_tools(fields.take("tools", list[dict[str, Any]]) or [])
    choice = fields.take("tool_choice", str | dict[str, Any])
    if choice is not None:
        chosen = read_tool_choice(choice)
        if chosen.mode == "function":
            # No function can be named: it is the only one there is, and one must be called.
            tools = [tool for tool in tools if tool.function and tool.function.name == chosen.name]
        if chosen.mode != "auto":
            body["tool_choice"] = "NONE" if chosen.mode == "none" else "REQUIRED"
    if fields.take("parallel_tool_calls", bool) is False:
        fields.drop("parallel_tool_calls")
    functions = [tool for tool in tools if tool.function is not None]
    if len(functions) < len(tools):
        fields.drop("tools[].type")
    if functions:
        body["tools"] = [_tool(tool, fields) for tool in functions]
        _write_strictness(body, functions, fields)


def _tool(tool: Tool, fields: Fields) -> dict[str, Any]:
    function = {k: v for k, v in tool.document["function"].items() if k != "strict"}
    # Cohere requires the schema.
    if function.get("parameters") is None:
        function["parameters"] = {"type": "object", "properties": {}}
    if tool.cache_control is not None:
        fields.drop("tools[].cache_control")
    return {"type": "function", "function": function}


def _write_strictness(body: dict[str, Any], tools: list[Tool], fields: Fields) -> None:
    """It is that of all tools, or of none."""
    strict = [bool(tool.function and tool.function.strict) for tool in tools]
    if all(strict):
        body["strict_tools"] = True
    elif any(strict):
        fields.drop("tools[].function.strict")


def _write_format(body: dict[str, Any], fields: Fields) -> None:
    raw = fields.raw("response_format")
    form = fields.take("response_format", ResponseFormat)
    if raw is None or form is None or form.type == "text":
        return
    schema = form.json_schema
    if form.type != "json_schema" or schema is None:
        body["response_format"] = raw
        return
    written: dict[str, Any] = {"type": "json_object"}
    if schema.schema is not None:
        written["json_schema"] = schema.schema
    if schema.description is not None:
        fields.drop("response_format.json_schema.description")
    body["response_format"] = written


def _write_effort(body: dict[str, Any], fields: Fields) -> None:
    effort = fields.take("reasoning_effort", str)
    if effort is None:
        return
    thinking: dict[str, Any] = {"type": "disabled" if effort == "none" else "enabled"}
    if effort in _BUDGETS:
        thinking["token_budget"] = _BUDGETS[effort]
    body["thinking"] = thinking
