"""Streams of any texts, cut and mixed in any way: what the guards do does not depend on it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waystone_asgi import GuardContext, Verdict
from waystone_asgi.exceptions import BlockedError
from waystone_asgi.guards import AnswerScreen
from waystone_asgi.providers.openai import StreamDecoder
from waystone_asgi.sse import DONE
from waystone_asgi.types import Guard
from waystone_asgi.wire.requests import decode_chat_request

from .made import Watcher, checking, event, says

pytestmark = pytest.mark.anyio

MARK = "§"
"""What the guards of these tests look for; it stands nowhere but in texts."""

Told = dict[tuple[int, str], str]
"""The whole texts of an answer, by choice and member."""

mixed = settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
words = st.text(st.sampled_from(f'ab {MARK}é😀\u2028"\\\n'), max_size=6)


class Stream(NamedTuple):
    """A streamed answer, the pieces in which it comes, and the window it is seen through."""

    body: bytes
    pieces: list[bytes]
    choices: int
    window: int


def spoken(member: str, text: str) -> dict[str, Any]:
    """The delta with the text."""
    if member == "arguments":
        return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
    return {member: text}


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Any number of choices, one or several an event, with comments and usage among them."""
    count = draw(st.integers(1, 3))
    members = st.sampled_from(["content", "content", "reasoning", "refusal", "arguments"])
    says_one = st.builds(
        lambda index, member, text: says(index, **spoken(member, text)),
        st.integers(0, count - 1),
        members,
        words,
    )
    one = says_one.map(event)
    several = st.lists(says_one, max_size=3).map(lambda choices: event(*choices))
    usage = says_one.map(lambda choice: event(choice, usage={"total_tokens": 1}))
    comment = st.just(b": still working\n\n")
    spoken_events = draw(st.lists(one | one | one | several | usage | comment, max_size=15))
    ends = draw(st.permutations([event(says(index, "stop")) for index in range(count)]))
    opens = [event(says(index, role="assistant", content="")) for index in range(count)]
    body = b"".join([*opens, *spoken_events, *ends, DONE])
    if draw(st.booleans()):
        body = body.replace(b"\n\n", b"\r\n\r\n")
    places = draw(st.lists(st.integers(0, len(body)), max_size=12))
    edges = sorted({0, *places, len(body)})
    pieces = [body[start:end] for start, end in pairwise(edges)]
    return Stream(body, pieces, count, draw(st.integers(1, 12)))


def decoder(stream: Stream) -> StreamDecoder:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "n": stream.choices}
    return StreamDecoder(decode_chat_request(json.dumps(body).encode()).view)


async def shown(stream: Stream, pieces: Sequence[bytes], *guards: Guard) -> tuple[bytes, bool]:
    """What the caller gets, and whether that was all."""
    follows, screen = decoder(stream), AnswerScreen(checking(*guards, window=stream.window))
    out = b""
    try:
        for piece in pieces:
            out += await screen.feed(follows.feed(piece))
        return out + await screen.finish(), True
    except BlockedError:
        return out, False


def events(data: bytes) -> list[str]:
    """The events, however their lines end."""
    return data.decode().replace("\r\n", "\n").split("\n\n")[:-1]


def told(data: bytes) -> Told:
    """The texts as a client puts them together."""
    texts: Told = defaultdict(str)
    for text in events(data):
        document = json.loads(text[6:]) if text.startswith("data: {") else {}
        for choice in document.get("choices", ()):
            delta = dict(choice["delta"])
            for call in delta.pop("tool_calls", ()):
                texts[choice["index"], "arguments"] += call["function"]["arguments"]
            delta.pop("role", None)
            for member, piece in delta.items():
                texts[choice["index"], member] += piece
    return {key: text for key, text in texts.items() if text}


@mixed
@given(streams())
async def test_what_passes_comes_out_as_the_decoder_relays_it(stream: Stream) -> None:
    out, whole = await shown(stream, stream.pieces, Watcher())
    assert whole
    before, after = events(stream.body), events(out)
    assert sorted(before) == sorted(after)
    assert after[-1] == "data: [DONE]"
    said = [text for text in before if text[0] == "d"]
    if stream.choices == 1:
        assert said == [text for text in after if text[0] == "d"]
    assert told(out) == told(stream.body)


@mixed
@given(streams())
async def test_each_text_is_seen_once_in_order(stream: Stream) -> None:
    watcher = Watcher()
    await shown(stream, stream.pieces, watcher)
    seen: Told = defaultdict(str)
    names = {"content": "content", "refusal": "refusal", "arguments": "arguments"}
    for text, context in zip(watcher.seen, watcher.contexts, strict=True):
        key = (context.choice, names.get(context.part, "reasoning"))
        assert context.before == seen[key][-stream.window :]
        seen[key] += text
    assert seen == told(stream.body)


@mixed
@given(streams())
async def test_what_is_replaced_is_gone_and_all_else_is_there(stream: Stream) -> None:
    async def cover(text: str, context: GuardContext) -> Verdict:
        return Verdict.replaced(text.replace(MARK, "*"))

    out, whole = await shown(stream, stream.pieces, cover)
    assert whole
    assert MARK.encode() not in out
    assert told(out) == {key: text.replace(MARK, "*") for key, text in told(stream.body).items()}
    assert out.count(b'"role"') == stream.choices
    assert out.count(b'"stop"') == stream.choices
    assert out.count(b"total_tokens") == stream.body.count(b"total_tokens")
    assert (out, True) == await shown(stream, [stream.body], cover)


@mixed
@given(streams())
async def test_what_is_blocked_never_gets_out(stream: Stream) -> None:
    async def stop(text: str, context: GuardContext) -> Verdict:
        return Verdict.blocked() if MARK in text else Verdict.passed()

    out, whole = await shown(stream, stream.pieces, stop)
    everything = told(stream.body)
    assert whole == (MARK not in "".join(everything.values()))
    assert MARK.encode() not in out
    assert all(everything[key].startswith(text) for key, text in told(out).items())
    assert (b"[DONE]" in out) == whole
