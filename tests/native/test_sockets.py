"""Recorded exchanges with providers on a real socket, one of each type and kind."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from waystone_asgi import Provider

from ..replay.gateway import httpx_transport
from ..replay.server import Player, playing
from .exchanges import EXCHANGES, Native, cases
from .test_recorded import CLAIM, SHORTEST, check, check_asked, check_record, recorded_provider
from .through import ABANDONED, Through

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(ABANDONED)]

SAMPLE = cases("answer", "stream", "error", wanted=lambda x: x in SHORTEST.values())


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with playing({exchange.id: exchange for exchange in EXCHANGES}) as player:
        yield player


def replayed(exchange: Native, player: Player, cut: str) -> Provider:
    headers = {"x-exchange": exchange.id, "x-cut": cut}
    return recorded_provider(exchange, player.url, headers=headers)


@pytest.mark.parametrize("cut", ["network", "bytes"])
@pytest.mark.parametrize("exchange", SAMPLE)
async def test_over_a_socket(exchange: Native, cut: str, player: Player) -> None:
    player.take()
    upstream = httpx_transport()
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
