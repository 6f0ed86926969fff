"""The recorded chat completions, and what they say, read without the code under test.

Each line of `../shared/exchanges` is one exchange that somebody had with a real provider. A test
module that imports this one is skipped, with the reason, where the recordings are absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import pytest

from ..conftest import SHARED

RECORDINGS = SHARED / "exchanges"
OPERATION = "chat_completions"
DONE = b"data: [DONE]\n\n"

TYPES = {
    "azure_openai": "azure",
    "bedrock": "openai",
    "cerebras": "cerebras",
    "deepseek": "deepseek",
    "groq": "groq",
    "huggingface": "huggingface",
    "mistral": "mistral",
    "ollama": "ollama",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vercel_gateway": "openai",
    "xai": "xai",
    "zai": "zai",
}
"""The file of each provider that speaks OpenAI's dialect, and the type it is configured as."""

if not RECORDINGS.is_dir():
    pytest.skip("no recorded exchanges beside the project", allow_module_level=True)


@dataclass(frozen=True, eq=False)
class Event:
    """One server-sent event: its bytes, and its JSON where it has one."""

    raw: bytes
    data: bytes | None

    @property
    def document(self) -> dict[str, Any] | None:
        return None if self.data in (None, b"[DONE]") else json.loads(self.data)


@dataclass(frozen=True, eq=False)
class Exchange:
    """One recorded exchange. `kind` is what the caller of a gateway gets: answer, stream, error."""

    id: str
    provider: str
    path: str
    request: dict[str, Any] | None
    stream: bool
    status: int
    headers: dict[str, str]
    body: bytes
    chunk_sizes: tuple[int, ...]
    events: tuple[Event, ...] = field(repr=False)

    @property
    def type(self) -> str:
        return TYPES[self.provider]

    @property
    def model(self) -> str:
        """The name the provider was asked for; Azure's recordings have it in the path."""
        if self.api_version:
            return self.path.split("/")[3]
        return (self.request or {}).get("model") or "recorded-deployment"

    @property
    def api_version(self) -> str | None:
        """That of a recorded deployment of Azure's."""
        _, found, version = self.path.partition("/chat/completions?api-version=")
        return version if found and self.path.startswith("/openai/deployments/") else None

    @property
    def kind(self) -> str:
        if self.status >= 400:
            return "error"
        if self.stream:
            return "error" if _first(self.events).get("error") else "stream"
        return "answer" if "choices" in json.loads(self.body) else "error"

    @property
    def pieces(self) -> list[bytes]:
        """The body as the network cut it, or as one piece an event where that is not recorded."""
        if not self.chunk_sizes:
            return [event.raw for event in self.events] or [self.body]
        ends = [0, *accumulate(self.chunk_sizes)]
        assert ends[-1] == len(self.body)
        return [self.body[start:end] for start, end in pairwise(ends)]


def split_events(body: bytes) -> Iterator[Event]:
    """The events of a recorded stream, whose lines all end alike."""
    blank = rb"(?<=\r\n\r\n)" if b"\r\n" in body else rb"(?<=\n\n)"
    for raw in filter(None, re.split(blank, body)):
        lines = [line[5:].lstrip(b" ") for line in raw.splitlines() if line.startswith(b"data:")]
        yield Event(raw, b"\n".join(lines) if lines else None)


def _first(events: Iterable[Event]) -> dict[str, Any]:
    return next((event.document for event in events if event.document is not None), {})


def _lines() -> Iterator[dict[str, Any]]:
    for provider in TYPES:
        for line in (RECORDINGS / f"{provider}.jsonl").read_text("utf-8").split("\n"):
            if line and (recorded := json.loads(line))["op"] == OPERATION:
                yield recorded


def _exchange(recorded: dict[str, Any]) -> Exchange:
    request, response = recorded["request"], recorded["response"]
    body = response["body"].encode()
    streamed = recorded["stream"] and response["status"] == 200
    return Exchange(
        id=recorded["id"].replace("-chat_completions", ""),
        provider=recorded["provider"],
        path=request["path"],
        request=request["body"],
        stream=recorded["stream"],
        status=response["status"],
        headers=response["headers"] | {"content-type": response["content_type"]},
        body=body,
        chunk_sizes=tuple(response.get("chunk_sizes", ())),
        events=tuple(split_events(body)) if streamed else (),
    )


EXCHANGES = [_exchange(recorded) for recorded in _lines()]


def cases(wanted: Callable[[Exchange], bool] = lambda exchange: True) -> list[Any]:
    """The exchanges that are wanted, as parameters of a test."""
    return [pytest.param(x, id=x.id) for x in EXCHANGES if wanted(x)]


def of_kind(kind: str) -> list[Any]:
    """The exchanges of one kind, as parameters of a test."""
    return cases(lambda exchange: exchange.kind == kind)
