"""The built-in provider: says the last user message again, and counts its words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.providers.echo import answer

HELLO = {"role": "user", "content": "Hello there, you"}


def ask(*messages: dict[str, Any], **members: Any) -> tuple[bytes, list[bytes]]:
    body = {"model": "echo", "messages": list(messages) or [HELLO], **members}
    content_type, pieces = answer(json.dumps(body).encode(), 1700000000)
    return content_type, list(pieces)


def completion(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    content_type, [body] = ask(*messages, **members)
    assert content_type == b"application/json"
    document: dict[str, Any] = json.loads(body)
    return document


def said(*messages: dict[str, Any], **members: Any) -> str:
    content: str = completion(*messages, **members)["choices"][0]["message"]["content"]
    return content


def test_a_completion_has_openais_form() -> None:
    document = completion()
    assert document.pop("id").startswith("chatcmpl-")
    assert document == {
        "object": "chat.completion",
        "created": 1700000000,
        "model": "echo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello there, you", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
    }


def test_the_same_request_has_the_same_answer() -> None:
    assert completion() == completion()
    assert completion()["id"] != completion(temperature=0)["id"]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        pytest.param([HELLO], "Hello there, you", id="one message"),
        pytest.param(
            [{"role": "user", "content": "first"}, {"role": "assistant", "content": "x"}, HELLO],
            "Hello there, you",
            id="the last of the user's",
        ),
        pytest.param([HELLO, {"role": "tool", "content": "7"}], "Hello there, you", id="a tool"),
        pytest.param([{"role": "system", "content": "be kind"}], "be kind", id="no user"),
        pytest.param([{"role": "user", "content": None}], "", id="null"),
        pytest.param([{"role": "user"}], "", id="no content"),
        pytest.param([{"role": "user", "content": ""}], "", id="empty"),
        pytest.param([{"role": "user", "content": " \n\t "}], "", id="white space"),
        pytest.param([{"role": "user", "content": "  a \n b  "}], "  a \n b  ", id="spaces stay"),
        pytest.param([{"role": "user", "content": "日本語 é"}], "日本語 é", id="not ASCII"),
        pytest.param(
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "one"},
                        {"type": "image_url", "image_url": {"url": "data:"}},
                        "two",
                    ],
                }
            ],
            "one  two",
            id="parts",
        ),
    ],
)
def test_the_last_user_message_is_said(messages: list[dict[str, Any]], text: str) -> None:
    assert said(*messages) == text


@pytest.mark.parametrize(
    ("limits", "text", "finish"),
    [
        ({"max_completion_tokens": 2}, "Hello there,", "length"),
        ({"max_tokens": 2}, "Hello there,", "length"),
        ({"max_completion_tokens": 1, "max_tokens": 2}, "Hello", "length"),
        ({"max_completion_tokens": None, "max_tokens": None}, "Hello there, you", "stop"),
        ({"max_completion_tokens": 3}, "Hello there, you", "stop"),
        ({"max_tokens": 0}, "Hello there, you", "stop"),
        ({"max_tokens": -1}, "Hello there, you", "stop"),
        ({"max_tokens": "many"}, "Hello there, you", "stop"),
    ],
)
def test_limits(limits: dict[str, Any], text: str, finish: str) -> None:
    [choice] = completion(**limits)["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, finish)


@pytest.mark.parametrize(("n", "choices"), [(None, 1), (1, 1), (3, 3), (10**12, 128)])
def test_choices(n: int | None, choices: int) -> None:
    document = completion(n=n)
    assert [choice["index"] for choice in document["choices"]] == list(range(choices))
    assert document["usage"]["completion_tokens"] == 3 * choices
    assert document["usage"]["prompt_tokens"] == 3


def test_a_stream_says_it_word_by_word() -> None:
    content_type, events = ask(stream=True)
    assert content_type == b"text/event-stream"
    *chunks, end = events
    assert end == b"data: [DONE]\n\n"
    documents = [json.loads(event.removeprefix(b"data: ")) for event in chunks]
    choices = [document["choices"][0] for document in documents]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "Hello"},
        {"content": " there,"},
        {"content": " you"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None] * 4 + ["stop"]
    assert {document["object"] for document in documents} == {"chat.completion.chunk"}
    assert len({document["id"] for document in documents}) == 1


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}])
def test_a_stream_tells_usage_when_asked(options: dict[str, bool] | None, n: int) -> None:
    _, events = ask(stream=True, stream_options=options, n=n)
    told = [event for event in events if b'"usage"' in event]
    asked = bool(options and options.get("include_usage"))
    assert len(told) == asked
    assert len(events) == 5 * n + asked + 1
    if asked:
        assert events[-2:-1] == told
        document = json.loads(told[0].removeprefix(b"data: "))
        assert document["choices"] == []
        assert document["usage"] == {
            "prompt_tokens": 3,
            "completion_tokens": 3 * n,
            "total_tokens": 3 + 3 * n,
        }


@pytest.mark.parametrize(
    "text",
    [
        " " * 1_000_000,
        "a" * 1_000_000,
        "a" + " " * 1_000_000 + "b",
        "a " * 500_000,
        "\n" * 1_000_000,
    ],
    ids=["spaces", "one word", "spaces between", "short words", "blank lines"],
)
def test_a_long_text_takes_no_longer_than_its_length(text: str) -> None:
    assert said({"role": "user", "content": text}).strip() == text.strip()
