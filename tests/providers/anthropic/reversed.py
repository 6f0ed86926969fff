"""Bodies of the provider's own in OpenAI's form: the way back, for recorded requests."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

JSON = dict[str, Any]

SAME = ("max_tokens", "temperature", "top_p", "thinking", "stream")


def reverse(body: JSON) -> JSON:
    """The request that a caller would have made."""
    request: JSON = {"model": "anthropic/claude", "messages": list(messages(body))}
    request |= {name: body[name] for name in SAME if name in body}
    if "stop_sequences" in body:
        request["stop"] = body["stop_sequences"]
    if "tools" in body:
        request["tools"] = [tool(document) for document in body["tools"]]
    if "tool_choice" in body:
        request |= tool_choice(body["tool_choice"])
    config = body.get("output_config", {})
    if "format" in config:
        schema = {"name": "answer", "schema": config["format"]["schema"]}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    if "effort" in config:
        request["output_config"] = {"effort": config["effort"]}
    return request


def messages(body: JSON) -> Iterator[JSON]:
    if "system" in body:
        yield {"role": "system", "content": content(body["system"])}
    for turn in body["messages"]:
        if isinstance(turn["content"], str):
            yield turn
        elif turn["role"] == "assistant":
            yield reply(turn["content"])
        else:
            yield from results(turn["content"])
            said = [block for block in turn["content"] if block["type"] != "tool_result"]
            if said:
                yield {"role": "user", "content": content(said)}


def content(said: str | list[JSON]) -> str | list[JSON]:
    return said if isinstance(said, str) else [part(block) for block in said]


def part(block: JSON) -> JSON:
    if block["type"] == "text":
        return block
    source = block["source"]
    if block["type"] == "image":
        url = f"data:{source['media_type']};base64,{source['data']}"
        return {"type": "image_url", "image_url": {"url": url}}
    assert source["type"] == "text"
    data = b64encode(source["data"].encode()).decode()
    file = {"filename": block["title"], "file_data": f"data:text/plain;base64,{data}"}
    return {"type": "file", "file": file, "citations": block["citations"]}


def results(blocks: list[JSON]) -> Iterator[JSON]:
    for block in blocks:
        if block["type"] == "tool_result":
            message = {"role": "tool", "tool_call_id": block["tool_use_id"]}
            message["content"] = content(block["content"])
            yield message | {k: block[k] for k in ("is_error", "cache_control") if k in block}


def reply(blocks: list[JSON]) -> JSON:
    texts = [block for block in blocks if block["type"] == "text"]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    message: JSON = {"role": "assistant", "content": texts or None}
    if calls:
        message["tool_calls"] = [
            {
                "id": block["id"],
                "type": "function",
                "function": {"name": block["name"], "arguments": json.dumps(block["input"])},
            }
            for block in calls
        ]
        message |= {k: v for k, v in calls[-1].items() if k == "cache_control"}
    if any(block["type"].startswith("server_") for block in blocks):
        return message | {"extra_content": {"anthropic": {"content": blocks}}}
    details = [
        {"type": "reasoning.text", "text": block["thinking"], "signature": block["signature"]}
        for block in blocks
        if block["type"] == "thinking"
    ]
    return message | ({"reasoning_details": details} if details else {})


def tool(document: JSON) -> JSON:
    if "input_schema" not in document:
        return document
    function: JSON = {k: document[k] for k in ("name", "description") if k in document}
    function["parameters"] = document["input_schema"]
    return {"type": "function", "function": function}


def tool_choice(choice: JSON) -> JSON:
    if choice["type"] == "tool":
        return {"tool_choice": {"type": "function", "function": {"name": choice["name"]}}}
    members: JSON = {"tool_choice": choice["type"]}
    if "disable_parallel_tool_use" in choice:
        members["parallel_tool_calls"] = not choice["disable_parallel_tool_use"]
    return members
