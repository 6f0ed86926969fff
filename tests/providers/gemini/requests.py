"""Requests, translated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from waystone_asgi.exceptions import InvalidRequestError
from waystone_asgi.providers.dialects import Target
from waystone_asgi.providers.gemini import DIALECT
from waystone_asgi.wire.requests import decode_chat_request

HELLO = [{"role": "user", "content": "hello"}]


def build(
    model: str = "gemini-2.5-flash", *, strict: bool = False, **members: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is sent for a request, and what is named as left out."""
    document = {"model": "g/x", "messages": HELLO} | members
    request = decode_chat_request(json.dumps(document).encode())
    built = DIALECT.build_request(request, Target(model=model, strict=strict))
    sent = json.loads(bytes(built.body))
    for content in sent["contents"]:
        types.Content.model_validate(content)  # The official client knows all of it.
    return sent, built.dropped


def contents(*messages: dict[str, Any], model: str = "gemini-2.5-flash") -> list[dict[str, Any]]:
    """The contents that are sent for these messages."""
    sent, dropped = build(model, messages=list(messages))
    assert dropped == ()
    found: list[dict[str, Any]] = sent["contents"]
    return found


def refused(**members: Any) -> InvalidRequestError:
    """The refusal of a request."""
    with pytest.raises(InvalidRequestError) as caught:
        build(**members)
    assert caught.value.status == 400
    return caught.value
