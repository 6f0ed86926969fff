from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.providers.dialects import Target
from waystone_asgi.wire.requests import decode_chat_request

from .oracle import accept
from .recordings import EXCHANGES, Exchange
from .reversed import reverse

EXCEPT = {
    "anthropic-messages-n-286bf284aa67": "its messages are no messages",
    "anthropic-messages-n-b2cefea62965": "an image in a tool result: tool messages take text only",
    "anthropic-messages-s-83fc4a2c2541": "an image in a tool result: tool messages take text only",
}
"""What cannot be said in OpenAI's form, as the contract has it."""

EXPRESSIBLE: list[Any] = [pytest.param(x, id=x.id) for x in EXCHANGES if x.id not in EXCEPT]


def without_defaults(body: dict[str, Any]) -> dict[str, Any]:
    """The body without what says nothing: these are all the differences there are.

    `stream` false, several calls allowed, and the model itself as the caller of a tool.
    """
    body = json.loads(json.dumps(body))
    if body.get("stream") is False:
        del body["stream"]
    if body.get("tool_choice", {}).get("disable_parallel_tool_use") is False:
        del body["tool_choice"]["disable_parallel_tool_use"]
    for turn in body["messages"]:
        for block in turn["content"] if isinstance(turn["content"], list) else ():
            if block.get("caller") == {"type": "direct"}:
                del block["caller"]
    return body


def sent(exchange: Exchange) -> dict[str, Any]:
    request = decode_chat_request(json.dumps(reverse(exchange.request)).encode())
    built = exchange.dialect.build_request(request, Target(model=exchange.model, strict=True))
    assert built.dropped == ()
    document: dict[str, Any] = json.loads(bytes(built.body))
    return document


@pytest.mark.parametrize("exchange", EXPRESSIBLE)
def test_a_request(exchange: Exchange) -> None:
    assert without_defaults(sent(exchange)) == without_defaults(exchange.request)


@pytest.mark.parametrize("exchange", EXPRESSIBLE)
def test_the_official_client_would_send_it(exchange: Exchange) -> None:
    body = sent(exchange)
    # On Vertex AI the client itself puts the model into the path, and the version into the body.
    if body.pop("anthropic_version", None):
        body["model"] = exchange.model
    accept(body)
