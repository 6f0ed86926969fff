"""Two turns of tool use with reasoning: what came out of Bedrock goes back in as it was."""

from __future__ import annotations

from typing import Any

import pytest

from .answering import (
    BEGIN,
    METADATA,
    answer,
    delta,
    end,
    feed,
    joined,
    open_stream,
    start,
    stop,
)
from .asking import CLAUDE, NOVA, ask

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
Block = dict[str, Any]


def shown(text: str) -> Block:
    return {"reasoningContent": {"reasoningText": {"text": text, "signature": f"signed {text}"}}}


def sealed(data: str) -> Block:
    return {"reasoningContent": {"redactedContent": data}}


def use(id: str, **input: Any) -> Block:
    return {"toolUse": {"toolUseId": id, "name": "look", "input": input}}


FIRST = [shown("r1"), sealed("QUJD"), {"text": "Let me look."}, use("t1", a=1), use("t2", b=[])]
SECOND = [shown("r2"), sealed("/w=="), use("t3")]


def whole(blocks: list[Block], model: str) -> dict[str, Any]:
    document, _ = answer(*blocks, model=model, stop="tool_use")
    message: dict[str, Any] = document["choices"][0]["message"]
    return message


def streamed(blocks: list[Block], model: str) -> dict[str, Any]:
    frames = [frame for index, block in enumerate(blocks) for frame in _frames(index, block)]
    relayed = feed(open_stream(model), [BEGIN, *frames, end("tool_use"), METADATA])
    message = joined(relayed)
    del message["finish_reason"], message["usage"]
    return message


def _frames(index: int, block: Block) -> list[bytes]:
    if "text" in block:
        return [delta(index, text=block["text"]), stop(index)]
    if "toolUse" in block:
        called = dict(block["toolUse"])
        piece = str(called.pop("input")).replace("'", '"')
        return [start(index, toolUse=called), delta(index, toolUse={"input": piece}), stop(index)]
    reasoning = block["reasoningContent"]
    pieces = reasoning.get("reasoningText", reasoning)
    return [
        *(delta(index, reasoningContent={name: value}) for name, value in pieces.items()),
        stop(index),
    ]


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
@pytest.mark.parametrize("told", [whole, streamed])
def test_what_came_out_goes_back_in(told: Any, model: str) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "A"}]
    messages.append(told(FIRST, model))
    messages += [
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "tool", "tool_call_id": "t2", "content": "two"},
    ]
    body, dropped = ask(messages, model=model, tools=TOOLS, reasoning_effort="low")
    assert body["messages"][1] == {"role": "assistant", "content": FIRST}
    assert body["additionalModelRequestFields"]
    assert not dropped
    messages.append(told(SECOND, model))
    messages.append({"role": "tool", "tool_call_id": "t3", "content": "three"})
    body, dropped = ask(messages, model=model, tools=TOOLS, reasoning_effort="low")
    turns = body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2 + ["user"]
    assert turns[1]["content"] == FIRST
    assert turns[3]["content"] == SECOND
    results = [block["toolResult"]["toolUseId"] for block in turns[2]["content"]]
    assert results == ["t1", "t2"]
    assert not dropped


GROUNDED = [
    {"toolUse": {"toolUseId": "s", "name": "n", "input": {"q": 1}, "type": "server_tool_use"}},
    {"toolResult": {"toolUseId": "s", "type": "n_result", "content": [{"json": {"a": 1}}]}},
    {
        "citationsContent": {
            "content": [{"text": "A"}],
            "citations": [{"title": "T", "location": {"web": {"url": "https://a.example"}}}],
        }
    },
    shown("r"),
    {"text": "B"},
    use("t1", a=1),
    {"text": " "},
    use("t2"),
]
SENT = [block for block in GROUNDED if block != {"text": " "}]
CONTENT = {"bedrock": {"content": GROUNDED}}


def grounded(**changes: Any) -> dict[str, Any]:
    return {**whole(GROUNDED, CLAUDE), **changes}


def sent_back(message: dict[str, Any], model: str = CLAUDE) -> tuple[list[Block], tuple[str, ...]]:
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "C"}
        for call in message.get("tool_calls") or ()
    ]
    messages = [
        {"role": "user", "content": "A"},
        message,
        *results,
        {"role": "user", "content": "D"},
    ]
    body, dropped = ask(messages, model=model, tools=TOOLS)
    content: list[Block] = body["messages"][1]["content"]
    return content, dropped


def test_blocks_that_a_message_cannot_say_go_back_as_they_were() -> None:
    assert grounded()["extra_content"] == CONTENT
    assert sent_back(grounded()) == (SENT, ())


@pytest.mark.parametrize(
    ("changes", "model", "dropped"),
    [
        ({"content": "Changed"}, CLAUDE, ()),
        ({"tool_calls": None}, CLAUDE, ()),
        ({"reasoning_details": []}, CLAUDE, ("messages[].reasoning_content",)),
        ({}, NOVA, ("messages[].reasoning_details", "messages[].reasoning_content")),
        ({"extra_content": {"bedrock": {"content": "x"}}}, CLAUDE, ()),
        ({"extra_content": {"bedrock": {"content": [1]}}}, CLAUDE, ()),
        ({"extra_content": {"bedrock": []}}, CLAUDE, ()),
        (
            {
                "extra_content": {
                    "bedrock": {
                        "content": [{"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}]
                    }
                }
            },
            CLAUDE,
            (),
        ),
    ],
)
def test_a_message_that_was_changed_is_taken_at_its_word(
    changes: dict[str, Any], model: str, dropped: tuple[str, ...]
) -> None:
    content, lost = sent_back(grounded(**changes), model)
    assert "citationsContent" not in "".join(name for block in content for name in block)
    message = grounded(**changes)
    assert [block["text"] for block in content if "text" in block] == [message["content"]]
    assert lost == dropped
