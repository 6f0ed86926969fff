"""Answers of Bedrock as a test writes them, and what becomes of them, read with plain JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from waystone_asgi.providers.bedrock import DIALECT
from waystone_asgi.providers.dialects import Answer, Head, Stream
from waystone_asgi.wire.chat import ChatCompletionRequest, StreamOptions

from ..heads import raw
from .asking import CLAUDE

ID = "84a8d556-77e6-41e7-ae21-1c20cb72dd64"
RECEIVED = 1_800_000_000


def head(model: str = CLAUDE, **headers: str) -> Head:
    said = headers or {"x_amzn_requestid": ID}
    named = {name.replace("_", "-"): value for name, value in said.items()}
    return Head(model=model, received=RECEIVED, headers=raw(named))


def answer(
    *blocks: dict[str, Any], model: str = CLAUDE, stop: str = "end_turn", **members: Any
) -> tuple[dict[str, Any], Answer]:
    """What a whole answer with these blocks becomes."""
    message = {"role": "assistant", "content": list(blocks)}
    body = {"output": {"message": message}, "stopReason": stop, **members}
    parsed = DIALECT.parse_response(json.dumps(body).encode(), head(model))
    return read_answer(parsed.body), parsed


def read_answer(body: bytes) -> dict[str, Any]:
    """A whole answer, once the official client has taken it."""
    document: dict[str, Any] = json.loads(body)
    ChatCompletion.model_validate(document)
    return document


def encode_frame(payload: bytes, **headers: str) -> bytes:
    """A frame; `event_type` stands for `:event-type`."""
    block = b""
    for name, value in headers.items():
        key, said = f":{name.replace('_', '-')}".encode(), value.encode()
        block += bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(said)) + said
    return frame_of(block, payload)


def frame_of(block: bytes, payload: bytes) -> bytes:
    """A frame with any headers, right or wrong."""
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    body = lengths + struct.pack(">I", crc32(lengths)) + block + payload
    return body + struct.pack(">I", crc32(body))


def event(kind: str, **members: Any) -> bytes:
    """The frame of an event, padded as Bedrock pads them."""
    payload = json.dumps({**members, "p": "abcdefgh"}).encode()
    return encode_frame(
        payload, event_type=kind, content_type="application/json", message_type="event"
    )


def start(index: int, **members: Any) -> bytes:
    return event("contentBlockStart", contentBlockIndex=index, start=members)


def delta(index: int, **members: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=members)


def stop(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


def end(reason: str = "end_turn", **members: Any) -> bytes:
    return event("messageStop", stopReason=reason, **members)


BEGIN = event("messageStart", role="assistant")
USAGE = {"inputTokens": 8, "outputTokens": 10, "totalTokens": 18}
METADATA = event("metadata", usage=USAGE, metrics={"latencyMs": 1})


def open_stream(model: str = CLAUDE, *, include_usage: bool = True) -> Stream:
    options = StreamOptions(include_usage=include_usage)
    return DIALECT.open_stream(ChatCompletionRequest("m", True, options), head(model))


def feed(stream: Stream, pieces: Iterable[bytes]) -> bytes:
    """All that is relayed of a stream that comes in these pieces."""
    return b"".join([stream.feed(piece) for piece in pieces]) + stream.finish()


def read_events(relayed: bytes) -> Iterator[dict[str, Any]]:
    """The chunks that were relayed, once the official client has taken each."""
    for one in relayed.split(b"\n\n")[:-1]:
        assert one.startswith(b"data: ")
        if one != b"data: [DONE]":
            document = json.loads(one[6:])
            ChatCompletionChunk.model_validate(document)
            yield document


def joined(relayed: bytes) -> dict[str, Any]:
    """The message that the chunks come to, with `finish_reason` and `usage` beside its members.

    The official client can put it together, too.
    """
    state = ChatCompletionStreamState[None]()
    message: dict[str, Any] = {"content": None, "annotations": [], "finish_reason": None}
    for chunk in read_events(relayed):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
        message["usage"] = chunk.get("usage", message.get("usage"))
        for choice in chunk["choices"]:
            message["finish_reason"] = choice["finish_reason"] or message["finish_reason"]
            _add(message, choice["delta"])
    return message


def _add(message: dict[str, Any], added: dict[str, Any]) -> None:
    for name in ("content", "reasoning_content"):
        if name in added:
            message[name] = (message.get(name) or "") + added[name]
    for name in ("reasoning_details", "annotations"):
        if name in added:
            message[name] = message.get(name, []) + added[name]
    for name in ("role", "extra_content"):
        if name in added:
            assert name not in message
            message[name] = added[name]
    for call in added.get("tool_calls", ()):
        calls = message.setdefault("tool_calls", [])
        if call["index"] == len(calls):
            calls.append({"id": call["id"], "type": call["type"], "function": {**call["function"]}})
        else:
            assert call["index"] == len(calls) - 1
            calls[-1]["function"]["arguments"] += call["function"]["arguments"]
