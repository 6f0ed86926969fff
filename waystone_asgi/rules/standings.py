"""Who asks, as far as rules care: which conditions hold, and the names of the counters.

In: a subject. Out: its `Standing`. The same callers come again and again with the same metadata, so
that of the last ones is kept, bounded in number and each in size. Conditions on the age of
something are asked each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct, field

from ..records import Route
from ..types import Layers
from ..wire.members import encode
from .conditions import Holds
from .counting import GROUP, USER, Selection, ids_of
from .decisions import Decision, Subject
from .judging import Ruling

REMEMBERED = 2048
"""Of how many callers the standing is remembered."""

LONGEST = 1024
"""How many bytes of JSON the metadata of a remembered entity has at most."""

_MOST_TEMPLATES = 4

Template: TypeAlias = tuple[Ruling, Decision]
"""A ruling, and its decision for one caller but for the amounts that vary."""

_Key: TypeAlias = tuple[str, str | None, str | None, str | None, str | None]


class Standing(Struct, frozen=True, gc=False):
    """What the rules make of whoever asks.

    `present` says whether a user and a group are named, `held` of each condition whether it holds,
    `names` how the counters are called that count for them. It is that of these very layers.
    `templates` are of decisions on requests, by their routes.
    """

    user_metadata: Layers
    group_metadata: Layers
    present: int
    held: tuple[bool, ...]
    names: tuple[str, ...]
    templates: dict[Route, Template] = field(default_factory=dict)

    def keep(self, route: Route, template: Template) -> None:
        """Remember the template for requests that go there."""
        if len(self.templates) >= _MOST_TEMPLATES:
            self.templates.clear()
        self.templates[route] = template


class Standings:
    """Tells standings. `timed` are the numbers of the conditions that time alone can change."""

    def __init__(
        self, conditions: Sequence[Holds], timed: Sequence[int], selections: Sequence[Selection]
    ) -> None:
        self._conditions = tuple(conditions)
        self._timed = tuple(timed)
        self._selections = selections
        self._known: dict[_Key, Standing] = {}

    def of(self, subject: Subject) -> Standing:
        """The standing of whoever asks, now."""
        user, group = subject.identity.user, subject.identity.group
        key = (
            subject.principal,
            None if user is None else user.id,
            None if user is None else user.source,
            None if group is None else group.id,
            None if group is None else group.source,
        )
        known = self._known.get(key)
        if (
            known is None
            or known.user_metadata is not subject.user_metadata
            or known.group_metadata is not subject.group_metadata
        ):
            return self._learn(key, subject)
        if not self._timed:
            return known
        held = known.held
        for number in self._timed:
            if (holds := self._conditions[number](subject)) is not held[number]:
                held = (*held[:number], holds, *held[number + 1 :])
        if held is not known.held:
            known = Standing(
                known.user_metadata, known.group_metadata, known.present, held, known.names
            )
            self._known[key] = known
        return known

    def _learn(self, key: _Key, subject: Subject) -> Standing:
        identity = subject.identity
        present = (identity.user is not None and USER) + (identity.group is not None and GROUP)
        ids = ids_of(subject)
        standing = Standing(
            subject.user_metadata,
            subject.group_metadata,
            present,
            tuple([holds(subject) for holds in self._conditions]),
            tuple([prefix + ids[of] for prefix, of in self._selections[present].keys]),
        )
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.pop(key, None)
        if _is_small(subject.user_metadata) and _is_small(subject.group_metadata):
            self._known[key] = standing
        return standing


def _is_small(layers: Layers) -> bool:
    """Whether the layers may be kept for longer than the request."""
    return sum([len(encode(fields)) for fields in layers.values()]) <= LONGEST
