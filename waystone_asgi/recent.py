"""Mappings that do not grow for ever: bounded in entries and in bytes.

In: keys and values. Out: those used most recently. It locks nothing: one event loop uses it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

MODELS = 16_384
"""Of how many models is remembered what was worked out for each: more than a large catalog has."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `limit` entries, of at most `max_bytes` as `weigh` counts; the least recent go first.

    `entries` is for reading: a reader moves what it uses to the end. `weigh` gives the same number
    for an entry as long as the entry is there.
    """

    __slots__ = ("_limit", "_max_bytes", "_weigh", "bytes", "entries")

    def __init__(self, *, limit: int, max_bytes: int, weigh: Callable[[K, V], int]) -> None:
        self.entries: OrderedDict[K, V] = OrderedDict()
        self.bytes = 0
        self._limit = limit
        self._max_bytes = max_bytes
        self._weigh = weigh

    def __len__(self) -> int:
        return len(self.entries)

    def put(self, key: K, value: V) -> None:
        """Keep the value as the most recent one, in the place of the key's former one."""
        self.discard(key)
        self.entries[key] = value
        self.bytes += self._weigh(key, value)
        while len(self.entries) > self._limit or self.bytes > self._max_bytes:
            oldest, its = self.entries.popitem(last=False)
            self.bytes -= self._weigh(oldest, its)

    def discard(self, key: K) -> None:
        """Forget the key, if it is known."""
        if key in self.entries:
            self.bytes -= self._weigh(key, self.entries.pop(key))
