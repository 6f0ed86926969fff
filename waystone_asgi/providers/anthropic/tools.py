"""Tools, and which of them may be called.

In: the members of a request that are about tools. Out: those of the provider's body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...wire.conversations import Tool, WebSearchOptions, read_tool_choice, read_tools
from ...wire.fields import Fields
from .parts import refuse

_CHOICES = {"none": "none", "auto": "auto", "required": "any", "function": "tool"}
_FORCED = ("any", "tool")


def write_tools(fields: Fields) -> dict[str, Any]:
    """`tools` and `tool_choice`. Raises `InvalidRequestError`."""
    read = read_tools(fields.take("tools", list[dict[str, Any]]) or [])
    tools = [_write_tool(tool, f"tools[{index}]") for index, tool in enumerate(read)]
    tools += _write_search(fields)
    if not tools:
        # Without tools nothing is parallel, and only a call that has to be made is lost.
        fields.take("parallel_tool_calls")
        if fields.take("tool_choice") not in (None, "auto", "none"):
            fields.drop("tool_choice")
        return {}
    choice = _write_choice(fields)
    return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}


def is_forced(written: Mapping[str, Any]) -> bool:
    """Whether the model has to call a tool."""
    return written.get("tool_choice", {}).get("type") in _FORCED


def _write_tool(tool: Tool, where: str) -> dict[str, Any]:
    """A function as the provider describes one; its own tools are what they are.

    Members beside the function are the provider's own, `cache_control` or `defer_loading`.
    """
    function = tool.function
    if function is None:
        if "custom" in tool.document:
            refuse(f"{where}.type", "the provider takes functions, and tools of its own")
        return tool.document
    written: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        written["description"] = function.description
    # The root has to say that it is an object, which OpenAI takes for granted.
    written["input_schema"] = {"type": "object", **(function.parameters or {"properties": {}})}
    if function.strict is not None:
        written["strict"] = function.strict
    beside = {name: v for name, v in tool.document.items() if name not in ("type", "function")}
    return written | beside


def _write_search(fields: Fields) -> list[dict[str, Any]]:
    """The provider's own search, where the caller wants one by OpenAI's option."""
    options = fields.take("web_search_options", WebSearchOptions)
    if options is None:
        return []
    if options.search_context_size not in (None, "medium"):
        fields.drop("web_search_options.search_context_size")
    search: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
    if options.user_location is not None:
        search["user_location"] = {"type": "approximate", **options.user_location.approximate}
    return [search]


def _write_choice(fields: Fields) -> dict[str, Any]:
    """The choice, with whether it may be several; empty where the caller leaves both open."""
    written: dict[str, Any] = {}
    said = fields.take("tool_choice", str | dict[str, Any])
    if said is not None:
        choice = read_tool_choice(said)
        written["type"] = _CHOICES[choice.mode]
        if choice.name is not None:
            written["name"] = choice.name
    if fields.take("parallel_tool_calls", bool) is False and written.get("type") != "none":
        return {"type": "auto", **written, "disable_parallel_tool_use": True}
    return written
