"""A file `waystone.toml`, or a mapping of the same shape, comes in; a valid `Config` comes out.

Whatever is wrong is a `ConfigurationError` that names the file, the key's whole path and what would
be right, and shows no value: it may be a credential. It opens nothing and connects to nothing.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import asdict

from .authentication import APIKey, BearerKeys
from .catalog import Alias, Catalog, read_alias
from .exceptions import ConfigurationError
from .limits import open_counters
from .pricing import Prices
from .providers import PRESETS, Provider, provider_of, read_provider
from .records import Principal, Timeouts
from .rules import Hold, Program, Retry, Ruleset, compile_rules, read_policy, read_rulesets
from .settings import State, choose_entities, choose_keep_alive, choose_ways
from .sinks import open_sink
from .tables import join, read_table

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]

_Text: TypeAlias = Annotated[str, Meta(min_length=1)]
_Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
_Count: TypeAlias = Annotated[int, Meta(ge=1)]
_Limit: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]
_Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86_400)]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OPERATIONS = ("chat", "responses", "embeddings", "transcription", "messages")


class _Same(Struct, frozen=True, kw_only=True):
    path: Annotated[str, Meta(pattern="^/")] = "/api/gateway"
    strict: bool = False
    max_body_bytes: _Count = 33_554_432
    max_in_flight: _Count = 1000
    max_waiting: _Count = 1000
    max_wait: _Limit = 1.0
    max_drain: _Limit = 30.0
    keep_alive: float | bool = 15.0
    hold: Hold = "first_event"
    prices: Mapping[str, object] = {}


class Config(_Same, frozen=True, kw_only=True):
    """What the file says, checked and complete. `usage_url` is None when it names no ledger."""

    providers: tuple[Provider, ...]
    api_keys: tuple[APIKey, ...] = ()
    aliases: Mapping[str, str | Sequence[str] | Alias] = {}
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry(attempts=2)
    usage_url: str | None = None
    usage_spool: str | None = None
    state: State = State()
    rulesets: tuple[Ruleset, ...] = ()


class _File(_Same, frozen=True, kw_only=True):
    api_keys: list[object] = []
    providers: dict[str, object] = {}
    aliases: dict[str, object] = {}
    timeouts: dict[str, object] = {}
    retry: object = {}
    usage: dict[str, object] = {}
    state: dict[str, object] = {}
    rulesets: object = ()


class _KeyTable(Struct, frozen=True, kw_only=True):
    key: _Text
    id: _Id | None = None
    user: _Id | None = None
    group: _Id | None = None
    models: tuple[_Text, ...] | None = None
    endpoints: tuple[_Text, ...] | None = None


class _TimeoutsTable(Struct, frozen=True, kw_only=True):
    connect: _Seconds = Timeouts().connect
    first_byte: _Seconds = Timeouts().first_byte
    idle: _Seconds = Timeouts().idle
    total: _Seconds = Timeouts().total


class _Usage(Struct, frozen=True, kw_only=True):
    url: _Text | None = None
    spool: _Text | None = None


def load_config(source: Source) -> Config:
    """Read and check a file or a mapping; raises `ConfigurationError`."""
    name, document = _read(source)
    try:
        return _config(_resolve(document, ""))
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error


def load_usage_url(source: Source) -> str | None:
    """The ledger's URL alone: the variables of other settings need not be set."""
    name, document = _read(source)
    try:
        return _usage(_resolve(document.get("usage", {}), "usage")).url
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error


def environment_config(environ: Mapping[str, str], api_key: str) -> Config:
    """What runs without a file: each provider whose well-known variable is set, and `echo/echo`."""
    providers = filter(None, (provider_of(type, environ) for type in PRESETS))
    echo = Provider(name="echo", type="echo", models=["echo"])
    return Config(providers=(*providers, echo), api_keys=(APIKey(key=api_key),))


