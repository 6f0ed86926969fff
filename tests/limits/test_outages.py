"""Redis and PostgreSQL killed under load: no request waits for them, no settled usage is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests.limits.backends import Names, held, opened, unguarded
from tests.services import Services
from waystone_asgi.charges import Taken
from waystone_asgi.limits import GuardedCounters

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Not on every event loop: it takes seconds."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture(scope="module")
def services(postgresql_url: str, redis_url: str) -> Iterator[Services]:
    """Where the tests have servers, they may have some more."""
    services = Services()
    yield services
    services.stop()


async def until_back(counters: GuardedCounters) -> None:
    while counters.away:  # noqa: ASYNC110 - it happens in another process
        await anyio.sleep(0.01)


@pytest.mark.parametrize("kind", ["postgresql", "redis"])
async def test_killed_under_load(services: Services, names: Names, kind: str) -> None:
    url = services.urls[kind]
    charge = names.charge(7, 10**9)
    counters = GuardedCounters(unguarded(url), pause=0.1)
    settled, slowest, local = 0, 0.0, 0
    going = True

    async def call(number: int) -> None:
        nonlocal settled, slowest, local
        while going:
            started = anyio.current_time()
            taken = await counters.reserve([charge], now=time.time(), lease=600)
            slowest = max(slowest, anyio.current_time() - started)
            assert isinstance(taken, Taken)
            local += taken.local
            await counters.settle(taken, [number])
            settled += number
            await anyio.sleep(0.002)

    await counters.open()
    async with anyio.create_task_group() as tasks:
        for number in range(1, 9):
            tasks.start_soon(call, number)
        for pause in (0.3, 1.0):
            await anyio.sleep(pause)
            await anyio.to_thread.run_sync(services.kill, kind)
            await anyio.sleep(0.5)
            assert counters.away
            await anyio.to_thread.run_sync(services.start)
            with anyio.fail_after(30):
                await until_back(counters)
        await anyio.sleep(0.3)
        going = False
    await counters.aclose()
    assert local
    assert slowest < 1
    assert (counters.owed, counters.lost) == (0, 0)
    async with opened(url) as others:
        assert await held(others, charge, time.time()) == settled
