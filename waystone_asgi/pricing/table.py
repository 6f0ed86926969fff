"""The table of prices: the JSON that ships with the package comes in, the model of a name goes out.

It is read when it is first asked, and of it only the providers that are asked for. Which model a
name means is decided as genai-prices does: the first of the provider's models with a clause that
matches, then those of its fallbacks, then once more with a date written out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from ..exceptions import ConfigurationError
from .terms import PRICE_KEYS, Period, Variant, is_price, numbers

SHIPPED = Path(__file__).with_name("prices.json")

Clause: TypeAlias = Any
"""`=is`, `^starts with`, `$ends with`, `*contains`, `~regular expression`; of a list, all hold."""


class Model(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One model of a provider: the names it goes by, and its prices as they stand in the file.

    A name matches one of `match`, which is left out where the only name is the id.
    """

    id: str
    prices: msgspec.Raw
    match: tuple[Clause, ...] = ()
    variants: msgspec.Raw = msgspec.Raw(b"[]")

    def periods(self) -> tuple[Period, ...]:
        """The prices, of which the last that applies counts."""
        return _PERIODS.decode(self.prices)

    def variants_at(self, service_tier: str) -> tuple[Variant, ...]:
        """What replaces them for requests that were served at a tier."""
        variants = _VARIANTS.decode(self.variants)
        return tuple(v for v in variants if v.service_tier == service_tier)


class Section(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One provider: its models, and the providers whose models it has besides."""

    models: tuple[Model, ...]
    fallback: tuple[str, ...] = ()


class File(Struct, frozen=True, kw_only=True, gc=False):
    """The whole file; sections stay JSON until they are asked for."""

    version: str
    source: str
    notice: str
    providers: dict[str, msgspec.Raw]


_FILE = msgspec.json.Decoder(File)
_SECTION = msgspec.json.Decoder(Section)
_PERIODS = msgspec.json.Decoder(tuple[Period, ...])
_VARIANTS = msgspec.json.Decoder(tuple[Variant, ...])

_KINDS = ("=", "^", "$", "*", "~")
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def read_table(file: str | None = None) -> Table:
    """The shipped table, or that of a file, of which all is checked.

    Raises `ConfigurationError`.
    """
    if file is None:
        return Table(SHIPPED.read_bytes())
    try:
        table = Table(Path(file).read_bytes())
        table.check()
    except OSError as error:
        raise ConfigurationError(
            f"prices.file: {file}: cannot be read: {error.strerror}."
        ) from error
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"prices.file: {file}: is no table of prices: {error}.") from error
    return table


class Table:
    """The prices of one file; raises `msgspec.ValidationError` where they are asked for."""

    def __init__(self, content: bytes) -> None:
        self._file = _FILE.decode(content)
        self._indexes: dict[str, _Index] = {}

    @property
    def version(self) -> str:
        """What the records name."""
        return self._file.version

    @property
    def source(self) -> str:
        """Where its prices were taken from."""
        return self._file.source

    @property
    def notice(self) -> str:
        """The licence that its prices are under."""
        return self._file.notice

    @property
    def providers(self) -> tuple[str, ...]:
        """The ids of the providers in it, which are those of genai-prices."""
        return tuple(self._file.providers)

    def section(self, provider: str) -> Section:
        """All that it has of one provider; raises `KeyError`, `msgspec.ValidationError`."""
        return _SECTION.decode(self._file.providers[provider])

    def check(self) -> None:
        """Look at all of it; raises `msgspec.ValidationError`, `ValueError`."""
        for provider in self.providers:
            for model in self.section(provider).models:
                _check_clauses(model.match)
                periods, variants = model.periods(), _VARIANTS.decode(model.variants)
                if not periods:
                    raise ValueError(f"{provider}/{model.id} has no prices")
                for period in (*periods, *variants):
                    if not all(is_price(number) for number in _numbers(period)):
                        raise ValueError(f"{provider}/{model.id}: a price below 0")

    def find(self, provider: str, name: str) -> tuple[str, Model] | None:
        """The model that a provider calls so, and the id of the provider that it was found at."""
        index = self._index(provider)
        if index is None:
            return None
        name = name.lower()
        return self._match(provider, index, name) or (
            self._match(provider, index, dated)
            if (dated := _COMPACT_DATE.sub(_written_out, name)) != name
            else None
        )

    def _match(self, provider: str, index: _Index, name: str) -> tuple[str, Model] | None:
        if model := index.find(name):
            return provider, model
        for fallback in index.fallback:
            other = self._index(fallback)
            if other is not None and (model := other.find(name)):
                return fallback, model
        return None

    def _index(self, provider: str) -> _Index | None:
        index = self._indexes.get(provider)
        if index is None and provider in self._file.providers:
            index = self._indexes[provider] = _Index(self.section(provider))
        return index


class _Index:
    """A section by name. Of several models that match a name the first counts."""

    def __init__(self, section: Section) -> None:
        self.fallback = section.fallback
        self._models = section.models
        self._exact: dict[str, int] = {}
        self._places: list[int] = []
        self._clauses: list[Clause] = []
        for place, model in enumerate(section.models):
            for clause in model.match or (f"={model.id.lower()}",):
                if isinstance(clause, str) and clause[0] == "=":
                    self._exact.setdefault(clause[1:], place)
                else:
                    self._places.append(place)
                    self._clauses.append(clause)

    def find(self, name: str) -> Model | None:
        first = self._exact.get(name)
        end = None if first is None else bisect_left(self._places, first)
        for place, clause in zip(self._places[:end], self._clauses, strict=False):
            if _matches(clause, name):
                return self._models[place]
        return None if first is None else self._models[first]


def _matches(clause: Clause, name: str) -> bool:
    if isinstance(clause, list):
        return all(any(_matches(inner, name) for inner in some) for some in clause)
    kind, text = clause[0], str(clause[1:])
    match kind:
        case "^":
            return name.startswith(text)
        case "*":
            return text in name
        case "$":
            return name.endswith(text)
        case "=":
            return name == text
        case _:
            return re.search(text, name) is not None


def _numbers(period: Period) -> Iterator[Decimal]:
    for key in PRICE_KEYS:
        if (price := getattr(period, key)) is not None:
            yield from (number for _, number in numbers(price))


def _check_clauses(clauses: Iterable[Clause]) -> None:
    for clause in clauses:
        if isinstance(clause, list):
            for some in clause:
                _check_clauses(some)
        elif not isinstance(clause, str) or clause[:1] not in _KINDS:
            raise ValueError(f"{clause!r} is no clause")
        elif clause[0] == "~":
            _compiled(clause[1:])


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


def _written_out(found: re.Match[str]) -> str:
    year, month, day = found.groups()
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return found[0]
    return f"-{year}-{month}-{day}"
