"""genai-prices comes in, installed or as its JSON; the content of a compact table goes out.

The table keeps what a `Usage` can be paid by: names, clauses, prices, dates, tiers. It runs when
prices are refreshed and never in a server.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from ..exceptions import ConfigurationError
from .licence import NOTICE, SOURCE
from .table import Clause, Table
from .terms import PRICE_KEYS

_CLAUSES = {"equals": "=", "starts_with": "^", "ends_with": "$", "contains": "*", "regex": "~"}
_TIERS = ("service_tier", "speed")
# Groq's price list: a recording is paid for 10 seconds at least. In genai-prices this is code.
_LEAST_SECONDS = {("groq", "whisper-large-v3"): 10, ("groq", "whisper-large-v3-turbo"): 10}

_encode = msgspec.json.Encoder(decimal_format="number").encode


def build_installed() -> bytes:
    """The table of the genai-prices that is installed; raises `ConfigurationError`."""
    try:
        from genai_prices.data import providers
    except ImportError as error:
        raise ConfigurationError(
            "genai-prices is not installed: pip install genai-prices"
        ) from error
    version = metadata.version("genai-prices")
    return _build(_plain(providers), f"genai-prices {version}", "the installed genai-prices")


def build_from(file: str) -> bytes:
    """The table of a file with the JSON of genai-prices; raises `ConfigurationError`."""
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}.") from error
    try:
        providers = json.loads(content, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file}: is not JSON: {error}.") from error
    return _build(providers, f"genai-prices data {sha256(content).hexdigest()[:12]}", file)


def _build(providers: Any, version: str, name: str) -> bytes:
    try:
        sections = {str(provider["id"]): _section(provider) for provider in providers}
        if not any(section["models"] for section in sections.values()):
            raise ValueError("it has no models")
        content = _write(version, sections)
        Table(content).check()
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ConfigurationError(f"{name}: is not the data of genai-prices: {error!r}.") from error
    return content


def _write(version: str, sections: Mapping[str, Mapping[str, Any]]) -> bytes:
    """One model a line, so that a refreshed table can be read as a difference."""
    head = {"version": version, "source": SOURCE, "notice": NOTICE}
    lines = [_encode(head)[:-1] + b',"providers":{']
    for count, (provider, section) in enumerate(sections.items(), 1):
        models = [_encode(model) for model in section["models"]]
        start = _encode({provider: {"fallback": section["fallback"]}})[1:-2]
        lines += [start + b',"models":[', b",\n".join(models)]
        lines.append(b"]}" + b"," * (count < len(sections)))
    return b"\n".join([*lines, b"}}\n"])


def _section(provider: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "fallback": provider.get("fallback_model_providers") or [],
        "models": [_model(provider["id"], model) for model in provider["models"]],
    }


def _model(provider: str, model: Mapping[str, Any]) -> dict[str, Any]:
    prices = model["prices"]
    periods = prices if isinstance(prices, list) else [{"prices": prices}]
    least = _LEAST_SECONDS.get((provider, model["id"]))
    entry: dict[str, Any] = {"id": model["id"]}
    if (clauses := _clauses(model["match"])) != [f"={model['id'].lower()}"]:
        entry["match"] = clauses
    entry["prices"] = [
        _period(period) | ({"least_audio_seconds": least} if least else {}) for period in periods
    ]
    variants = [_variant(variant) for variant in model.get("price_variants") or ()]
    kept = [variant for variant in variants if variant is not None]
    return entry | {"variants": kept} if kept else entry


def _variant(variant: Mapping[str, Any]) -> dict[str, Any] | None:
    """Prices for a service tier, if the variant is of one and changes a price that we count."""
    tiers = [tier for name, tier in variant["when"].items() if name in _TIERS]
    period = _period(variant)
    if len(variant["when"]) != 1 or not tiers or not set(PRICE_KEYS) & set(period):
        return None
    period.pop("uncounted", None)
    return {"service_tier": tiers[0], **period}


def _period(period: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: price for key, price in period["prices"].items() if price is not None}
    prices = {key: _price(given[key]) for key in PRICE_KEYS if key in given}
    if given and not prices:
        prices["uncounted"] = sorted(given)
    return {**_constraint(period.get("constraint") or {}), **prices}


def _constraint(constraint: Mapping[str, str]) -> dict[str, Any]:
    read = {"start_date": date.fromisoformat, "start_time": _seconds, "end_time": _seconds}
    return {key: read[key](value) for key, value in constraint.items()}


def _seconds(text: str) -> float:
    """Seconds since midnight UTC; a time without a zone is UTC."""
    moment = datetime.combine(date(1970, 1, 2), time.fromisoformat(text))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = moment.timestamp() % 86_400
    return int(seconds) if seconds.is_integer() else seconds


def _price(price: Any) -> Any:
    if isinstance(price, Mapping):
        tiers = sorted(price["tiers"], key=lambda tier: tier["start"])
        return {
            "base": _price(price["base"]),
            "tiers": [{"start": tier["start"], "price": _price(tier["price"])} for tier in tiers],
        }
    number = Decimal(price)
    if not number.is_finite() or number < 0:
        raise ValueError(f"a price of {price}")
    return int(number) if number == number.to_integral_value() else number.normalize()


def _clauses(match: Mapping[str, Any]) -> list[Clause]:
    """The clauses any of which is enough, in lower case as the names they are tried on."""
    ((kind, what),) = match.items()
    if kind == "or":
        return [clause for inner in what for clause in _clauses(inner)]
    if kind == "and":
        return [[_clauses(inner) for inner in what]]
    return [_CLAUSES[kind] + (what if kind == "regex" else what.lower())]


def _plain(value: Any) -> Any:
    """Objects of genai-prices in the form of its JSON."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(member) for member in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name.rstrip("_"): _plain(getattr(value, name)) for name in names}
    return _plain(vars(value)) if hasattr(value, "__dict__") else value
