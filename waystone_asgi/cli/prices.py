"""Shows what models cost, and refreshes the table of prices.

A configuration, names of models or the data of genai-prices come in; prices go to standard output,
and a newer table to a file. It connects to nothing.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from ..exceptions import ConfigurationError, WaystoneError
from ..pricing import Found, Prices, Table, read_table
from ..pricing.terms import PRICE_KEYS, Period, Price
from .console import say, say_table
from .setup import configuration

HELP = "show what models cost, and refresh the table of prices"

DEFAULT_FILE = "waystone-prices.json"
"""Where a refreshed table goes when nothing else is said: in this directory."""

_UNITS = "US dollars: mtok is for a million tokens, kcount for a thousand, hours for one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add models, `--config`, and what `--refresh` takes."""
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="provider/model, as in the configuration"
    )
    parser.add_argument("--config", metavar="FILE", help="whose models and own prices to show")
    refresh = parser.add_argument_group("a newer table")
    refresh.add_argument(
        "--refresh", action="store_true", help="build one from the genai-prices that is installed"
    )
    refresh.add_argument("--from", dest="source", metavar="FILE", help="or from a file of its JSON")
    refresh.add_argument(
        "--to", metavar="FILE", help=f"default: the configuration's, or {DEFAULT_FILE}"
    )
    refresh.add_argument(
        "--accept-worse", action="store_true", help="write it even if it is worse than the present"
    )


def run(arguments: argparse.Namespace) -> int:
    """Refresh the table, show the prices of the named models, or say what the table has."""
    if arguments.refresh or arguments.source:
        return _refresh(arguments)
    prices, models = _configured(arguments.config)
    if arguments.models:
        say(_UNITS)
        for name in arguments.models:
            _say_price(name, _find(prices, name))
        return 0
    table = prices.open()
    say(f"{prices.version}, from {table.source}")
    count = sum(len(table.section(provider).models) for provider in table.providers)
    say(f"{count} models of {len(table.providers)} providers")
    if arguments.config is not None:
        _say_configured(prices, models)
    return 0


def _configured(file: str | None) -> tuple[Prices, list[str]]:
    """The prices of a configuration and the full names of its models; without one, the shipped."""
    if file is None:
        return Prices(), []
    config, _ = configuration(file)
    types = {provider.name: provider.type for provider in config.providers}
    models = [
        f"{provider.name}/{model}"
        for provider in config.providers
        for model in provider.models
        if model != "*"
    ]
    return Prices(config.prices, types=types), models


def _find(prices: Prices, name: str) -> Found | None:
    provider, _, model = name.partition("/")
    if not model:
        raise ConfigurationError(f"{name}: expected a full name, such as openai/gpt-4o-mini.")
    return prices.find(provider, model)


def _say_configured(prices: Prices, models: list[str]) -> None:
    unpriced = [name for name in models if not _is_priced(_find(prices, name))]
    say(f"{len(models) - len(unpriced)} of {len(models)} configured models have a price")
    if unpriced:
        say("\nwithout a price: their requests are recorded, and cost nothing that is known")
        say_table([["", name] for name in unpriced])


def _is_priced(found: Found | None) -> bool:
    return found is not None and not any(period.uncounted for period in found.periods)


def _say_price(name: str, found: Found | None) -> None:
    if found is None:
        say(f"{name}  no price")
        return
    say(f"{name}  ({found.source})")
    for period in found.periods:
        if limits := ", ".join(_limits(period)):
            say(f"  {limits}")
        say_table([["   ", *row] for row in _rows(period)])


def _limits(period: Period) -> Iterator[str]:
    if period.start_date is not None:
        yield f"from {period.start_date}"
    if period.start_time is not None and period.end_time is not None:
        yield f"daily from {_time(period.start_time)} to {_time(period.end_time)} UTC"


def _rows(period: Period) -> list[list[str]]:
    prices = {key: getattr(period, key) for key in PRICE_KEYS}
    rows = [[key, _price(price)] for key, price in prices.items() if price is not None]
    rows += [[key, "is paid and not counted"] for key in period.uncounted]
    return rows or [["free", ""]]


def _price(price: Price) -> str:
    if isinstance(price, Decimal):
        return f"{price:f}"
    tiers = (f"{tier.price:f} above {tier.start} input tokens" for tier in price.tiers)
    return ", ".join([f"{price.base:f}", *tiers])


def _time(seconds: float) -> str:
    minutes = int(seconds) // 60
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _refresh(arguments: argparse.Namespace) -> int:
    """Write a newer table in the place of the present one, unless it is worse."""
    from ..pricing.build import build_from, build_installed
    from ..pricing.review import shortcomings

    content = build_from(arguments.source) if arguments.source else build_installed()
    target = Path(arguments.to or _configured(arguments.config)[0].file or DEFAULT_FILE)
    new, present = Table(content), _present(target)
    if worse := shortcomings(new, present, time.time()):
        if not arguments.accept_worse:
            reasons = "".join(f"\n  {reason}" for reason in worse)
            raise WaystoneError(
                f"{new.version} is worse than {present.version}, and not written; "
                f"--accept-worse writes it:{reasons}"
            )
        say(f"worse than {present.version}:")
        say_table([["", reason] for reason in worse])
    _write(target, content)
    say(f"{target} has {new.version}, where {present.version} was")
    return 0


def _present(target: Path) -> Table:
    """The table that the target holds, or the shipped one."""
    try:
        return read_table(str(target) if target.exists() else None)
    except ConfigurationError as error:
        say(f"{error} It is compared with the table that ships with the package.")
        return read_table()


def _write(target: Path, content: bytes) -> None:
    """Replace the file as a whole: a gateway that starts meanwhile reads the old or the new."""
    written = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        written.write_bytes(content)
        written.replace(target)
    except OSError as error:
        written.unlink(missing_ok=True)
        raise ConfigurationError(f"{target}: cannot be written: {error.strerror}.") from error
