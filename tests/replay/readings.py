"""What a recording must come to, worked out from its JSON alone.

Nothing of the package is used here, so that the tests compare two readings and not one with itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from .exchanges import DONE, Event, Exchange, split_events

Told = bytes | dict[str, Any]
"""An event as it was recorded, or the document of one that is told in other words."""

Counts = tuple[int, int, int, int, int]
"""Input, cache read, cache write, output, reasoning."""

CACHE_READS: Mapping[str, Callable[[Mapping[str, Any]], int]] = {
    "deepseek": lambda usage: usage.get("prompt_cache_hit_tokens", 0),
    "mistral": lambda usage: usage.get("num_cached_tokens", 0) or _detail(usage, "cached_tokens"),
    "together": lambda usage: usage.get("cached_tokens", 0),
}
"""Where providers say how much of the prompt came from a cache, if not where OpenAI does."""

REASONING_BESIDE = ("xai", "vercel_gateway")
"""Who counts reasoning beside `completion_tokens`: xAI's total includes it, Vercel's price does."""


def counts(provider: str, usage: Mapping[str, Any]) -> Counts:
    """The tokens that a recorded `usage` object comes to."""
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0)
    read = CACHE_READS.get(provider, lambda usage: _detail(usage, "cached_tokens"))(usage)
    written = _detail(usage, "cache_write_tokens")
    if provider in REASONING_BESIDE:
        completion += reasoning
    if provider != "vercel_gateway":
        assert usage["total_tokens"] == prompt + completion
    # Grok on Azure counts what its cache held, which may be more than was asked.
    return prompt, min(read, prompt), written, completion, reasoning


def _detail(usage: Mapping[str, Any], name: str) -> int:
    details: Mapping[str, int] = usage.get("prompt_tokens_details") or {}
    return details.get(name, 0)


REASONING = ("cerebras", "groq", "huggingface", "ollama", "openrouter", "together")
"""Whose reasoning is in `reasoning`; the caller gets it in `reasoning_content`, too."""


def restated(provider: str, document: dict[str, Any]) -> dict[str, Any]:
    """A recorded answer or event in OpenAI's words, of a provider that has others."""
    document = deepcopy(document)
    for choice in document.get("choices", ()):
        said = choice.get("message") or choice.get("delta") or {}
        if provider in REASONING and isinstance(said.get("reasoning"), str):
            said.setdefault("reasoning_content", said["reasoning"])
        if provider == "mistral":
            _restate_mistral(said, streamed="delta" in choice)
    return document


def _restate_mistral(said: dict[str, Any], *, streamed: bool) -> None:
    if isinstance(parts := said.get("content"), list):
        texts = [part["text"] for part in parts if part["type"] == "text"]
        said["content"] = "".join(texts) if texts else None
        thoughts = [t["text"] for p in parts if p["type"] == "thinking" for t in p["thinking"]]
        said["reasoning_content"] = "".join(thoughts)
    for index, call in enumerate(said.get("tool_calls") or () if streamed else ()):
        call.setdefault("index", index)


def completed(provider: str, document: dict[str, Any]) -> dict[str, Any]:
    """A recorded answer in OpenAI's words, with what the contract adds to it."""
    document = restated(provider, document)
    choices = []
    for choice in document["choices"]:
        message = {
            "contents": choice["message"].get("content"),
            "refusal": None,
            "annotations": [],
            "audio": None,
            **choice["message"],
        }
        added = {"logprobs": None, "created": document["created"]}
        choices.append({**added, **choice, "message": message})
    return {**document, "choices": choices}


@dataclass
class StreamReading:
    """What the caller gets of a recorded stream, and what the record says of it.

    `relayed` are events as they were recorded, and documents of those that are told otherwise.
    """

    relayed: list[Told] = field(default_factory=list)
    error: dict[str, Any] | None = None
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    usage: Counts | None = None


def read_stream(exchange: Exchange, *, usage_asked: bool) -> StreamReading:
    """Read a recorded stream event by event."""
    reading = StreamReading()
    reasons: dict[int, str] = {}
    for event in exchange.events:
        chunk = event.document or {}
        usage = chunk.get("usage") or chunk.get("x_groq", {}).get("usage")
        if usage:
            reading.usage = counts(exchange.provider, usage)
        if reading.error is None and chunk.get("error"):
            reading.error = chunk["error"]
        if reading.error is not None:
            continue
        reading.response_id = reading.response_id or chunk.get("id") or None
        reading.response_model = chunk.get("model") or reading.response_model
        for choice in chunk.get("choices", ()):
            if choice.get("finish_reason"):
                reasons[choice["index"]] = choice["finish_reason"]
        if usage_asked or chunk.get("choices") != [] or not usage:
            reading.relayed.append(as_told(exchange.provider, event))
    reading.finish_reasons = tuple(reasons[index] for index in sorted(reasons))
    if reading.error is None and not exchange.body.rstrip().endswith(b"data: [DONE]"):
        reading.relayed.append(DONE)
    return reading


def as_told(provider: str, event: Event) -> Told:
    """A recorded event as it is relayed, or its document where that is in other words."""
    document = event.document or {}
    told = restated(provider, document)
    return event.raw if told == document else told


def rest_of(body: bytes, relayed: Sequence[Told]) -> bytes:
    """What a caller got behind what was to be relayed."""
    events = list(split_events(body))
    for event, expected in zip(events, relayed, strict=False):
        assert expected == (event.raw if isinstance(expected, bytes) else event.document)
    assert len(events) >= len(relayed)
    return b"".join([event.raw for event in events[len(relayed) :]])


def read_error(exchange: Exchange) -> dict[str, Any]:
    """The status and members of the error that a caller is told of."""
    recorded = exchange.events[0].data if exchange.events else exchange.body
    document = json.loads(recorded or b"")
    error = document["error"]
    if isinstance(error, str):
        error = {"message": error, "code": document.get("code")}
    status = exchange.status
    if status == 200:
        status = error.get("status") or error.get("status_code")
    told = {
        **error,
        "type": error.get("type") or _type(status),
        "param": error.get("param"),
        "code": None if error.get("code") is None else str(error["code"]),
    }
    return {"status": status, "error": told}


def _type(status: int) -> str:
    return "rate_limit_error" if status == 429 else "invalid_request_error"
