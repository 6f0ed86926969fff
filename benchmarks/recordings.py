"""Recorded exchanges of real providers, as the benchmarks of translation read them.

In: the files beside the project. Out: requests in OpenAI's form, and the answers of each dialect,
cut into their events.
"""

from __future__ import annotations

from base64 import b64decode
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from waystone_asgi.eventstream import FrameSplitter
from waystone_asgi.providers.dialects import Head
from waystone_asgi.sse import split_events

from .processes import ROOT

FOLDER = ROOT.parent / "shared" / "exchanges"
RECEIVED = 1_795_435_200

# Where the dialect of an operation is not that of its name.
DIALECTS = {
    "chat_completions": "openai",
    "messages": "anthropic",
    "vertex_raw_predict": "anthropic",
    "vertex_stream_raw_predict": "anthropic",
    "generate_content": "gemini",
    "stream_generate_content": "gemini",
    "converse": "bedrock",
    "converse_stream": "bedrock",
    "cohere_chat_v2": "cohere",
    "ollama_chat": "ollama",
}


class Response(msgspec.Struct, kw_only=True):
    """What the provider sent."""

    status: int
    headers: dict[str, str] = {}
    body: str = ""
    body_b64: str = ""

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        return b64decode(self.body_b64) if self.body_b64 else self.body.encode()


class Request(msgspec.Struct):
    """What it was asked."""

    body: Any = None


class Recording(msgspec.Struct, kw_only=True):
    """One exchange."""

    id: str
    provider: str
    op: str
    stream: bool
    model: str | None
    request: Request
    response: Response

    @property
    def head(self) -> Head:
        """What came before the body."""
        headers = self.response.headers.items()
        return Head(
            model=self.model or "",
            received=RECEIVED,
            headers=tuple((name.lower().encode(), value.encode()) for name, value in headers),
        )

    @property
    def events(self) -> list[bytes]:
        """The body as its events, each with what ends it."""
        body = self.response.content
        if self.response.body_b64:
            return FrameSplitter().feed(body)
        if self.op == "ollama_chat":
            return body.splitlines(keepends=True)
        return split_events(body)


_RECORDING = msgspec.json.Decoder(Recording)


def recordings(folder: Path = FOLDER) -> dict[str, list[Recording]]:
    """Chats that were answered, by dialect; OpenAI's own for that form, the smallest first."""
    found: dict[str, list[Recording]] = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text("utf-8").split("\n"):
            recording = _RECORDING.decode(line) if line else None
            if recording is None or recording.response.status != 200:
                continue
            dialect = DIALECTS.get(recording.op)
            if dialect and (dialect != "openai" or recording.provider == "openai"):
                found[dialect].append(recording)
    for group in found.values():
        group.sort(key=lambda recording: len(recording.response.content))
    return found
