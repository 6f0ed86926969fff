"""A stream is held back until the guards have seen it, then comes out: whole, changed or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import anyio
import pytest

from waystone_asgi import GuardContext, Verdict
from waystone_asgi.exceptions import BlockedError, GatewayError, InternalError
from waystone_asgi.guards import AnswerScreen
from waystone_asgi.sse import DONE
from waystone_asgi.types import Guard

from .made import FAILING, Watcher, block, checking, event, fail, hide, says, shout

Shown: TypeAlias = tuple[int, dict[str, Any], str | None]

pytestmark = pytest.mark.anyio

ROLE = event(says(role="assistant", content=""))
HI = event(says(content="Hi"))
STOP = event(says(finish="stop"))
USAGE = event(usage={"total_tokens": 8})
COMMENT = b": still working\n\n"
FILTER = event(prompt_filter_results=[{"prompt_index": 0}])


def word(text: str, index: int = 0) -> bytes:
    return event(says(index, content=text))


A, ABC, B1 = word("a"), word("abc"), word("b", 1)
STOP1 = event(says(1, "stop"))
BOTH = event(says(content="b"), says(1, content="b"))
THOUGHT = event(says(reasoning="abc"))
NO_DELTA = event({"delta": None}, {"index": 0})
NO_CHOICES = b'data: {"choices":null}\n\n'
LINES = b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "abcd"}}]}\n\n'

END: Shown = (0, {}, "stop")


def called(arguments: str, **more: Any) -> dict[str, Any]:
    """What a delta says of a tool call."""
    return {"tool_calls": [{"index": 0, **more, "function": {"arguments": arguments}}]}


async def fed(pieces: Sequence[bytes], *guards: Guard, window: int = 4) -> list[bytes]:
    """What comes out for each piece that goes in, and at the end."""
    screen = AnswerScreen(checking(*guards, window=window))
    return [*[await screen.feed(piece) for piece in pieces], await screen.finish()]


def deltas(data: bytes) -> list[Shown]:
    """What each event says, by choice."""
    events = [json.loads(line[6:]) for line in data.split(b"\n\n")[:-1] if line[6:7] == b"{"]
    return [
        (choice["index"], choice["delta"], choice.get("finish_reason"))
        for chunk in events
        for choice in chunk["choices"]
    ]


@pytest.mark.parametrize(
    ("pieces", "released"),
    [
        # A window of four characters, or the end of a choice.
        ([ROLE, HI, HI, STOP, DONE], [b"", b"", ROLE + HI + HI, STOP, DONE, b""]),
        ([ROLE, HI, STOP, DONE], [b"", b"", ROLE + HI + STOP, DONE, b""]),
        ([ROLE, HI, DONE], [b"", b"", ROLE + HI + DONE, b""]),
        ([ROLE, HI], [b"", b"", ROLE + HI]),
        ([HI, HI, HI, STOP], [b"", HI + HI, b"", HI + STOP, b""]),
        ([word("Hello")], [word("Hello"), b""]),
        ([word("naïve")], [word("naïve"), b""]),
        ([word("😀😀😀"), word("😀")], [b"", word("😀😀😀") + word("😀"), b""]),
        ([ROLE + HI + HI + STOP + DONE], [ROLE + HI + HI + STOP + DONE, b""]),
        # What has no text keeps its place, and does not wait when nothing does.
        ([FILTER, ROLE, HI, STOP], [b"", b"", b"", FILTER + ROLE + HI + STOP, b""]),
        ([HI, HI, ROLE, HI, ROLE], [b"", HI + HI, ROLE, b"", b"", HI + ROLE]),
        ([HI, STOP, USAGE, DONE], [b"", HI + STOP, USAGE, DONE, b""]),
        ([HI, USAGE, HI], [b"", b"", HI + USAGE + HI, b""]),
        ([ROLE, STOP, DONE], [b"", ROLE + STOP, DONE, b""]),
        ([DONE], [DONE, b""]),
        ([], [b""]),
        # Comments say nothing.
        ([COMMENT, HI, COMMENT, HI], [COMMENT, b"", COMMENT, HI + HI, b""]),
        # Events are not spelled in one way.
        ([b"data:{}\r\n\r\n" + HI], [b"", b"data:{}\r\n\r\n" + HI]),
        ([b"data: {}\r\r", HI], [b"", b"", b"data: {}\r\r" + HI]),
        # Each text has a window of its own, and each choice.
        ([ABC, THOUGHT, STOP], [b"", b"", ABC + THOUGHT + STOP, b""]),
        ([A, B1, ABC, B1, STOP1], [b"", b"", A + ABC, b"", B1 + B1 + STOP1, b""]),
        # An event of several choices, or of none, waits for all before it.
        ([B1, BOTH, ABC], [b"", b"", B1 + BOTH + ABC, b""]),
        ([B1, USAGE, ABC, A], [b"", b"", b"", B1 + USAGE + ABC + A, b""]),
        # What is no choice of OpenAI's has no text.
        ([NO_DELTA, STOP], [b"", NO_DELTA + STOP, b""]),
        ([NO_CHOICES, STOP], [b"", NO_CHOICES + STOP, b""]),
    ],
)
async def test_what_passes_comes_out_as_it_was(pieces: list[bytes], released: list[bytes]) -> None:
    assert await fed(pieces, Watcher()) == released


@pytest.mark.parametrize(
    ("pieces", "seen"),
    [
        ([word("abc"), word("de"), word("f")], [("abcde", ""), ("f", "bcde")]),
        ([word("abcdef"), word("ghijklm")], [("abcdef", ""), ("ghijklm", "cdef")]),
        ([word("ab"), word("x", 1), word("cd"), word("y", 1)], [("abcd", ""), ("xy", "")]),
        ([word("ab"), STOP, word("cd")], [("ab", ""), ("cd", "ab")]),
        ([event(says(content="ab", refusal="cd")), STOP], [("ab", ""), ("cd", "")]),
        ([STOP, DONE], []),
    ],
)
async def test_a_guard_sees_each_text_once_and_what_was_let_through(
    pieces: list[bytes], seen: list[tuple[str, str]]
) -> None:
    watcher = Watcher()
    await fed(pieces, watcher)
    found = zip(watcher.seen, watcher.contexts, strict=True)
    assert [(text, context.before) for text, context in found] == seen


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["ten chars,", "+12", " then"], ["ten chars,+12", " then"]),
        (["ten chars,", "1", " then"], ["ten chars,1", " then"]),
        (["ten chars ", "then"], ["ten chars ", "then"]),
        (["ten", " chars,", "1 ", "then"], ["ten chars,1 ", "then"]),
        (["ten chars,", " then"], ["ten chars,", " then"]),
        (["short", " words"], ["short words"]),
        (["short", " and more", " words"], ["short and more", " words"]),
        (["十一個字沒有空白在其中", "十", "二"], ["十一個字沒有空白在其中十", "二"]),
    ],
)
async def test_a_window_is_cut_between_two_words(words: list[str], seen: list[str]) -> None:
    watcher = Watcher()
    pieces = [word(text) for text in words]
    assert b"".join(await fed(pieces, watcher, window=10)) == b"".join(pieces)
    assert watcher.seen == seen


async def test_a_guard_sees_the_arguments_of_each_call() -> None:
    def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        return {"index": index, **more, "function": {"arguments": arguments}}

    events = [
        event(says(tool_calls=[piece(0, "", id="a")])),
        event(says(tool_calls=[piece(0, '{"x":')])),
        event(says(tool_calls=[piece(1, '{"y"', id="b"), piece(0, "1}")])),
        event(says(tool_calls=[piece(1, ":2}")])),
        event(says(finish="tool_calls")),
    ]
    watcher = Watcher()
    released = await fed(events, watcher, window=100)
    assert released == [b"", b"", b"", b"", b"".join(events), b""]
    assert watcher.seen == ['{"x":1}', '{"y":2}']
    assert {context.part for context in watcher.contexts} == {"arguments"}


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        # One chunk has all of the new text; the role and the end stay.
        (
            [ROLE, word("a hu"), STOP],
            [(0, {"role": "assistant", "content": ""}, None), (0, {"content": "A HU"}, None), END],
        ),
        (
            [*map(word, "abcdef"), STOP],
            [(0, {"content": "ABCD"}, None), (0, {"content": "EF"}, None), END],
        ),
        (
            [A, event(says(content="b", finish="stop"))],
            [(0, {"content": "AB"}, None), (0, {"content": ""}, "stop")],
        ),
        (
            [event(says(role="assistant", content=letter)) for letter in "abcd"],
            [(0, {"role": "assistant", "content": "ABCD"}, None)],
        ),
        ([word("naï"), word("ve")], [(0, {"content": "NAÏVE"}, None)]),
        # What is said beside the text stays.
        (
            [A, event(says(content="b"), usage={"total_tokens": 1}), A, STOP],
            [(0, {"content": "ABA"}, None), (0, {"content": ""}, None), END],
        ),
        (
            [event(says(reasoning="a")), event(says(reasoning="b", content="c")), STOP],
            [(0, {"reasoning": "AB"}, None), (0, {"reasoning": "", "content": "C"}, None), END],
        ),
        (
            [event(says(**called("a", id="c"))), event(says(**called("b"))), STOP],
            [(0, called("AB", id="c"), None), (0, called(""), None), END],
        ),
        (
            [event(says(**called(text, id=id))) for text, id in ("ac", "ad", "bd")] + [STOP],
            [
                (0, called("A", id="c"), None),
                (0, called("AB", id="d"), None),
                (0, called("", id="d"), None),
                END,
            ],
        ),
        # Choices do not mix, also in one event.
        (
            [A, B1, word("bcd"), B1, STOP1],
            [(0, {"content": "ABCD"}, None), (1, {"content": "BB"}, None), (1, {}, "stop")],
        ),
        (
            [BOTH, BOTH, STOP],
            [(0, {"content": "BB"}, None), (1, {"content": "BB"}, None), END],
        ),
        (
            [event(says(content="b"), says(1, content="B"))] * 2 + [STOP],
            [
                (0, {"content": "BB"}, None),
                (1, {"content": "B"}, None),
                (0, {"content": ""}, None),
                (1, {"content": "B"}, None),
                END,
            ],
        ),
        # Parts that are no strings become one.
        (
            [event(says(content=[{"type": "text", "text": "a"}])), word("b"), STOP],
            [(0, {"content": "AB"}, None), END],
        ),
        # Several lines of data are one document.
        ([LINES], [(0, {"content": "ABCD"}, None)]),
    ],
)
async def test_a_text_is_replaced(pieces: list[bytes], shown: list[object]) -> None:
    assert deltas(b"".join(await fed(pieces, shout))) == shown


async def test_what_is_replaced_later_leaves_the_first_window_as_it_was() -> None:
    pieces = [ROLE, word("abcd"), word("hush"), word("efgh"), STOP, DONE]
    released = await fed(pieces, hide)
    assert released == [b"", ROLE + word("abcd"), word("****"), word("efgh"), STOP, DONE, b""]


async def test_the_guards_go_on_with_what_they_let_through() -> None:
    watcher = Watcher()
    await fed([word("abcd"), word("hush"), word("efgh")], hide, watcher)
    assert watcher.seen == ["abcd", "****", "efgh"]
    assert [context.before for context in watcher.contexts] == ["", "abcd", "****"]


async def test_nothing_repeats_what_was_replaced() -> None:
    def repeated(text: str, so_far: str) -> bytes:
        choice = says(content=text, token_id=7)
        logprobs = {"content": [{"token": text}]}
        message = {"role": "assistant", "content": so_far}
        return event({**choice, "logprobs": logprobs, "text": text, "message": message})

    before, after = repeated("abcd", "abcd"), repeated("efgh", "abcdhushefgh")
    released = await fed([before, repeated("hush", "abcdhush"), after, STOP], hide)
    assert released[0] == before
    assert released[1:3] == [word("****"), word("efgh")]
    assert b"hush" not in b"".join(released)


async def test_a_text_may_be_taken_away() -> None:
    def empty(text: str, context: GuardContext) -> Verdict:
        return Verdict.replaced("")

    pieces = [event(says(role="assistant", content="ab")), word("cd"), STOP]
    released = await fed(pieces, empty, fail)
    assert released == [b"", event(says(role="assistant", content="")), STOP, b""]


@pytest.mark.parametrize(
    ("pieces", "released"),
    [
        ([ROLE, word("hush")], [b""]),
        ([ROLE, word("hu"), word("sh")], [b"", b""]),
        ([ROLE, word("a"), word("hush", 1), STOP, DONE], [b"", b""]),
        ([word("abcd"), word("hush")], [word("abcd")]),
        ([word("a hu"), word("sh"), STOP], [word("a hu"), b""]),
        ([word("a hu"), word("sh"), DONE], [word("a hu"), b""]),
        ([word("hu"), word("sh", 1), word("sh"), DONE], [b"", b""]),
        ([word("abc"), word("hus"), word("h"), STOP], [b"", word("abc") + word("hus")]),
        ([word("abcd") + word("hush")], []),
    ],
)
async def test_a_stream_is_blocked(pieces: list[bytes], released: list[bytes]) -> None:
    screen = AnswerScreen(checking(block, window=4))
    for piece, shown in zip(pieces, released, strict=False):
        assert await screen.feed(piece) == shown
    assert screen.started == any(released)
    with pytest.raises(BlockedError, match=r"No secrets\."):
        await screen.feed(b"".join(pieces[len(released) :]))
    assert await screen.feed(HI + STOP + DONE) == b""
    assert await screen.finish() == b""


async def test_what_is_held_is_blocked_at_the_end() -> None:
    screen = AnswerScreen(checking(block))
    assert await screen.feed(word("hush")) == b""
    with pytest.raises(BlockedError):
        await screen.finish()
    assert await screen.finish() == b""


@pytest.mark.parametrize(("guard", "logged"), FAILING)
async def test_a_guard_that_fails_lets_nothing_through(
    guard: Guard, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    screen = AnswerScreen(checking(guard, window=4, deadline=0.01))
    assert await screen.feed(ROLE + HI) == b""
    with pytest.raises(InternalError, match="could not be checked"):
        await screen.feed(STOP)
    assert await screen.finish() == b""
    assert logged in caplog.text


async def test_who_leaves_cancels_the_guard() -> None:
    called = anyio.Event()

    async def wait(text: str, context: GuardContext) -> Verdict:
        called.set()
        await anyio.sleep_forever()
        raise AssertionError

    screen = AnswerScreen(checking(wait))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(screen.feed, HI + STOP)
        await called.wait()
        tasks.cancel_scope.cancel()
    assert await screen.finish() == b""
    assert not screen.started


async def test_what_is_held_is_bounded() -> None:
    watcher = Watcher()
    screen = AnswerScreen(checking(watcher, window=4))
    large = event(says(content="a"), padding="x" * 5000)
    assert await screen.feed(large) == b""
    assert await screen.feed(large) == large + large
    assert await screen.feed(large) == b""
    assert watcher.seen == ["aa"]


async def test_what_has_no_text_is_not_held_for_ever() -> None:
    screen = AnswerScreen(checking(fail, window=4))
    sound = event(says(audio={"data": "x" * 5000}))
    assert [await screen.feed(sound) for _ in range(3)] == [b"", sound + sound, sound]


async def test_the_number_of_texts_is_bounded() -> None:
    screen = AnswerScreen(checking(Watcher()))
    with pytest.raises(GatewayError, match="too many texts"):
        await screen.feed(b"".join([word("a", index) for index in range(4097)]))


async def test_an_event_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InternalError, match="could not be checked"):
        await AnswerScreen(checking(hide)).feed(b"data: {not json\n\n")
