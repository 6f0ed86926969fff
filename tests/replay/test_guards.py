"""Recorded answers past guards: what passes is as it was, and what is replaced stands nowhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pytest

from waystone_asgi import GuardContext, Verdict
from waystone_asgi.guards import AnswerScreen
from waystone_asgi.providers.openai import parse_response

from ..guards.made import Watcher, checking
from .exchanges import Event, Exchange, of_kind, split_events
from .published import chunk_faults, completion_faults
from .test_recut import decoder

pytestmark = pytest.mark.anyio

COVER = "▮"
BESIDE = {
    "annotations",
    "data",
    "finish_reason",
    "format",
    "id",
    "name",
    "native_finish_reason",
    "role",
    "signature",
    "type",
}
"""Members that hold no words of the model's, or none that can be read."""


def cover(text: str, context: GuardContext) -> Verdict:
    """Replaces every character."""
    return Verdict.replaced(COVER * len(text))


def strings(value: Any) -> Iterator[str]:
    """Every string in a choice that may be the model's."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in BESIDE:
                yield from strings(item)


def said(document: dict[str, Any]) -> str:
    return "".join(strings(document.get("choices")))


def decode(exchange: Exchange) -> bytes:
    stream = decoder(exchange, usage_asked=True)
    return stream.feed(exchange.body) + stream.finish()


def spoken_of(events: Iterable[Event], choices: Collection[int]) -> list[bytes]:
    """The events that speak of these choices, in order."""
    return [
        event.raw
        for event in events
        if event.data is not None
        and {choice["index"] for choice in (event.document or {}).get("choices", ())} == choices
    ]


@pytest.mark.parametrize("exchange", of_kind("stream"))
@pytest.mark.parametrize("window", [1, 500])
async def test_a_stream_that_passes(exchange: Exchange, window: int) -> None:
    relayed = decode(exchange)
    screen = AnswerScreen(checking(Watcher(), window=window))
    body = await screen.feed(relayed) + await screen.finish()
    before, after = list(split_events(relayed)), list(split_events(body))
    assert sorted(event.raw for event in before) == sorted(event.raw for event in after)
    # Comments do not wait, nor choices for each other.
    for index in (set[int](), {0}, {1}):
        assert spoken_of(before, index) == spoken_of(after, index)
    assert screen.started


@pytest.mark.parametrize("exchange", of_kind("stream"))
@pytest.mark.parametrize("window", [1, 500])
async def test_a_stream_that_is_replaced(exchange: Exchange, window: int) -> None:
    screen = AnswerScreen(checking(cover, window=window))
    relayed = decode(exchange)
    body = await screen.feed(relayed) + await screen.finish()
    before = [event.document for event in split_events(relayed) if event.document]
    after = [event.document for event in split_events(body) if event.document]
    assert {character for chunk in after for character in said(chunk)} <= {COVER}
    faults = {fault for chunk in before for fault in chunk_faults(chunk)}
    assert {fault for chunk in after for fault in chunk_faults(chunk)} <= faults
    assert after[-1].get("usage") == before[-1].get("usage")


@pytest.mark.parametrize("exchange", of_kind("answer"))
async def test_an_answer_that_passes(exchange: Exchange) -> None:
    body = parse_response(exchange.body).body
    assert await checking(Watcher()).answer(body) is body


@pytest.mark.parametrize("exchange", of_kind("answer"))
async def test_an_answer_that_is_replaced(exchange: Exchange) -> None:
    body = parse_response(exchange.body).body
    before, after = json.loads(body), json.loads(await checking(cover).answer(body))
    assert set(said(after)) <= {COVER}
    assert completion_faults(after) <= completion_faults(before)
    assert {**after, "choices": []} == {**before, "choices": []}
    for old, new in zip(before["choices"], after["choices"], strict=True):
        assert old["finish_reason"] == new["finish_reason"]
        assert new["message"]["contents"] == new["message"].get("content")
