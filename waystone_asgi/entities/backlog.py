"""Does what waits for the store of users and groups, beside the requests.

In: a store, and the queue before it. Out: answered jobs, and whether waiting for one makes sense.
What fails is tried again until it succeeds: after a pause, and at the end of the queue, so that it
stands in nobody's way. What fails again and again while other jobs succeed is given up.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup, TaskStatus

from ..exceptions import ConfigurationError, RequestTooLargeError
from ..types import EntityStore
from .jobs import Job, Jobs

WORKERS = 8
STORE_SECONDS = 5.0
CLOSE_SECONDS = 5.0
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0

_PATIENCE = 3
_QUIET_SECONDS = 10.0
_STRIKES = 5

logger = logging.getLogger("waystone_asgi")


class Breaker:
    """Whether to wait for the store: not while `down`, from the third time in a row that it is
    late or fails until it is prompt again. It is told at most every few seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._late = 0
        self._quiet_until = -math.inf
        self._told = False
        self.down = True

    def begin(self) -> None:
        """The store is open."""
        self._late = 0
        self.down = False

    def late(self, how: str) -> None:
        """The store has let somebody wait for too long, or has failed."""
        self._late += 1
        if self._late < _PATIENCE or self.down:
            return
        self.down = True
        if self._clock() >= self._quiet_until:
            self._quiet_until = self._clock() + _QUIET_SECONDS
            self._told = True
            logger.warning("The store of users and groups %s: requests go on without it.", how)

    def prompt(self) -> None:
        """The store has answered in time."""
        self._late = 0
        self.down = False
        if self._told:
            self._told = False
            logger.info("The store of users and groups answers in time again.")


class Backlog:
    """Works off `jobs` with `store` while it runs; `finished` is called with each answered one.

    A call is late after `deadline` seconds and has failed after `store_seconds`; what is left at
    the end has `close_seconds`.
    """

    def __init__(
        self,
        store: EntityStore,
        jobs: Jobs,
        *,
        deadline: float,
        finished: Callable[[Job], None],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        store_seconds: float = STORE_SECONDS,
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._deadline = deadline
        self._finished = finished
        self._clock = clock
        self._sleep = sleep
        self._store_seconds = store_seconds
        self._close_seconds = close_seconds
        self._tasks: TaskGroup | None = None
        self._workers = 0
        self._pause = FIRST_PAUSE
        self._answered = 0
        self.breaker = Breaker(clock)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Open the store and ask it, until cancelled; then what is left, in bounded time.

        Raises the store's `ConfigurationError` before it is started, and nothing else.
        """
        try:
            await self._open()
            async with anyio.create_task_group() as self._tasks:
                task_status.started()
                for _ in range(WORKERS):
                    self.work()
                await anyio.sleep_forever()
        finally:
            self._tasks = None
            self.breaker.down = True
            with anyio.CancelScope(shield=True):
                await self._close()

    def work(self) -> None:
        """Something has been queued: see that somebody does it."""
        if self._tasks is not None and self._jobs.waiting and self._workers < WORKERS:
            self._workers += 1
            self._tasks.start_soon(self._work)

    async def _open(self) -> None:
        try:
            with anyio.fail_after(self._store_seconds):
                await self._store.open()
        except ConfigurationError:
            raise
        except Exception as error:
            reason = type(error).__name__
            logger.warning("The store of users and groups cannot be opened yet: %s.", reason)
        else:
            self.breaker.begin()

    async def _close(self) -> None:
        with anyio.move_on_after(self._close_seconds):
            while (job := self._jobs.take()) is not None and await self._do(job):
                pass
        if left := len(self._jobs):
            logger.error("%d users and groups were not stored in time.", left)
        try:
            with anyio.fail_after(self._close_seconds):
                await self._store.aclose()
        except Exception:
            logger.exception("The store of users and groups could not be closed.")

    async def _work(self) -> None:
        try:
            while (job := self._jobs.take()) is not None:
                if not await self._do(job):
                    pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
                    await self._sleep(pause)
        finally:
            self._workers -= 1

    async def _do(self, job: Job) -> bool:
        """Ask the store. False when it has failed; then the job waits, and may be done again."""
        started = self._clock()
        try:
            with anyio.fail_after(self._store_seconds):
                await self._perform(job)
            job.ok = True
        except Exception as error:
            self._failed(job)
            self.breaker.late(f"fails ({type(error).__name__})")
        except BaseException:
            self._jobs.again(job)
            raise
        else:
            self._succeeded(job, started)
        finally:
            job.done.set()
        return job.ok

    async def _perform(self, job: Job) -> None:
        kind, id, *group = job.key
        if group:
            await self._store.link(id, group[0])
        elif not job.changes:
            job.layers = await self._store.read(kind, id)
        for source, changes in job.changes.items():
            try:
                job.layers = await self._store.merge(kind, id, source, changes)
            except RequestTooLargeError:
                job.refused.add(source)

    def _failed(self, job: Job) -> None:
        if self._answered > job.mark >= 0:
            job.strikes += 1
        job.mark = self._answered
        if job.strikes >= _STRIKES:
            self._jobs.give_up(job)
        else:
            self._jobs.again(job)

    def _succeeded(self, job: Job, started: float) -> None:
        self._pause = FIRST_PAUSE
        self._answered += 1
        self._jobs.end(job)
        self._finished(job)
        # Behind a long queue the store may be prompt, and whoever comes last waits nevertheless.
        now = self._clock()
        since = started if not self._jobs.waiting else job.since
        if now - since <= self._deadline:
            self.breaker.prompt()
        else:
            self.breaker.late("is slow")
