"""Serves an application with one of the servers: `python -m tests.servers.serve NAME FD MODULE`.

`FD` is a listening socket that the process inherits, `MODULE` has the application as `app`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import anyio

GRACE = int(os.environ["GRACE"]) if os.environ.get("GRACE") else None
"""How many seconds requests under way have at the end; None is the server's own default."""

Serve = Callable[[Any, socket.socket], None]


def uvicorn(loop: str, http: str, app: Any, listener: socket.socket) -> None:
    from uvicorn import Config, Server

    config = Config(
        app,
        loop=loop,  # type: ignore[arg-type]
        http=http,  # type: ignore[arg-type]
        log_level="warning",
        root_path=os.environ.get("ROOT_PATH", ""),
        timeout_graceful_shutdown=GRACE,
    )
    Server(config).run(sockets=[listener])


def hypercorn(backend: str, app: Any, listener: socket.socket) -> None:
    from hypercorn.config import Config

    serve = import_module(f"hypercorn.{backend}").serve
    config = Config.from_mapping(bind=[f"fd://{listener.fileno()}"], loglevel="WARNING")
    if GRACE is not None:
        config.graceful_timeout = GRACE
    anyio.run(partial(serve, app, config, shutdown_trigger=stopped), backend=backend)


def anycorn(app: Any, listener: socket.socket) -> None:
    from anycorn import Config, serve

    config = Config.from_mapping(bind=[f"fd://{listener.fileno()}"], loglevel="WARNING")
    anyio.run(partial(serve, app, config, shutdown_trigger=stopped), backend="trio")


async def stopped() -> None:
    """Return at the signals that end servers."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return


SERVERS: dict[str, Serve] = {
    "uvicorn-asyncio": partial(uvicorn, "asyncio", "h11"),
    "uvicorn-uvloop": partial(uvicorn, "uvloop", "httptools"),
    "hypercorn-trio": partial(hypercorn, "trio"),
    "anycorn-trio": anycorn,
}
MORE: dict[str, Serve] = {"hypercorn-asyncio": partial(hypercorn, "asyncio")}
"""Those that only the tests of a server's end need."""

if __name__ == "__main__":
    name, number, module = sys.argv[1:]
    (SERVERS | MORE)[name](import_module(module).app, socket.socket(fileno=int(number)))
