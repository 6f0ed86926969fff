"""Users and groups in a store that others use too, and a bounded memory of it before.

In: entities as requests name them. Out: their layers of metadata. A request asks the store only for
what it does not know, or for what it changes, and waits for it a moment at most.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import anyio
from anyio.abc import TaskStatus

from ..exceptions import RequestTooLargeError
from ..records import Entity, Source
from ..types import EntityStore, JSONObject, Layers
from .backlog import Backlog
from .jobs import Job, Jobs
from .known import Known, Stored
from .layers import NO_LAYERS, effective, merge, plain, too_large

_DOWN_SECONDS = 1.0


class Named(NamedTuple):
    """What a request says of one user or group: `layers` as they are with that, as far as known.

    `until` is when they are to be asked for, 0 where the store is to be asked now.
    """

    kind: str
    id: str
    source: Source
    changes: JSONObject
    layers: Layers
    until: float
    changed: bool


class CachedEntities:
    """An `Entities` over `store`, which several processes may use.

    What a request names is remembered for `ttl` seconds, for at most `size` users, groups and links
    each, in `max_bytes` each; so long a change by another process may go unseen, and so long
    metadata that is repeated unchanged is not written again. A request that names someone new, or
    changes metadata, waits for the store at most `deadline` seconds.

    When the store is slow or down, requests fail open: they go on with what is remembered and what
    they brought themselves, and wait no more until it is prompt again. So a rule about stored
    metadata may not apply meanwhile. What they change is written in the background, and again until
    it succeeds. At most `queue` users, groups and links wait for that, and what comes on top is
    lost and logged; so is what is left when `run` ends and the store is still down.

    `run` opens the store and closes it; the gateway runs it. `clock` is monotonic.
    """

    def __init__(
        self,
        store: EntityStore,
        *,
        size: int = 100_000,
        max_bytes: int = 64 * 1024 * 1024,
        ttl: float = 30.0,
        deadline: float = 0.05,
        queue: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self.store = store
        self._ttl = ttl
        self._deadline = deadline
        self._clock = clock
        self._known = Known(limit=size, max_bytes=max_bytes)
        self._jobs = Jobs(limit=queue, clock=clock)
        self._backlog = Backlog(
            store,
            self._jobs,
            deadline=deadline,
            finished=self._finished,
            clock=clock,
            sleep=sleep,
        )

    @property
    def dropped(self) -> int:
        """How many changes were lost."""
        return self._jobs.dropped

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keep the store open until cancelled, and write what is left. Raises `ConfigurationError`
        before it is started, and nothing else.
        """
        await self._backlog.run(task_status=task_status)

    async def merge(self, user: Entity | None, group: Entity | None) -> tuple[Layers, Layers]:
        """See `types.Entities`."""
        return self._known.seen(user, group, self._clock()) or await self._merge(user, group)

    async def metadata(self, kind: str, id: str) -> JSONObject | None:
        """See `types.Entities`. What the store does not say in time is as it is remembered."""
        stored = self._known.of(kind).entries.get(id)
        if stored is None or stored.until <= self._clock():
            job = self._ask((kind, id))
            await self._wait([job])
            if job is not None and job.ok:
                return None if job.layers is None else effective(job.layers)
        return None if stored is None else effective(stored.layers)

    async def linked(self, user: str, group: str) -> bool:
        """Whether the user was ever named together with the group; raises what the store raises."""
        return (user, group) in self._known.links.entries or await self.store.linked(user, group)

    async def _merge(self, user: Entity | None, group: Entity | None) -> tuple[Layers, Layers]:
        # Both are looked at before either is changed.
        mine, theirs = self._named("user", user), self._named("group", group)
        jobs = [self._begin(mine), self._begin(theirs)]
        if mine is not None and theirs is not None:
            link = (mine.id, theirs.id)
            if link not in self._known.links.entries:
                jobs.append(job := self._ask(("link", *link)))
                if job is not None:
                    self._known.links.put(link, None)
        await self._wait(jobs)
        return _outcome(mine, jobs[0]), _outcome(theirs, jobs[1])

    def _named(self, kind: str, entity: Entity | None) -> Named | None:
        if entity is None:
            return None
        stored = self._known.of(kind).entries.get(entity.id)
        known = self._pending(kind, entity.id, NO_LAYERS) if stored is None else stored.layers
        changes = plain(kind, entity.metadata)
        layers = merge(kind, known, entity.layer, changes)
        until = 0.0 if stored is None or stored.until <= self._clock() else stored.until
        changed = stored is None or layers is not stored.layers
        return Named(kind, entity.id, entity.layer, changes, layers, until, changed)

    def _begin(self, named: Named | None) -> Job | None:
        """Remember what was said, and ask the store where it has to know or is to be asked."""
        if named is None or (named.until and not named.changed):
            return None
        job = self._ask((named.kind, named.id), named.source, named.changes)
        until = named.until
        if self._backlog.breaker.down:
            until = max(until, self._clock() + _DOWN_SECONDS)
        self._known.of(named.kind).put(named.id, Stored(named.layers, until))
        return job

    def _ask(
        self, key: tuple[str, ...], source: Source | None = None, changes: JSONObject | None = None
    ) -> Job | None:
        job = self._jobs.add(key, source, changes)
        self._backlog.work()
        return job

    async def _wait(self, jobs: Iterable[Job | None]) -> None:
        if self._backlog.breaker.down:
            return
        with anyio.move_on_after(self._deadline) as scope:
            for job in jobs:
                if job is not None:
                    await job.done.wait()
        if scope.cancelled_caught:
            self._backlog.breaker.late("is slow")

    def _pending(self, kind: str, id: str, layers: Layers) -> Layers:
        """The layers with what is still to be merged into them."""
        for changes in self._jobs.pending((kind, id)):
            for source, fields in changes.items():
                try:
                    layers = merge(kind, layers, source, fields)
                except RequestTooLargeError:
                    continue  # The store will say so.
        return layers

    def _finished(self, job: Job) -> None:
        """The store has answered: believe it."""
        kind, id, *group = job.key
        if group:
            return
        if job.layers is None or job.refused:
            self._known.of(kind).discard(id)
            return
        layers = self._pending(kind, id, job.layers)
        self._known.of(kind).put(id, Stored(layers, self._clock() + self._ttl))


def _outcome(named: Named | None, job: Job | None) -> Layers:
    if named is None:
        return NO_LAYERS
    if job is None or not job.ok:
        return named.layers
    if named.changes and named.source in job.refused:
        raise too_large(named.kind)
    return named.layers if job.layers is None else job.layers
