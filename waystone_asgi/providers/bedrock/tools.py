"""The tools of a request, and which of them may be called, as Converse has them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...wire.bedrock import ToolConfig
from ...wire.conversations import FunctionDefinition, Tool, read_tool_choice, read_tools
from ...wire.fields import Fields
from .messages import cache_point

_FORCED = ("required", "function")


def write_tools(fields: Fields, called: Collection[str]) -> ToolConfig | None:
    """What may be called, or None where nothing may.

    Bedrock knows no choice of none, which is to leave the tools out. Yet it refuses a history of
    calls without tools: then they stay, or what was `called` is declared, and the choice is
    dropped.
    """
    choice = fields.take("tool_choice", str | dict[str, Any])
    asked = None if choice is None else read_tool_choice(choice)
    tools: list[Any] = []
    for tool in read_tools(fields.take("tools", list[dict[str, Any]]) or []):
        tools += _declare(tool, fields)
    if asked is not None and asked.mode == "none":
        if not called:
            return None
        if tools:
            fields.drop("tool_choice")
        asked = None
    if not tools:
        if asked is not None and asked.mode in _FORCED:
            fields.drop("tool_choice")
        tools = [_tool_spec(FunctionDefinition(name)) for name in called]
        asked = None
    if not tools:
        return None
    if asked is None:
        return ToolConfig(tools)
    return ToolConfig(tools, _CHOICES.get(asked.mode) or {"tool": {"name": asked.name}})


_CHOICES: dict[str, Any] = {"auto": {"auto": {}}, "required": {"any": {}}}


def is_forced(tools: ToolConfig | None) -> bool:
    """Whether something must be called."""
    return tools is not None and tools.tool_choice is not None and "auto" not in tools.tool_choice


def _declare(tool: Tool, fields: Fields) -> list[Any]:
    """A tool, and that it is to be cached up to there. Those of other providers are dropped."""
    declared: list[Any]
    if tool.type == "function" and tool.function is not None:
        declared = [_tool_spec(tool.function)]
    elif isinstance(system := tool.document.get("systemTool"), dict):
        declared = [{"systemTool": system}]
    else:
        fields.drop("tools[].type")
        return []
    if tool.cache_control is not None:
        declared.append({"cachePoint": cache_point(tool.cache_control)})
    return declared


def _tool_spec(function: FunctionDefinition) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": function.name}
    if function.description:
        spec["description"] = function.description
    # The root has to say that it is an object, which OpenAI takes for granted.
    schema = {"type": "object", **(function.parameters or {"properties": {}})}
    spec["inputSchema"] = {"json": schema}
    if function.strict is not None:
        spec["strict"] = function.strict
    return {"toolSpec": spec}
