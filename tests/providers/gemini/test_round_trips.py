"""What came out goes back in: two turns of tools, with reasoning, as Google checks them.

Gemini 3 refuses calls of the current turn without the signatures that they had, and every provider
of this API wants as many results as there were calls, in the turn that follows them.
"""

from __future__ import annotations

from typing import Any

import pytest

from .answers import answer, events, joined, stream
from .recordings import Exchange, cases
from .requests import build

Document = dict[str, Any]
MODEL = "gemini-3-pro-preview"

THOUGHT = {"text": "Let me see.", "thought": True}
TURNS: list[list[Document]] = [
    [
        THOUGHT,
        {
            "functionCall": {"name": "f", "args": {"a": 1}, "id": "x"},
            "thoughtSignature": "b25l",
        },
        {"functionCall": {"name": "g", "args": {}, "id": "y"}},
    ],
    [
        {"text": "Once more.", "thoughtSignature": "dHdv"},
        {"functionCall": {"name": "f", "args": {"a": 2}}, "thoughtSignature": "dGhyZWU="},
        {"functionCall": {"name": "f", "args": {"a": 2}}},
    ],
]
UNUSUAL: list[list[Document]] = [
    [
        {"text": "a", "thoughtSignature": "b25l"},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"functionCall": {"name": "f", "args": {}, "id": "x"}, "thoughtSignature": "dHdv"},
    ],
    [
        {
            "functionCall": {"name": "f", "args": {"a": [1]}, "id": "y"},
            "thoughtSignature": "dGhyZWU=",
        },
        {"text": "after"},
    ],
]


def said(parts: list[Document], number: int, streamed: bool) -> Document:
    """The message that a client keeps of an answer."""
    document = {"responseId": f"r{number}", "candidates": [{"content": {"parts": parts}}]}
    if not streamed:
        message: Document = answer(document)["choices"][0]["message"]
        return message
    pieces = [
        {"responseId": f"r{number}", "candidates": [{"content": {"parts": [part]}}]}
        for part in parts
    ]
    pieces.append({"candidates": [{"finishReason": "STOP"}]})
    message = joined(stream([events(*pieces)])[1])
    return {"role": "assistant", **message}


def conversation(turns: list[list[Document]], streamed: bool) -> list[Document]:
    messages: list[Document] = [{"role": "user", "content": "Go."}]
    for number, parts in enumerate(turns):
        message = said(parts, number, streamed)
        messages.append(message)
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": f"result of {call['id']}"}
            for call in reversed(message["tool_calls"])
        ]
    return messages


def check(contents: list[Document]) -> None:
    """The rules that Google states of a conversation."""
    called: list[tuple[str, str | None]] = []
    for content in contents:
        answered = [
            (part["functionResponse"]["name"], part["functionResponse"].get("id"))
            for part in content["parts"]
            if "functionResponse" in part
        ]
        assert answered == called
        assert not called or len(content["parts"]) == len(called)
        calls = [part for part in content["parts"] if "functionCall" in part]
        assert not calls or calls[0].get("thoughtSignature")
        called = [(c["functionCall"]["name"], c["functionCall"].get("id")) for c in calls]
        assert content["role"] == ("model" if calls else "user")
    assert not called


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("turns", [TURNS, UNUSUAL])
def test_two_turns_of_tools_go_back_unchanged(turns: list[list[Document]], streamed: bool) -> None:
    sent, dropped = build(MODEL, messages=conversation(turns, streamed))
    check(sent["contents"])
    assert [content["parts"] for content in sent["contents"][1::2]] == turns
    assert dropped == ()


def is_whole(exchange: Exchange) -> bool:
    """Whether its calls come whole. Those that come in pieces go back whole, and are told apart."""
    return exchange.status == 200 and b"willContinue" not in exchange.body


@pytest.mark.parametrize("exchange", cases(is_whole))
def test_a_recorded_answer_goes_back_unchanged(exchange: Exchange) -> None:
    documents = exchange.documents
    parts: list[Document] = []
    for document in documents:
        parts += document["candidates"][0]["content"].get("parts", [])
    if not parts:
        return  # A message that says nothing does not go back.
    if exchange.stream:
        message = {"role": "assistant", **joined(stream([exchange.body])[1])}
    else:
        message = answer(documents[0])["choices"][0]["message"]
    sent, _ = build("gemini-2.5-pro", messages=[{"role": "user", "content": "Go."}, message])
    assert [content["parts"] for content in sent["contents"][1:]] == [_joined(parts)]


def _joined(parts: list[Document]) -> list[Document]:
    """The parts with texts that were cut in pieces put together, as one had written them."""
    joined: list[Document] = []
    for part in parts:
        last = joined[-1] if joined else {}
        if part.get("text") == "" and "thoughtSignature" not in part:
            continue
        same = "text" in part and "text" in last and part.get("thought") == last.get("thought")
        if same and "thoughtSignature" not in last:
            joined[-1] = {**last, **part, "text": last["text"] + part["text"]}
        else:
            joined.append(part)
    return joined


def test_an_image_goes_back_with_its_signature() -> None:
    image = {
        "inlineData": {"mimeType": "image/png", "data": "AAAA"},
        "thoughtSignature": "b25l",
    }
    message = answer({"candidates": [{"content": {"parts": [image]}}]})["choices"][0]["message"]
    sent, _ = build(MODEL, messages=[{"role": "user", "content": "Draw."}, message])
    assert sent["contents"][1]["parts"] == [image]
