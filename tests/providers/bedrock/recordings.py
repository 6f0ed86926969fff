"""The recorded exchanges with Bedrock, and what they say, read without the code under test.

A test module that imports this one is skipped, with the reason, where the recordings are absent.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from waystone_asgi.providers.dialects import Head

from ...conftest import SHARED
from ..heads import raw

RECORDINGS = SHARED / "exchanges" / "bedrock.jsonl"
RECEIVED = 1_800_000_000
FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
}

if not RECORDINGS.is_file():
    pytest.skip("no recorded exchanges beside the project", allow_module_level=True)


@dataclass(frozen=True, eq=False)
class Exchange:
    """One recorded exchange."""

    id: str
    model: str
    path: str
    stream: bool
    status: int
    headers: dict[str, str]
    request: dict[str, Any]
    body: bytes = field(repr=False)
    chunk_sizes: tuple[int, ...] = ()

    @property
    def head(self) -> Head:
        return Head(model=self.model, received=RECEIVED, headers=raw(self.headers))

    @property
    def pieces(self) -> list[bytes]:
        """The body as the network cut it, or whole where that is not recorded."""
        ends = [0, *accumulate(self.chunk_sizes or (len(self.body),))]
        assert ends[-1] == len(self.body)
        return [self.body[start:end] for start, end in pairwise(ends)]


@dataclass
class Reading:
    """What an answer says."""

    text: str = ""
    reasoning: str = ""
    proofs: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    finish_reason: str = ""
    usage: tuple[int, int, int, int] = (0, 0, 0, 0)
    citations: list[Any] = field(default_factory=list)
    trace: Any = None


def _count(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    read, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    return usage["inputTokens"] + read + written, usage["outputTokens"], read, written


def read_recorded(exchange: Exchange) -> Reading:
    """What a recorded answer says."""
    return _read_stream(exchange.body) if exchange.stream else _read_answer(exchange.body)


def _read_answer(body: bytes) -> Reading:
    document = json.loads(body)
    reading = Reading(
        finish_reason=FINISH_REASONS[document["stopReason"]],
        usage=_count(document["usage"]),
        trace=document.get("trace"),
    )
    for block in document["output"]["message"]["content"]:
        if "text" in block:
            reading.text += block["text"]
        elif "toolUse" in block:
            use = block["toolUse"]
            reading.calls.append((use["toolUseId"], use["name"], use["input"]))
        else:
            shown = block["reasoningContent"]["reasoningText"]
            reading.reasoning += shown["text"]
            reading.proofs.append((shown["text"], shown["signature"]))
    return reading


def _read_stream(body: bytes) -> Reading:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    reading = Reading()
    inputs: dict[int, list[str]] = {}
    for message in buffer:
        event = json.loads(message.payload)
        kind = message.headers[":event-type"]
        if kind == "contentBlockStart":
            use = event["start"]["toolUse"]
            inputs[event["contentBlockIndex"]] = [use["toolUseId"], use["name"]]
        elif kind == "contentBlockDelta":
            _read_delta(event, reading, inputs)
        elif kind == "messageStop":
            reading.finish_reason = FINISH_REASONS[event["stopReason"]]
        elif kind == "metadata":
            reading.usage = _count(event["usage"])
    reading.calls = [(id, name, json.loads("".join(rest))) for id, name, *rest in inputs.values()]
    return reading


def _read_delta(event: dict[str, Any], reading: Reading, inputs: dict[int, list[str]]) -> None:
    delta = event["delta"]
    if "text" in delta:
        reading.text += delta["text"]
    elif "toolUse" in delta:
        inputs[event["contentBlockIndex"]].append(delta["toolUse"]["input"])
    elif "citation" in delta:
        reading.citations.append(delta["citation"])
    else:
        data = b64decode(delta["reasoningContent"]["redactedContent"]).decode()
        reading.proofs.append(("", data))


def read_message(message: dict[str, Any], finish_reason: str, usage: dict[str, Any]) -> Reading:
    """What a message in OpenAI's form says."""
    extra = message.get("extra_content", {}).get("bedrock", {})
    details = message.get("reasoning_details", ())
    calls = [(call["id"], call["function"]) for call in message.get("tool_calls", ())]
    parts = usage["prompt_tokens_details"]
    return Reading(
        text=message["content"] or "",
        reasoning=message.get("reasoning_content", ""),
        proofs=[(said.get("text", ""), said.get("signature") or said["data"]) for said in details],
        calls=[(id, called["name"], json.loads(called["arguments"])) for id, called in calls],
        finish_reason=finish_reason,
        usage=(
            usage["prompt_tokens"],
            usage["completion_tokens"],
            parts["cached_tokens"],
            parts.get("cache_write_tokens", 0),
        ),
        citations=[
            citation
            for block in extra.get("content", ())
            for citation in block.get("citationsContent", {}).get("citations", ())
        ],
        trace=extra.get("trace"),
    )


def _exchange(recorded: dict[str, Any]) -> Exchange:
    response = recorded["response"]
    body = response.get("body", "").encode() or b64decode(response["body_b64"])
    return Exchange(
        id=recorded["id"].removeprefix("bedrock-"),
        model=recorded["model"],
        path=recorded["request"]["path"],
        stream=recorded["stream"],
        status=response["status"],
        headers=response["headers"],
        request=recorded["request"]["body"],
        body=body,
        chunk_sizes=tuple(response.get("chunk_sizes", ())),
    )


_LINES = [json.loads(line) for line in RECORDINGS.read_text("utf-8").split("\n") if line]
EXCHANGES = [_exchange(line) for line in _LINES if line["op"] in ("converse", "converse_stream")]
ANSWERS = [pytest.param(x, id=x.id) for x in EXCHANGES if x.status == 200 and not x.stream]
STREAMS = [pytest.param(x, id=x.id) for x in EXCHANGES if x.status == 200 and x.stream]
ERRORS = [pytest.param(x, id=x.id) for x in EXCHANGES if x.status != 200]
REQUESTS = [pytest.param(x, id=x.id) for x in EXCHANGES]
