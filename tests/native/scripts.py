"""What providers answer, each in its own dialect: whole, in events, and as errors.

An answer is given as the provider has it: blocks of Anthropic and Bedrock, parts of Google, and a
message of Cohere and Ollama.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..providers.anthropic import test_answers as claude
from ..providers.anthropic import written
from ..providers.bedrock import answering as converse
from ..providers.bedrock.asking import CLAUDE

JSON = dict[str, Any]

EVENTS = "text/event-stream"


class Script(Protocol):
    """How one dialect is spoken, and what is said in the tests of two turns.

    `stopped` and `calling` are its words for why an answer ended. `turns` are answers with
    reasoning and calls, and `said` is one that says "Hello there."
    """

    type: str
    model: str
    streams: str
    stopped: str
    calling: str
    turns: Sequence[Any]
    said: Any

    def whole(self, answer: Any, stop: str) -> bytes:
        """The body of a whole answer."""

    def events(self, answer: Any, stop: str) -> list[bytes]:
        """The events of a stream."""

    def sent_back(self, body: JSON) -> list[Any]:
        """The answers that a request gives back."""

    def fault(self, message: str) -> bytes:
        """The body of an error."""

    def failure(self, message: str) -> bytes:
        """The event of an error."""


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


@dataclass
class Claude:
    """Anthropic's models, there and on Vertex AI."""

    type: str = "anthropic"
    model: str = "claude-opus-4-5"
    streams: str = EVENTS
    stopped: str = "end_turn"
    calling: str = "tool_use"
    turns: Sequence[Any] = (
        [
            claude.THINKING,
            claude.text("Let me look."),
            claude.use("a", {"x": 1, "y": [1.5, None]}),
            claude.use("b", {}),
        ],
        [claude.THINKING, claude.REDACTED, claude.use("c", {"z": "ä"})],
    )
    said: Any = (claude.text("Hello there."),)

    def whole(self, answer: Any, stop: str) -> bytes:
        return encoded(claude.message(*answer, stop_reason=stop))

    def events(self, answer: Any, stop: str) -> list[bytes]:
        message = claude.message(*answer, stop_reason=stop)
        return [written.events(event) for event in claude.streamed(message)]

    def sent_back(self, body: JSON) -> list[Any]:
        return [turn["content"] for turn in body["messages"] if turn["role"] == "assistant"]

    def fault(self, message: str) -> bytes:
        return encoded({"type": "error", "error": {"type": "overloaded_error", "message": message}})

    def failure(self, message: str) -> bytes:
        return b"event: error\ndata: %b\n\n" % self.fault(message)


@dataclass
class Google:
    """Gemini, there and on Vertex AI."""

    type: str = "gemini"
    model: str = "gemini-3-pro-preview"
    streams: str = EVENTS
    stopped: str = "STOP"
    calling: str = "STOP"
    turns: Sequence[Any] = (
        [
            {"text": "Let me see.", "thought": True},
            {
                "functionCall": {"name": "look", "args": {"a": 1}, "id": "x"},
                "thoughtSignature": "b25l",
            },
            {"functionCall": {"name": "look", "args": {}, "id": "y"}},
        ],
        [
            {"text": "Once more.", "thoughtSignature": "dHdv"},
            {
                "functionCall": {"name": "look", "args": {"a": [2]}},
                "thoughtSignature": "dGhyZWU=",
            },
            {"functionCall": {"name": "look", "args": {"a": [2]}}},
        ],
    )
    said: Any = ({"text": "Hello there."},)

    def _document(self, parts: Any, **candidate: Any) -> JSON:
        content = {"role": "model", "parts": list(parts)}
        return {
            "responseId": "r1",
            "modelVersion": self.model,
            "candidates": [{"index": 0, "content": content, **candidate}],
        }

    def _last(self, parts: Any, stop: str) -> JSON:
        counts = {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12}
        return self._document(parts, finishReason=stop) | {"usageMetadata": counts}

    def whole(self, answer: Any, stop: str) -> bytes:
        return encoded(self._last(answer, stop))

    def events(self, answer: Any, stop: str) -> list[bytes]:
        documents = [*(self._document([part]) for part in answer), self._last([], stop)]
        return [b"data: %b\r\n\r\n" % encoded(document) for document in documents]

    def sent_back(self, body: JSON) -> list[Any]:
        return [turn["parts"] for turn in body["contents"] if turn["role"] == "model"]

    def fault(self, message: str) -> bytes:
        return encoded({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}})

    def failure(self, message: str) -> bytes:
        return b"data: %b\r\n\r\n" % self.fault(message)


