"""Between the requests and the sinks: a bounded queue, emptied in batches beside the requests.

In: one record a request, without an await while there is room. Out: batches, to every sink, in
order. When it is full a request waits for room, for at most `WAIT_SECONDS`, or the record is
dropped and counted, as the host chose. A sink that fails is logged and counted, and fails no
request.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Literal

import anyio

from ..records import UsageRecord
from ..types import Sink

Overflow = Literal["wait", "drop"]

BATCH_SECONDS = 0.05
"""How long records gather before they are handed over; with the commit well under 200 ms."""

BATCH_RECORDS = 1000
WAIT_SECONDS = 5.0
CLOSE_SECONDS = 10.0

logger = logging.getLogger("waystone_asgi")


class Outbox:
    """The queue of `limit` records before `sinks`. `dropped` and `failed` count lost records."""

    def __init__(
        self, sinks: Sequence[Sink], *, limit: int = 10_000, overflow: Overflow = "wait"
    ) -> None:
        self._sinks = tuple(sinks)
        self._limit = limit
        self._overflow = overflow
        self._queue: deque[UsageRecord] = deque()
        self._filled = anyio.Event()
        self._emptied = anyio.Event()
        self._emitting = anyio.Lock()
        self.dropped = 0
        self.failed = 0

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, record: UsageRecord) -> bool:
        """Queue the record; false when there is no room and the caller must `wait`."""
        if len(self._queue) >= self._limit:
            return False
        self._queue.append(record)
        if len(self._queue) == 1:
            self._filled.set()
        return True

    async def wait(self, record: UsageRecord) -> None:
        """Queue the record when there is room, or drop and count it, as chosen. Survives
        cancellation.
        """
        if self._overflow == "wait":
            with anyio.move_on_after(WAIT_SECONDS, shield=True):
                while not self.offer(record):
                    self._emptied = anyio.Event()
                    await self._emptied.wait()
                return
        self.dropped += 1
        logger.error("The queue of usage records is full: %d dropped so far.", self.dropped)

    async def run(self) -> None:
        """Hand batches over until cancelled."""
        while True:
            if not self._queue:
                self._filled = anyio.Event()
                await self._filled.wait()
            await anyio.sleep(BATCH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Hand over all that is queued. A batch that is on its way is finished though cancelled."""
        async with self._emitting:
            while self._queue:
                count = min(len(self._queue), BATCH_RECORDS)
                batch = [self._queue.popleft() for _ in range(count)]
                self._emptied.set()
                with anyio.CancelScope(shield=True):
                    for sink in self._sinks:
                        await self._emit(sink, batch)

    async def open(self) -> None:
        """Open the sinks that want to be opened; what they raise is the host's to see."""
        # Events and locks belong to one event loop, and a gateway may outlive it.
        self._filled = anyio.Event()
        self._emptied = anyio.Event()
        self._emitting = anyio.Lock()
        for sink in self._sinks:
            if (open_sink := getattr(sink, "open", None)) is not None:
                await open_sink()

    async def aclose(self) -> None:
        """Hand over what is left, within `CLOSE_SECONDS`, and close the sinks."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self.flush()
            for sink in self._sinks:
                if (close_sink := getattr(sink, "aclose", None)) is not None:
                    await close_sink()
        if self._queue:
            logger.error("%d usage records were not handed over in time.", len(self._queue))

    async def _emit(self, sink: Sink, batch: list[UsageRecord]) -> None:
        try:
            await sink.emit(batch)
        except Exception:
            self.failed += len(batch)
            logger.exception("%s did not take %d records.", type(sink).__name__, len(batch))
