"""Whole answers pass the guards text by text, and what a guard does not pass does not get out."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from waystone_asgi import ConfigurationError, GuardContext, Verdict
from waystone_asgi.exceptions import BlockedError, InternalError
from waystone_asgi.guards import Guards
from waystone_asgi.providers.openai import parse_response
from waystone_asgi.types import Guard
from waystone_asgi.verdicts import Part

from .made import CONTEXT, FAILING, Watcher, block, checking, fail, hide, shout

pytestmark = pytest.mark.anyio


def answer(*messages: dict[str, Any], **choice: Any) -> bytes:
    """A provider's answer, spelled with white space and a number that has another spelling."""
    choices = [
        {"index": n, "message": {"role": "assistant", **message}, "finish_reason": "stop", **choice}
        for n, message in enumerate(messages)
    ]
    document = {"id": "chatcmpl-1", "created": 7, "choices": choices, "extra": [1]}
    text = json.dumps(document, ensure_ascii=False, indent=1).replace(
        '"extra": [\n  1', '"extra": [\n  1.0e1'
    )
    return parse_response(text.encode()).body


def call(arguments: object, kind: str = "function", name: str = "arguments") -> dict[str, Any]:
    return {"content": None, "tool_calls": [{"id": "c", kind: {"name": "f", name: arguments}}]}


@pytest.mark.parametrize(
    ("messages", "seen"),
    [
        ([{"content": "Hi"}], [("content", 0, "Hi")]),
        ([{"content": "Hi"}, {"content": "Ho"}], [("content", 0, "Hi"), ("content", 1, "Ho")]),
        ([{"content": "naïve 😀\u2028"}], [("content", 0, "naïve 😀\u2028")]),
        ([{"content": [{"type": "text", "text": "a"}, "b"]}], [("content", 0, "ab")]),
        ([{"content": None, "refusal": "No"}], [("refusal", 0, "No")]),
        ([{"content": "Hi", "reasoning": "m"}], [("content", 0, "Hi"), ("reasoning", 0, "m")]),
        ([call("{}")], [("arguments", 0, "{}")]),
        ([call("x", "custom", "input")], [("arguments", 0, "x")]),
        ([{"content": None, "audio": {"transcript": "Hi"}}], [("transcript", 0, "Hi")]),
        ([{"content": None}], []),
        ([{"content": ""}], []),
        ([{"content": 7}], []),
    ],
)
async def test_every_text_is_shown_to_the_guard_and_nothing_changes(
    messages: list[dict[str, Any]], seen: list[tuple[Part, int, str]]
) -> None:
    watcher, body = Watcher(), answer(*messages)
    assert await checking(watcher).answer(body) is body
    found = zip(watcher.contexts, watcher.seen, strict=True)
    assert [(context.part, context.choice, text) for context, text in found] == seen


async def test_a_guard_is_told_whose_answer_it_is() -> None:
    watcher = Watcher()
    await checking(watcher).answer(answer({"content": "Hi"}))
    assert watcher.contexts == [CONTEXT]


@pytest.mark.parametrize(
    ("message", "old", "new"),
    [
        ({"content": "a hush"}, '"a hush"', '"a ****"'),
        ({"content": None, "refusal": "hush"}, '"hush"', '"****"'),
        ({"content": "b", "reasoning_content": "hush 😀"}, '"hush 😀"', '"**** 😀"'),
        (call('{"a": "hush"}'), r'"{\"a\": \"hush\"}"', r'"{\"a\": \"****\"}"'),
        (call("hush", "custom", "input"), '"hush"', '"****"'),
        (
            {"content": None, "function_call": {"name": "f", "arguments": "hush"}},
            '"hush"',
            '"****"',
        ),
        ({"content": "a \\ hush \n"}, r'"a \\ hush \n"', r'"a \\ **** \n"'),
        ({"content": "hush", "contents": "other"}, '"hush"', '"****"'),
        ({"content": "other", "contents": "hush"}, '"hush"', '"****"'),
    ],
)
async def test_a_text_is_replaced_in_its_place(message: dict[str, Any], old: str, new: str) -> None:
    body = answer({"content": "before"}, message, {"content": "behind"})
    assert old in body.decode()
    assert await checking(hide).answer(body) == body.replace(old.encode(), new.encode())


@pytest.mark.parametrize(
    ("message", "choice", "becomes"),
    [
        ({"content": [{"type": "text", "text": "hu"}, "sh"]}, {}, {"content": "****"}),
        (
            {"content": "hush", "provider_metadata": "hush"},
            {"text": "hush", "logprobs": {"content": [{"token": "hush"}]}},
            {"content": "****"},
        ),
        (
            {"content": "b", "reasoning": "hush", "reasoning_details": [{"text": "hush"}]},
            {},
            {"content": "b", "reasoning": "****"},
        ),
        (
            {"content": "b", "reasoning_details": [{"text": "hush"}]},
            {},
            {"content": "b"},
        ),
        (
            {"content": None, "audio": {"id": "a", "data": "aHVzaA==", "transcript": "hush"}},
            {},
            {"content": None, "audio": {"id": "a", "data": "", "transcript": "****"}},
        ),
        (
            {"content": "hush", "reasoning": "b", "reasoning_details": [{"text": "b"}]},
            {"finish_reason": "length"},
            {"content": "****", "reasoning": "b", "reasoning_details": [{"text": "b"}]},
        ),
    ],
)
async def test_nothing_repeats_what_was_replaced(
    message: dict[str, Any], choice: dict[str, Any], becomes: dict[str, Any]
) -> None:
    body = answer(message, **choice)
    shown = await checking(hide).answer(body)
    [left] = json.loads(shown)["choices"]
    assert left == {
        "index": 0,
        "created": 7,
        "logprobs": None,
        "finish_reason": choice.get("finish_reason", "stop"),
        "message": {
            "role": "assistant",
            "contents": becomes["content"],
            "refusal": None,
            "annotations": [],
            "audio": None,
            **becomes,
        },
    }
    assert b"1.0e1" in shown


