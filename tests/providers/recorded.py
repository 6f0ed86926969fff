"""Recordings of providers that speak another dialect, and a caller who puts streams together.

Nothing of the code under test is used to read either. A test module that imports this one is
skipped, with the reason, where the recordings are absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from waystone_asgi.providers.dialects import Dialect, Head, Stream
from waystone_asgi.wire.requests import decode_chat_request

from ..conftest import SHARED

RECORDINGS = SHARED / "exchanges"
RECEIVED = 1_700_000_000
HEAD = Head(model="asked-for", received=RECEIVED)

if not RECORDINGS.is_dir():
    pytest.skip("no recorded exchanges beside the project", allow_module_level=True)


@dataclass(frozen=True, eq=False)
class Recorded:
    """One recorded exchange."""

    id: str
    request: dict[str, Any] | None
    stream: bool
    status: int
    body: bytes
    chunk_sizes: tuple[int, ...]

    @property
    def pieces(self) -> list[bytes]:
        """The body as the network cut it, or whole where that is not recorded."""
        ends = [0, *accumulate(self.chunk_sizes or (len(self.body),))]
        return [self.body[start:end] for start, end in pairwise(ends)]


def recordings(provider: str, operation: str) -> list[Recorded]:
    """All exchanges of an operation."""
    lines = (RECORDINGS / f"{provider}.jsonl").read_text("utf-8").split("\n")
    found = [json.loads(line) for line in lines if line]
    return [
        Recorded(
            each["id"],
            each["request"]["body"],
            each["stream"] and each["response"]["status"] == 200,
            each["response"]["status"],
            each["response"]["body"].encode(),
            tuple(each["response"].get("chunk_sizes", ())),
        )
        for each in found
        if each["op"] == operation
    ]


def cases(exchanges: Iterable[Recorded]) -> list[Any]:
    """Exchanges as parameters of a test."""
    return [pytest.param(each, id=each.id) for each in exchanges]


@dataclass
class Heard:
    """What a caller has of an answer, whole or put together from its events."""

    id: str = ""
    created: int = 0
    model: str = ""
    content: str = ""
    reasoning: str = ""
    details: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)
    extra: list[Any] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None

    def message(self) -> dict[str, Any]:
        """The message as a client sends it back."""
        calls = [
            {
                "id": c["id"],
                "type": "function",
                "function": {k: c[k] for k in ("name", "arguments")},
            }
            for c in self.calls
        ]
        cited = [c for each in self.extra for c in each["cohere"]["citations"]]
        members = {
            "content": self.content,
            "reasoning_content": self.reasoning,
            "reasoning_details": self.details,
            "tool_calls": calls,
            "extra_content": {"cohere": {"citations": cited}} if cited else None,
        }
        return {"role": "assistant"} | {name: value for name, value in members.items() if value}


def hear(body: bytes) -> Heard:
    """A whole answer, which the official client's type takes."""
    answer = json.loads(body)
    ChatCompletion.model_validate(answer)
    [choice] = answer["choices"]
    message = choice["message"]
    assert message["contents"] == message["content"]
    assert choice["created"] == answer["created"]
    assert {"refusal", "annotations", "audio"} <= message.keys()
    assert "logprobs" in choice
    return Heard(
        answer["id"],
        answer["created"],
        answer["model"],
        message["content"] or "",
        message.get("reasoning_content", ""),
        message.get("reasoning_details", []),
        [{"id": c["id"], **c["function"]} for c in message.get("tool_calls", ())],
        message["annotations"],
        [message["extra_content"]] if "extra_content" in message else [],
        choice["finish_reason"],
        answer["usage"],
    )


def events_of(body: bytes) -> Iterator[dict[str, Any]]:
    """The events of OpenAI's stream, which the official client's type takes."""
    assert body.endswith(b"data: [DONE]\n\n")
    for event in body.split(b"\n\n")[:-2]:
        chunk = json.loads(event.removeprefix(b"data: "))
        ChatCompletionChunk.model_validate(chunk)
        yield chunk


def put_together(body: bytes) -> Heard:
    """What the events of a stream come to, which is what the official client makes of them."""
    heard = Heard()
    state = ChatCompletionStreamState[None]()
    for position, chunk in enumerate(events_of(body)):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
        heard.id, heard.created, heard.model = chunk["id"], chunk["created"], chunk["model"]
        heard.usage = chunk.get("usage", heard.usage)
        for choice in chunk["choices"]:
            delta = choice["delta"]
            assert ("role" in delta) == (position == 0)
            heard.content += delta.get("content") or ""
            heard.reasoning += delta.get("reasoning_content") or ""
            heard.annotations += delta.get("annotations", [])
            heard.extra += [delta["extra_content"]] if "extra_content" in delta else []
            _add_details(heard, delta.get("reasoning_details", ()))
            for piece in delta.get("tool_calls", ()):
                _add_call(heard, piece)
            heard.finish_reason = choice["finish_reason"] or heard.finish_reason
    [choice] = state.current_completion_snapshot.choices
    assert choice.message.to_dict().get("reasoning_details", []) == heard.details
    return heard


def _add_details(heard: Heard, pieces: Iterable[dict[str, Any]]) -> None:
    for piece in pieces:
        if piece["index"] < len(heard.details):
            heard.details[piece["index"]]["text"] += piece["text"]
        else:
            heard.details.append(dict(piece))


def _add_call(heard: Heard, piece: dict[str, Any]) -> None:
    if piece["index"] == len(heard.calls):
        assert piece["type"] == "function"
        heard.calls.append({"id": piece["id"], **piece["function"]})
    else:
        heard.calls[piece["index"]]["arguments"] += piece["function"]["arguments"]


def opened(dialect: Dialect, *, usage: bool = True) -> Stream:
    """A stream of the dialect, for a caller who asks for usage."""
    request = {
        "model": "asked-for",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": usage},
    }
    return dialect.open_stream(decode_chat_request(json.dumps(request).encode()).view, HEAD)


def played(dialect: Dialect, pieces: Iterable[bytes]) -> tuple[Stream, bytes]:
    """A stream that was fed the pieces to the end, and what it relayed."""
    stream = opened(dialect)
    relayed = b"".join([stream.feed(piece) for piece in pieces])
    return stream, relayed + stream.finish()


def cuts(body: bytes, most: int = 1500) -> Iterator[tuple[bytes, bytes]]:
    """The body in two, at every byte, or at a sample of them where it is long."""
    step = max(1, len(body) // most)
    return ((body[:at], body[at:]) for at in range(1, len(body), step))
