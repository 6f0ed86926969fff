"""What every test may ask for: the event loops, the services, and where the recordings are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Every asynchronous test runs on asyncio, on uvloop and on trio."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the project with the contract and the recordings."""
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED.name} folder beside the project")
    return SHARED


@pytest.fixture(scope="session")
def postgresql_url() -> str:
    """A PostgreSQL server that other tests use too, at the same time."""
    return service("WAYSTONE_TEST_POSTGRESQL_URL")


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis server that other tests use too, at the same time."""
    return service("WAYSTONE_TEST_REDIS_URL")


def service(variable: str) -> str:
    """The URL in the variable; the test is skipped where it is not set."""
    if not (url := os.environ.get(variable)):
        pytest.skip(f"{variable} is not set: run scripts/services -- scripts/test")
    return url