@pytest.mark.parametrize(
    ("guards", "shown"),
    [
        ([hide, shout], "A ****"),
        ([shout, hide], "A HUSH"),
        ([hide, block], "a ****"),
        ([shout, block], "A HUSH"),
        ([hide, hide], "a ****"),
    ],
)
async def test_each_guard_sees_what_those_before_it_left(
    guards: Sequence[Guard], shown: str
) -> None:
    left = json.loads(await checking(*guards).answer(answer({"content": "a hush"})))
    assert left["choices"][0]["message"]["content"] == shown
    assert left["choices"][0]["message"]["contents"] == shown


async def test_a_text_may_be_taken_away() -> None:
    def empty(text: str, context: GuardContext) -> Verdict:
        return Verdict.replaced("")

    body = answer({"content": "Hi"})
    assert await checking(empty, fail).answer(body) == body.replace(b'"Hi"', b'""')


@pytest.mark.parametrize(
    ("guards", "messages"),
    [
        ([block], [{"content": "a hush"}]),
        ([block], [{"content": "a"}, {"content": "hush"}]),
        ([Watcher(), block], [{"content": "hush"}]),
        ([block, fail], [{"content": "hush"}]),
        ([block], [call("hush")]),
        ([block], [{"content": ["hu", "sh"]}]),
    ],
)
async def test_an_answer_is_blocked(
    guards: Sequence[Guard], messages: list[dict[str, Any]]
) -> None:
    with pytest.raises(BlockedError) as caught:
        await checking(*guards).answer(answer(*messages))
    assert (caught.value.message, caught.value.status) == ("No secrets.", 403)
    assert caught.value.code == "blocked_by_rule"


@pytest.mark.parametrize(("guard", "logged"), FAILING)
async def test_a_guard_that_fails_lets_nothing_through(
    guard: Guard, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InternalError) as caught:
        await checking(guard, deadline=0.01).answer(answer({"content": "a hush"}))
    assert caught.value.message == "The answer could not be checked."
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert logged in record.getMessage()
    assert "guard 0" in record.getMessage()
    assert "req-1" in record.getMessage()
    assert "hush" not in record.getMessage()


async def test_a_text_that_cannot_be_read_is_refused() -> None:
    nested = b'["' + b"[" * 800 + b"]" * 800
    with pytest.raises(InternalError, match="could not be checked"):
        await checking(Watcher()).answer(b'{"choices":' + nested)


async def test_who_leaves_cancels_the_guard() -> None:
    called, left = anyio.Event(), list[str]()

    async def wait(text: str, context: GuardContext) -> Verdict:
        called.set()
        try:
            await anyio.sleep_forever()
        finally:
            left.append(text)
        raise AssertionError

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(checking(wait).answer, answer({"content": "Hi"}))
        await called.wait()
        tasks.cancel_scope.cancel()
    assert left == ["Hi"]


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [
        (Verdict.passed(), "Verdict('passed')"),
        (Verdict.replaced("hush"), "Verdict('replaced')"),
        (Verdict.blocked("hush"), "Verdict('blocked')"),
    ],
)
def test_a_verdict_does_not_show_its_text(verdict: Verdict, shown: str) -> None:
    assert repr(verdict) == shown
    assert "hush" not in repr(verdict.__rich_repr__())


def test_a_context_does_not_show_what_was_said() -> None:
    context = GuardContext(
        request_id="r",
        principal="p",
        identity=CONTEXT.identity,
        operation="chat",
        request_model="m",
        provider="p",
        model="m",
        stream=True,
        before="hush",
    )
    assert repr(context) == "GuardContext('r', 'content' of choice 0)"
    assert "hush" not in repr(context.__rich_repr__())


def test_a_block_has_a_message_of_its_own() -> None:
    assert Verdict.blocked().text == "The answer is not allowed."


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"guards": {"pii": "redact"}}, "guards.pii: expected a function"),
        ({"window": 0}, "guard_window: expected"),
        ({"window": 1.5}, "guard_window: expected"),
        ({"window": True}, "guard_window: expected"),
        ({"deadline": 0}, "guard_deadline: expected"),
        ({"deadline": float("nan")}, "guard_deadline: expected"),
        ({"deadline": "1"}, "guard_deadline: expected"),
        ({"deadline": True}, "guard_deadline: expected"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Guards(**{"guards": {}, **settings})


def test_the_names_are_known() -> None:
    assert Guards().names == frozenset()
    assert Guards({"pii": hide, "tone": shout}).names == {"pii", "tone"}