def gateway_settings(source: Source) -> dict[str, Any]:
    """The keyword arguments of `Gateway` that a file or a mapping stands for."""
    return settings_of(load_config(source))


def program_of(config: Config) -> Program:
    """The rules of a configuration; which guards its host brings is not known here.

    Raises `ConfigurationError` for models that no provider has.
    """
    models = {provider.name: provider.models for provider in config.providers}
    resolve = partial(Catalog(models, config.aliases).resolve, principal=Principal("configuration"))
    return compile_rules(config.rulesets, resolve=resolve)


def settings_of(config: Config) -> dict[str, Any]:
    """The keyword arguments of `Gateway` for a configuration."""
    settings = asdict(config)
    places = {"url": settings.pop("usage_url"), "spool": settings.pop("usage_spool")}
    usage = {key: place for key, place in places.items() if place}
    return settings | {"usage": usage or None, "state": asdict(config.state)}


def _read(source: Source) -> tuple[str, Mapping[str, object]]:
    if isinstance(source, Mapping):
        return "configuration", source
    name = os.fspath(source)
    try:
        with open(name, "rb") as file:
            return name, tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}: is not TOML: {error}.") from error


def _resolve(value: object, path: str) -> object:
    """The value with the variable's content in the place of every `env:NAME`."""
    if isinstance(value, Mapping):
        return {key: _resolve(member, join(path, key)) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(member, f"{path}[{index}]") for index, member in enumerate(value)]
    if not isinstance(value, str) or not value.startswith("env:"):
        return value
    name = value.removeprefix("env:")
    if not _VARIABLE.match(name):
        raise ConfigurationError(f"{path}: after env: comes the name of an environment variable.")
    if not (content := os.environ.get(name)):
        raise ConfigurationError(f"{path}: the environment variable {name} is not set.")
    return content


def _config(document: object) -> Config:
    file = read_table(document, _File, "")
    if not file.providers:
        raise ConfigurationError("providers: give at least one, such as [providers.openai].")
    usage = _usage(file.usage)
    config = Config(
        providers=tuple(read_provider(name, value) for name, value in file.providers.items()),
        api_keys=tuple(_api_key(value, f"api_keys[{i}]") for i, value in enumerate(file.api_keys)),
        aliases={
            name: read_alias(value, join("aliases", name)) for name, value in file.aliases.items()
        },
        timeouts=Timeouts(**asdict(read_table(file.timeouts, _TimeoutsTable, "timeouts"))),
        retry=read_policy(file.retry),
        **{name: getattr(file, name) for name in _Same.__struct_fields__},
        usage_url=usage.url,
        usage_spool=usage.spool,
        state=read_table(file.state, State, "state"),
        rulesets=read_rulesets(file.rulesets),
    )
    choose_keep_alive(config.keep_alive)
    program_of(config)
    choose_ways({provider.name: provider for provider in config.providers})
    choose_entities(None, config.state)
    config.state.opened(open_counters)
    Prices(config.prices, types={provider.name: provider.type for provider in config.providers})
    if config.api_keys:
        BearerKeys(config.api_keys)
    return config


def _api_key(value: object, path: str) -> APIKey:
    table = read_table({"key": value} if isinstance(value, str) else value, _KeyTable, path)
    for index, endpoint in enumerate(table.endpoints or ()):
        if endpoint not in _OPERATIONS:
            known = f"known endpoints are {', '.join(_OPERATIONS)}."
            raise ConfigurationError(f"{path}.endpoints[{index}]: {known}")
    return APIKey(**asdict(table))


def _usage(value: object) -> _Usage:
    usage = read_table(value, _Usage, "usage")
    if usage.spool is not None and usage.url is None:
        raise ConfigurationError("usage.spool: usage.url is missing, which says where to deliver.")
    try:
        open_sink(usage.url or "memory:")
    except ConfigurationError as error:
        raise ConfigurationError(f"usage.url: {error}") from error
    return usage
