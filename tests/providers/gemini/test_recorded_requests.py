"""Every recorded request that OpenAI's form can say is sent as it was recorded."""

from __future__ import annotations

import json

import pytest
from google.genai import types

from waystone_asgi.providers.dialects import Target
from waystone_asgi.providers.gemini import DIALECT
from waystone_asgi.wire.requests import decode_chat_request

from .recordings import EXCHANGES, Exchange, cases
from .reverse import expected, openai_form

NOT_SAID = {
    "gemini-generate_content-n-2e6fd81ce644": "the result of a call has a file beside its text",
    "gemini-generate_content-n-953c934d7d6b": "the result of a call has a file beside its text",
    "gemini-stream_generate_content-s-8748581ad2ef": "only the answer was published",
    "vertex-generate_content-n-4007137e8abf": "a turn has a role that there is not",
    "vertex-generate_content-n-6ee8611bd5de": "the temperature is out of OpenAI's range",
}
"""Requests that OpenAI's form has no words for, and why."""


@pytest.mark.parametrize("exchange", cases(lambda x: x.id not in NOT_SAID))
def test_a_request_is_sent_as_it_was_recorded(exchange: Exchange) -> None:
    assert exchange.request is not None
    request = decode_chat_request(json.dumps(openai_form(exchange.request)).encode())
    built = DIALECT.build_request(request, Target(model=exchange.model))
    sent = json.loads(bytes(built.body))
    assert sent == expected(exchange.request)
    assert built.dropped == ()


@pytest.mark.parametrize("exchange", cases(lambda x: x.id not in NOT_SAID))
def test_the_official_client_knows_all_of_it(exchange: Exchange) -> None:
    assert exchange.request is not None
    request = decode_chat_request(json.dumps(openai_form(exchange.request)).encode())
    sent = json.loads(bytes(DIALECT.build_request(request, Target(model=exchange.model)).body))
    for content in sent.pop("contents"):
        types.Content.model_validate(content)
    if isinstance(sent.get("safetySettings", [{}])[0].get("category"), int):
        del sent["safetySettings"]  # The client knows their names only.
    config = sent.pop("generationConfig", {})
    types.GenerateContentConfig.model_validate({**config, **sent})


def test_every_exception_is_needed() -> None:
    assert set(NOT_SAID) <= {exchange.id for exchange in EXCHANGES}
