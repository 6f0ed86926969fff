"""Recorded streams cut otherwise: where the network cuts changes nothing of what is relayed.

No socket and no event loop: the stream decoder is given the pieces.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waystone_asgi.providers import PRESETS
from waystone_asgi.providers.openai import StreamDecoder, open_stream
from waystone_asgi.wire.requests import decode_chat_request

from .exchanges import EXCHANGES, Exchange, cases
from .gateway import asking
from .readings import read_stream, rest_of

STREAMS = cases(lambda exchange: bool(exchange.events))
SHORT = 4000
"""Streams of at most this many bytes are cut in two at every byte."""

AROUND = 3
"""Longer ones are cut in two this near to the end of each event, and everywhere in one event."""


def decoder(exchange: Exchange, usage_asked: bool = False) -> StreamDecoder:
    options = {"include_usage": True} if usage_asked else None
    body = json.dumps(asking(exchange, stream_options=options)).encode()
    return open_stream(decode_chat_request(body).view, PRESETS[exchange.type])


def decoded(exchange: Exchange, pieces: Iterable[bytes]) -> tuple[Any, ...]:
    """Everything that can be seen of a stream that came in these pieces."""
    stream = decoder(exchange)
    relayed = b"".join([stream.feed(piece) for piece in pieces]) + stream.finish()
    error = stream.error
    return (
        relayed,
        stream.started,
        stream.done,
        stream.complete,
        stream.usage,
        stream.response_id,
        stream.response_model,
        stream.finish_reasons,
        stream.events,
        stream.malformed,
        error and (error.status, error.message, error.type, error.code, error.extra),
    )


@cache
def whole(exchange: Exchange) -> tuple[Any, ...]:
    return decoded(exchange, [exchange.body])


def cut_at(body: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({0, *places, len(body)})
    return [body[start:end] for start, end in pairwise(ends)]


def event_ends(exchange: Exchange) -> Iterator[int]:
    end = 0
    for event in exchange.events:
        end += len(event.raw)
        yield end


@pytest.mark.parametrize("usage_asked", [True, False], ids=["usage", "no-usage"])
@pytest.mark.parametrize("exchange", STREAMS)
def test_it_is_relayed_as_recorded(exchange: Exchange, usage_asked: bool) -> None:
    stream = decoder(exchange, usage_asked)
    relayed = stream.feed(exchange.body) + stream.finish()
    reading = read_stream(exchange, usage_asked=usage_asked)
    assert rest_of(relayed, reading.relayed) == b""
    assert stream.complete == (stream.error is None)
    assert stream.malformed == 0


@pytest.mark.parametrize("exchange", STREAMS)
def test_it_may_be_cut_as_the_network_cut_it(exchange: Exchange) -> None:
    assert decoded(exchange, exchange.pieces) == whole(exchange)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 333, 1460])
@pytest.mark.parametrize("exchange", STREAMS)
def test_it_may_come_in_small_pieces(exchange: Exchange, size: int) -> None:
    pieces = [exchange.body[at : at + size] for at in range(0, len(exchange.body), size)]
    assert decoded(exchange, pieces) == whole(exchange)


@pytest.mark.parametrize("exchange", STREAMS)
def test_it_may_be_cut_in_two_anywhere(exchange: Exchange) -> None:
    ends = list(event_ends(exchange))
    places = set(range(len(exchange.body) + 1))
    if len(exchange.body) > SHORT:
        near = {end + step for end in ends for step in range(-AROUND, AROUND)}
        longest = max(pairwise([0, *ends]), key=lambda span: span[1] - span[0])
        places &= near | set(range(*longest)[:SHORT])
    for place in sorted(places):
        pieces = [exchange.body[:place], exchange.body[place:]]
        assert decoded(exchange, pieces) == whole(exchange), f"cut at byte {place}"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_it_may_be_cut_in_any_way(data: st.DataObject) -> None:
    exchange = data.draw(st.sampled_from([x for x in EXCHANGES if x.events]), label="exchange")
    near_ends = st.builds(
        lambda end, step: min(max(0, end + step), len(exchange.body)),
        st.sampled_from([0, *event_ends(exchange)]),
        st.integers(-2, 2),
    )
    anywhere = st.integers(0, len(exchange.body))
    places = data.draw(st.lists(near_ends | anywhere, max_size=40), label="cut at")
    assert decoded(exchange, cut_at(exchange.body, places)) == whole(exchange)
