"""Starlette: the host has a lifespan of its own, and the gateway runs within it.

uvicorn examples.starlette_host:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from waystone_asgi import BearerKeys, Gateway, Provider

gateway = Gateway(
    # providers=[Provider.openai(api_key=os.environ["OPENAI_API_KEY"], models=["gpt-4o-mini"])],
    providers=[Provider.echo()],
    authenticate=BearerKeys([os.environ.get("WAYSTONE_API_KEY", "wk_demo")]),
)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with gateway.running():
        yield  # and whatever else your site opens and closes


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("The models are at /api/gateway/v1.")


app = Starlette(routes=[Route("/", home), Mount("/api/gateway", gateway)], lifespan=lifespan)
