"""The command `waystone-asgi`: arguments come in, text and an exit code go out.

One command a module. 0 is success, 1 a failure with its reason on standard error, 2 bad arguments.
It must not show a provider's credential, nor a caller's key that it did not make itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Protocol

from ..exceptions import WaystoneError
from . import check, demo, keys, prices, serve, usage

__all__ = ("main",)


class Command(Protocol):
    """What the module of a command provides."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code; raises `WaystoneError`."""


_COMMANDS: dict[str, Command] = {
    "serve": serve,
    "check": check,
    "demo": demo,
    "usage": usage,
    "prices": prices,
    "keys": keys,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong arguments and `--help` raise `SystemExit`."""
    arguments = _parser().parse_args(argv)
    try:
        return _COMMANDS[arguments.command].run(arguments)
    except WaystoneError as error:
        sys.stderr.write(f"waystone-asgi: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="waystone-asgi", description="One metered API in front of every LLM provider."
    )
    parser.add_argument("--version", action="version", version=f"waystone-asgi {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in _COMMANDS.items():
        command.add_arguments(
            commands.add_parser(name, help=command.HELP, description=f"{command.HELP}.")
        )
    return parser


def _version() -> str:
    try:
        return metadata.version("waystone-asgi")
    except metadata.PackageNotFoundError:
        return "(not installed)"
