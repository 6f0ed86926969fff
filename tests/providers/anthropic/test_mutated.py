"""Recorded answers with one value in them replaced by another: what comes is right or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from waystone_asgi.exceptions import GatewayError, InvalidRequestError
from waystone_asgi.providers.dialects import Head, Target
from waystone_asgi.wire.requests import decode_chat_request

from .recordings import ANSWERS, STREAMS, Exchange
from .reversed import reverse
from .test_recorded_requests import EXPRESSIBLE
from .written import chunks, events, opened

ODD: tuple[Any, ...] = (None, 5, -1.5, "x", [], {}, [None], {"type": "x"}, True)
LONG = 20_000


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document, as what holds it and the name or number in there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, child in inner:
        yield value, name
        if isinstance(child, dict | list):
            yield from places(child)


def mutated(document: Any) -> Iterator[Any]:
    """The document with each of its values replaced in turn; it is put back behind each."""
    for holder, name in list(places(document)):
        kept = holder[name]
        for odd in ODD:
            holder[name] = odd
            yield document
        holder[name] = kept


SHORT = [case for case in ANSWERS if len(case.values[0].body) < LONG]


@pytest.mark.parametrize("exchange", SHORT)
def test_answers(exchange: Exchange) -> None:
    head = Head(model=exchange.model, received=1)
    for document in mutated(json.loads(exchange.body)):
        try:
            answer = exchange.dialect.parse_response(json.dumps(document).encode(), head)
        except GatewayError:
            continue
        ChatCompletion.model_validate_json(answer.body, strict=True)


SHORT_STREAMS = [case for case in STREAMS if len(case.values[0].events) < 40]


@pytest.mark.parametrize("exchange", SHORT_STREAMS)
def test_streams(exchange: Exchange) -> None:
    """The events of one kind have the same places: the first and the last of each are enough."""
    recorded = exchange.events
    kinds = [(e["type"], e.get("delta", {}).get("type")) for e in recorded]
    wanted = {kind: index for index, kind in reversed(list(enumerate(kinds)))}
    for index in {*wanted.values(), *dict(zip(kinds, range(len(kinds)), strict=True)).values()}:
        for changed in mutated(deepcopy(recorded[index])):
            stream = opened(stream_options={"include_usage": True})
            before, after = recorded[:index], recorded[index + 1 :]
            data = stream.feed(events(*before, {"type": "", **changed}, *after)) + stream.finish()
            for chunk in chunks(data):
                ChatCompletionChunk.model_validate(chunk, strict=True)


SHORT_REQUESTS = [x for x in EXPRESSIBLE if len(json.dumps(x.values[0].request)) < LONG]


@pytest.mark.parametrize("exchange", SHORT_REQUESTS)
def test_requests(exchange: Exchange) -> None:
    target = Target(model=exchange.model)
    for document in mutated(reverse(exchange.request)):
        try:
            request = decode_chat_request(json.dumps(document).encode())
            exchange.dialect.build_request(request, target)
        except InvalidRequestError:
            continue
