"""Answers of the dialect, read as a client reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from openai.types.chat import ChatCompletionChunk

from waystone_asgi.providers.dialects import Head
from waystone_asgi.providers.gemini import DIALECT
from waystone_asgi.providers.gemini.stream import GeminiStream
from waystone_asgi.wire.chat import ChatCompletionRequest, StreamOptions

HEAD = Head(model="asked-for", received=1_700_000_000)
REQUEST = ChatCompletionRequest(
    "asked-for", stream=True, stream_options=StreamOptions(include_usage=True)
)


def answer(document: dict[str, Any]) -> dict[str, Any]:
    """A whole answer, translated."""
    body: dict[str, Any] = json.loads(
        DIALECT.parse_response(json.dumps(document).encode(), HEAD).body
    )
    return body


def message_of(*parts: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The message of an answer that has these parts."""
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP"}
    translated = answer({"responseId": "r", "candidates": [candidate | members]})
    message: dict[str, Any] = translated["choices"][0]["message"]
    return message


def stream(pieces: Iterable[bytes]) -> tuple[GeminiStream, bytes]:
    """A stream that was fed so, and what it wrote."""
    decoder = GeminiStream(REQUEST, HEAD)
    written = b"".join([decoder.feed(piece) for piece in pieces])
    return decoder, written + decoder.finish()


def events(*documents: dict[str, Any]) -> bytes:
    """Documents as Gemini streams them."""
    return b"".join([b"data: %b\r\n\r\n" % json.dumps(item).encode() for item in documents])


def chunks(written: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream, each as the official client takes it."""
    found = []
    for event in written.decode().split("\n\n")[:-1]:
        assert event.startswith("data: ")
        data = event.removeprefix("data: ")
        if data != "[DONE]":
            ChatCompletionChunk.model_validate_json(data)
            found.append(json.loads(data))
    return found


def joined(written: bytes) -> dict[str, Any]:
    """The first choice of a stream as one message, with `finish_reason` and `usage`."""
    message: dict[str, Any] = {"content": None, "tool_calls": []}
    for chunk in chunks(written):
        message["usage"] = chunk.get("usage")
        for choice in chunk["choices"]:
            if choice["index"] == 0:
                message["finish_reason"] = choice["finish_reason"]
                _add(message, choice["delta"])
    return message


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name in ("content", "reasoning_content"):
        if name in delta:
            message[name] = (message.get(name) or "") + delta[name]
    for name in ("images", "annotations", "extra_content", "refusal"):
        if name in delta:
            assert name not in message
            message[name] = delta[name]
    for piece in delta.get("tool_calls", ()):
        if piece["index"] == len(message["tool_calls"]):
            message["tool_calls"].append({k: v for k, v in piece.items() if k != "index"})
        else:
            function = message["tool_calls"][piece["index"]]["function"]
            function["arguments"] += piece["function"]["arguments"]
