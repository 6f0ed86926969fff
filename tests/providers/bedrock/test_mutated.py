"""Recorded exchanges with one value replaced: whatever comes, nothing but our errors comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from waystone_asgi.exceptions import GatewayError, InvalidRequestError
from waystone_asgi.providers.bedrock import DIALECT
from waystone_asgi.providers.dialects import Target
from waystone_asgi.wire.requests import decode_chat_request

from .answering import encode_frame, feed, read_answer, read_events
from .recordings import ANSWERS, REQUESTS, STREAMS, Exchange
from .test_recordings import STREAMED, in_openais_form

JUNK: tuple[Any, ...] = (None, True, -1, 1e300, "", "é", [], {}, [None], {"text": 1}, [[[]]])


def mutations(value: Any) -> Iterator[Any]:
    """The value with each value in it replaced by each piece of junk, one at a time."""
    yield from JUNK
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from ({**value, name: changed} for changed in mutations(inner))
            yield {other: value[other] for other in value if other != name}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            before, behind = value[:index], value[index + 1 :]
            yield from ([*before, changed, *behind] for changed in mutations(inner))


@pytest.mark.parametrize("exchange", ANSWERS)
def test_answers(exchange: Exchange) -> None:
    for document in mutations(json.loads(exchange.body)):
        try:
            parsed = DIALECT.parse_response(json.dumps(document).encode(), exchange.head)
        except GatewayError:
            continue
        read_answer(parsed.body)


@pytest.mark.parametrize("exchange", STREAMS)
def test_streams(exchange: Exchange) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(exchange.body)
    events = [(m.headers[":event-type"], json.loads(m.payload)) for m in buffer]
    frames = [_frame(kind, event) for kind, event in events]
    seen: set[str] = set()
    for index, (kind, event) in enumerate(events):
        if kind in seen:
            continue
        seen.add(kind)
        for changed in mutations(event):
            stream = DIALECT.open_stream(STREAMED, exchange.head)
            data = b"".join([*frames[:index], _frame(kind, changed), *frames[index + 1 :]])
            list(read_events(feed(stream, [data])))


def _frame(kind: str, event: Any) -> bytes:
    return encode_frame(json.dumps(event).encode(), event_type=kind, message_type="event")


@pytest.mark.parametrize("exchange", REQUESTS)
def test_requests(exchange: Exchange) -> None:
    asked = {"model": "bedrock/m", **in_openais_form(exchange.request)}
    for document in mutations(asked):
        try:
            request = decode_chat_request(json.dumps(document).encode())
            built = DIALECT.build_request(request, Target(model=exchange.model))
        except InvalidRequestError:
            continue
        json.loads(bytes(built.body))
