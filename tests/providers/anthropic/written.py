"""Requests that tests write, and what comes of them and of answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from waystone_asgi.providers.anthropic import DIALECT
from waystone_asgi.providers.dialects import Built, Dialect, Head, Stream, Target
from waystone_asgi.sse import encode_event
from waystone_asgi.wire.requests import ChatRequest, decode_chat_request

from ..heads import raw

MODEL = "claude-opus-4-6"
HELLO = {"role": "user", "content": "Hello"}


def request(*messages: Mapping[str, Any], **members: Any) -> ChatRequest:
    """A decoded request; without messages it says hello."""
    document = {"model": "anthropic/claude", "messages": messages or [HELLO], **members}
    return decode_chat_request(json.dumps(document).encode())


def built(
    *messages: Mapping[str, Any], to: str = MODEL, strict: bool = False, **members: Any
) -> Built:
    """What is sent of a request, and what was left out."""
    target = Target(model=to, strict=strict, max_output_tokens=1000)
    return DIALECT.build_request(request(*messages, **members), target)


def body(*messages: Mapping[str, Any], to: str = MODEL, **members: Any) -> dict[str, Any]:
    """The body that is sent of a request."""
    document: dict[str, Any] = json.loads(bytes(built(*messages, to=to, **members).body))
    return document


def answered(document: object, dialect: Dialect = DIALECT) -> dict[str, Any]:
    """An answer as the caller gets it."""
    head = Head(model="claude", received=1, headers=raw({"request-id": "req_1"}))
    whole: dict[str, Any] = json.loads(
        dialect.parse_response(json.dumps(document).encode(), head).body
    )
    return whole


def opened(dialect: Dialect = DIALECT, **members: Any) -> Stream:
    """A stream that has not begun."""
    head = Head(model="claude", received=1, headers=raw({"request-id": "req_1"}))
    return dialect.open_stream(request(stream=True, **members).view, head)


def events(*documents: Mapping[str, Any]) -> bytes:
    """Events as the provider sends them."""
    return b"".join(
        b"event: %b\n" % str(document["type"]).encode()
        + encode_event(json.dumps(document).encode())
        for document in documents
    )


def chunks(data: bytes) -> list[dict[str, Any]]:
    """The events that a caller gets, but for the last."""
    payloads = [line[6:] for line in data.split(b"\n\n") if line]
    return [json.loads(payload) for payload in payloads if payload != b"[DONE]"]


def added(pieces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The message that the pieces of a stream come to."""
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    for chunk in pieces:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for call in delta.pop("tool_calls", ()):
                _add_call(calls.setdefault(call.pop("index"), {}), call)
            for name, value in delta.items():
                message[name] = message[name] + value if name in message else value
            if choice["finish_reason"] is not None:
                message["finish_reason"] = choice["finish_reason"]
    return message | ({"tool_calls": [calls[i] for i in sorted(calls)]} if calls else {})


def _add_call(call: dict[str, Any], piece: dict[str, Any]) -> None:
    function = piece.pop("function")
    arguments = call.get("function", {}).get("arguments", "") + function.pop("arguments")
    call |= piece
    call["function"] = call.get("function", {}) | function | {"arguments": arguments}
