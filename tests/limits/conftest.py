"""Counters of every kind, on every event loop, for the tests that hold for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.limits.backends import Names, opened
from waystone_asgi.types import Counters


@pytest.fixture(params=["memory", "sqlite", "postgresql", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where counters of one kind are kept; of the servers other tests make use too."""
    if request.param == "memory":
        return "memory:"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'counters.db'}"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def counters(url: str) -> AsyncIterator[Counters]:
    """Counters without their guard."""
    async with opened(url) as backend:
        yield backend


@pytest.fixture
def names() -> Names:
    """Charges of this test."""
    return Names()
