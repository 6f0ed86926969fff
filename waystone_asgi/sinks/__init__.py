"""Where usage records go; each module keeps them in one kind of place.

`open_sink` takes the URL of a configuration and gives the sink, which opens nothing yet. Sinks that
need optional packages, and all that need SQLite, are imported when they are asked for.
"""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError
from ..types import Sink
from .jsonl import JSONLinesSink
from .memory import MemorySink
from .refusals import RecordsRefusedError
from .totals import Dimension, Total

if TYPE_CHECKING:
    from .kafka import KafkaSink
    from .postgresql import PostgreSQLSink
    from .redis_streams import RedisStreamsSink
    from .spool import Spool
    from .sqlite import SQLiteSink
    from .webhook import WebhookSink

__all__ = (
    "JSONLinesSink",
    "KafkaSink",
    "MemorySink",
    "PostgreSQLSink",
    "RecordsRefusedError",
    "RedisStreamsSink",
    "SQLiteSink",
    "Spool",
    "Total",
    "WebhookSink",
    "open_sink",
    "read_totals",
)

_FORMS = (
    "sqlite:///relative.db, sqlite:////absolute.db, jsonl:///file.jsonl, postgresql://... "
    "or memory:"
)
# SQLite takes longer to import than all of this package's rooms.
_MODULES = {
    "KafkaSink": "kafka",
    "PostgreSQLSink": "postgresql",
    "RedisStreamsSink": "redis_streams",
    "SQLiteSink": "sqlite",
    "Spool": "spool",
    "WebhookSink": "webhook",
}
_EXTRAS = {"postgresql": "postgresql", "redis_streams": "redis"}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_sink(url: str, spool: str | Path | None = None) -> Sink:
    """The sink for a URL: `sqlite:///waystone.db`, `jsonl:///usage.jsonl`, `postgresql://…`,
    `memory:`; with the path of a file, behind a `Spool`.

    Three slashes lead to a path that is relative to the working directory, four to an absolute one.
    Raises `ConfigurationError`, which does not show the URL: it may hold a password.
    """
    sink = _sink(url)
    if spool is None:
        return sink
    from .spool import Spool

    return Spool(sink, spool)


def _sink(url: str) -> Sink:
    kind, path = split_url(url)
    if kind == "postgresql":
        made: Sink = _module("postgresql").PostgreSQLSink(url)
        return made
    if kind == "memory":
        return MemorySink()
    if kind == "jsonl":
        return JSONLinesSink(path)
    from .sqlite import SQLiteSink

    return SQLiteSink(path)


def read_totals(url: str, by: Dimension, since: datetime | None = None) -> list[Total]:
    """The totals of the ledger at a URL, from `since` on; raises `ConfigurationError`."""
    kind, path = split_url(url)
    if kind == "postgresql":
        totals: list[Total] = _module("postgresql").read_totals(url, by, since)
        return totals
    if kind == "memory":
        raise ConfigurationError("A memory ledger ends with its process and cannot be read.")
    if kind == "jsonl":
        from .jsonl import read_totals as read
    else:
        from .sqlite import read_totals as read
    return read(path, by, since)


def split_url(url: str) -> tuple[str, Path]:
    """The kind of a ledger and the path of its file, if it has one; raises `ConfigurationError`."""
    kind, _, rest = url.partition(":")
    if kind == "memory":
        return kind, Path()
    if kind in {"postgresql", "postgres"}:
        return "postgresql", Path()
    if kind not in {"sqlite", "jsonl"}:
        raise ConfigurationError(f"There is no ledger of the kind {kind!r}; it is {_FORMS}.")
    if rest.startswith("///"):
        rest = rest[3:]
    elif kind == "sqlite" or rest.startswith("//"):
        rest = ""
    if not rest:
        raise ConfigurationError(f"A ledger of the kind {kind!r} needs a file; it is {_FORMS}.")
    return kind, Path(rest)


def _module(name: str) -> Any:
    try:
        return import_module(f".{name}", __name__)
    except ImportError as error:
        extra = _EXTRAS.get(name)
        if extra is None:
            raise
        raise ConfigurationError(
            f"This sink needs more packages: pip install 'waystone-asgi[{extra}]'."
        ) from error
