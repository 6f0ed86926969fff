"""What this process knows of users, groups and links: bounded, and quick to ask.

In: entities as requests name them. Out: their layers, where merging them would change nothing. It
asks no store.
"""

from __future__ import annotations

from sys import getsizeof
from typing import TypeAlias

from ..recent import Recent
from ..records import Entity
from ..types import JSONObject, Layers
from .layers import NO_LAYERS, holds, weigh

FOREVER = float("inf")

_ENTRY_BYTES = 600
_LINK_BYTES = 400
_NO_METADATA: JSONObject = {}

Link: TypeAlias = tuple[str, str]


class Stored:
    """The layers of one entity, believed `until` a monotonic time, and who last found them so."""

    __slots__ = ("layers", "said", "until", "weight")

    def __init__(self, layers: Layers, until: float = FOREVER) -> None:
        self.layers = layers
        self.until = until
        self.said: Entity | None = None
        # Once for the layers, and once for the metadata of the entity that said so.
        self.weight = _ENTRY_BYTES + 2 * weigh(layers)

    def holds(self, entity: Entity) -> bool:
        """Whether merging the entity would change nothing; the next time it need not be asked."""
        metadata = entity.metadata
        if not metadata:
            self.said = entity
        elif not holds(self.layers.get(entity.layer, _NO_METADATA), metadata):
            return False
        elif None not in metadata.values():
            self.said = entity
        return True


class Known:
    """Users, groups and links, at most `limit` and `max_bytes` of each."""

    def __init__(self, *, limit: int, max_bytes: int) -> None:
        def entities() -> Recent[str, Stored]:
            return Recent(limit=limit, max_bytes=max_bytes, weigh=_weigh_entity)

        self.users = entities()
        self.groups = entities()
        self.links: Recent[Link, None] = Recent(limit=limit, max_bytes=max_bytes, weigh=_weigh_link)

    def of(self, kind: str) -> Recent[str, Stored]:
        """The entities of a kind."""
        return self.users if kind == "user" else self.groups

    def seen(
        self, user: Entity | None, group: Entity | None, now: float = 0.0
    ) -> tuple[Layers, Layers] | None:
        """The layers of both, or None where something is new, has changed or is not believed."""
        mine = theirs = NO_LAYERS
        if user is not None:
            stored = self.users.entries.get(user.id)
            if stored is None or stored.until <= now:
                return None
            if stored.said is not user and not stored.holds(user):
                return None
            self.users.entries.move_to_end(user.id)
            mine = stored.layers
        if group is not None:
            stored = self.groups.entries.get(group.id)
            if stored is None or stored.until <= now:
                return None
            if stored.said is not group and not stored.holds(group):
                return None
            self.groups.entries.move_to_end(group.id)
            theirs = stored.layers
            if user is not None:
                link = (user.id, group.id)
                if link not in self.links.entries:
                    return None
                self.links.entries.move_to_end(link)
        return mine, theirs


def _weigh_entity(id: str, stored: Stored) -> int:
    return stored.weight + getsizeof(id)


def _weigh_link(link: Link, _: None) -> int:
    return _LINK_BYTES + getsizeof(link[0]) + getsizeof(link[1])
