"""Users and groups in this process's memory, bounded; the least recently named go first.

In: entities as requests name them. Out: their merged metadata. Nothing is shared between gateways.
"""

from __future__ import annotations

from collections import OrderedDict

from ..records import Entity
from ..types import JSONObject


class MemoryEntities:
    """An `Entities` that forgets with the process. `limit` bounds users, groups and links each."""

    def __init__(self, *, limit: int = 100_000) -> None:
        self._limit = limit
        self._metadata: dict[str, OrderedDict[str, JSONObject]] = {
            "user": OrderedDict(),
            "group": OrderedDict(),
        }
        self._links: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def merge(self, user: Entity | None, group: Entity | None) -> None:
        """See `types.Entities`."""
        if user is not None:
            self._merge("user", user)
        if group is not None:
            self._merge("group", group)
        if user is not None and group is not None:
            self._links[user.id, group.id] = None
            self._links.move_to_end((user.id, group.id))
            if len(self._links) > self._limit:
                self._links.popitem(last=False)

    async def metadata(self, kind: str, id: str) -> JSONObject | None:
        """See `types.Entities`."""
        stored = self._metadata[kind].get(id)
        return None if stored is None else dict(stored)

    async def linked(self, user: str, group: str) -> bool:
        """Whether the user was ever named together with the group."""
        return (user, group) in self._links

    def _merge(self, kind: str, entity: Entity) -> None:
        entities = self._metadata[kind]
        stored = entities.setdefault(entity.id, {})
        entities.move_to_end(entity.id)
        for key, value in (entity.metadata or {}).items():
            if value is None:
                stored.pop(key, None)
            else:
                stored[key] = value
        if len(entities) > self._limit:
            entities.popitem(last=False)
