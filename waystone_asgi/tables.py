"""Tables of a configuration, as mappings, and what can be wrong with them.

In: any value, and the path at which it stands. Out: the Struct whose keys it holds, or
`ConfigurationError` with the key's whole path and what would be right. No message shows a value.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, TypeVar

from msgspec import Struct, ValidationError
from msgspec import convert as convert_value

from .exceptions import ConfigurationError

_Table = TypeVar("_Table", bound=Struct)

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


def read_table(value: object, kind: type[_Table], path: str) -> _Table:
    """A mapping as a Struct of its keys, all of which are known and of the right type."""
    table: dict[str, object] = convert(value, dict[str, object], path)
    known = kind.__struct_fields__
    for key in table:
        if key not in known:
            raise ConfigurationError(f"{join(path, key)}: {unknown_key(key, known)}")
    converted: _Table = convert(table, kind, path)
    return converted


def convert(value: object, kind: Any, path: str) -> Any:
    """The value as one of a type."""
    try:
        return convert_value(value, kind)
    except ValidationError as error:
        message, _, inner = str(error).partition(" - at `$")
        where = f"{path}{inner.rstrip('`')}".removeprefix(".")
        message = message[0].lower() + message[1:].replace(" | null", "")
        raise ConfigurationError(f"{where}: {message}.") from error


def unknown_key(key: object, known: Collection[str]) -> str:
    """What to say of a key that is none of those known."""
    near = get_close_matches(str(key), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
    return f"unknown key; {hint}"


def join(path: str, key: object) -> str:
    """The path of a key in the table at a path, spelled as TOML spells it."""
    name = str(key)
    if not _BARE_KEY.match(name):
        name = f'"{name}"'
    return f"{path}.{name}" if path else name
