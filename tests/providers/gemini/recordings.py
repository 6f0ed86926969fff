"""The recorded exchanges of Gemini and Vertex, and what they say, read without the code under test.

A test module that imports this one is skipped, with the reason, where the recordings are absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import pytest

from ...conftest import SHARED

RECORDINGS = SHARED / "exchanges"
OPERATIONS = ("generate_content", "stream_generate_content")

if not RECORDINGS.is_dir():
    pytest.skip("no recorded exchanges beside the project", allow_module_level=True)


@dataclass(frozen=True, eq=False)
class Exchange:
    """One recorded exchange."""

    id: str
    model: str
    request: dict[str, Any] | None
    stream: bool
    status: int
    body: bytes
    chunk_sizes: tuple[int, ...]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The answer's documents: one, or one an event."""
        if not self.stream:
            return [json.loads(self.body)]
        lines = self.body.decode().splitlines()
        return [json.loads(line[5:]) for line in lines if line.startswith("data:")]

    @property
    def pieces(self) -> list[bytes]:
        """The body as the network cut it, where that is recorded."""
        ends = [0, *accumulate(self.chunk_sizes or (len(self.body),))]
        return [self.body[start:end] for start, end in pairwise(ends)]


def _exchanges() -> Iterator[Exchange]:
    for provider in ("gemini", "vertex"):
        for line in (RECORDINGS / f"{provider}.jsonl").read_text("utf-8").split("\n"):
            if not line or (recorded := json.loads(line))["op"] not in OPERATIONS:
                continue
            path, response = recorded["request"]["path"], recorded["response"]
            yield Exchange(
                recorded["id"],
                path.partition("/models/")[2].partition(":")[0],
                recorded["request"]["body"],
                recorded["stream"] and response["status"] == 200,
                response["status"],
                response["body"].encode(),
                tuple(response.get("chunk_sizes", ())),
            )


EXCHANGES = list(_exchanges())


def cases(wanted: Callable[[Exchange], bool]) -> list[Any]:
    """The exchanges that are wanted, as parameters of a test."""
    return [pytest.param(x, id=x.id) for x in EXCHANGES if wanted(x)]


@dataclass
class Reading:
    """What an answer says, in Google's words but for the finish reason."""

    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, Any, str | None]] = field(default_factory=list)
    call_signatures: list[str | None] = field(default_factory=list)
    text_signature: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    grounded: list[tuple[str, str]] = field(default_factory=list)
    """Each page, with the text that rests on it."""


_REASONS = {1: "stop", 2: "length", "STOP": "stop", "MAX_TOKENS": "length"}


def read(exchange: Exchange) -> Reading:
    """What the one candidate of an answer says."""
    reading = Reading()
    for document in exchange.documents:
        reading.usage = document.get("usageMetadata") or reading.usage
        (candidate,) = document["candidates"]
        for part in candidate.get("content", {}).get("parts", ()):
            _read_part(part, reading)
        if (reason := candidate.get("finishReason")) is not None:
            reading.finish_reason = _REASONS.get(reason, "content_filter")
        grounding = candidate.get("groundingMetadata", {})
        for support in grounding.get("groundingSupports", ()):
            for index in support["groundingChunkIndices"]:
                uri = grounding["groundingChunks"][index]["web"]["uri"]
                reading.grounded.append((uri, support["segment"]["text"]))
    if reading.calls and reading.finish_reason == "stop":
        reading.finish_reason = "tool_calls"
    return reading


def _read_part(part: dict[str, Any], reading: Reading) -> None:
    if "text" in part:
        if part.get("thought"):
            reading.thoughts += part["text"]
        else:
            reading.text += part["text"]
            reading.text_signature = part.get("thoughtSignature", reading.text_signature)
        return
    call = part["functionCall"]
    if "name" in call:
        reading.calls.append((call["name"], call.get("args", {}), call.get("id")))
        reading.call_signatures.append(part.get("thoughtSignature"))
    for piece in call.get("partialArgs", ()):
        args, name = reading.calls[-1][1], piece["jsonPath"].removeprefix("$.")
        args[name] = args.get(name, "") + piece["stringValue"]
