"""The recorded exchanges with Anthropic's models, and what they say, read without the code under
test.

A test module that imports this one is skipped, with the reason, where the recordings are absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import pytest

from tests.conftest import SHARED
from waystone_asgi.providers.anthropic import DIALECT, VERTEX_DIALECT
from waystone_asgi.providers.dialects import Dialect

RECORDINGS = SHARED / "exchanges"
OPERATIONS = ("messages", "vertex_raw_predict", "vertex_stream_raw_predict")
FILES = ("anthropic", "azure_openai", "vertex")

if not RECORDINGS.is_dir():
    pytest.skip("no recorded exchanges beside the project", allow_module_level=True)

REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
}
"""The finish reasons of those that were recorded."""


@dataclass(frozen=True, eq=False)
class Exchange:
    """One recorded exchange."""

    id: str
    op: str
    model: str
    request: dict[str, Any]
    stream: bool
    status: int
    headers: dict[str, str]
    body: bytes
    chunk_sizes: tuple[int, ...]

    @property
    def dialect(self) -> Dialect:
        return DIALECT if self.op == "messages" else VERTEX_DIALECT

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = self.body.decode().splitlines()
        return [json.loads(line[5:]) for line in lines if line.startswith("data:")]

    @property
    def pieces(self) -> list[bytes]:
        """The body as the network cut it, or whole where that is not recorded."""
        ends = [0, *accumulate(self.chunk_sizes or (len(self.body),))]
        assert ends[-1] == len(self.body)
        return [self.body[start:end] for start, end in pairwise(ends)]


@dataclass
class Reading:
    """What an answer says."""

    id: str = ""
    model: str = ""
    text: str | None = None
    reasoning: str = ""
    signatures: list[str] = field(default_factory=list)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    citations: list[str] = field(default_factory=list)
    finish_reason: str = ""
    input_tokens: int = 0
    cached: int = 0
    written: int = 0
    output_tokens: int = 0
    thought: int = 0
    content: list[dict[str, Any]] = field(default_factory=list)


def read_message(message: dict[str, Any]) -> Reading:
    """What a message of the provider says."""
    usage = message["usage"]
    cached, written = (
        usage.get(f"cache_{name}_input_tokens") or 0 for name in ("read", "creation")
    )
    blocks = message["content"]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    thoughts = [block for block in blocks if block["type"] == "thinking"]
    return Reading(
        id=message["id"],
        model=message["model"],
        text="".join(texts) if texts else None,
        reasoning="".join(block["thinking"] for block in thoughts),
        signatures=[block["signature"] for block in thoughts],
        calls=[(b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"],
        citations=[
            citation["url"]
            for block in blocks
            for citation in block.get("citations") or ()
            if "url" in citation
        ],
        finish_reason=REASONS[message["stop_reason"]],
        input_tokens=usage["input_tokens"] + cached + written,
        cached=cached,
        written=written,
        output_tokens=usage["output_tokens"],
        thought=(usage.get("output_tokens_details") or {}).get("thinking_tokens", 0),
        content=blocks,
    )


def read_events(events: list[dict[str, Any]]) -> Reading:
    """The same of a stream, put together as the API reference says."""
    message: dict[str, Any] = {}
    partial: dict[int, str] = {}
    for event in events:
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            _add(message["content"][event["index"]], event["delta"], partial, event["index"])
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] |= event["usage"]
    for index, written in partial.items():
        if written:
            message["content"][index]["input"] = json.loads(written)
    return read_message(message)


def _add(block: dict[str, Any], delta: dict[str, Any], partial: dict[int, str], index: int) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case "input_json_delta":
            partial[index] = partial.get(index, "") + delta["partial_json"]
        case other:
            raise AssertionError(other)


def _recorded() -> Iterator[Exchange]:
    for name in FILES:
        for line in (RECORDINGS / f"{name}.jsonl").read_text("utf-8").split("\n"):
            if line and (recorded := json.loads(line))["op"] in OPERATIONS:
                response = recorded["response"]
                yield Exchange(
                    id=recorded["id"],
                    op=recorded["op"],
                    model=recorded["model"],
                    request=recorded["request"]["body"],
                    stream=recorded["stream"],
                    status=response["status"],
                    headers=response["headers"],
                    body=response["body"].encode(),
                    chunk_sizes=tuple(response.get("chunk_sizes", ())),
                )


EXCHANGES = list(_recorded())


def cases(wanted: Callable[[Exchange], bool] = lambda exchange: True) -> list[Any]:
    """The exchanges that are wanted, as parameters of a test."""
    return [pytest.param(x, id=x.id) for x in EXCHANGES if wanted(x)]


ANSWERS = cases(lambda x: x.status == 200 and not x.stream)
STREAMS = cases(lambda x: x.status == 200 and x.stream)
ERRORS = cases(lambda x: x.status >= 400)
