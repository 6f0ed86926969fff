"""A thread of its own for a database, which does what has queued in one go.

In: operations, from the event loop. Out: their answers. While one batch is under way the next one
gathers, so that many callers share one transaction. The event loop never waits for the thread.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

from ..loops import Wake, waker

BATCH = 100
"""How many operations share a transaction at most."""

CLOSE_SECONDS = 5.0

T = TypeVar("T")
C = TypeVar("C")


class Job(Generic[T]):
    """One operation on its way; `left` when whoever wanted it has gone."""

    def __init__(self, operation: T) -> None:
        self.operation = operation
        self.answer: object = None
        self.error: Exception | None = None
        self.left = False
        self.wake = waker()
        self.done = anyio.Event()


class Worker(ABC, Generic[T, C]):
    """Keeps one connection, from the first operation on, and makes another after an error."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Job[T] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def connect(self) -> C:
        """A new connection."""

    @abstractmethod
    def work(self, connection: C, jobs: Sequence[Job[T]]) -> None:
        """Give each job its answer, in one transaction. What it raises is every job's error."""

    @abstractmethod
    def close(self, connection: C) -> None:
        """Close a connection, which may be broken."""

    async def do(self, operation: T) -> object:
        """Queue the operation and wait for its answer; raises what `work` raised.

        Cancelled, it leaves at once; the operation may be done for all that.
        """
        if self._thread is None:
            # The thread and its connection end with their queue.
            self._queue = queue.SimpleQueue()
            self._thread = threading.Thread(target=self._run, args=(self._queue,), daemon=True)
            self._thread.start()
        job = Job(operation)
        self._queue.put(job)
        try:
            await job.done.wait()
        except BaseException:
            job.left = True
            raise
        if job.error is not None:
            raise job.error
        return job.answer

    async def aclose(self) -> None:
        """Do what has queued and end the thread, which is left to itself after some seconds."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(thread.join, CLOSE_SECONDS)

    def _run(self, waiting: queue.SimpleQueue[Job[T] | None]) -> None:
        connection: C | None = None
        job = waiting.get()
        while job is not None:
            jobs = [job]
            while len(jobs) < BATCH and not waiting.empty():
                if (job := waiting.get()) is None:
                    break
                jobs.append(job)
            connection = self._do(connection, jobs)
            job = job and waiting.get()
        self._drop(connection)

    def _do(self, connection: C | None, jobs: Sequence[Job[T]]) -> C | None:
        try:
            if connection is None:
                connection = self.connect()
            self.work(connection, jobs)
        except Exception as error:
            for job in jobs:
                job.error = error
            self._drop(connection)
            connection = None
        sleepers: dict[Wake, list[Job[T]]] = {}
        for job in jobs:
            sleepers.setdefault(job.wake, []).append(job)
        for wake, woken in sleepers.items():
            # An event loop that has ended has nobody left who waits.
            with suppress(RuntimeError):
                wake(partial(_finish, woken))
        return connection

    def _drop(self, connection: C | None) -> None:
        if connection is not None:
            with suppress(Exception):
                self.close(connection)


def _finish(jobs: Sequence[Job[T]]) -> None:
    for job in jobs:
        job.done.set()
