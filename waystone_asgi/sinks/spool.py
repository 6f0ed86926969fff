"""A file between the requests and a sink that is slow, far away, or not always there.

In: batches, kept in the file before `emit` returns. Out: the same records to the inner sink, from a
task beside the requests, at least once and in order: a sink tells what it has by the record's `id`.
What an earlier process left is delivered first. A sink that fails is tried again, after longer and
longer pauses; a record that it refuses is moved aside, so that it keeps none waiting.

The file has a bound. Past it `emit` raises `SpoolFullError`, and the outbox counts the batch as
failed: nothing that is in the file is dropped for what is newer.
"""

from __future__ import annotations

import logging
import random
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from ..exceptions import ConfigurationError
from ..limits.background import Background
from ..records import UsageRecord
from ..types import Sink
from .delivery import PROBES, deliver, sift, told
from .spool_file import SpoolFile, SpoolFullError

__all__ = ("Spool", "SpoolFullError")

MAX_BYTES = 1 << 30
BATCH_RECORDS = 500
ATTEMPTS = 5
EMIT_SECONDS = 30.0
CLOSE_SECONDS = 5.0

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_LOOK_SECONDS = 1.0
_LONGEST_WAIT = 600.0

logger = logging.getLogger("waystone_asgi")

T = TypeVar("T")


class Spool:
    """A sink that keeps records in the file at `path` and delivers them to `sink`.

    `sink` gets `batch` records at a time and has `emit_seconds` for them. After `attempts` failures
    in a row the records are offered one by one: those that fail while others pass are moved aside.
    A failure with a number of seconds as its `retry_after` has it wait for so long, within a bound.
    Several processes may share a file, of which one delivers. With `sync` no loss of power loses
    what `emit` has returned for. `delivered`, `refused` and `failures` count since the opening.
    """

    def __init__(
        self,
        sink: Sink,
        path: str | Path,
        *,
        max_bytes: int = MAX_BYTES,
        batch: int = BATCH_RECORDS,
        attempts: int = ATTEMPTS,
        emit_seconds: float = EMIT_SECONDS,
        close_seconds: float = CLOSE_SECONDS,
        sync: bool = False,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        self.sink = sink
        self.path = Path(path)
        self._file = SpoolFile(self.path, max_bytes=max_bytes, sync=sync)
        self._batch = batch
        self._attempts = attempts
        self._emit_seconds = emit_seconds
        self._close_seconds = close_seconds
        self._sleep = sleep
        self._limiter = anyio.CapacityLimiter(1)
        self._background = Background(self._run)
        self._wanted = anyio.Event()
        self._ended = anyio.Event()
        self._ended.set()
        self._pause: anyio.CancelScope | None = None
        self._closing = False
        self._in_a_row = 0
        self.delivered = 0
        self.refused = 0
        self.failures = 0

    async def open(self) -> None:
        """Open the file and the sink, and begin to deliver; raises `ConfigurationError`."""
        # Events and limiters belong to one event loop, and a gateway may outlive it.
        self._limiter = anyio.CapacityLimiter(1)
        try:
            _, refused = await self._do(self._file.counts)
        except sqlite3.Error as error:
            raise ConfigurationError(f"The spool {self.path} cannot be opened: {error}.") from error
        if refused:
            logger.warning("%d records lie refused in the spool %s.", refused, self.path)
        try:
            if (open_sink := getattr(self.sink, "open", None)) is not None:
                await open_sink()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._do(self._file.close)
            raise
        self._wanted, self._ended = anyio.Event(), anyio.Event()
        self._closing, self._in_a_row = False, 0
        self._background.start()

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Return when the records are in the file; raises `SpoolFullError` and `sqlite3.Error`."""
        await self._do(lambda: self._file.append(records))
        self._wanted.set()

    async def pending(self) -> int:
        """How many records are to be delivered."""
        return (await self._do(self._file.counts))[0]

    async def dead_letters(self) -> int:
        """How many records have been moved aside, and lie in the table `refused`."""
        return (await self._do(self._file.counts))[1]

    async def revive(self) -> int:
        """Deliver again what was moved aside, behind all else; how many records that is."""
        count = await self._do(self._file.revive)
        self._wanted.set()
        return count

    async def aclose(self) -> None:
        """Deliver what is left, within `close_seconds` or to the first failure, and close.

        The rest stays in the file.
        """
        self._closing = True
        self._wanted.set()
        if self._pause is not None:
            self._pause.cancel()
        with anyio.move_on_after(self._close_seconds, shield=True):
            await self._ended.wait()
        await self._background.aclose()
        try:
            if (close_sink := getattr(self.sink, "aclose", None)) is not None:
                await close_sink()
        finally:
            with anyio.CancelScope(shield=True):
                await self._do(self._file.close)

    async def _run(self) -> None:
        try:
            while True:
                self._wanted = anyio.Event()
                try:
                    busy = await self._deliver()
                except Exception as error:
                    self._failed(error)
                    if self._closing:
                        return
                    with anyio.CancelScope() as self._pause:
                        await self._sleep(self._seconds(error))
                    continue
                self._succeeded()
                if not busy and self._closing:
                    return
                if not busy:
                    # Another process may have written, or have left its turn to this one.
                    with anyio.move_on_after(_LOOK_SECONDS):
                        await self._wanted.wait()
        finally:
            self._ended.set()

    async def _deliver(self) -> bool:
        """Deliver the oldest records; whether there were any. Raises what the sink raised."""
        if not await self._do(self._file.lead):
            return False
        letters = await self._do(lambda: self._file.oldest(self._batch))
        if not letters:
            return False
        outcome = await deliver(self._emit, letters)
        refused = outcome.refused
        error = outcome.error
        # A sink that says when it is back is not asked about each record.
        if error and _said(error) is None and self._in_a_row + 1 >= self._attempts:
            first = (self._in_a_row + 1 - self._attempts) * PROBES % len(outcome.left)
            outcome = await sift(self._emit, outcome.left, first, error)
            refused += outcome.refused
        if outcome.error is None or len(outcome.left) < len(letters):
            await self._do(lambda: self._file.settle(letters, outcome.left, refused))
            self.delivered += len(letters) - len(outcome.left) - len(refused)
        if refused:
            self.refused += len(refused)
            _, reason = refused[-1]
            logger.error("%s refuses %d records. %s", self._name, len(refused), reason)
        if outcome.error is not None:
            raise outcome.error
        return True

    async def _emit(self, records: Sequence[UsageRecord]) -> None:
        with anyio.fail_after(self._emit_seconds):
            await self.sink.emit(records)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._in_a_row += 1
        if self._in_a_row == 1:
            logger.error("%s is tried again: %s", self._name, told(error))

    def _succeeded(self) -> None:
        if self._in_a_row:
            logger.warning("%s takes records again.", self._name)
        self._in_a_row = 0

    def _seconds(self, error: Exception) -> float:
        most = min(_FIRST_PAUSE * 2 ** min(self._in_a_row - 1, 20), _LONGEST_PAUSE)
        pause = random.uniform(most / 2, most)
        return max(pause, min(_said(error) or 0.0, _LONGEST_WAIT))

    @property
    def _name(self) -> str:
        return type(self.sink).__name__

    async def _do(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)


def _said(error: Exception) -> float | None:
    """After how many seconds the sink wants to be tried again, if it says so."""
    said: float | None = getattr(error, "retry_after", None)
    return said
