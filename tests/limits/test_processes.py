"""Counters of several processes: none passes a limit; one that is killed takes nothing along."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from tests.limits.backends import Names, held, opened
from tests.limits.caller import LEASE, LIMIT, charges, spend
from waystone_asgi.limits import MemoryCounters

ROOT = Path(__file__).resolve().parents[2]


def start(action: str, url: str, names: Names, callers: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.limits.caller", action, url, names.prefix, str(callers)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def check(used: int, most: int) -> None:
    assert most <= LIMIT
    assert LIMIT * 0.99 <= used <= LIMIT


@pytest.mark.timeout(180)
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "redis"], indirect=True)
def test_eight_processes_of_eight_callers(url: str, names: Names) -> None:
    processes = [start("spend", url, names, 8) for _ in range(8)]
    reports = []
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0
        reports.append(json.loads(output))
    for of_one_counter in zip(*reports, strict=True):
        check(sum(used for used, _ in of_one_counter), max(most for _, most in of_one_counter))


@pytest.mark.anyio
async def test_one_process_of_many_callers(names: Names) -> None:
    counters = MemoryCounters()
    for charge in charges(names):
        results: list[tuple[int, int]] = []

        async def call(charge=charge, results=results) -> None:  # type: ignore[no-untyped-def]
            results.append(await spend(counters, charge))

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(call)
        check(sum(used for used, _ in results), max(most for _, most in results))


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "redis"], indirect=True)
async def test_what_a_killed_process_held_is_free_after_its_lease(url: str, names: Names) -> None:
    with start("hold", url, names, 5) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
    requests, tokens, usd = charges(names)
    async with opened(url) as counters:
        now = time.time()
        kept = [await held(counters, charge, now) for charge in (requests, tokens, usd)]
        assert kept == [5, 35, 45]
        for charge in (requests, tokens, usd):
            assert await held(counters, charge, now + LEASE) == 0