@dataclass
class Converse:
    """Bedrock."""

    type: str = "bedrock"
    model: str = CLAUDE
    streams: str = "application/vnd.amazon.eventstream"
    stopped: str = "end_turn"
    calling: str = "tool_use"
    turns: Sequence[Any] = (
        [
            {"reasoningContent": {"reasoningText": {"text": "r1", "signature": "signed r1"}}},
            {"reasoningContent": {"redactedContent": "QUJD"}},
            {"text": "Let me look."},
            {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"a": 1}}},
            {"toolUse": {"toolUseId": "t2", "name": "look", "input": {"b": []}}},
        ],
        [
            {"reasoningContent": {"reasoningText": {"text": "r2", "signature": "signed r2"}}},
            {"toolUse": {"toolUseId": "t3", "name": "look", "input": {}}},
        ],
    )
    said: Any = ({"text": "Hello there."},)

    def whole(self, answer: Any, stop: str) -> bytes:
        message = {"role": "assistant", "content": list(answer)}
        body = {"output": {"message": message}, "stopReason": stop, "usage": converse.USAGE}
        return encoded(body)

    def events(self, answer: Any, stop: str) -> list[bytes]:
        frames = [frame for at, block in enumerate(answer) for frame in _frames(at, block)]
        return [converse.BEGIN, *frames, converse.end(stop), converse.METADATA]

    def sent_back(self, body: JSON) -> list[Any]:
        return [turn["content"] for turn in body["messages"] if turn["role"] == "assistant"]

    def fault(self, message: str) -> bytes:
        return encoded({"message": message})

    def failure(self, message: str) -> bytes:
        return converse.encode_frame(
            self.fault(message),
            exception_type="modelStreamErrorException",
            content_type="application/json",
            message_type="exception",
        )


def _frames(index: int, block: JSON) -> list[bytes]:
    if "text" in block:
        pieces = [converse.delta(index, text=said) for said in claude.halves(block["text"])]
        return [*pieces, converse.stop(index)]
    if "toolUse" in block:
        called = dict(block["toolUse"])
        given = json.dumps(called.pop("input"))
        pieces = [converse.delta(index, toolUse={"input": said}) for said in claude.halves(given)]
        return [converse.start(index, toolUse=called), *pieces, converse.stop(index)]
    reasoning = block["reasoningContent"]
    pieces = [
        converse.delta(index, reasoningContent={name: value})
        for name, value in reasoning.get("reasoningText", reasoning).items()
    ]
    return [*pieces, converse.stop(index)]


