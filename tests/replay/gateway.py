"""A gateway in front of the provider that plays recordings back, and requests to send to it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from typing import Any

import httpx

from waystone_asgi import BearerKeys, Gateway, MemorySink, Provider, UsageRecord
from waystone_asgi.types import Upstream
from waystone_asgi.upstream.httpx import HTTPXUpstream

from ..asgi import Answer, request
from .exchanges import Exchange
from .server import Player, Received

CREDENTIAL = "sk-canary-7f3a"

ABANDONED = "ignore:Async generator .* was garbage collected:ResourceWarning"
"""What trio says of httpx's generators when a body is given up before its end."""

# Loading the system's certificates takes longer than a whole replay, and nothing here uses them.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Transport = Callable[[], Upstream | None]


def httpx_transport() -> Upstream:
    """What a gateway uses by itself, but for the certificates."""
    return HTTPXUpstream(httpx.AsyncHTTPTransport(verify=_NO_CERTIFICATES))


class Replay:
    """A gateway whose only provider, named like its type, plays one exchange back.

    `transport` makes what carries the request; one that makes None leaves that to the gateway.
    """

    def __init__(
        self, exchange: Exchange, player: Player, cut: str, transport: Transport = httpx_transport
    ) -> None:
        self.sink = MemorySink()
        self._upstream = transport()
        self._player = player
        self._gateway = Gateway(
            retry={"attempts": 1},
            providers=[provider(exchange, player.url, cut)],
            authenticate=BearerKeys(["wk_test"]),
            upstream=self._upstream,
            sinks=[self.sink],
        )

    async def ask(self, body: bytes) -> Answer:
        """Send a chat completion request; the record is in the sink when this returns."""
        self._player.take()
        try:
            async with self._gateway.running():
                return await request(self._gateway, "/v1/chat/completions", body)
        finally:
            if self._upstream is not None:
                await self._upstream.aclose()

    @property
    def record(self) -> UsageRecord:
        [record] = self.sink.records
        return record

    @property
    def received(self) -> Received:
        [received] = self._player.take()
        return received

    @property
    def nothing_received(self) -> bool:
        return not self._player.take()


def provider(exchange: Exchange, url: str, cut: str) -> Provider:
    """The recorded provider at `url`, with the path it had; Azure's without a version has its own
    here.
    """
    path = exchange.path.partition("?")[0].removesuffix("/chat/completions")
    return Provider(
        name=exchange.type,
        type=exchange.type,
        api_key=CREDENTIAL,
        base_url=url if exchange.type == "azure" else url + path,
        api_version=exchange.api_version,
        headers={"x-exchange": exchange.id, "x-cut": cut},
    )


def asking(exchange: Exchange, **members: Any) -> dict[str, Any]:
    """The recorded request under its public model name, or a stand-in where there is none to send.

    `members` are changed; one that is None is left out.
    """
    recorded = exchange.request or {}
    if not recorded.get("messages"):
        recorded = {**recorded, "messages": [{"role": "user", "content": "hello"}]}
    streamed = {"stream": True} if exchange.stream else {}
    asked = {**recorded, "model": f"{exchange.type}/{exchange.model}", **streamed, **members}
    return {name: value for name, value in asked.items() if value is not None}


def spelled(document: dict[str, Any]) -> bytes:
    """JSON with white space where it may be, and escapes only where they must be."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
