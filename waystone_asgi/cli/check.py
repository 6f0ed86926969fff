"""A configuration comes in; what it means goes to standard output. Nothing is opened or called."""

from __future__ import annotations

import argparse

from ..config import Config, settings_of
from ..gateway import Gateway
from ..records import Endpoint
from .console import say, say_table
from .setup import configuration, ledger_name

HELP = "validate a configuration and show what it means"

_MADE = "whoever has the key that `serve` will make; WAYSTONE_API_KEY sets a lasting one"
_NOBODY = "none: `serve` needs api_keys; a host brings its own `authenticate`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config", metavar="FILE", help="default: what the environment's variables give"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show providers, models, aliases, callers and the ledger."""
    config, made_key = configuration(arguments.config)
    Gateway(**settings_of(config) | {"allow_anonymous": not config.api_keys})
    say(f"{arguments.config or 'The environment'} is valid.")
    _say_section("providers", _providers(config))
    _say_section("models", _models(config))
    _say_section("aliases", _aliases(config))
    _say_section("callers", [[_MADE]] if made_key else _callers(config))
    _say_section("rulesets", [])
    _say_section("ledger", [[ledger_name(config.usage_url or "")]])
    return 0


def _say_section(title: str, rows: list[list[str]]) -> None:
    say(f"\n{title}")
    say_table([["", *row] for row in rows or [["none"]]])


def _providers(config: Config) -> list[list[str]]:
    return [
        [provider.name, provider.type, _address(provider.endpoint)] for provider in config.providers
    ]


def _models(config: Config) -> list[list[str]]:
    return [
        [f"{provider.name}/{model}", "any name" if model == "*" else ""]
        for provider in config.providers
        for model in provider.models
    ]


def _aliases(config: Config) -> list[list[str]]:
    return [
        [name, "->", target if isinstance(target, str) else ", ".join(target)]
        for name, target in config.aliases.items()
    ]


def _callers(config: Config) -> list[list[str]]:
    if not config.api_keys:
        return [[_NOBODY]]
    return [
        [
            key.id or "a key without an id",
            f"user {key.user}" if key.user else "",
            f"group {key.group}" if key.group else "",
            f"models {', '.join(key.models)}" if key.models else "",
            f"endpoints {', '.join(key.endpoints)}" if key.endpoints else "",
        ]
        for key in config.api_keys
    ]


def _address(endpoint: Endpoint) -> str:
    if endpoint.scheme == "echo":
        return "built in"
    return f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}{endpoint.path}"
