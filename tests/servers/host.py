"""The application that the servers under test serve: a host with two gateways.

The environment says where the provider is, where the ledgers are, what the host is (`HOST`), and
whether it has a lifespan (`LIFESPAN`) or the gateway must open at its first request.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount

from waystone_asgi import APIKey, BearerKeys, Gateway, GatewayMiddleware, Provider
from waystone_asgi.types import ASGIApp

from .keys import IDENTIFY_KEY, KEEP_ALIVE_SECONDS, KEY, MAX_BODY_BYTES, UPSTREAM_KEY

FIRST_BYTE_SECONDS = float(os.environ.get("FIRST_BYTE_SECONDS", "1"))


def make(name: str, max_in_flight: int = 1000, max_wait: float = 1.0) -> Gateway:
    at = f"{os.environ['PROVIDER_URL']}/v1"
    ledger = Path(os.environ["LEDGERS"], f"{name}.db")
    return Gateway(
        retry={"attempts": 1},
        providers=[
            Provider.openai(api_key=UPSTREAM_KEY, base_url=at, models=["*", "twin", "plain"]),
            Provider.openai(name="other", api_key=UPSTREAM_KEY, base_url=at, models=["twin"]),
            Provider.openai(
                name="closed", api_key=UPSTREAM_KEY, base_url="http://127.0.0.1:1/v1", models=["x"]
            ),
            Provider.echo(),
        ],
        authenticate=BearerKeys(
            [
                APIKey(key=KEY, id="tests"),
                APIKey(key=IDENTIFY_KEY, id="narrow", endpoints=("identify",)),
            ]
        ),
        usage={"url": f"sqlite:///{ledger}"},
        timeouts={"connect": 2.0, "first_byte": FIRST_BYTE_SECONDS, "idle": 20.0},
        max_body_bytes=MAX_BODY_BYTES,
        max_in_flight=max_in_flight,
        max_wait=max_wait,
        keep_alive=KEEP_ALIVE_SECONDS,
    )


gateway = make("main")
narrow = make("narrow", max_in_flight=1, max_wait=0.05)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with gateway.running(), narrow.running():
        yield


def starlette() -> ASGIApp:
    return Starlette(
        routes=[Mount("/api/gateway", gateway), Mount("/narrow", narrow)],
        lifespan=lifespan if os.environ.get("LIFESPAN") else None,
    )


def fastapi() -> ASGIApp:
    from fastapi import FastAPI

    host = FastAPI(lifespan=gateway.lifespan)
    host.mount("/api/gateway", gateway)
    return host


def middleware() -> ASGIApp:
    """Around an application that has a lifespan of its own."""
    return GatewayMiddleware(Starlette(), gateway)


HOSTS = {"starlette": starlette, "fastapi": fastapi, "middleware": middleware}

app = HOSTS[os.environ.get("HOST", "starlette")]()
