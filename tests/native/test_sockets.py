"""Recorded exchanges with providers on a real socket, one of each type and kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from waystone_asgi import Provider
from waystone_asgi.loops import on_asyncio
from waystone_asgi.types import Upstream
from waystone_asgi.upstream.asyncio import AsyncioUpstream

from ..replay.gateway import httpx_transport
from ..replay.server import Player, Received, playing
from .exchanges import EXCHANGES, Native, cases
from .test_recorded import CLAIM, SHORTEST, check, check_asked, check_record, recorded_provider
from .through import ABANDONED, Through

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(ABANDONED)]

SAMPLE = cases("answer", "stream", "error", wanted=lambda x: x in SHORTEST.values())


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with playing({exchange.id: exchange for exchange in EXCHANGES}) as player:
        yield player


def network() -> Upstream:
    """What a gateway uses by itself, but for the certificates."""
    return AsyncioUpstream() if on_asyncio() else httpx_transport()


def replayed(exchange: Native, player: Player, cut: str, **options: Any) -> Provider:
    headers = {"x-exchange": exchange.id, "x-cut": cut}
    return recorded_provider(exchange, player.url, headers=headers, **options)


@pytest.mark.parametrize("cut", ["network", "bytes"])
@pytest.mark.parametrize("exchange", SAMPLE)
async def test_over_a_socket(exchange: Native, cut: str, player: Player) -> None:
    player.take()
    upstream = network()
    through = Through(upstream, replayed(exchange, player, cut))
    try:
        got = await through.ask(exchange.asking(metadata=CLAIM))
    finally:
        await upstream.aclose()
    [received] = player.take()
    check_asked(received.path, received.headers, json.loads(received.body), exchange)
    assert received.headers["content-length"] == str(len(received.body))
    assert "wk_test" not in str(received)
    if exchange.kind == "error":
        refused = exchange.status in (401, 403)
        assert got.status == (502 if refused else exchange.status)
        assert through.record.outcome == "error"
        return
    check(got, exchange)
    check_record(through.record, exchange, got)


KEYS = {
    "api_key": None,
    "region": "eu-west-1",
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "session_token": "lent/token==",
}


def resigned(received: Received, monkeypatch: pytest.MonkeyPatch) -> str:
    """The `authorization` that AWS's own client gives what was received, at that time."""
    signed = received.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    time = datetime.strptime(received.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: time)
    request = AWSRequest(
        method=received.method,
        url=f"http://{received.headers['host']}{received.path}",
        data=received.body,
        headers={
            name: received.headers[name]
            for name in signed.split(";")
            if name not in ("host", "x-amz-date", "x-amz-security-token")
        },
    )
    names = ("access_key_id", "secret_access_key", "session_token")
    credentials = Credentials(*(KEYS[name] for name in names))
    auth.SigV4Auth(credentials, "bedrock", "eu-west-1").add_auth(request)
    value: str = request.headers["Authorization"]
    return value


@pytest.mark.parametrize(
    "exchange", cases("answer", "stream", "error", wanted=lambda x: x.type == "bedrock")
)
async def test_requests_to_bedrock_are_signed(
    exchange: Native, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    player.take()
    upstream = network()
    through = Through(upstream, replayed(exchange, player, "network", **KEYS))
    try:
        got = await through.ask(exchange.asking())
    finally:
        await upstream.aclose()
    [received] = player.take()
    assert received.headers["authorization"] == resigned(received, monkeypatch)
    assert received.headers["x-amz-security-token"] == KEYS["session_token"]
    assert unquote(received.path) == exchange.path
    if exchange.kind == "error":
        assert through.record.outcome == "error"
    else:
        check(got, exchange)
        check_record(through.record, exchange, got)
