"""The recorded exchanges in dialects of the providers' own, as a caller of OpenAI's API has them.

What they say is read by the readings of `tests.providers`, without the code under test. A test
module that imports this one is skipped, with the reason, where the recordings are absent.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any
from urllib.parse import unquote

import pytest

from ..conftest import SHARED
from ..providers.anthropic import recordings as anthropic
from ..providers.anthropic.reversed import reverse
from ..providers.anthropic.test_recorded_requests import EXCEPT, without_defaults
from ..providers.bedrock import recordings as bedrock
from ..providers.bedrock.test_recordings import in_openais_form, normal
from ..providers.cohere import test_recordings as cohere
from ..providers.gemini import recordings as gemini
from ..providers.gemini.reverse import expected, openai_form
from ..providers.gemini.test_recorded_requests import NOT_SAID
from ..providers.ollama import test_recordings as ollama

JSON = dict[str, Any]

OPERATIONS = {
    "messages": "anthropic",
    "vertex_raw_predict": "vertex",
    "vertex_stream_raw_predict": "vertex",
    "generate_content": "gemini",
    "stream_generate_content": "gemini",
    "converse": "bedrock",
    "converse_stream": "bedrock",
    "cohere_chat_v2": "cohere",
    "ollama_chat": "ollama",
}
"""The operations that are translated, and the type of provider that has them."""

TYPES = {"azure_openai": "foundry", "vertex": "vertex"}
"""Files whose exchanges are of another type than their operation says."""


@dataclass(frozen=True)
class Said:
    """What an answer says. `usage` is input, cache read, cache write, output, reasoning.

    None stands for what the provider leaves open.
    """

    id: str | None
    model: str | None
    text: str
    reasoning: str
    calls: list[tuple[str | None, str, Any]]
    finish_reason: str
    usage: tuple[int, int, int, int, int]


@dataclass(frozen=True, eq=False)
class Native:
    """One recorded exchange. `asked` is its request in OpenAI's form, or None where that has no
    words for it; `sent` compares what was sent with what was recorded.
    """

    id: str
    type: str
    model: str
    path: str
    stream: bool
    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    chunk_sizes: tuple[int, ...]
    asked: JSON | None = field(repr=False)
    recorded: JSON | None = field(repr=False)
    normal: Callable[[JSON], JSON]
    read: Callable[[], Said]

    @property
    def fails(self) -> bool:
        """Whether a stream ends in an error of the provider's."""
        return b'"finish_reason":"ERROR"' in self.body

    @property
    def kind(self) -> str:
        if self.status >= 400:
            return "error"
        return "failure" if self.fails else "stream" if self.stream else "answer"

    @property
    def pieces(self) -> list[bytes]:
        """The body as the network cut it, or whole where that is not recorded."""
        ends = [0, *accumulate(self.chunk_sizes or (len(self.body),))]
        assert ends[-1] == len(self.body)
        return [self.body[start:end] for start, end in pairwise(ends)]

    def asking(self, **members: Any) -> JSON:
        """The request of a caller, or a stand-in where OpenAI's form has none.

        Members that are None are left out.
        """
        hello = {"messages": [{"role": "user", "content": "hello"}]}
        asked = {**(self.asked or hello), "model": f"{self.type}/{self.model}"}
        asked["stream"] = self.stream
        if self.stream:
            asked["stream_options"] = {"include_usage": True}
        return {name: value for name, value in {**asked, **members}.items() if value is not None}


def _same(body: JSON) -> JSON:
    return body


def _anthropic(recorded: JSON) -> tuple[JSON | None, Callable[[JSON], JSON], Callable[[], Said]]:
    exchange = next(x for x in anthropic.EXCHANGES if x.id == recorded["id"])

    def read() -> Said:
        if exchange.stream:
            said = anthropic.read_events(exchange.events)
        else:
            said = anthropic.read_message(json.loads(exchange.body))
        counts = (said.input_tokens, said.cached, said.written, said.output_tokens, said.thought)
        return Said(
            said.id,
            said.model,
            said.text or "",
            said.reasoning,
            [*said.calls],
            said.finish_reason,
            counts,
        )

    asked = None if exchange.id in EXCEPT else reverse(exchange.request)
    return asked, without_defaults, read


def _gemini(recorded: JSON) -> tuple[JSON | None, Callable[[JSON], JSON], Callable[[], Said]]:
    exchange = next(x for x in gemini.EXCHANGES if x.id == recorded["id"])

    def read() -> Said:
        said, last = gemini.read(exchange), exchange.documents[-1]
        counts = said.usage
        thoughts = counts.get("thoughtsTokenCount", 0)
        return Said(
            last["responseId"],
            last["modelVersion"],
            said.text,
            said.thoughts,
            [(id, name, args) for name, args, id in said.calls],
            said.finish_reason or "",
            (
                counts["promptTokenCount"] + counts.get("toolUsePromptTokenCount", 0),
                counts.get("cachedContentTokenCount", 0),
                0,
                counts.get("candidatesTokenCount", 0) + thoughts,
                thoughts,
            ),
        )

    asked = None if exchange.id in NOT_SAID else openai_form(exchange.request or {})
    return asked, lambda body: expected({**body, "model": ""}), read


