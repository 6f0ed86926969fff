"""Where usage records go; each module keeps them in one kind of place.

`open_sink` takes the URL of a configuration and gives the sink, which opens nothing yet.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import ConfigurationError
from ..types import Sink
from .jsonl import JSONLinesSink
from .memory import MemorySink
from .totals import Dimension, Total

if TYPE_CHECKING:
    from .sqlite import SQLiteSink

__all__ = ("JSONLinesSink", "MemorySink", "SQLiteSink", "Total", "open_sink", "read_totals")

_FORMS = "sqlite:///relative.db, sqlite:////absolute.db, jsonl:///file.jsonl or memory:"


def __getattr__(name: str) -> object:
    # SQLite takes longer to import than all of this package's rooms.
    if name == "SQLiteSink":
        from .sqlite import SQLiteSink

        return SQLiteSink
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_sink(url: str) -> Sink:
    """The sink for a URL: `sqlite:///waystone.db`, `jsonl:///usage.jsonl`, `memory:`.

    Three slashes lead to a path that is relative to the working directory, four to an absolute one.
    Raises `ConfigurationError`, which does not show the URL: it may hold a password.
    """
    kind, path = split_url(url)
    if kind == "memory":
        return MemorySink()
    if kind == "jsonl":
        return JSONLinesSink(path)
    from .sqlite import SQLiteSink

    return SQLiteSink(path)


def read_totals(url: str, by: Dimension, since: datetime | None = None) -> list[Total]:
    """The totals of the ledger at a URL, from `since` on; raises `ConfigurationError`."""
    kind, path = split_url(url)
    if kind == "memory":
        raise ConfigurationError("A memory ledger ends with its process and cannot be read.")
    if kind == "jsonl":
        from .jsonl import read_totals as read
    else:
        from .sqlite import read_totals as read
    return read(path, by, since)


def split_url(url: str) -> tuple[str, Path]:
    """The kind of a ledger and the path of its file; raises `ConfigurationError`."""
    kind, _, rest = url.partition(":")
    if kind == "memory":
        return kind, Path()
    if kind not in {"sqlite", "jsonl"}:
        raise ConfigurationError(f"There is no ledger of the kind {kind!r}; it is {_FORMS}.")
    if rest.startswith("///"):
        rest = rest[3:]
    elif kind == "sqlite" or rest.startswith("//"):
        rest = ""
    if not rest:
        raise ConfigurationError(f"A ledger of the kind {kind!r} needs a file; it is {_FORMS}.")
    return kind, Path(rest)
