"""Recorded requests as a client would write them in OpenAI's form, and as Gemini is to get them.

Independent of the code under test: what Google's API reference says, the other way round.
"""

from __future__ import annotations

import json
import re
from typing import Any

_SAMPLING = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_completion_tokens",
    "candidateCount": "n",
    "stopSequences": "stop",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
    "thinkingConfig": "thinking_config",
}
_TYPES = {1: "string", 2: "number", 3: "integer", 4: "boolean", 5: "array", 6: "object"}
_NAMES = {"video/mp4": "a.mp4", "image/jpeg": "a.jpg", "audio/mpeg": "a.mp3"}


def expected(native: dict[str, Any]) -> dict[str, Any]:
    """The request as it is to be sent.

    The exceptions from what was recorded, each for its reason:
    - `model` stands in the path;
    - members in snake case are in camel case, which the API takes as the same;
    - schemas in OpenAPI's form, with types in capitals or as numbers, are in JSON schema's;
    - a system instruction has no role, and one that says nothing is left out;
    - an empty configuration and a candidate count of one say nothing.
    """
    request = _in_camel_case({k: v for k, v in native.items() if k != "model"})
    system = request.pop("systemInstruction", None)
    if system and isinstance(system["parts"], list):
        request["systemInstruction"] = {"parts": system["parts"]}
    for tool in request.get("tools", ()):
        for function in tool.get("functionDeclarations", ()):
            if "parameters" in function:
                function["parametersJsonSchema"] = _json_schema(function.pop("parameters"))
    config = request.get("generationConfig", {})
    if "responseSchema" in config:
        config["responseJsonSchema"] = _json_schema(config.pop("responseSchema"))
    if config.get("candidateCount") == 1:
        del config["candidateCount"]
    if not config:
        request.pop("generationConfig", None)
    return request


def openai_form(native: dict[str, Any]) -> dict[str, Any]:
    """The same request in OpenAI's form."""
    request = expected(native)
    body: dict[str, Any] = {"model": "x", "messages": _messages(request)}
    config = request.get("generationConfig", {})
    for name, value in config.items():
        if name in _SAMPLING:
            body[_SAMPLING[name]] = value
    if config.get("thinkingConfig") == {"includeThoughts": True, "thinkingLevel": "HIGH"}:
        del body["thinking_config"]
        body["reasoning_effort"] = "high"
    if "responseModalities" in config:
        body["modalities"] = [modality.lower() for modality in config["responseModalities"]]
    if "responseJsonSchema" in config:
        schema = {"name": "wanted", "schema": config["responseJsonSchema"], "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif "responseMimeType" in config:
        body["response_format"] = {"type": "json_object"}
    if "tools" in request:
        body["tools"] = [tool for one in request["tools"] for tool in _tools(one)]
    choice = request.get("toolConfig")
    if choice == {"functionCallingConfig": {"mode": "AUTO"}}:
        body["tool_choice"] = "auto"
    elif choice is not None:
        body["tool_config"] = choice
    for name in ("safetySettings", "cachedContent"):
        if name in request:
            body[name] = request[name]
    return body


def _in_camel_case(value: Any) -> Any:
    """Members whose names are the API's; arguments, results and schemas stay as they are."""
    if isinstance(value, list):
        return [_in_camel_case(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub("_([a-z])", lambda m: m[1].upper(), name): v for name, v in value.items()}
    if "googleSearch" in named or "urlContext" in named:
        return value  # These are passed on as they are.
    free = ("args", "response", "parametersJsonSchema", "parameters", "responseJsonSchema")
    return {n: v if n in free else _in_camel_case(v) for n, v in named.items()}


def _json_schema(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    said = {name: _json_schema(value) for name, value in schema.items()}
    kind = said.get("type")
    if isinstance(kind, str | int):
        said["type"] = _TYPES[kind] if isinstance(kind, int) else kind.lower()
    if "properties" in said:
        said["properties"] = {n: _json_schema(v) for n, v in schema["properties"].items()}
    return said


def _messages(request: dict[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if "systemInstruction" in request:
        text = "".join(part["text"] for part in request["systemInstruction"]["parts"])
        messages.append({"role": "system", "content": text})
    ids: list[str] = []
    for content in request["contents"]:
        if content["role"] == "model":
            messages.append(_assistant(content["parts"], ids))
        elif "functionResponse" in content["parts"][0]:
            messages += [_tool(part["functionResponse"], ids) for part in content["parts"]]
        else:
            parts = [_part(part) for part in content["parts"]]
            messages.append({"role": "user", "content": parts})
    return messages


def _assistant(parts: list[dict[str, Any]], ids: list[str]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    for part in parts:
        if "text" in part:
            message["content"] = part["text"]
            continue
        called = part["functionCall"]
        ids.append(called.get("id") or f"call_gemini_{len(ids)}")
        function = {"name": called["name"], "arguments": json.dumps(called["args"])}
        call = {"id": ids[-1], "type": "function", "function": function}
        if "thoughtSignature" in part:
            signature = {"thought_signature": part["thoughtSignature"]}
            call["extra_content"] = {"google": signature}
        message.setdefault("tool_calls", []).append(call)
    return message


def _tool(response: dict[str, Any], ids: list[str]) -> dict[str, Any]:
    id = response.get("id") or ids[-1]
    return {"role": "tool", "tool_call_id": id, "content": json.dumps(response["response"])}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if "inlineData" in part:
        blob = part["inlineData"]
        url = f"data:{blob['mimeType']};base64,{blob['data']}"
        return {"type": "image_url", "image_url": {"url": url}}
    file = part["fileData"]
    name = _NAMES[file["mimeType"]]
    return {"type": "file", "file": {"file_id": file["fileUri"], "filename": name}}


def _tools(tool: dict[str, Any]) -> list[dict[str, Any]]:
    if "functionDeclarations" not in tool:
        return [tool]
    return [
        {
            "type": "function",
            "function": {
                "name": function["name"],
                "description": function["description"],
                "parameters": function["parametersJsonSchema"],
            },
        }
        for function in tool["functionDeclarations"]
    ]
