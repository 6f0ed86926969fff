"""What becomes of a feature at a provider, in a word.

In: a column and a probe. Out: the word, told from what the dialect builds and from nothing else.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from waystone_asgi.exceptions import InvalidRequestError

from .columns import Column
from .probes import NOT_THINKING, THINKING
from .probing import Place, Probe

Word: TypeAlias = Literal["passed", "mapped", "mapped in part", "dropped", "refused", "lost"]
WORDS: tuple[Word, ...] = ("passed", "mapped", "mapped in part", "dropped", "refused", "lost")


def word(column: Column, probe: Probe) -> Word:
    """What the provider is told of the feature; `lost` where it is left out in silence."""
    try:
        asked = column.sent(probe.asked)
        plain = column.sent(probe.plain)
    except InvalidRequestError:
        return "refused"
    changed = (asked.body, asked.headers) != (plain.body, plain.headers)
    # A whole member may be left out with everything in it, and in the plain request as well.
    named = set(asked.dropped) - set(plain.dropped) or probe.place[0] in asked.dropped
    if named:
        return "mapped in part" if changed else "dropped"
    value = _at(probe.asked, probe.place)
    if _at(asked.body, probe.place) == value != _at(plain.body, probe.place):
        return "passed"
    return "mapped" if changed else "lost"


def is_needless(column: Column, probe: Probe) -> bool:
    """Whether the feature is what the model does anyway: one that cannot be told to think never
    thinks.
    """
    return probe is NOT_THINKING and word(column, THINKING) == "dropped"


def _at(document: Any, place: Place) -> Any:
    """What stands at the place, or None."""
    for step in place:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document
