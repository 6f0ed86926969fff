"""Tools, and which of them may be used.

In: the members of a request that say so. Out: Gemini's `tools` and `toolConfig`. A tool of Google's
own stands under its key: `{"googleSearch": {}}`, or `{"type": "google_search"}` where a client
insists on a type.
"""

from __future__ import annotations

from typing import Any

from ...exceptions import InvalidRequestError
from ...wire.conversations import Tool, ToolChoice, read_tool_choice, read_tools
from ...wire.fields import Fields
from ...wire.gemini.requests import FunctionDeclaration
from .schemas import express

_MODES = {"none": "NONE", "auto": "AUTO", "required": "ANY", "function": "ANY"}
# What the model may choose among, where it may choose at all.
_ALLOWED_MODES = {"auto": "VALIDATED", "required": "ANY"}
_NOT_THE_TOOL = ("type", "cache_control")


def write_tools(fields: Fields) -> list[Any] | None:
    """The tools, or None where there are none. Raises `InvalidRequestError`."""
    functions: list[FunctionDeclaration] = []
    tools: list[Any] = []
    for tool in read_tools(fields.take("tools", list[dict[str, Any]]) or []):
        if tool.cache_control is not None:
            fields.drop("tools[].cache_control")
        if tool.type == "custom":
            # OpenAI's, which take text that has no schema.
            fields.drop("tools[].type")
            continue
        if tool.function is None:
            tools.append(_own(tool))
            continue
        if not functions:
            tools.append({"functionDeclarations": functions})
        functions.append(_declare(tool, fields))
    search = fields.take("web_search_options", dict[str, Any])
    if search is not None:
        tools.append({"googleSearch": {}})
        for name in search:
            fields.drop(f"web_search_options.{name}")
    if fields.take("parallel_tool_calls", bool) is False:
        fields.drop("parallel_tool_calls")
    return tools or None


def _declare(tool: Tool, fields: Fields) -> FunctionDeclaration:
    function = tool.function
    assert function is not None
    if function.strict:
        fields.drop("tools[].function.strict")
    parameters = function.parameters
    if parameters:
        parameters = express(
            parameters, lambda keyword: fields.drop(f"tools[].function.parameters.{keyword}")
        )
    return FunctionDeclaration(function.name, function.description, parameters or None)


def _own(tool: Tool) -> dict[str, Any]:
    members = {name: value for name, value in tool.document.items() if name not in _NOT_THE_TOOL}
    return members or {tool.type: {}}


def write_tool_config(fields: Fields) -> dict[str, Any] | None:
    """Which functions may be called. Raises `InvalidRequestError`."""
    choice: Any = fields.take("tool_choice", str | dict[str, Any])
    if choice is None:
        return None
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return _config(*_allowed(choice.get("allowed_tools")))
    chosen: ToolChoice = read_tool_choice(choice)
    return _config(_MODES[chosen.mode], [chosen.name] if chosen.name is not None else [])


def _config(mode: str, names: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {"mode": mode}
    if names:
        config["allowedFunctionNames"] = names
    return {"functionCallingConfig": config}


def _allowed(allowed: Any) -> tuple[str, list[str]]:
    match allowed:
        case {"mode": "auto" | "required" as mode, "tools": [*tools]}:
            names = [
                name
                for tool in tools
                if isinstance(tool, dict)
                and isinstance(function := tool.get("function"), dict)
                and isinstance(name := function.get("name"), str)
            ]
            if len(names) == len(tools):
                return _ALLOWED_MODES[mode], names
    where = "tool_choice.allowed_tools"
    raise InvalidRequestError(f"{where}: Expected a mode and functions by name.", param=where)
