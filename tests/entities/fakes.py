"""A store that does as the test says, and a clock that the test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel

from waystone_asgi.entities import CachedEntities, kept
from waystone_asgi.entities.memory import MemoryStore
from waystone_asgi.records import Source
from waystone_asgi.types import JSONObject, Layers


class Clock:
    """Seconds, which pass when `now` is set. `sleep` returns at once and notes for how long."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await anyio.lowlevel.checkpoint()


class FakeStore(MemoryStore):
    """Notes its `calls`; raises `error`, for ids in `sore` only if there are any; waits for `gate`.

    `took` is how long each call takes by the clock.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__()
        self.calls: list[tuple[object, ...]] = []
        self.error: Exception | None = None
        self.sore: set[str] = set()
        self.gate = anyio.Event()
        self.gate.set()
        self.took = 0.0
        self._clock = clock
        self.opened = self.closed = 0
        self.opening: Exception | None = None
        self.closing: Exception | None = None

    async def open(self) -> None:
        self.opened += 1
        if self.opening is not None:
            raise self.opening

    async def aclose(self) -> None:
        self.closed += 1
        if self.closing is not None:
            raise self.closing

    async def read(self, kind: str, id: str) -> Layers | None:
        await self._pass("read", kind, id)
        return await super().read(kind, id)

    async def merge(self, kind: str, id: str, source: Source, changes: JSONObject) -> Layers:
        await self._pass(kind, id, source, changes)
        return await super().merge(kind, id, source, changes)

    async def link(self, user: str, group: str) -> None:
        await self._pass("link", user, group)
        await super().link(user, group)

    def count(self) -> int:
        """How many calls there were since the last time."""
        calls, self.calls = self.calls, []
        return len(calls)

    async def stored(self, kind: str, id: str) -> Any:
        """What is there, whatever calls do."""
        stored = self._known.of(kind).entries.get(id)
        return None if stored is None else stored.layers

    async def _pass(self, *call: object) -> None:
        self.calls.append(call)
        await self.gate.wait()
        await anyio.lowlevel.checkpoint()
        if self._clock is not None:
            self._clock.now += self.took
        if self.error is not None and (not self.sore or call[1] in self.sore):
            raise self.error


@asynccontextmanager
async def cached(store: FakeStore, **settings: Any) -> AsyncIterator[CachedEntities]:
    """The entities of a store, while their backlog runs. Requests wait for it for a minute."""
    entities = CachedEntities(store, **{"deadline": 60.0, **settings})
    async with kept(entities):
        yield entities


async def settled(entities: CachedEntities) -> None:
    """Return when nothing waits for the store."""
    with anyio.fail_after(10):
        while len(entities._jobs):
            await anyio.lowlevel.checkpoint()
