"""The words of an answer are found wherever they stand, and nothing repeats those that go."""

from __future__ import annotations

from typing import Any

import pytest

from waystone_asgi.verdicts import Part
from waystone_asgi.wire.members import Path
from waystone_asgi.wire.texts import changed, is_emptied, spoken, texts

CALL = {"index": 3, "id": "c", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Hi", "Hi"),
        (None, ""),
        (7, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, "b", {"type": "image_url", "image_url": "x"}], "ab"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}], "hm"),
        ([{"type": "refusal", "refusal": "No"}], "No"),
        ({"type": "text", "text": "a"}, "a"),
    ],
)
def test_what_is_spoken(value: object, text: str) -> None:
    assert spoken(value) == text


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (None, []),
        ("Hi", []),
        ({}, []),
        ({"role": "assistant", "content": "", "refusal": None}, []),
        ({"content": "Hi"}, [("content", "content", 0, ("content",), "Hi")]),
        ({"content": ["H", "i"]}, [("content", "content", 0, ("content",), "Hi")]),
        ({"refusal": "No"}, [("refusal", "refusal", 0, ("refusal",), "No")]),
        (
            {"reasoning": "a", "reasoning_content": "b"},
            [
                ("reasoning", "reasoning_content", 0, ("reasoning_content",), "b"),
                ("reasoning", "reasoning", 0, ("reasoning",), "a"),
            ],
        ),
        (
            {"content": "Hi", "contents": "Hi"},
            [("content", "content", 0, ("content",), "Hi")],
        ),
        (
            {"content": "Hi", "contents": "Ho"},
            [
                ("content", "content", 0, ("content",), "Hi"),
                ("content", "contents", 0, ("contents",), "Ho"),
            ],
        ),
        (
            {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
            [("reasoning", "reasoning", 0, ("reasoning",), "hm")],
        ),
        (
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
            [("reasoning", "reasoning_details", 0, ("reasoning_details",), "hm")],
        ),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, []),
        (
            {"audio": {"id": "a", "data": "UklG", "transcript": "Hi"}},
            [("transcript", "audio", 0, ("audio", "transcript"), "Hi")],
        ),
        ({"audio": {"id": "a", "data": "UklG"}}, []),
        (
            {"tool_calls": [CALL, {"function": {"arguments": "[]"}}]},
            [
                ("arguments", "arguments", 3, ("tool_calls", 0, "function", "arguments"), "{}"),
                ("arguments", "arguments", 1, ("tool_calls", 1, "function", "arguments"), "[]"),
            ],
        ),
        (
            {"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "x"}}]},
            [("arguments", "input", 0, ("tool_calls", 0, "custom", "input"), "x")],
        ),
        (
            {"tool_calls": [{"function": {"arguments": {"a": 1}}}]},
            [("arguments", "arguments", 0, ("tool_calls", 0, "function", "arguments"), '{"a":1}')],
        ),
        (
            {"function_call": {"name": "f", "arguments": "{}"}},
            [("arguments", "function_call", 0, ("function_call", "arguments"), "{}")],
        ),
        ({"tool_calls": [None, {"function": None}, {"id": "c"}], "function_call": "f"}, []),
        ({"tool_calls": {"0": CALL}}, []),
    ],
)
def test_the_texts_of_a_message(
    message: object, found: list[tuple[Part, str, int, Path, str]]
) -> None:
    assert [(t.part, t.name, t.number, t.path, t.text) for t in texts(message)] == found


def test_a_text_does_not_show_itself() -> None:
    [text] = texts({"content": "a secret"})
    assert "secret" not in repr(text)


@pytest.mark.parametrize(
    ("choice", "new", "parts", "changes"),
    [
        ({"delta": {"content": "a"}}, {("content",): "b"}, {"content"}, {("content",): b'"b"'}),
        (
            {"delta": {"content": "a", "contents": "a"}},
            {("content",): "b"},
            {"content"},
            {("content",): b'"b"', ("contents",): b'"b"'},
        ),
        (
            {"delta": {"content": "a", "contents": "c"}},
            {("content",): "b"},
            {"content"},
            {("content",): b'"b"'},
        ),
        (
            {"delta": {"reasoning": "a", "reasoning_details": ["a"], "content": "b"}},
            {("reasoning",): ""},
            {"reasoning"},
            {("reasoning",): b'""', ("reasoning_details",): None},
        ),
        (
            {"delta": {"reasoning": "a", "reasoning_details": ["a"], "content": "b"}},
            {("content",): ""},
            {"content"},
            {("content",): b'""'},
        ),
        ({"delta": {"audio": {"data": "x"}}}, {}, {"transcript"}, {("audio", "data"): b'""'}),
        ({"delta": {"audio": {"id": "x"}}}, {}, {"transcript"}, {}),
        ({"delta": {"audio": None}}, {}, {"transcript"}, {}),
        ({"delta": {"audio": {"data": "x"}}}, {}, {"content"}, {}),
        ({"delta": {"role": "assistant", "token_id": 7}}, {}, {"content"}, {("token_id",): None}),
        ({"delta": None}, {}, {"content"}, {}),
    ],
)
def test_changes_to_a_delta(
    choice: dict[str, Any], new: dict[Path, str], parts: set[Part], changes: dict[Path, bytes]
) -> None:
    expected = {("delta", *path): value for path, value in changes.items()}
    assert changed(choice, "delta", new, parts) == expected


def test_what_a_provider_says_of_the_old_text_goes() -> None:
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "created": 1,
        "logprobs": {"content": []},
        "delta": {},
        "message": {"content": "a"},
        "text": "a",
    }
    gone = {("logprobs",): b"null", ("message",): None, ("text",): None}
    assert changed(choice, "delta", {}, {"content"}) == gone


@pytest.mark.parametrize(
    ("choice", "emptied"),
    [
        ({"delta": {"content": "a"}}, True),
        ({"delta": {"role": "assistant", "content": "a", "tool_calls": None}}, True),
        ({"delta": {"content": "a", "token_id": 7}, "finish_reason": None}, True),
        ({"delta": {"content": "a"}, "finish_reason": "stop"}, False),
        ({"delta": {"content": "a", "refusal": "b"}}, False),
        ({"delta": {"content": "a", "tool_calls": [CALL]}}, False),
        ({"delta": None}, False),
        ({}, False),
    ],
)
def test_a_choice_that_says_nothing_more(choice: dict[str, Any], emptied: bool) -> None:
    changes: dict[Path, bytes | None] = {("delta", "content"): b'""', ("delta", "token_id"): None}
    assert is_emptied(choice, changes) is emptied
