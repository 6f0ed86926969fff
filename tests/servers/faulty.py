"""The application of the fault suite: gateways with a provider that fails, and one to fall back on.

The environment says where the provider is, and where the ledgers are.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from waystone_asgi import Gateway, Provider

from .faults import FIRST_BYTE_SECONDS, IDLE_SECONDS
from .keys import KEY, UPSTREAM_KEY

BACKED = {"attempts": 1, "fallback": ["two/plain"]}

RETRIES: dict[str, dict[str, Any]] = {
    "alone": {"attempts": 1},
    "backed": BACKED,
    "held": BACKED | {"hold": "complete"},
    "larger": BACKED | {"on": ["context_length"]},
    "again": {"attempts": 2},
    "flapping": {"attempts": 2},
}
"""The gateways by name, and how each of them tries again."""


def make(name: str) -> Gateway:
    at = f"{os.environ['PROVIDER_URL']}/v1"
    ledger = Path(os.environ["LEDGERS"], f"{name}.db")
    return Gateway(
        providers=[
            Provider.openai(name="one", api_key=UPSTREAM_KEY, base_url=at),
            Provider.openai(name="two", api_key=UPSTREAM_KEY, base_url=at),
        ],
        api_keys=[KEY],
        usage={"url": f"sqlite:///{ledger}"},
        timeouts={"connect": 2.0, "first_byte": FIRST_BYTE_SECONDS, "idle": IDLE_SECONDS},
        rulesets=[{"name": name, "condition": "always", "rules": [{"retry": RETRIES[name]}]}],
        prices={
            "one/*": {"input_mtok": 1, "output_mtok": 2},
            "two/*": {"input_mtok": 10, "output_mtok": 20},
        },
    )


gateways = {name: make(name) for name in RETRIES}


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for gateway in gateways.values():
            await stack.enter_async_context(gateway.running())
        yield


app = Starlette(
    routes=[Mount(f"/{name}", gateway) for name, gateway in gateways.items()], lifespan=lifespan
)
