"""Prices: a provider, a model, a usage and a time come in; exact nano-dollars come out, or None.

Prices are those of the host, and then those of a table that ships with the package. It awaits
nothing and reads no clock. It never guesses: a model that it does not know has no price.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from zlib import crc32

from msgspec import Struct

from ..exceptions import ConfigurationError
from ..recent import MODELS
from ..records import Usage
from ..tables import join
from .overrides import read_settings
from .rates import Cost
from .sources import PRICED_AS, place_of
from .table import Table, read_table
from .terms import Period, Variant

__all__ = ("PRICED_AS", "Found", "Prices", "Table", "read_table")


class Found(Struct, frozen=True, kw_only=True):
    """Whose price a model has: `source` is an entry of the table, or `configuration`."""

    source: str
    periods: tuple[Period, ...]
    variants: tuple[Variant, ...] = ()


class Prices:
    """What models cost, by provider and model.

    `overrides` are the host's own prices by full name, and perhaps a `file`, as in the table
    `[prices]` of `waystone.toml`. `types` say of what type each provider is; one that is not named
    there is of the type that it is called. The table is read when it is first asked, or by `open`:
    the one that ships with the package unless there is a `file`.

    Raises `ConfigurationError`.
    """

    def __init__(
        self,
        overrides: Mapping[str, object] | None = None,
        *,
        types: Mapping[str, str] | None = None,
        file: str | PathLike[str] | None = None,
    ) -> None:
        settings = read_settings(overrides or {}, types)
        self._overrides = settings.overrides
        self.file = fspath(file) if file is not None else settings.file
        self._types = dict(types or {})
        self._table: Table | None = None
        self._version = ""
        self._known: dict[tuple[str, str, str | None], Cost | None] = {}

    @property
    def version(self) -> str:
        """What prices these are: the table's version, and a checksum of the host's own."""
        self.open()
        return self._version

    def open(self) -> Table:
        """Read the table, unless that is done; raises `ConfigurationError`."""
        if self._table is None:
            table = read_table(self.file)
            for name, override in self._overrides.items():
                if isinstance(override, str) and not _knows(table, override):
                    raise ConfigurationError(
                        f"{join('prices', name)}: the table has no price for {override}."
                    )
            self._version = table.version
            if self._overrides:
                self._version += f"+{crc32(repr(sorted(self._overrides.items())).encode()):08x}"
            self._table = table
        return self._table

    def cost(
        self,
        provider: str,
        model: str,
        usage: Usage,
        when: float,
        service_tier: str | None = None,
    ) -> int | None:
        """Nano-dollars for a usage at a Unix time, or None when the model has no price.

        `model` is the name that the provider knows. `service_tier` is what the provider says that
        it served the request at; a tier without prices of its own costs what is usual.
        """
        key = provider, model, service_tier
        try:
            cost = self._known[key]
        except KeyError:
            cost = self._learn(key)
        return None if cost is None else cost.of(usage, when)

    def estimate(
        self, provider: str, model: str, input_tokens: int, output_tokens: int, when: float
    ) -> int | None:
        """Nano-dollars for so much plain text at a Unix time, as `cost` counts them."""
        key = provider, model, None
        try:
            cost = self._known[key]
        except KeyError:
            cost = self._learn(key)
        return None if cost is None else cost.of_text(input_tokens, output_tokens, when)

    def find(self, provider: str, model: str, service_tier: str | None = None) -> Found | None:
        """The prices that `cost` counts with."""
        name = f"{provider}/{model}"
        override = self._overrides.get(name) or self._overrides.get(f"{provider}/*")
        if isinstance(override, Period):
            return Found(source="configuration", periods=(override,))
        if override is None:
            override = f"{self._types.get(provider, provider)}/*"
        return _in_table(self.open(), override, model, service_tier)

    def _learn(self, key: tuple[str, str, str | None]) -> Cost | None:
        found = self.find(*key)
        if len(self._known) >= MODELS:
            self._known.clear()
        cost = self._known[key] = None if found is None else Cost(found.periods, found.variants)
        return cost


def _in_table(table: Table, like: str, model: str, service_tier: str | None) -> Found | None:
    """The prices of the model that `like` names, a star standing for `model`."""
    type, _, named = like.partition("/")
    place, name = place_of(type, model if named == "*" else named)
    if (found := table.find(place, name)) is None:
        return None
    provider, entry = found
    # A provider has no service tiers for the models that it has from another.
    tier = service_tier if provider == place else None
    return Found(
        source=f"{provider}/{entry.id}",
        periods=entry.periods(),
        variants=entry.variants_at(tier) if tier else (),
    )


def _knows(table: Table, like: str) -> bool:
    type, _, named = like.partition("/")
    if named == "*":
        return place_of(type, "")[0] in table.providers or PRICED_AS.get(type, "").endswith("*")
    return _in_table(table, like, named, None) is not None
