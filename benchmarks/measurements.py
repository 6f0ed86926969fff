"""One measurement: a load on a server, and the CPU time that the server spent on it.

In: a server, requests, a number of callers. Out: a `Sample`. The CPU time runs from before the
first request until the server is idle again, records written and all, and counts every request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .contenders import SETTLE_SECONDS, Server
from .load import Address, Crowd, Outcome, crowd
from .report import percentile


@dataclass(frozen=True)
class Sample:
    """What a load cost, in microseconds, and how long its answers took."""

    outcome: Outcome
    cpu_seconds: float = 0.0

    @property
    def per_request(self) -> float:
        """CPU a request."""
        return self.cpu_seconds / max(1, self.outcome.requests) * 1e6

    @property
    def per_event(self) -> float:
        """CPU an event."""
        return self.cpu_seconds / max(1, self.outcome.events) * 1e6

    def latency(self, share: float) -> float:
        """The percentile of the latencies."""
        return percentile(self.outcome.latencies, share) * 1e6

    def first_byte(self, share: float) -> float:
        """The percentile of the delays of the first event."""
        return percentile(self.outcome.first_bytes, share) * 1e6


async def closed(
    server: Server, requests: Sequence[bytes], *, callers: int, seconds: float
) -> Sample:
    """Callers who each send their next request when they have their answer."""
    async with visiting(server, callers, requests) as there:
        return await costed(server, there.closed_loop(requests, seconds=seconds))


async def paced(
    server: Server, requests: Sequence[bytes], *, rate: float, seconds: float, callers: int = 64
) -> Sample:
    """Requests at a steady rate."""
    async with visiting(server, callers, requests) as there:
        return await costed(server, there.open_loop(requests, rate=rate, seconds=seconds))


@asynccontextmanager
async def visiting(server: Server, callers: int, warm_up: Sequence[bytes]) -> AsyncIterator[Crowd]:
    """Callers with open connections, who have had an answer each."""
    async with crowd(server.address, callers, warm_up) as there:
        server.asked += callers if warm_up else 0
        yield there


async def costed(server: Server, load: Awaitable[Outcome]) -> Sample:
    """The load's outcome, and what the server spent on it."""
    await asyncio.sleep(SETTLE_SECONDS)
    before = server.process.cpu_seconds()
    outcome = await load
    await asyncio.sleep(SETTLE_SECONDS)
    server.asked += outcome.requests
    return Sample(outcome, server.process.cpu_seconds() - before)


async def straight(
    address: Address, requests: Sequence[bytes], *, callers: int, seconds: float
) -> Sample:
    """The same load on the provider itself; its CPU time is nobody's."""
    async with crowd(address, callers, requests) as there:
        return Sample(await there.closed_loop(requests, seconds=seconds))


def failures(name: str, samples: Sequence[Sample]) -> list[str]:
    """A note when answers were not 200."""
    failed = sum(sample.outcome.failures for sample in samples)
    return [f"{name}: {failed} requests failed"] if failed else []
