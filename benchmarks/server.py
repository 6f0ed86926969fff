"""One process of the benchmarks: an application under uvicorn with uvloop and httptools.

In: `Settings` as JSON on the command line. Out: HTTP on loopback; with `inspect` also `/__state__`,
which shows what is alive inside. Every contender written in this project runs in it, so that the
server costs all of them the same.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import uvicorn

from .floor import Direct, Floor, Message, Receive, Send

if TYPE_CHECKING:
    from waystone_asgi import Gateway
    from waystone_asgi.types import Upstream

STATE_PATH = "/__state__"
GATEWAY_PATH = "/api/gateway"
_MAX_CONNECTIONS = 4096
_BACKLOG = 4096

Application = Literal["floor", "direct", "ours"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. `extra_models` and `keys` count made-up names beside the ones that are used.

    `mounted` serves the gateway in the standalone application rather than by itself, `ledger` is a
    file for the usage records; `rules` applies ten rulesets, counted at `state`; `inspect` and
    `profile` add paths that show the inside.
    """

    application: Application
    port: int
    provider_port: int
    models: tuple[str, ...] = ("json",)
    extra_models: int = 0
    keys: int = 1
    upstream: Literal["asyncio", "httpx"] = "asyncio"
    mounted: bool = True
    ledger: str | None = None
    rules: bool = False
    state: str = "memory:"
    inspect: bool = False
    profile: bool = False


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is alive in a server."""

    tasks: int
    objects: int
    in_flight: int = 0
    queued_records: int = 0
    failed_records: int = 0
    open_connections: int = 0
    idle_connections: int = 0


def key(number: int) -> str:
    """The caller's key of that number."""
    return f"wk_bench_{number:06d}"


def extra_model(number: int) -> str:
    """The made-up model of that number."""
    return f"model-{number}"


def build_gateway(settings: Settings) -> tuple[Gateway, Upstream]:
    """The gateway with everything on: keys, identity, accounting, ledger."""
    from waystone_asgi import BearerKeys, Gateway, Provider

    models = [*settings.models, *map(extra_model, range(settings.extra_models))]
    models += ["o3", "o3-mini"] if settings.rules else []
    provider = Provider(
        name="bench",
        type="openai",
        api_key="sk-bench",
        base_url=f"http://127.0.0.1:{settings.provider_port}/v1",
        models=models,
    )
    upstream = _upstream(settings)
    gateway = Gateway(
        providers=[provider],
        authenticate=BearerKeys(map(key, range(settings.keys))),
        upstream=upstream,
        usage={"url": f"sqlite:///{settings.ledger}"} if settings.ledger else None,
        path=GATEWAY_PATH if settings.mounted else "/",
        max_in_flight=_MAX_CONNECTIONS,
        **_rules(settings),
    )
    return gateway, upstream


def _rules(settings: Settings) -> dict[str, Any]:
    """Ten rulesets of five rules over four counters, one of them in dollars, so with a price."""
    if not settings.rules:
        return {}
    from .rulesets import USAGES, rulesets

    return {
        "rulesets": rulesets(USAGES[4], provider="bench", asked="j*"),
        "prices": {"bench/json": {"input_mtok": 0.15, "output_mtok": 0.6}},
        "state": {"url": settings.state},
    }


def _upstream(settings: Settings) -> Upstream:
    if settings.upstream == "httpx":
        from waystone_asgi.upstream.httpx import HTTPXUpstream

        return HTTPXUpstream(max_connections=_MAX_CONNECTIONS)
    from waystone_asgi.upstream.asyncio import AsyncioUpstream

    return AsyncioUpstream(max_connections=_MAX_CONNECTIONS)


def build(settings: Settings) -> tuple[Any, Callable[[], State]]:
    """The ASGI application, and what tells its state."""
    if settings.application == "floor":
        return Floor(settings.provider_port), _state
    if settings.application == "direct":
        return Direct(), _state
    gateway, upstream = build_gateway(settings)
    application: Any = gateway
    if settings.mounted:
        from waystone_asgi.applications import create_app

        application = create_app(gateway)
    return application, lambda: _gateway_state(gateway, upstream)


def _state() -> State:
    return State(tasks=len(asyncio.all_tasks()), objects=len(gc.get_objects()))


def _gateway_state(gateway: Any, upstream: Any) -> State:
    gc.collect()
    life = getattr(gateway, "_life", None)
    return msgspec.structs.replace(
        _state(),
        in_flight=getattr(life, "in_flight", 0),
        queued_records=len(gateway.outbox),
        failed_records=gateway.outbox.failed + gateway.outbox.dropped,
        open_connections=getattr(upstream, "open_connections", 0),
        idle_connections=getattr(upstream, "idle_connections", 0),
    )


class Inspected:
    """The application, with its state at `STATE_PATH`."""

    def __init__(self, application: Any, state: Callable[[], State]) -> None:
        self._application = application
        self._state = state

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != STATE_PATH:
            await self._application(scope, receive, send)
            return
        body = msgspec.json.encode(self._state())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def main(document: str) -> None:
    """Serve until asked to end."""
    settings = msgspec.json.decode(document, type=Settings)
    application, state = build(settings)
    if settings.inspect:
        application = Inspected(application, state)
    if settings.profile:
        from .profiling import Profiled

        application = Profiled(application)
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="on" if settings.application == "ours" else "off",
        access_log=False,
        log_level="error",
        backlog=_BACKLOG,
    )


if __name__ == "__main__":
    main(sys.argv[1])
