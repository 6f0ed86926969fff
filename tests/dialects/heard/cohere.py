"""What Cohere answers: plainly, and with one feature more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..features import (
    CALL,
    CITED,
    CITED_ELSE,
    CUT,
    LOGPROBS,
    PLAIN,
    PLAN,
    READ,
    REASONING,
    THOUGHT,
    Change,
    change,
    plain,
)
from ..probing import Place

_LOOK = {"name": "look", "arguments": "{}"}
_TEXT = {"type": "text", "text": "Hi"}
_COHERE_TEXT: Place = ("message", "content")


def _source(document: dict[str, Any]) -> list[Any]:
    source = {"type": "document", "id": "d", "document": document}
    return [{"start": 0, "end": 2, "text": "Hi", "sources": [source]}]


ANSWERS: Mapping[str, Change] = {
    PLAIN: plain(
        {
            "id": "c",
            "message": {"role": "assistant", "content": [_TEXT]},
            "finish_reason": "COMPLETE",
            "usage": {"tokens": {"input_tokens": 9, "output_tokens": 9}},
        }
    ),
    REASONING: change(*_COHERE_TEXT, to=[{"type": "thinking", "thinking": "Hm."}, _TEXT]),
    PLAN: change("message", "tool_plan", to="Look first."),
    CALL: Change(
        (
            (
                ("message", "tool_calls"),
                [{"id": "t", "type": "function", "function": _LOOK}],
            ),
            (("finish_reason",), "TOOL_CALL"),
        )
    ),
    CITED: change(
        "message", "citations", to=_source({"title": "Example", "url": "https://example.com"})
    ),
    CITED_ELSE: change("message", "citations", to=_source({"title": "Example"})),
    CUT: change("finish_reason", to="MAX_TOKENS"),
    LOGPROBS: change("logprobs", to=[{"text": "Hi", "token_ids": [1], "logprobs": [-0.1]}]),
    READ: change("usage", "cached_tokens", to=5),
    THOUGHT: change("usage", "tokens", "reasoning_tokens", to=5),
}
