"""Eight gateways of eight callers each pass no limit together, and can use all of it.

A limit of 1,000 requests, of 1,000 tokens, and of 1,000 dollars. An answer uses 50 tokens, for a
dollar, or 49. Requests bound their output, so what is reserved is 50 tokens and a dollar: exactly
what is used where that is 50 tokens, and 1,000 is a multiple of them; of the dollars, of which 98
cents are used, 99.9 % can be had, the rest being less than a reservation. A caller who is refused
asks some times more, as others may give something back meanwhile.

The deadline of the counters is long and the rules fail closed here: with fifty milliseconds a
loaded machine makes a process count by itself, which is what it is for, and no test of sums.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from waystone_asgi.settings import LEASE_MARGIN

from .counting import (
    Caller,
    configuration,
    gateways,
    spend,
    steady_provider,
    used,
    wait_for_counters,
)
from .processes import Served
from .provider import ScriptedProvider

LIMIT = 1000
WINDOWS = {"requests": {"per": "month"}, "tokens": {"past": "1d"}, "usd": {"past": "30d"}}
ONE = [
    {
        "name": "one",
        "condition": "always",
        "rules": [
            {
                "usage": {"concurrent": 1, "of": "user"},
                "block": "One at a time.",
                "on_failure": "closed",
            }
        ],
    }
]
LEASE = 7.0
STATES = ["sqlite", "postgresql", "redis"]


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The provider whose answers all use the same."""
    with steady_provider(tmp_path_factory.mktemp("steady")) as served:
        yield served


@pytest.fixture
def state(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the counters are kept."""
    if request.param == "memory":
        return "memory:"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("state", "processes"), [("memory", 1), *((kind, 8) for kind in STATES)], indirect=["state"]
)
def test_no_limit_is_passed_and_all_of_it_is_usable(
    steady: Served, tmp_path: Path, state: str, processes: int
) -> None:
    ledger = tmp_path / "ledger.db"
    # The servers are shared with other tests, but no counter is.
    users = {unit: f"{unit}-{uuid4().hex[:8]}" for unit in WINDOWS}
    rulesets = [limit(unit, user) for unit, user in users.items()]
    rulesets += [{**limit("requests", "first"), "name": "first"}]
    settings = configuration(steady.url, state, ledger, rulesets=rulesets)
    took = {}
    with gateways(processes, tmp_path, settings) as served:
        for each in served:
            wait_for_counters(each, "first", "ten")
        for unit, user in users.items():
            began = time.monotonic()
            model = "nine" if unit == "usd" else "ten"
            statuses = spend(served, 64 // processes, user, model)
            assert set(statuses) == {200, 429}, statuses
            took[unit] = f"{sum(statuses.values())} requests in {time.monotonic() - began:.1f} s"
    amounts = {unit: float(getattr(used(ledger, user), unit)) for unit, user in users.items()}
    print(f"{processes} processes: {amounts}, {took}")  # noqa: T201
    for unit, amount in amounts.items():
        assert LIMIT * 0.99 <= amount <= LIMIT, unit


def limit(unit: str, user: str) -> dict[str, object]:
    usage = {unit: LIMIT, **WINDOWS[unit], "of": "user"}
    rule = {"usage": usage, "block": "Enough.", "on_failure": "closed"}
    return {"name": unit, "condition": {"is_user": user}, "rules": [rule]}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("state", STATES, indirect=True)
def test_what_a_killed_gateway_had_reserved_is_free_after_its_lease(
    provider: ScriptedProvider, tmp_path: Path, state: str
) -> None:
    provider.forget()
    timeouts = {"total": LEASE - LEASE_MARGIN}
    settings = configuration(
        provider.url, state, tmp_path / "ledger.db", rulesets=ONE, timeouts=timeouts
    )
    user = f"one-{uuid4().hex[:8]}"
    with (
        gateways(2, tmp_path, settings) as [victim, other],
        closing(Caller(victim, user, "silent")) as lost,
        closing(Caller(other, user, "plain")) as caller,
    ):
        # As users of their own: what they reserve may be held a moment longer than they wait.
        for number, each in enumerate((victim, other)):
            wait_for_counters(each, f"{user}-{number}", "plain")
        lost.send()
        assert provider.take("silent").held.wait(5)
        reserved = time.monotonic()
        victim.end(signal.SIGKILL)
        assert caller.ask() == 429
        while (status := caller.ask()) == 429:
            assert time.monotonic() - reserved < LEASE + 3
            time.sleep(0.05)
        took = time.monotonic() - reserved
    print(f"free again after {took:.1f} s of {LEASE:.0f}")  # noqa: T201
    assert status == 200
    assert took < LEASE + 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("state", ["memory", *STATES], indirect=True)
def test_who_asks_one_thing_after_the_other_is_one_at_a_time(
    steady: Served, tmp_path: Path, state: str
) -> None:
    settings = configuration(steady.url, state, tmp_path / "ledger.db", rulesets=ONE)
    user = f"one-{uuid4().hex[:8]}"
    with gateways(1, tmp_path, settings) as [served], closing(Caller(served, user, "ten")) as one:
        wait_for_counters(served, "first", "ten")
        assert [one.ask() for _ in range(200)] == [200] * 200
