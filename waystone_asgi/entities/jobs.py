"""The queue before a store of users and groups: one job a key, in order, bounded.

In: reads, merges and links. Out: jobs, one at a time for each key; what comes while a key's job is
under way waits in the next one. It awaits nothing.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeAlias

import anyio

from ..records import Source
from ..types import JSONObject, Layers
from .layers import encode

Key: TypeAlias = tuple[str, ...]
"""A kind and an id, or `"link"`, a user and a group."""

Changes: TypeAlias = dict[Source, JSONObject]

MAX_BYTES = 16 * 1024 * 1024

_JOB_BYTES = 500

logger = logging.getLogger("waystone_asgi")


class Job:
    """What the store is asked about one key; `done` when it has answered, or failed.

    Without `changes` it is a read, with empty ones a merge of nothing, which creates. When it is
    `ok`, `layers` is the answer, and `refused` has the sources whose changes do not fit.
    """

    __slots__ = (
        *("changes", "done", "key", "layers", "mark", "ok", "refused", "since", "strikes"),
        "weight",
    )

    def __init__(self, key: Key, since: float) -> None:
        self.key = key
        self.since = since
        self.changes: Changes = {}
        self.done = anyio.Event()
        self.layers: Layers | None = None
        self.ok = False
        self.refused: set[Source] = set()
        self.strikes = 0
        self.mark = -1
        self.weight = _JOB_BYTES


class Jobs:
    """At most `limit` jobs of `max_bytes` in all. `dropped` counts changes and links given up."""

    def __init__(
        self, *, limit: int, clock: Callable[[], float], max_bytes: int = MAX_BYTES
    ) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._clock = clock
        self._busy: dict[Key, Job] = {}
        self._waiting: OrderedDict[Key, Job] = OrderedDict()
        self._later: dict[Key, Job] = {}
        self._full = False
        self.bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._busy) + len(self._waiting) + len(self._later)

    @property
    def waiting(self) -> int:
        """How many could be taken now."""
        return len(self._waiting)

    def add(
        self, key: Key, source: Source | None = None, changes: JSONObject | None = None
    ) -> Job | None:
        """Queue a read, or a merge into the layer of `source`, or a link; None where all is full.

        What waits for the same key already is done in one go with it.
        """
        weight = len(encode(changes)) if changes else 0
        place = self._later if key in self._busy else self._waiting
        job = place.get(key)
        if job is None:
            if len(self) >= self._limit or self.bytes + weight + _JOB_BYTES > self._max_bytes:
                self._lose(key, changes)
                return None
            job = place[key] = Job(key, self._clock())
            self.bytes += _JOB_BYTES
        elif self.bytes + weight > self._max_bytes:
            self._lose(key, changes)
            return None
        if source is not None:
            job.changes[source] = job.changes.get(source, {}) | (changes or {})
        job.weight += weight
        self.bytes += weight
        self._full = False
        return job

    def take(self) -> Job | None:
        """The oldest job that can be done now."""
        if not self._waiting:
            return None
        key, job = self._waiting.popitem(last=False)
        self._busy[key] = job
        return job

    def end(self, job: Job) -> None:
        """The job is done with."""
        del self._busy[job.key]
        self.bytes -= job.weight
        if (newer := self._later.pop(job.key, None)) is not None:
            self._waiting[job.key] = newer

    def again(self, job: Job) -> None:
        """The job has failed: what it wanted waits at the end, below what came meanwhile."""
        del self._busy[job.key]
        if (newer := self._later.pop(job.key, None)) is None:
            newer = Job(job.key, job.since)
        else:
            self.bytes -= _JOB_BYTES
        for source, changes in job.changes.items():
            newer.changes[source] = changes | newer.changes.get(source, {})
        newer.strikes, newer.mark = job.strikes, job.mark
        newer.weight += job.weight - _JOB_BYTES
        self._waiting[job.key] = newer

    def give_up(self, job: Job) -> None:
        """The job has failed for good."""
        self.end(job)
        self.dropped += 1
        logger.error("The store of users and groups fails for one of them: it is given up.")

    def pending(self, key: Key) -> Iterator[Changes]:
        """What is to be merged for the key, the oldest first."""
        for place in (self._busy, self._waiting, self._later):
            if (job := place.get(key)) is not None:
                yield job.changes

    def _lose(self, key: Key, changes: JSONObject | None) -> None:
        if changes or key[0] == "link":
            self.dropped += 1
            if not self._full:
                logger.error("Too many users and groups wait for their store: changes are lost.")
            self._full = True
