"""Refusals and failures as providers sent them, through a gateway on a real socket."""

from __future__ import annotations

import json

import pytest

from .exchanges import Exchange, of_kind
from .gateway import ABANDONED, CREDENTIAL, Replay, asking, spelled
from .readings import read_error
from .server import Player

pytestmark = pytest.mark.anyio

CREDENTIAL_REFUSED = (401, 403)


@pytest.mark.filterwarnings(ABANDONED)
@pytest.mark.parametrize("exchange", of_kind("error"))
async def test_an_error_is_the_recorded_one(exchange: Exchange, player: Player) -> None:
    replay = Replay(exchange, player, "network")
    answer = await replay.ask(spelled(asking(exchange)))
    told = read_error(exchange)
    if told["status"] in CREDENTIAL_REFUSED:
        told = {"status": 502, "error": answer.error}
        assert answer.error["code"] == "upstream_authentication"
        assert answer.error["type"] == "api_error"
        _check_nothing_of(exchange, answer.body)
    assert answer.status == told["status"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"error": told["error"]}
    assert CREDENTIAL.encode() not in answer.body
    for name, value in exchange.headers.items():
        if name.startswith(("x-ratelimit-", "retry-after")):
            assert answer.headers[name] == value

    record = replay.record
    assert (record.outcome, record.status) == ("error", told["status"])
    assert record.error_type == (told["error"]["code"] or told["error"]["type"])
    assert (record.usage_source, record.input_tokens, record.output_tokens) == ("none", 0, 0)
    [attempt] = record.attempts
    assert (attempt.status, attempt.error_type) == (exchange.status, record.error_type)


def _check_nothing_of(exchange: Exchange, body: bytes) -> None:
    """The provider's words about our credential do not reach the caller."""
    for value in json.loads(exchange.body)["error"].values():
        assert not value or str(value) == "api_error" or str(value).encode() not in body
