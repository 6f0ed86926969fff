"""Requests as they were recorded: what reaches the provider is what the caller sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from waystone_asgi.exceptions import InvalidRequestError
from waystone_asgi.providers import PRESETS
from waystone_asgi.providers.openai import build_request
from waystone_asgi.wire.requests import decode_chat_request

from .exchanges import Exchange, cases
from .gateway import ABANDONED, CREDENTIAL, Replay, asking, spelled
from .server import Player

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(ABANDONED)]

REFUSED = {"openai-n-04529355eab1": ("messages", "no messages; OpenAI refused it, too")}
"""Recorded requests that the contract does not take: the `param` of the refusal, and why."""

RESPONSE_ONLY = {
    "azure_openai-n-dbf0010f26f1",
    "mistral-s-534fed8f1ad2",
    "xai-s-fc1721471e1f",
}
"""Exchanges of which only the answer was published; their requests are stand-ins."""

SPELLINGS: dict[str, Callable[[Any], bytes]] = {
    "compact": lambda document: json.dumps(document, separators=(",", ":")).encode(),
    "wide": lambda document: json.dumps(document, separators=(" , ", "\t: ")).encode(),
    "indented": lambda document: b"\r\n " + spelled(document) + b"\n",
}

KEEPS_METADATA = ("openai", "azure", "openrouter", "mistral")
TELLS_USAGE_UNASKED = ("mistral",)
CLAIM = {"metadata": {"waystone": '{"user": "ann"}', "trace": "t-1"}, "store": True}


def recorded_request(exchange: Exchange) -> bool:
    return exchange.id not in REFUSED | dict.fromkeys(RESPONSE_ONLY)


def forwarded(exchange: Exchange) -> dict[str, Any]:
    """The recorded request as it must reach the provider."""
    members = {**asking(exchange), "model": exchange.model}
    if exchange.stream and exchange.type not in TELLS_USAGE_UNASKED:
        members["stream_options"] = {"include_usage": True}
    return members


def test_the_lists_name_recorded_exchanges() -> None:
    without = {case.id for case in cases(lambda x: not (x.request or {}).get("messages"))}
    assert without == RESPONSE_ONLY | set(REFUSED)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("exchange", cases(recorded_request))
def test_each_byte_is_forwarded_but_for_the_model(exchange: Exchange, spelling: str) -> None:
    spell = SPELLINGS[spelling]
    preset = PRESETS[exchange.type]
    sent, dropped = build_request(
        decode_chat_request(spell(asking(exchange))), exchange.model, preset
    )
    body = bytes(sent)
    assert json.loads(body) == forwarded(exchange)
    assert list(json.loads(body)) == list(forwarded(exchange))
    if forwarded(exchange).keys() == asking(exchange).keys():
        assert body == spell(forwarded(exchange))
    assert dropped == ()


@pytest.mark.parametrize("exchange", cases(recorded_request))
async def test_the_provider_receives_the_request(exchange: Exchange, player: Player) -> None:
    replay = Replay(exchange, player, "network")
    answer = await replay.ask(spelled(asking(exchange)))
    assert "x-waystone-dropped" not in answer.headers
    received = replay.received
    assert received.method == "POST"
    own = exchange.type == "azure" and not exchange.api_version
    assert received.path == ("/openai/v1/chat/completions" if own else exchange.path)
    assert json.loads(received.body) == forwarded(exchange)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["content-length"] == str(len(received.body))
    credential = {name: value for name, value in received.headers.items() if CREDENTIAL in value}
    if exchange.type == "azure":
        assert credential == {"api-key": CREDENTIAL}
    else:
        assert credential == {"authorization": f"Bearer {CREDENTIAL}"}
    assert b"wk_test" not in received.body
    assert "wk_test" not in str(received.headers)


@pytest.mark.parametrize("exchange", cases(recorded_request))
async def test_who_it_is_for_stays_here(exchange: Exchange, player: Player) -> None:
    replay = Replay(exchange, player, "network")
    answer = await replay.ask(spelled(asking(exchange, **CLAIM)))
    expected = forwarded(exchange)
    dropped = []
    if exchange.type in KEEPS_METADATA:
        expected["metadata"] = {"trace": "t-1"}
    else:
        dropped.append("metadata")
    if exchange.type == "openai":
        expected["store"] = True
    else:
        dropped.append("store")
    assert json.loads(replay.received.body) == expected
    told = answer.headers.get("x-waystone-dropped", "")
    assert sorted(filter(None, told.split(", "))) == dropped
    assert (replay.record.user, replay.record.user_source) == ("ann", "claimed")


@pytest.mark.parametrize("exchange", cases(lambda exchange: exchange.id in REFUSED))
async def test_what_the_contract_refuses_goes_nowhere(exchange: Exchange, player: Player) -> None:
    param, _ = REFUSED[exchange.id]
    body = spelled({**(exchange.request or {}), "model": f"{exchange.type}/{exchange.model}"})
    replay = Replay(exchange, player, "network")
    answer = await replay.ask(body)
    assert answer.status == 400
    assert (answer.error["type"], answer.error["param"]) == ("invalid_request_error", param)
    assert replay.nothing_received
    assert (replay.record.outcome, replay.record.attempts) == ("error", ())
    with pytest.raises(InvalidRequestError):
        decode_chat_request(body)
