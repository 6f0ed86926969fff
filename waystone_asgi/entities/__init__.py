"""Users, groups and the links between them: one module a store, behind `types.Entities`.

`open_entities` takes the URL of a configuration and gives the `Entities`, which opens nothing yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ..exceptions import ConfigurationError
from ..types import Entities, EntityStore
from .cached import CachedEntities
from .memory import MemoryEntities

__all__ = ("CachedEntities", "MemoryEntities", "kept", "open_entities", "open_store")

_FORMS = (
    "memory:, sqlite:///relative.db, sqlite:////absolute.db, postgresql://user:password@host/name "
    "or redis://:password@host:6379/0"
)


def open_entities(url: str, *, deadline: float = 0.05) -> Entities:
    """Users and groups at a URL: in memory, or in a store with a memory of it before.

    A request waits for the store `deadline` seconds at most.

    Raises `ConfigurationError`, which does not show the URL: it may hold a password.
    """
    if url in ("memory", "memory:"):
        return MemoryEntities()
    return CachedEntities(open_store(url), deadline=deadline)


def open_store(url: str) -> EntityStore:
    """The store at a URL; raises `ConfigurationError` as `open_entities` does."""
    kind, _, rest = url.partition(":")
    if kind == "sqlite" and rest.startswith("///") and rest != "///":
        from .sqlite import SQLiteStore

        return SQLiteStore(rest[3:])
    if kind in {"postgresql", "postgres"}:
        return _postgresql(url)
    if kind in {"redis", "rediss"}:
        return _redis(url)
    raise ConfigurationError(f"There is no state of this kind; it is at {_FORMS}.")


def _postgresql(url: str) -> EntityStore:
    try:
        from .postgresql import PostgreSQLStore
    except ImportError:
        raise _missing("postgresql") from None
    return PostgreSQLStore(url)


def _redis(url: str) -> EntityStore:
    try:
        from .redis import RedisStore
    except ImportError:
        raise _missing("redis") from None
    return RedisStore(url)


def _missing(extra: str) -> ConfigurationError:
    return ConfigurationError(
        f"A {extra} URL needs more packages: pip install 'waystone-asgi[{extra}]'."
    )


@asynccontextmanager
async def kept(entities: Entities) -> AsyncIterator[None]:
    """Do beside what needs to be done for the entities: their `run`, if they have one.

    Raises what it raises before it is started.
    """
    if (run := getattr(entities, "run", None)) is None:
        yield
        return
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            await tasks.start(run)
        except Exception as error:
            failure = error
        else:
            yield
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
