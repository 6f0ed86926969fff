"""A process with callers of its own: `python -m tests.limits.caller spend|hold URL PREFIX CALLERS`.

`spend` takes from three counters until nothing more is to be had, and prints how much it used of
each and the most that it saw. `hold` reserves, says so, and waits to be killed.
"""

from __future__ import annotations

import json
import sys
import time

import anyio

from tests.limits.backends import Names, opened
from waystone_asgi.charges import Charge, Taken, Window
from waystone_asgi.types import Counters

LIMIT = 1000
LEASE = 60.0
PATIENCE = 8


def charges(names: Names) -> list[Charge]:
    """One request, up to 7 tokens, and up to 9 nano-dollars, of 1,000 of each."""
    return [
        names.charge(1, LIMIT, name="requests", window=Window(per="month")),
        names.charge(7, LIMIT, name="tokens", window=Window(seconds=86400), least=1),
        names.charge(9, LIMIT, name="usd", window=Window(per="day"), least=1),
    ]


async def spend(counters: Counters, charge: Charge) -> tuple[int, int]:
    """Take until refused some times in a row; what was used, and the most that was held."""
    used, most, refused = 0, 0, 0
    while refused < PATIENCE:
        outcome = await counters.reserve([charge], now=time.time(), lease=LEASE)
        if isinstance(outcome, Taken):
            refused = 0
            most = max(most, *outcome.used)
            # Less than was reserved, so that others find some again.
            amount = max(1, outcome.amounts[0] // 2)
            await counters.settle(outcome, [amount])
            used += amount
        else:
            refused += 1
            await anyio.sleep(0.005)
    return used, most


async def spend_all(url: str, prefix: str, callers: int) -> None:
    """Every caller spends from each counter; the totals are printed as JSON."""
    totals = {charge.counter: [0, 0] for charge in charges(Names(prefix))}

    async def call(counters: Counters) -> None:
        for charge in charges(Names(prefix)):
            used, most = await spend(counters, charge)
            total = totals[charge.counter]
            total[:] = [total[0] + used, max(total[1], most)]

    async with opened(url) as counters, anyio.create_task_group() as tasks:
        for _ in range(callers):
            tasks.start_soon(call, counters)
    sys.stdout.write(json.dumps([*totals.values()]) + "\n")


async def hold(url: str, prefix: str, callers: int) -> None:
    """Reserve as often as there are callers, and hold it."""
    async with opened(url) as counters:
        for _ in range(callers):
            await counters.reserve(charges(Names(prefix)), now=time.time(), lease=LEASE)
        sys.stdout.write("held\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    action, url, prefix, callers = sys.argv[1:]
    anyio.run({"spend": spend_all, "hold": hold}[action], url, prefix, int(callers))
