"""The same answers over each transport: the gateway's own choice, and the one on asyncio."""

from __future__ import annotations

from typing import Any

import pytest

from waystone_asgi.upstream.asyncio import AsyncioUpstream

from .exchanges import EXCHANGES, Exchange, cases
from .gateway import ABANDONED, Replay, Transport, asking, httpx_transport, spelled
from .server import Player

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(ABANDONED)]

TRANSPORTS: dict[str, Transport] = {
    "the gateway's own": lambda: None,
    "asyncio": AsyncioUpstream,
}
FIRST_OF_ITS_KIND = {
    (exchange.provider, exchange.kind): exchange for exchange in reversed(EXCHANGES)
}


@pytest.mark.parametrize("name", TRANSPORTS)
@pytest.mark.parametrize("exchange", cases(lambda x: x in FIRST_OF_ITS_KIND.values()))
async def test_a_transport_changes_nothing(
    exchange: Exchange, name: str, player: Player, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    if name == "asyncio" and anyio_backend[0] == "trio":
        pytest.skip("needs asyncio")
    body = spelled(asking(exchange))
    expected = await Replay(exchange, player, "whole", httpx_transport).ask(body)
    answer = await Replay(exchange, player, "network", TRANSPORTS[name]).ask(body)
    assert (answer.status, answer.body) == (expected.status, expected.body)
    assert answer.complete
