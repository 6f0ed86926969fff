"""Serves a gateway by itself, with uvicorn, until a signal ends it.

A configuration comes in; where it listens goes to standard output, and the answers to the callers.
At SIGTERM or SIGINT the gateway drains, while the server still listens to say so; then the server
ends, and the ledger is completed. A second signal cuts what is under way.
"""

from __future__ import annotations

import argparse
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING

import anyio

from ..applications import create_app
from ..config import Config, settings_of
from ..exceptions import ConfigurationError
from ..gateway import Gateway
from ..loops import spawn, waker
from .console import say, say_table
from .setup import configuration, ledger_name

if TYPE_CHECKING:
    from uvicorn import Server

HELP = "serve the gateway"

FLUSH_SECONDS = 5
"""How long the server waits for what its sockets still hold of answers."""

Handler = Callable[[int, "FrameType | None"], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, and where to listen."""
    parser.add_argument(
        "--config", metavar="FILE", help="default: what the environment's variables give"
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=_port, default=3000, help="default: %(default)s")
    parser.add_argument(
        "--root-path", default="", metavar="PATH", help="the prefix that a proxy in front removes"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    config, made_key = configuration(arguments.config)
    if not config.api_keys:
        raise ConfigurationError(
            f"{arguments.config}: api_keys: give at least one; `waystone-asgi keys new` makes one."
        )
    gateway = Gateway(**settings_of(config))
    with listen(arguments.host, arguments.port) as listener:
        url = base_url(listener) + arguments.root_path + gateway.path
        opened = partial(_announce, config, f"{url}/v1", made_key)
        run_server(gateway, listener, opened, root_path=arguments.root_path)
    lost = gateway.outbox.dropped + gateway.outbox.failed + len(gateway.outbox)
    say(f"Stopped; usage records lost: {lost}")
    return 1 if lost else 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises `ConfigurationError` when it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason, *_ = str(error.strerror).split(" (")
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {reason}; see --host and --port."
        ) from error


def base_url(listener: socket.socket) -> str:
    """The URL at which the socket is reached."""
    host, port, *_ = listener.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run_server(
    gateway: Gateway,
    listener: socket.socket,
    opened: Callable[[Server], None],
    *,
    root_path: str = "",
) -> None:
    """Open the gateway, call `opened`, and serve until a signal comes or `should_exit` is set."""
    try:
        import uvicorn
    except ImportError:
        raise ConfigurationError(
            "serving needs uvicorn: pip install 'waystone-asgi[server]'"
        ) from None
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(gateway),
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            root_path=root_path,
            timeout_graceful_shutdown=FLUSH_SECONDS,
        )
    )

    async def serve() -> None:
        ending = _Ending(gateway, server)
        server.handle_exit = ending.signalled  # type: ignore[method-assign, assignment]
        # The gateway is opened here and not by uvicorn, so that what is wrong can be raised.
        with _signals_to(ending.signalled):
            async with gateway.running():
                opened(server)
                await server.serve(sockets=[listener])

    anyio.run(serve, backend_options={"use_uvloop": find_spec("uvloop") is not None})


class _Ending:
    """What signals do; made on the event loop."""

    def __init__(self, gateway: Gateway, server: Server) -> None:
        self._gateway = gateway
        self._server = server
        self._wake = waker()
        self._tasks: list[object] = []

    def signalled(self, number: int, frame: FrameType | None) -> None:
        """A signal has come, amid whatever runs."""
        self._wake(self._end)

    def _end(self) -> None:
        self._server.force_exit = bool(self._tasks)
        self._tasks.append(spawn(self._drain, 0.0 if self._tasks else None))

    async def _drain(self, within: float | None) -> None:
        await self._gateway.drain(within)
        self._server.should_exit = True


@contextmanager
def _signals_to(handler: Handler) -> Iterator[None]:
    # uvicorn takes and gives back the signals while it serves. They must not end the process before
    # or after that, when the ledger is not complete.
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


def _announce(config: Config, url: str, made_key: str | None, server: Server) -> None:
    say(f"Waystone listens on {url}")
    rows = [
        ["", "providers", ", ".join(provider.name for provider in config.providers)],
        ["", "ledger", ledger_name(config.usage_url or "")],
    ]
    if made_key:
        rows.append(["", "key", f"{made_key} (for this run; WAYSTONE_API_KEY sets a lasting one)"])
    say_table(rows)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, 0 to 65535")
    return int(text)
