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

Serve = Callable[[Any, socket.socket], None]


def uvicorn(loop: str, http: str, app: Any, listener: socket.socket) -> None:
    from uvicorn import Config, Server

    root_path = os.environ.get("ROOT_PATH", "")
    config = Config(app, loop=loop, http=http, log_level="warning", root_path=root_path)  # type: ignore[arg-type]
    Server(config).run(sockets=[listener])


def hypercorn(app: Any, listener: socket.socket) -> None:
    from hypercorn.config import Config
    from hypercorn.trio import serve

    config = Config.from_mapping(bind=[f"fd://{listener.fileno()}"], loglevel="WARNING")
    anyio.run(partial(serve, app, config, shutdown_trigger=stopped), backend="trio")


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
    "hypercorn-trio": hypercorn,
    "anycorn-trio": anycorn,
}

if __name__ == "__main__":
    name, number, module = sys.argv[1:]
    SERVERS[name](import_module(module).app, socket.socket(fileno=int(number)))
