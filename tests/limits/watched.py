"""Counters that can be asked what is left in them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import anyio.lowlevel

from waystone_asgi.charges import Charge, Refused, Taken
from waystone_asgi.limits import MemoryCounters

from .backends import held


class WatchedCounters(MemoryCounters):
    """Counters that remember what they were asked for; `waiting` ones answer a moment later."""

    def __init__(self, *, waiting: bool = False) -> None:
        super().__init__()
        self._waiting = waiting
        self._charges: dict[str, Charge] = {}
        self.held: set[str] = set()

    async def reserve(self, charges: Sequence[Charge], **keywords: Any) -> Taken | Refused:
        """See `types.Counters`."""
        await self._pause()
        outcome = await super().reserve(charges, **keywords)
        if isinstance(outcome, Taken):
            self.held.add(outcome.id)
        self._charges.update({charge.counter: charge for charge in charges})
        await self._pause()
        return outcome

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """See `types.Counters`."""
        await self._pause()
        await super().settle(taken, amounts)
        self.held.discard(taken.id)
        await self._pause()

    async def _pause(self) -> None:
        if self._waiting:
            await anyio.lowlevel.checkpoint()

    async def totals(self) -> dict[str, int]:
        """What is used and reserved, by unit."""
        now = time.time()
        return {
            name.split(":")[0]: await held(self, charge, now)
            for name, charge in [*self._charges.items()]
        }