def _call(id: str, arguments: str) -> JSON:
    return {"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}}


_TOKENS = {"tokens": {"input_tokens": 7, "output_tokens": 5}}


@dataclass
class Cohere:
    """Cohere."""

    type: str = "cohere"
    model: str = "command-a-reasoning-08-2025"
    streams: str = EVENTS
    stopped: str = "COMPLETE"
    calling: str = "TOOL_CALL"
    turns: Sequence[Any] = (
        {
            "tool_plan": "I will look twice.",
            "tool_calls": [_call("c1", '{"a": 1}'), _call("c2", "{}")],
        },
        {
            "content": [{"type": "thinking", "thinking": "Once more."}],
            "tool_calls": [_call("c3", '{"a": 2}')],
        },
    )
    said: Any = None

    def __post_init__(self) -> None:
        self.said = {"content": [{"type": "text", "text": "Hello there."}]}

    def whole(self, answer: Any, stop: str) -> bytes:
        message = {"role": "assistant", **answer}
        return encoded({"id": "r1", "message": message, "finish_reason": stop, "usage": _TOKENS})

    def events(self, answer: Any, stop: str) -> list[bytes]:
        end = {"delta": {"finish_reason": stop, "usage": _TOKENS}}
        documents = [{"type": "message-start", "id": "r1"}, *_told(answer)]
        documents.append({"type": "message-end", **end})
        return [b"data: %b\n\n" % encoded(document) for document in documents]

    def sent_back(self, body: JSON) -> list[Any]:
        turns = [turn for turn in body["messages"] if turn["role"] == "assistant"]
        return [{name: value for name, value in t.items() if name != "role"} for t in turns]

    def fault(self, message: str) -> bytes:
        return encoded({"id": "r1", "message": message})

    def failure(self, message: str) -> bytes:
        delta = {"finish_reason": "ERROR", "error": message}
        return b"data: %b\n\n" % encoded({"type": "message-end", "delta": delta})


def _told(message: JSON) -> list[JSON]:
    """The events of one message of Cohere's."""
    told: list[JSON] = []

    def tell(type: str, **said: Any) -> None:
        told.append({"type": type, "delta": {"message": said}})

    for block in message.get("content", ()):
        kind = block["type"]
        tell("content-start", content={"type": kind, kind: ""})
        for piece in claude.halves(block[kind]):
            tell("content-delta", content={kind: piece})
        tell("content-end")
    for piece in claude.halves(message.get("tool_plan", "")):
        tell("tool-plan-delta", tool_plan=piece)
    for call in message.get("tool_calls", ()):
        given = call["function"]["arguments"]
        tell("tool-call-start", tool_calls={**call, "function": {"name": "look", "arguments": ""}})
        for piece in claude.halves(given):
            tell("tool-call-delta", tool_calls={"function": {"arguments": piece}})
        tell("tool-call-end")
    return told


@dataclass
class Ollama:
    """Ollama's own API."""

    type: str = "ollama"
    model: str = "gpt-oss:20b"
    streams: str = "application/x-ndjson"
    stopped: str = "stop"
    calling: str = "stop"
    turns: Sequence[Any] = (
        {
            "content": "Let me look.",
            "thinking": "I look.",
            "tool_calls": [
                {"id": "call_1", "function": {"name": "look", "arguments": {"a": 1}}},
                {"id": "call_2", "function": {"name": "look", "arguments": {}}},
            ],
        },
        {
            "content": "",
            "thinking": "Once more.",
            "tool_calls": [{"id": "call_3", "function": {"name": "look", "arguments": {"a": []}}}],
        },
    )
    said: Any = None

    def __post_init__(self) -> None:
        self.said = {"content": "Hello there."}

    def _line(self, message: JSON, **members: Any) -> JSON:
        said = {"role": "assistant", "content": "", **message}
        line = {"model": self.model, "created_at": "2026-01-02T03:04:05.6Z", "message": said}
        return {**line, "done": False, **members}

    def _last(self, message: JSON, stop: str) -> JSON:
        counts = {"prompt_eval_count": 7, "eval_count": 5}
        return self._line(message, done=True, done_reason=stop, **counts)

    def whole(self, answer: Any, stop: str) -> bytes:
        return encoded(self._last(answer, stop))

    def events(self, answer: Any, stop: str) -> list[bytes]:
        said: list[JSON] = [
            {name: piece}
            for name in ("thinking", "content")
            for piece in claude.halves(answer.get(name, ""))
        ]
        said += [{"tool_calls": [call]} for call in answer.get("tool_calls", ())]
        lines = [*map(self._line, said), self._last({}, stop)]
        return [encoded(line) + b"\n" for line in lines]

    def sent_back(self, body: JSON) -> list[Any]:
        turns = [turn for turn in body["messages"] if turn["role"] == "assistant"]
        return [{name: value for name, value in t.items() if name != "role"} for t in turns]

    def fault(self, message: str) -> bytes:
        return encoded({"error": message})

    def failure(self, message: str) -> bytes:
        return self.fault(message) + b"\n"


SCRIPTS: Mapping[str, Script] = {
    "anthropic": Claude(),
    "claude on vertex": Claude("vertex", "claude-opus-4-5@20251101"),
    "gemini": Google(),
    "gemini on vertex": Google("vertex"),
    "bedrock": Converse(),
    "cohere": Cohere(),
    "ollama": Ollama(),
}
