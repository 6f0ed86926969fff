"""A configuration comes in; what it means goes to standard output. Nothing is opened or called.

With a model and names, it is what the rules make of such a request, and why.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import get_args
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from ..catalog import Alias, Catalog
from ..config import Config, program_of, settings_of
from ..exceptions import ConfigurationError, GatewayError
from ..gateway import Gateway
from ..records import Endpoint, Entity, Identity, Principal, Route, Source
from ..rules import Subject, describe, retry_words
from ..types import JSONObject, Layers
from .console import say, say_table
from .setup import configuration, ledger_name

HELP = "validate a configuration and show what it means"

_MADE = "whoever has the key that `serve` will make; WAYSTONE_API_KEY sets a lasting one"
_NOBODY = "none: `serve` needs api_keys; a host brings its own `authenticate`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, `--explain` and who makes the request that is explained."""
    parser.add_argument(
        "--config", metavar="FILE", help="default: what the environment's variables give"
    )
    parser.add_argument(
        "--explain", metavar="MODEL", help="say what the rules make of a request for it, and why"
    )
    request = parser.add_argument_group("the request to explain")
    request.add_argument("--user", metavar="ID")
    request.add_argument("--group", metavar="ID")
    request.add_argument("--principal", metavar="ID", default="anonymous")
    request.add_argument("--metadata", metavar="JSON", help="of the user, or else of the group")
    request.add_argument("--group-metadata", metavar="JSON", help="of the group beside a user")
    request.add_argument(
        "--source", choices=get_args(Source), default="claimed", help="who says so (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show providers, models, callers, rulesets and where things are kept, or explain a request."""
    config, made_key = configuration(arguments.config)
    settings = settings_of(replace(config, rulesets=(), prices={}))
    Gateway(**settings | {"allow_anonymous": not config.api_keys})
    if arguments.explain is not None:
        say_table([[line] for line in program_of(config).explain(_subject(config, arguments))])
        return 0
    say(f"{arguments.config or 'The environment'} is valid.")
    _say_section("providers", _providers(config))
    _say_section("models", _models(config))
    _say_section("aliases", _aliases(config))
    _say_section("retry", [[retry_words(config.retry)]])
    _say_section("callers", [[_MADE]] if made_key else _callers(config))
    _say_section("rulesets", [list(row) for each in config.rulesets for row in describe(each)])
    _say_section("ledger", [[ledger_name(config.usage_url or "")]])
    _say_section("state", [[_state(config.state.url)]])
    return 0


def _subject(config: Config, arguments: argparse.Namespace) -> Subject:
    """The request that the arguments describe."""
    source: Source = arguments.source
    user, group = arguments.user, arguments.group
    own = _metadata("--metadata", arguments.metadata, user or group)
    beside = _metadata("--group-metadata", arguments.group_metadata, group)
    of_user: Layers = {source: own} if user else {}
    of_group: Layers = {source: beside if user else own | beside}
    return Subject(
        route=_route(config, arguments.explain),
        principal=arguments.principal,
        now=time.time(),
        identity=Identity(
            user=Entity(user, None, source) if user else None,
            group=Entity(group, None, source) if group else None,
        ),
        user_metadata=of_user,
        group_metadata=of_group,
    )


def _metadata(option: str, document: str | None, owner: str | None) -> JSONObject:
    if document is None:
        return {}
    if not owner:
        raise ConfigurationError(f"{option}: say whose it is, with --user or --group.")
    try:
        metadata: JSONObject = msgspec.json.decode(document, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError):
        raise ConfigurationError(f"{option}: expected a JSON object.") from None
    return metadata


def _route(config: Config, model: str) -> Route:
    models = {provider.name: provider.models for provider in config.providers}
    try:
        return Catalog(models, config.aliases).resolve(model, Principal("check"))
    except GatewayError as error:
        raise ConfigurationError(f"--explain: {error.message}") from None


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
    return [[name, "->", *_behind(alias)] for name, alias in config.aliases.items()]


def _behind(alias: str | Sequence[str] | Alias) -> list[str]:
    """The models of an alias, and how one of them is chosen where it is not the first."""
    if isinstance(alias, str):
        return [alias, ""]
    if not isinstance(alias, Alias):
        return [", ".join(alias), ""]
    if alias.weights:
        pairs = zip(alias.models, alias.weights, strict=True)
        return [", ".join(f"{model} {weight:g}" for model, weight in pairs), alias.choose]
    return [", ".join(alias.models), "" if alias.choose == "order" else alias.choose]


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


def _state(url: str) -> str:
    """Where users, groups and counters are, without the credential of a server."""
    kind, _, rest = url.partition(":")
    if kind == "memory":
        return "memory, lost at the end"
    if kind == "sqlite":
        return f"{rest[3:]} (sqlite)"
    return f"{urlsplit(url).hostname or 'this machine'} ({kind})"


def _address(endpoint: Endpoint) -> str:
    if endpoint.scheme == "echo":
        return "built in"
    return f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}{endpoint.path}"
