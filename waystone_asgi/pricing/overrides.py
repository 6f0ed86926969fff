"""The host's own prices: a mapping as in `[prices]` comes in, checked prices come out.

Whatever is wrong is a `ConfigurationError` that names the key's path and what would be right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import TypeAlias

from msgspec import Struct

from ..exceptions import ConfigurationError
from ..tables import convert, join, unknown_key
from .terms import PRICE_KEYS, Period, TieredPrice, is_price, numbers

Override: TypeAlias = Period | str
"""A price, or the name of a model that costs the same, `provider/model`."""

_WHOLES = ("input_mtok", "output_mtok")
_WITHOUT_TOKENS = ("requests_kcount", "audio_hours", "input_audio_hours")


class Settings(Struct, frozen=True, kw_only=True):
    """What `[prices]` says: a refreshed table in the place of the shipped one, and own prices."""

    file: str | None = None
    overrides: Mapping[str, Override] = {}


def read_settings(
    prices: Mapping[str, object], providers: Collection[str] | None = None
) -> Settings:
    """Check a mapping of `file` and of full names, whose providers are known if they are given.

    Raises `ConfigurationError`.
    """
    if not isinstance(prices, Mapping):
        raise ConfigurationError("prices: expected a table.")
    file = prices.get("file")
    if file is not None and (not isinstance(file, str) or not file):
        raise ConfigurationError("prices.file: expected the path of a file.")
    own = {name: value for name, value in prices.items() if name != "file"}
    for name in own:
        _check_name(name, providers)
    return Settings(file=file, overrides={name: _override(name, own[name]) for name in own})


def _check_name(name: object, providers: Collection[str] | None) -> None:
    path = join("prices", name)
    if not isinstance(name, str) or not _is_full(name):
        raise ConfigurationError(
            f'{path}: expected file, or a full name such as "openai/gpt-4o-mini" or "openai/*".'
        )
    if providers is not None and name.partition("/")[0] not in providers:
        known = f"known are {', '.join(providers)}."
        raise ConfigurationError(f"{path}: there is no such provider; {known}")


def _override(name: str, value: object) -> Override:
    path = join("prices", name)
    if isinstance(value, str):
        if not _is_full(value):
            raise ConfigurationError(f'{path}: expected prices, or a name such as "openai/gpt-4o".')
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{path}: expected prices, such as input_mtok = 0.15.")
    for key in value:
        if key not in PRICE_KEYS:
            raise ConfigurationError(f"{join(path, key)}: {unknown_key(key, PRICE_KEYS)}")
    return _price(value, path)


def _price(value: Mapping[str, object], path: str) -> Period:
    try:
        price: Period = convert(dict(value), Period, path)
    except ConfigurationError as error:
        message = str(error).replace("`decimal | object`", "a number, or a base with tiers")
        raise ConfigurationError(message) from error
    given = [key for key in PRICE_KEYS if getattr(price, key) is not None]
    missing = [key for key in _WHOLES if key not in given]
    if missing and not any(key in _WITHOUT_TOKENS for key in given):
        raise ConfigurationError(f"{path}.{missing[0]}: is missing; 0 is free.")
    for key in given:
        for where, number in numbers(getattr(price, key)):
            if not is_price(number):
                raise ConfigurationError(f"{path}.{key}{where}: expected US dollars, 0 or more.")
        _check_tiers(getattr(price, key), f"{path}.{key}")
    return price


def _check_tiers(price: Decimal | TieredPrice, path: str) -> None:
    if isinstance(price, Decimal):
        return
    starts = [0, *(tier.start for tier in price.tiers)]
    for index, (before, start) in enumerate(pairwise(starts)):
        if start <= before:
            raise ConfigurationError(
                f"{path}.tiers[{index}].start: expected input tokens, more than in the tier before."
            )


def _is_full(name: str) -> bool:
    provider, _, model = name.partition("/")
    return bool(provider and model)
