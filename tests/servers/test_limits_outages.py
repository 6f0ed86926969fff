"""Redis and PostgreSQL killed under load, seen by callers over sockets.

With the deadline of 50 ms that there is when nothing is said: nobody waits, nobody is refused, and
what was used meanwhile is in the counters when the gateway has ended.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from tests.limits.backends import Names, held, opened
from tests.services import Services
from waystone_asgi.charges import Window

from .counting import Caller, configuration, gateways, steady_provider, used
from .processes import Served

CALLERS = 8
ON_A_BUSY_MACHINE_SECONDS = 1.0
RULES = [
    {"usage": {"requests": 10**6, "per": "month", "of": "user"}, "block": "Enough."},
    {"usage": {"tokens": 10**9, "per": "month", "of": "user"}, "block": "Enough."},
]
RULESETS = [{"name": "large", "condition": "always", "rules": RULES}]


@pytest.fixture(scope="module")
def services(postgresql_url: str, redis_url: str) -> Iterator[Services]:
    """Where the tests have servers, they may have some more."""
    services = Services()
    yield services
    services.stop()


class Load:
    """Callers who ask without an end until it is `over`; `statuses` and `seconds` of answers."""

    def __init__(self, served: Served, user: str) -> None:
        self._served = served
        self._user = user
        self.over = threading.Event()
        self.statuses: set[int] = set()
        self.seconds: list[float] = []

    def __call__(self, number: int) -> None:
        """Be one of the callers."""
        with closing(Caller(self._served, self._user, "ten")) as caller:
            while not self.over.wait(0.005):
                self.statuses.add(caller.ask())
                self.seconds.append(caller.seconds)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["postgresql", "redis"])
def test_killed_under_load(services: Services, tmp_path: Path, kind: str) -> None:
    ledger, user = tmp_path / "ledger.db", f"load-{uuid4().hex[:8]}"
    with steady_provider(tmp_path) as provider:
        settings = configuration(provider.url, services.urls[kind], ledger, rulesets=RULESETS)
        settings["state"] = {"url": services.urls[kind]}
        with gateways(1, tmp_path, settings) as [served]:
            with closing(Caller(served, user, "ten")) as caller:
                assert caller.ask() == 200
            load = Load(served, user)
            with ThreadPoolExecutor(CALLERS) as pool:
                pool.map(load, range(CALLERS))
                try:
                    time.sleep(1)
                    before = len(load.seconds)
                    services.kill(kind)
                    wait_for(served, "away")
                    time.sleep(1)
                    services.start()
                    wait_for(served, "back")
                    time.sleep(1)
                finally:
                    load.over.set()
            served.end(signal.SIGTERM)
            log = served.log
    records = used(ledger, user)
    slowest = [f"{max(part) * 1000:.0f} ms" for part in (load.seconds[:before], load.seconds)]
    print(f"{kind}: {records}, slowest before and in all: {slowest}")  # noqa: T201
    assert load.statuses == {200}
    assert max(load.seconds) < ON_A_BUSY_MACHINE_SECONDS
    assert "lost" not in log
    assert records.requests == len(load.seconds) + 1
    assert anyio.run(counted, services.urls[kind], user) == [records.requests, records.tokens]


def wait_for(served: Served, word: str) -> None:
    """Return when the counters are `away`, or `back`, for the last time so far."""
    deadline = time.monotonic() + 30
    while f"counters are {word}" not in (served.log.splitlines() or [""])[-1]:
        assert time.monotonic() < deadline, served.log
        time.sleep(0.02)


async def counted(url: str, user: str) -> list[int]:
    """What the counters hold of the user's requests and tokens."""
    month = Window(per="month")
    names = Names()
    found = []
    async with opened(url) as counters:
        for unit in ("requests", "tokens"):
            names.prefix = f"{unit}:month"
            charge = names.charge(name=f"user:{user}", window=month)
            found.append(await held(counters, charge, time.time()))
    return found
