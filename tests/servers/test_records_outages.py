"""PostgreSQL, Redis and the receiver of a webhook stopped under load: no record is missed.

`WAYSTONE_TEST_OUTAGE=30` stops each for thirty seconds.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import pytest

from tests.services import Services

from .counting import Caller, configuration, steady_provider
from .processes import Served, serving
from .receiver import Receiver, receiving
from .test_limits_outages import CALLERS, RULESETS, Load, counted

SECONDS = float(os.environ.get("WAYSTONE_TEST_OUTAGE", "2"))
LATE_SECONDS = 60 + 2 * SECONDS
"""After so long a spool has tried again for sure."""


@pytest.fixture(scope="module")
def services(postgresql_url: str, redis_url: str) -> Iterator[Services]:
    """Where the tests have servers, they may have some more."""
    services = Services()
    yield services
    services.stop()


def arrived(services: Services, user: str) -> list[tuple[str, int]]:
    """The ids of the user's records in the ledger, and their tokens."""
    query = 'SELECT id, input_tokens + output_tokens FROM usage_records WHERE "user" = %s'
    with (
        suppress(psycopg.errors.UndefinedTable),
        psycopg.connect(services.urls["postgresql"]) as connection,
    ):
        return connection.execute(query, (user,)).fetchall()
    return []


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it holds before it is too late."""
    deadline = time.monotonic() + LATE_SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("hang", [False, True], ids=["gone", "hanging"])
@pytest.mark.parametrize(
    "kinds", [("postgresql",), ("redis", "webhook")], ids=["postgresql", "redis and webhook"]
)
def test_stopped_under_load(
    services: Services, tmp_path: Path, kinds: Sequence[str], hang: bool
) -> None:
    state = services.urls[kinds[0]]
    user = f"outage-{uuid4().hex[:8]}"
    with receiving() as receiver, steady_provider(tmp_path) as provider:
        settings = configuration(provider.url, state, tmp_path / "none", rulesets=RULESETS)
        settings["state"] = {"url": state}
        spool = str(tmp_path / "usage.spool")
        settings["usage"] = {"url": services.urls["postgresql"], "spool": spool}
        with gateway(tmp_path, settings, receiver) as served:
            with closing(Caller(served, user, "ten")) as caller:
                assert caller.ask() == 200
            load = Load(served, user)
            with ThreadPoolExecutor(CALLERS) as pool:
                pool.map(load, range(CALLERS))
                try:
                    before = outage(services, receiver, kinds, load, hang)
                finally:
                    load.over.set()
            count = 1 + len(load.seconds)
            caught_up = eventually(lambda: len(arrived(services, user)) == count)
            caught_up &= eventually(lambda: len(receiver.arrived) == count)
            served.end(signal.SIGTERM)
    rows = arrived(services, user)
    ids = {id for id, _ in rows}
    slowest = [f"{max(part) * 1000:.0f} ms" for part in (load.seconds[:before], load.seconds)]
    print(  # noqa: T201
        f"{' and '.join(kinds)} {'hanging' if hang else 'gone'} for {SECONDS:g} s: "
        f"{count} requests, {before} of them before, "
        f"answered with {load.statuses}, slowest before and in all {slowest}; {len(rows)} rows, "
        f"{len(receiver.arrived)} records posted, {receiver.arrived.total()} times"
    )
    assert load.statuses == {200}
    assert caught_up, served.log
    assert len(rows) == len(ids) == count
    assert {*receiver.arrived} == ids
    assert "lost" not in served.log
    assert anyio.run(counted, state, user) == [count, sum(tokens for _, tokens in rows)]


def gateway(
    directory: Path, settings: dict[str, Any], receiver: Receiver
) -> AbstractContextManager[Served]:
    """A gateway that hands its records over to a database and to the receiver."""
    environment = {
        "CONFIGURATION": json.dumps(settings),
        "WEBHOOK": receiver.url,
        "WEBHOOK_SPOOL": str(directory / "webhook.spool"),
    }
    command = ["tests.servers.serve", "uvicorn-uvloop", "{fd}", "tests.servers.recorded"]
    return serving(command, directory / "gateway.log", environment)


def outage(
    services: Services, receiver: Receiver, kinds: Sequence[str], load: Load, hang: bool
) -> int:
    """Stop some for a while, under load; how many requests had been answered before."""
    assert eventually(lambda: receiver.arrived.total() > CALLERS)
    before = len(load.seconds)
    if hang:
        with hanging(services, receiver, kinds):
            time.sleep(SECONDS)
    else:
        with gone(services, receiver, kinds):
            time.sleep(SECONDS)
    assert len(load.seconds) > before
    time.sleep(0.5)
    return before


@contextmanager
def gone(services: Services, receiver: Receiver, kinds: Sequence[str]) -> Iterator[None]:
    """Nobody listens where they were."""
    if "webhook" in kinds:
        receiver.stop()
    services.kill(kinds[0])
    yield
    if "webhook" in kinds:
        receiver.start()
    services.start()


@contextmanager
def hanging(services: Services, receiver: Receiver, kinds: Sequence[str]) -> Iterator[None]:
    """They take what is sent, and say nothing."""
    if "webhook" in kinds:
        receiver.going.clear()
    services.signal(kinds[0], signal.SIGSTOP)
    try:
        yield
    finally:
        services.signal(kinds[0], signal.SIGCONT)
        receiver.going.set()
