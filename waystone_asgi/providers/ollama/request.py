"""A request as Ollama's chat API takes it.

In: a decoded request. Out: its body, and the names of what was left out. Members under Ollama's own
names (`options`, `keep_alive`, `think`, `format`, `truncate`, `shift`) pass as they are; single
`options` of the caller's stand before what is mapped to them.
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
from ..histories import refuse
from .messages import write_messages

_OWN = ("format", "keep_alive", "think", "truncate", "shift", "logprobs", "top_logprobs")
_OPTIONS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
)
_THINK: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
"""How much to think for each `reasoning_effort`: a word for models that know how much, for others
whether they do (docs.ollama.com/capabilities/thinking).
"""

_KNOWS_HOW_MUCH = "gpt-oss"


def build_request(request: ChatRequest, target: Target) -> Built:
    """The body for `/api/chat`."""
    fields = Fields(request)
    body: dict[str, Any] = {
        "model": target.model,
        "messages": write_messages(decode_messages(request), fields),
        # Left out, it means true.
        "stream": bool(request.view.stream),
    }
    _write_tools(body, fields)
    _write_format(body, fields)
    _write_effort(body, fields, target.model)
    options = _options(fields)
    if options:
        body["options"] = options
    for name in _OWN:
        if (value := fields.raw(name)) is not None:
            body[name] = value
    return Built(body=encode(body), dropped=fields.check(strict=target.strict))


def _options(fields: Fields) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name in _OPTIONS:
        if (value := fields.raw(name)) is not None:
            options[name] = value
    older, newer = fields.raw("max_tokens"), fields.take("max_completion_tokens", float)
    if newer is not None:
        options["num_predict"] = int(newer)
    elif older is not None:
        options["num_predict"] = older
    stop = fields.take("stop", str | list[str])
    if stop:
        options["stop"] = [stop] if isinstance(stop, str) else stop
    if (fields.take("n", float) or 1) > 1:
        fields.drop("n")
    return options | (fields.take("options", dict[str, Any]) or {})


def _write_tools(body: dict[str, Any], fields: Fields) -> None:
    tools = read_tools(fields.take("tools", list[dict[str, Any]]) or [])
    choice = fields.take("tool_choice", str | dict[str, Any])
    mode = "auto" if choice is None else read_tool_choice(choice).mode
    if mode in ("required", "function"):
        fields.drop("tool_choice")
    if fields.take("parallel_tool_calls", bool) is False:
        fields.drop("parallel_tool_calls")
    functions = [tool for tool in tools if tool.function is not None]
    if len(functions) < len(tools):
        fields.drop("tools[].type")
    if functions and mode != "none":  # There is no word for it, but what is not told is not called.
        body["tools"] = [_tool(tool, fields) for tool in functions]


def _tool(tool: Tool, fields: Fields) -> dict[str, Any]:
    if tool.function is not None and tool.function.strict:
        fields.drop("tools[].function.strict")
    if tool.cache_control is not None:
        fields.drop("tools[].cache_control")
    function = {k: v for k, v in tool.document["function"].items() if k != "strict"}
    return {"type": "function", "function": function}


def _write_format(body: dict[str, Any], fields: Fields) -> None:
    form = fields.take("response_format", ResponseFormat)
    if form is None or form.type == "text":
        return
    schema = form.json_schema
    if schema is not None and schema.description is not None:
        fields.drop("response_format.json_schema.description")
    body["format"] = (schema.schema if schema else None) or "json"


def _write_effort(body: dict[str, Any], fields: Fields, model: str) -> None:
    effort = fields.take("reasoning_effort", str)
    if effort is None:
        return
    if effort not in _THINK:
        refuse("reasoning_effort", f"expected one of {', '.join(_THINK)}")
    much = _THINK[effort]
    body["think"] = much if _KNOWS_HOW_MUCH in model else bool(much)
