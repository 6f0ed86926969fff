"""What has been used and what is reserved: one module a place to keep it, behind `types.Counters`.

`open_counters` takes the URL of a configuration and gives the counters, which open nothing yet.
"""

from __future__ import annotations

from ..exceptions import ConfigurationError
from ..types import Counters
from .guarded import DEADLINE_SECONDS, PATIENCE_SECONDS, GuardedCounters
from .memory import MemoryCounters

__all__ = ("GuardedCounters", "MemoryCounters", "open_counters")

_FORMS = "memory:, sqlite:///relative.db, sqlite:////absolute.db, postgresql://... or redis://..."


def open_counters(url: str, *, deadline: float = DEADLINE_SECONDS) -> Counters:
    """The counters for a URL: `memory:`, `sqlite:///waystone.db`, `postgresql://…`, `redis://…`.

    All but those in memory are guarded, and waited for `deadline` seconds at most.

    Raises `ConfigurationError`, which does not show the URL: it may hold a password.
    """
    kind, _, rest = url.partition(":")
    if kind == "memory":
        return MemoryCounters()
    if kind == "sqlite" and rest.startswith("///") and rest != "///":
        from .sqlite import SQLiteCounters

        return _guarded(SQLiteCounters(rest[3:]), deadline)
    if kind in {"postgresql", "postgres"}:
        return _guarded(_postgresql(url), deadline)
    if kind in {"redis", "rediss"}:
        return _guarded(_redis(url), deadline)
    raise ConfigurationError(f"There are no counters at such a URL; it is {_FORMS}.")


def _guarded(backend: Counters, deadline: float) -> Counters:
    # Those that may be slow are not away for being so.
    return GuardedCounters(backend, deadline=deadline, patience=max(PATIENCE_SECONDS, deadline))


def _postgresql(url: str) -> Counters:
    try:
        from .postgresql import PostgreSQLCounters
    except ImportError as error:
        raise _missing("postgresql") from error
    return PostgreSQLCounters(url)


def _redis(url: str) -> Counters:
    try:
        from .redis import RedisCounters
    except ImportError as error:
        raise _missing("redis") from error
    return RedisCounters(url)


def _missing(extra: str) -> ConfigurationError:
    return ConfigurationError(
        f"A {extra} URL needs more packages: pip install 'waystone-asgi[{extra}]'."
    )
