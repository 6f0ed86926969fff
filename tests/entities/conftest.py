"""Stores of every kind, each with users and groups that no other test has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from waystone_asgi.entities import open_store
from waystone_asgi.entities.memory import MemoryStore
from waystone_asgi.types import EntityStore

Name = Callable[[str], str]
"""Makes an id of this test's own from any id."""

KINDS = ("memory", "sqlite", "postgresql", "redis")


@pytest.fixture
def name() -> Name:
    prefix = uuid4().hex[:12]
    return lambda id: prefix + id


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Where the store of the parameter `kind` is."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'waystone.db'}"
    return str(request.getfixturevalue(f"{kind}_url"))


@pytest.fixture
def make_store(kind: str, request: pytest.FixtureRequest) -> Callable[[], EntityStore]:
    """Makes a store of the parameter `kind`, as another process would that has the same URL."""
    if kind == "memory":
        store = MemoryStore()
        return lambda: store
    url = request.getfixturevalue("url")
    return lambda: open_store(url)


@pytest.fixture
async def store(make_store: Callable[[], EntityStore]) -> AsyncIterator[EntityStore]:
    """An open store of the parameter `kind`."""
    store = make_store()
    await store.open()
    yield store
    await store.aclose()
