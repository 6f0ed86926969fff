"""Between the requests and the sinks: a bounded queue, emptied in batches beside the requests.

In: one record a request, without an await while there is room. Out: batches, to every sink, in
order. When it is full a request waits for room, for a while, or the record is dropped and counted,
as the host chose. A sink that fails, or takes more than a while, is logged and counted, and fails
no request.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import anyio
import anyio.lowlevel

from ..records import UsageRecord
from ..types import Sink

Overflow = Literal["wait", "drop"]

BATCH_SECONDS = 0.1
"""How long records gather before they are handed over; with the commit well under 200 ms."""

BATCH_RECORDS = 1000
CANCELLED_RECORDS = 1000
"""How many find room beside the limit, of requests that were cancelled while they waited for it."""

WAIT_SECONDS = 5.0
EMIT_SECONDS = 10.0
CLOSE_SECONDS = 10.0

logger = logging.getLogger("waystone_asgi")


class Outbox:
    """The queue of `limit` records before `sinks`. `dropped` and `failed` count lost records.

    A request waits at most `wait_seconds` for room, a sink has `emit_seconds` for a batch, and
    what is left at the end has `close_seconds`.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        limit: int = 10_000,
        overflow: Overflow = "wait",
        wait_seconds: float = WAIT_SECONDS,
        emit_seconds: float = EMIT_SECONDS,
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self.sinks = tuple(sinks)
        self._limit = limit
        self._overflow = overflow
        self._wait_seconds = wait_seconds
        self._emit_seconds = emit_seconds
        self._close_seconds = close_seconds
        self._queue: deque[UsageRecord] = deque()
        self._owed: deque[tuple[Sink, list[UsageRecord]]] = deque()
        self._filled = anyio.Event()
        self._emptied = anyio.Event()
        self._emitting = anyio.Lock()
        self._delivered = anyio.Event()
        self._handed_over = 0
        self._unsettled = 0
        self._waiting = 0
        self.dropped = 0
        self.failed = 0

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, record: UsageRecord) -> bool:
        """Queue the record; false when there is no room and the caller must `wait`."""
        queue = self._queue
        if not queue:
            self._filled.set()
        elif len(queue) >= self._limit:
            return False
        queue.append(record)
        return True

    async def wait(self, record: UsageRecord) -> None:
        """Queue the record when there is room, or drop and count it, as chosen.

        Survives cancellation: asyncio's own, which passes a shield, has the record queued at once.
        """
        queued = False
        self._waiting += 1
        try:
            if self._overflow == "wait":
                with anyio.move_on_after(self._wait_seconds, shield=True):
                    while not (queued := self.offer(record)):
                        if self._emptied.is_set():
                            self._emptied = anyio.Event()
                        await self._emptied.wait()
        except BaseException:
            if queued := len(self._queue) < self._limit + CANCELLED_RECORDS:
                self._queue.append(record)
            raise
        finally:
            self._waiting -= 1
            if not queued:
                self.dropped += 1
                logger.error("The queue of usage records is full: %d dropped.", self.dropped)

    async def settled(self) -> None:
        """Return when every record offered so far is handed over, or after a bounded time."""
        with anyio.move_on_after(self._wait_seconds):
            due = self._handed_over + len(self._queue) + self._unsettled
            while self._handed_over < due:
                if self._delivered.is_set():
                    self._delivered = anyio.Event()
                await self._delivered.wait()

    async def run(self) -> None:
        """Hand batches over until cancelled."""
        while True:
            if not self._queue:
                self._filled = anyio.Event()
                await self._filled.wait()
            await anyio.sleep(BATCH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Hand over all that is queued now; what comes meanwhile gathers for the next batch.

        A batch that is on its way is finished though cancelled.
        """
        async with self._emitting:
            left = len(self._queue)
            while self._owed or left:
                if not self._owed:
                    count = min(left, BATCH_RECORDS)
                    left -= count
                    batch = [self._queue.popleft() for _ in range(count)]
                    self._unsettled = count
                    self._owed.extend((sink, batch) for sink in self.sinks)
                    self._emptied.set()
                while self._owed:
                    # Asyncio's own cancellation passes a shield: what it cuts short is still owed.
                    await self._emit(*self._owed[0])
                    self._owed.popleft()
                    await anyio.lowlevel.checkpoint_if_cancelled()
                self._handed_over += self._unsettled
                self._unsettled = 0
                self._delivered.set()

    async def open(self) -> None:
        """Open the sinks that want to be opened; what they raise is the host's to see."""
        # Events and locks belong to one event loop, and a gateway may outlive it.
        self._filled = anyio.Event()
        self._emptied = anyio.Event()
        self._emitting = anyio.Lock()
        self._delivered = anyio.Event()
        for sink in self.sinks:
            if (open_sink := getattr(sink, "open", None)) is not None:
                await open_sink()

    async def aclose(self) -> None:
        """Hand over what is left, within its time, and close the sinks."""
        with anyio.move_on_after(self._close_seconds, shield=True):
            while self._owed or self._queue or self._waiting:
                await self.flush()
        if left := len(self._queue) + sum(len(batch) for _, batch in self._owed):
            self.failed += left
            logger.error("%d usage records were not handed over in time.", left)
        for sink in self.sinks:
            if (close_sink := getattr(sink, "aclose", None)) is not None:
                await self._close(sink, close_sink)

    async def _emit(self, sink: Sink, batch: list[UsageRecord]) -> None:
        try:
            with anyio.fail_after(self._emit_seconds, shield=True):
                await sink.emit(batch)
        except Exception:
            self.failed += len(batch)
            logger.exception("%s did not take %d records.", type(sink).__name__, len(batch))

    async def _close(self, sink: Sink, close_sink: Callable[[], Awaitable[object]]) -> None:
        try:
            with anyio.fail_after(self._emit_seconds, shield=True):
                await close_sink()
        except Exception:
            logger.exception("%s could not be closed.", type(sink).__name__)