def _bedrock(recorded: JSON) -> tuple[JSON | None, Callable[[JSON], JSON], Callable[[], Said]]:
    [exchange] = [x for x in bedrock.EXCHANGES if f"bedrock-{x.id}" == recorded["id"]]

    def read() -> Said:
        said = bedrock.read_recorded(exchange)
        put, output, cached, written = said.usage
        return Said(
            exchange.headers.get("x-amzn-requestid"),
            None,
            said.text,
            said.reasoning,
            [*said.calls],
            said.finish_reason,
            (put, cached, written, output, 0),
        )

    return in_openais_form(exchange.request), normal, read


def _cohere(recorded: JSON) -> tuple[JSON | None, Callable[[JSON], JSON], Callable[[], Said]]:
    [chat] = [x for x in cohere.CHATS if x.id == recorded["id"]]

    def read() -> Said:
        answer = cohere.whole(chat)
        message, usage = answer["message"], answer["usage"]
        blocks = message.get("content", [])
        thought = "".join(b["thinking"] for b in blocks if b["type"] == "thinking")
        return Said(
            answer["id"],
            None,
            "".join(block["text"] for block in blocks if block["type"] == "text"),
            thought + message.get("tool_plan", ""),
            [
                (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"] or "{}"))
                for c in message.get("tool_calls", ())
            ],
            cohere.REASONS[answer["finish_reason"]],
            (
                usage["tokens"]["input_tokens"],
                usage.get("cached_tokens", 0),
                0,
                usage["tokens"]["output_tokens"],
                usage["tokens"].get("reasoning_tokens", 0),
            ),
        )

    unsaid = not chat.request or cohere.inexpressible(chat)
    asked = None if unsaid else cohere.openai_form(chat.request or {})
    return asked, lambda body: {"stream": False} | body, read


def _ollama(recorded: JSON) -> tuple[JSON | None, Callable[[JSON], JSON], Callable[[], Said]]:
    [chat] = [x for x in ollama.CHATS if x.id == recorded["id"]]

    def read() -> Said:
        answer = ollama.whole(chat)
        message = answer["message"]
        calls = [(c["id"], c["function"]) for c in message["tool_calls"]]
        return Said(
            None,
            answer["model"],
            message["content"],
            message["thinking"],
            [(id, function["name"], function["arguments"]) for id, function in calls],
            "tool_calls" if calls else answer["done_reason"],
            (answer["prompt_eval_count"], 0, 0, answer["eval_count"], 0),
        )

    asked = ollama.openai_form(chat.request) if chat.request else None

    def saying(body: JSON) -> JSON:
        """An empty format is a format, and a stream is what is given unasked."""
        said = {n: v for n, v in body.items() if n == "format" or {n: v} not in ollama.SAYS_NOTHING}
        return said | {"stream": body.get("stream", recorded["stream"])}

    return asked, saying, read


_READERS = {
    "anthropic": _anthropic,
    "foundry": _anthropic,
    "gemini": _gemini,
    "bedrock": _bedrock,
    "cohere": _cohere,
    "ollama": _ollama,
}


def _recorded() -> Iterator[JSON]:
    for file in sorted((SHARED / "exchanges").glob("*.jsonl")):
        for line in file.read_text("utf-8").split("\n"):
            if line and (recorded := json.loads(line))["op"] in OPERATIONS:
                yield recorded


def _exchange(recorded: JSON) -> Native:
    request, response = recorded["request"], recorded["response"]
    type = TYPES.get(recorded["provider"], OPERATIONS[recorded["op"]])
    claude = recorded["op"].startswith("vertex")
    reader = _anthropic if claude else _READERS[OPERATIONS[recorded["op"]]]
    asked, normalize, read = reader(recorded)
    path = unquote(request["path"].partition("?")[0])
    named = path.partition("/models/")[2].partition(":")[0] or path.partition("/model/")[2]
    return Native(
        id=recorded["id"],
        type=type,
        model=named.rpartition("/")[0] or named or recorded["model"] or "recorded",
        path=path,
        stream=recorded["stream"],
        status=response["status"],
        headers=response["headers"] | {"content-type": response["content_type"]},
        body=response.get("body", "").encode() or b64decode(response["body_b64"]),
        chunk_sizes=tuple(response.get("chunk_sizes", ())),
        asked=asked,
        recorded=request["body"],
        normal=normalize,
        read=read,
    )


EXCHANGES = [_exchange(recorded) for recorded in _recorded()]


def cases(*kinds: str, wanted: Callable[[Native], bool] = lambda exchange: True) -> list[Any]:
    """The exchanges of some kinds, as parameters of a test."""
    found = [x for x in EXCHANGES if x.kind in kinds and wanted(x)]
    return [pytest.param(exchange, id=exchange.id) for exchange in found]
