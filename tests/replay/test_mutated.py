"""Recorded streams, spoilt and cut in any way: the decoder's short cuts change nothing.

No socket and no event loop. What is spoilt stays near to what providers send: an event that tells
something in the midst of those that do not, or one that is malformed in a single byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waystone_asgi.providers.openai import StreamDecoder
from waystone_asgi.wire.requests import decode_chat_request

from .exchanges import DONE, EXCHANGES, Exchange
from .gateway import asking
from .naive import NaiveDecoder

STREAMS = [exchange for exchange in EXCHANGES if exchange.events]

USAGE = b'{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}'
EVENTS = (
    b": wait\n\n",
    b"\n",
    b"\n\n",
    DONE,
    b"data: nonsense\n\n",
    b"data: {}\n\n",
    b'data: {"id":7,"model":["m"]}\n\n',
    b'data: {"id":"other","model":"other"}\n\n',
    b'data: {"choices":[{"index":1.5}]}\n\n',
    b'data: {"choices":[],"usage":%b}\n\n' % USAGE,
    b'data: {"choices":[],"x_groq":{"usage":%b}}\n\n' % USAGE,
    b'data: {"choices":[{"index":0,"error":{"message":"no","code":429}}]}\n\n',
    b'data: {"choices":[{"index":2,"finish_reason":"length"}]}\n\n',
    b'event: error\ndata: {"error":{"message":"down","code":503}}\n\n',
)
BYTES = (b"\n", b"\r", b"\r\n", b" ", b"\xff", b'"', b"\\", b"{", b"}", b"[", b",", b"0", b"x", b"")
WORDS = (
    (b'"finish_reason":null', b'"finish_reason":"stop"'),
    (b'"finish_reason":null', b'"finish_reason":7'),
    (b'"usage":null', b'"usage":' + USAGE),
    (b'"choices":[', b'"usage":%b,"choices":[' % USAGE),
    (b'"choices":[', b'"error":{"message":"no"},"choices":['),
    (b'"choices":[', b'"error":null,"choices":['),
    (b'"choices":[', b'"choices":{},"choices":['),
    (b'"index":0', b'"index":"0"'),
    (b'"index":0', b'"error":{"message":"no"},"index":0'),
    (b'"model":', b'"model":"other","m":'),
    (b'"model":', b'"model":7,"m":'),
    (b'"id":', b'"id":\n'),
    (b'"id":', b'"id":\r'),
    (b'"id":', b'"id":"\xff","i":'),
    (b"data: ", b"data:"),
    (b"data: ", b"data:  "),
    (b"data: ", b" data: "),
    (b"data: ", b"id: 7\ndata: "),
    (b"data: ", b": wait\ndata: "),
    (b"data: {", b"data: {data: {"),
    (b"\n\n", b"\r\n\r\n"),
    (b"\n\n", b"\n\n\n"),
    (b"\n\n", b"\n\r\n"),
    (b"\n\n", b"\n"),
)


def cut_at(body: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({0, *(min(max(0, place), len(body)) for place in places), len(body)})
    return [body[start:end] for start, end in pairwise(ends)]


def told(stream: StreamDecoder | NaiveDecoder) -> tuple[Any, ...]:
    error = stream.error
    return (
        stream.started,
        stream.done,
        stream.complete,
        stream.usage,
        stream.response_id,
        stream.response_model,
        stream.finish_reasons,
        stream.events,
        stream.malformed,
        error and (type(error), error.status, error.message, error.type, error.code, error.extra),
    )


def replaced(draw: st.DrawFn, body: bytes) -> bytes:
    """One of the places where a word stands, with another in its place."""
    old, new = draw(st.sampled_from(WORDS))
    parts = body.split(old)
    if len(parts) == 1:
        return body
    at = draw(st.integers(1, len(parts) - 1))
    return old.join(parts[:at]) + new + old.join(parts[at:])


def inserted(draw: st.DrawFn, body: bytes, ends: list[int]) -> bytes:
    at = draw(st.sampled_from(ends))
    return body[:at] + draw(st.sampled_from(EVENTS)) + body[at:]


def spoilt(draw: st.DrawFn, body: bytes) -> bytes:
    at = draw(st.integers(0, len(body)))
    gone = draw(st.integers(0, 2))
    return body[:at] + draw(st.sampled_from(BYTES)) + body[at + gone :]


def ends_of(mark: bytes, body: bytes) -> list[int]:
    ends = [0]
    while (end := body.find(mark, ends[-1])) >= 0:
        ends.append(end + len(mark))
    return ends


@st.composite
def streams(draw: st.DrawFn) -> tuple[Exchange, list[bytes]]:
    """A recorded stream with a few changes, in the pieces in which it comes."""
    exchange = draw(st.sampled_from(STREAMS))
    body = exchange.body
    if draw(st.booleans()):
        body = body.replace(b"\r\n", b"\n")
    for change in draw(st.lists(st.sampled_from("riis"), max_size=3)):
        if change == "r":
            body = replaced(draw, body)
        elif change == "i":
            body = inserted(draw, body, ends_of(b"\n\n", body))
        else:
            body = spoilt(draw, body)
    ends = ends_of(draw(st.sampled_from((b"\n\n", b"\n"))), body)
    if draw(st.booleans()):
        return exchange, cut_at(body, ends)
    near = st.builds(lambda end, step: end + step, st.sampled_from(ends), st.integers(-3, 3))
    anywhere = st.integers(0, len(body))
    at_ends = st.sampled_from(ends)
    return exchange, cut_at(body, draw(st.lists(at_ends | near | anywhere, max_size=30)))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stream=streams(), usage_asked=st.booleans())
def test_a_spoilt_stream_is_read_as_by_looking_at_each_event(
    stream: tuple[Exchange, list[bytes]], usage_asked: bool
) -> None:
    exchange, pieces = stream
    options = {"include_usage": True} if usage_asked else None
    body = json.dumps(asking(exchange, stream_options=options, n=1)).encode()
    decoder = StreamDecoder(decode_chat_request(body).view)
    naive = NaiveDecoder(include_usage=usage_asked)
    for piece in pieces:
        assert decoder.feed(piece) == naive.feed(piece)
        assert told(decoder) == told(naive)
    assert decoder.finish() == naive.finish()
    assert told(decoder) == told(naive)
