"""The smaller objects of the wire: models, and who was identified."""

from __future__ import annotations

import json

import pytest

from waystone_asgi.records import Entity, Identity
from waystone_asgi.wire.models import encode_identified, encode_model, encode_models

MODEL = {"id": "openai/m", "owned_by": "openai", "object": "model", "created": 0}


def test_one_model() -> None:
    assert json.loads(encode_model("openai/m", "openai")) == MODEL


@pytest.mark.parametrize("names", [[], [("openai/m", "openai")]])
def test_a_list_of_models(names: list[tuple[str, str]]) -> None:
    assert json.loads(encode_models(names)) == {"object": "list", "data": [MODEL] * len(names)}


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (Identity(), {"user": None, "group": None}),
        (Identity(user=Entity("ann", {"a": 1})), {"user": "ann", "group": None}),
        (Identity(Entity("ann"), Entity("acme")), {"user": "ann", "group": "acme"}),
    ],
)
def test_who_was_identified(identity: Identity, expected: dict[str, str | None]) -> None:
    assert json.loads(encode_identified(identity)) == expected
