"""Users and groups in this process's memory, bounded; the least recently named go first.

In: entities as requests name them. Out: their layers of metadata. Nothing is shared between
gateways.
"""

from __future__ import annotations

from ..records import Entity, Source
from ..types import JSONObject, Layers
from .known import Known, Stored
from .layers import NO_LAYERS, effective, merge, plain


class MemoryEntities:
    """An `Entities` that forgets with the process.

    `limit` bounds users, groups and links each, and so does `max_bytes`, about.
    """

    def __init__(self, *, limit: int = 100_000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._known = Known(limit=limit, max_bytes=max_bytes)

    async def merge(self, user: Entity | None, group: Entity | None) -> tuple[Layers, Layers]:
        """See `types.Entities`."""
        return self._known.seen(user, group) or self._merge(user, group)

    async def metadata(self, kind: str, id: str) -> JSONObject | None:
        """See `types.Entities`."""
        stored = self._known.of(kind).entries.get(id)
        return None if stored is None else effective(stored.layers)

    async def linked(self, user: str, group: str) -> bool:
        """Whether the user was ever named together with the group."""
        return (user, group) in self._known.links.entries

    def _merge(self, user: Entity | None, group: Entity | None) -> tuple[Layers, Layers]:
        # Both are looked at before either is changed.
        mine, theirs = self._merged("user", user), self._merged("group", group)
        if user is not None and mine is not None:
            self._known.users.put(user.id, mine)
        if group is not None and theirs is not None:
            self._known.groups.put(group.id, theirs)
        if user is not None and group is not None:
            self._known.links.put((user.id, group.id), None)
        return (
            NO_LAYERS if mine is None else mine.layers,
            NO_LAYERS if theirs is None else theirs.layers,
        )

    def _merged(self, kind: str, entity: Entity | None) -> Stored | None:
        if entity is None:
            return None
        stored = self._known.of(kind).entries.get(entity.id)
        if stored is not None and stored.holds(entity):
            return stored
        layers = NO_LAYERS if stored is None else stored.layers
        return Stored(merge(kind, layers, entity.layer, plain(kind, entity.metadata)))


class MemoryStore:
    """An `EntityStore` that forgets with the process, bounded as `MemoryEntities` is."""

    def __init__(self, *, limit: int = 100_000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._known = Known(limit=limit, max_bytes=max_bytes)

    async def open(self) -> None:
        """See `types.EntityStore`."""

    async def read(self, kind: str, id: str) -> Layers | None:
        """See `types.EntityStore`."""
        stored = self._known.of(kind).entries.get(id)
        return None if stored is None else stored.layers

    async def merge(self, kind: str, id: str, source: Source, changes: JSONObject) -> Layers:
        """See `types.EntityStore`."""
        stored = self._known.of(kind).entries.get(id)
        layers = merge(kind, NO_LAYERS if stored is None else stored.layers, source, changes)
        self._known.of(kind).put(id, Stored(layers))
        return layers

    async def link(self, user: str, group: str) -> None:
        """See `types.EntityStore`."""
        self._known.links.put((user, group), None)

    async def linked(self, user: str, group: str) -> bool:
        """See `types.EntityStore`."""
        return (user, group) in self._known.links.entries

    async def aclose(self) -> None:
        """See `types.EntityStore`."""
