"""What is translated is the same on every event loop: one of each kind is enough here."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """In the place of the one that adds uvloop, whose transports have tests of their own."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend
