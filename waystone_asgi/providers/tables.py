"""A provider as a configuration file writes it.

In: the name of a table below `providers`, and the table. Out: a `Provider`, or `ConfigurationError`
with the key's whole path.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import asdict

from ..exceptions import ConfigurationError
from ..tables import convert, join, read_table
from .presets import PRESETS
from .provider import Provider

_Text: TypeAlias = Annotated[str, Meta(min_length=1)]


class _ProviderTable(Struct, frozen=True, kw_only=True):
    type: _Text | None = None
    base_url: _Text | None = None
    api_key: _Text | None = None
    models: tuple[_Text, ...] = ("*",)
    headers: dict[str, object] = {}
    api_version: _Text | None = None


def read_provider(name: str, value: object) -> Provider:
    """The provider that has this name and table. Raises `ConfigurationError`."""
    path = join("providers", name)
    table = read_table(value, _ProviderTable, path)
    type = table.type or name
    if type not in PRESETS:
        hint = "" if table.type else f" is missing, and {name!r} is none"
        raise ConfigurationError(f"{path}.type{hint}: known types are {', '.join(PRESETS)}.")
    headers = {
        key: convert(member, str, join(f"{path}.headers", key))
        for key, member in table.headers.items()
    }
    return Provider(**asdict(table) | {"name": name, "type": type, "headers": headers})
