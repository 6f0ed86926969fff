"""What came out goes back in: two turns with tools and reasoning, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .oracle import accept
from .test_answers import (
    FOUND,
    OMITTED,
    PAGE,
    REDACTED,
    SEARCH,
    THINKING,
    message,
    streamed,
    text,
    use,
)
from .written import HELLO, added, answered, built, chunks, events, opened

JSON = dict[str, Any]

TOOLS = [{"type": "function", "function": {"name": "look"}}]

ANSWERS = [
    [THINKING, text("Let me look."), use("toolu_a", {"x": 1, "y": [1.5, None]})],
    [THINKING, REDACTED, use("toolu_a", {}), use("toolu_b", {"z": "ä"})],
    [OMITTED, use("toolu_a", {})],
    # What only the blocks tell: interleaved reasoning, a search, citations, a program's call.
    [
        THINKING,
        text("First."),
        use("toolu_a", {}),
        OMITTED,
        text("Then."),
        use("toolu_b", {"x": 1}),
    ],
    [
        THINKING,
        SEARCH,
        FOUND,
        THINKING,
        text("So "),
        text("it is.", citations=[PAGE]),
        use("toolu_a", {}),
    ],
    [use("toolu_a", {}, caller={"type": "code_execution_20260120", "tool_id": "s"})],
]


def whole(blocks: list[JSON]) -> JSON:
    told: JSON = answered(message(*blocks, stop_reason="tool_use"))["choices"][0]["message"]
    return told


def in_pieces(blocks: list[JSON]) -> JSON:
    stream = opened()
    data = stream.feed(events(*streamed(message(*blocks, stop_reason="tool_use"))))
    told = added(chunks(data))
    assert told.pop("finish_reason") == "tool_calls"
    return told


def check_turns(turns: list[JSON]) -> None:
    """The provider's rules: sides alternate, and each call has its result right behind it."""
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"]
    for answer, after in zip(turns[1::2], turns[2::2], strict=True):
        calls = [block["id"] for block in answer["content"] if block["type"] == "tool_use"]
        results = [b["tool_use_id"] for b in after["content"] if b["type"] == "tool_result"]
        assert results == calls
        kinds = [block["type"] for block in after["content"]]
        assert kinds == sorted(kinds, key=lambda kind: kind != "tool_result")


@pytest.mark.parametrize("told", [whole, in_pieces])
@pytest.mark.parametrize("blocks", ANSWERS)
def test_two_turns(blocks: list[JSON], told: Any) -> None:
    messages: list[JSON] = [HELLO]
    for _ in range(2):
        reply = {"content": None, **told(blocks)}
        messages.append(reply)
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": "seen"}
            for call in reply["tool_calls"]
        ]
    written = built(*messages, {"role": "user", "content": "Go on."}, strict=True, tools=TOOLS)
    document = json.loads(bytes(written.body))
    accept(document)
    check_turns(document["messages"])
    without_default = [
        {k: v for k, v in block.items() if k != "citations" or v} for block in blocks
    ]
    for turn in document["messages"][1::2]:
        assert turn["content"] == without_default
    assert written.dropped == ()
