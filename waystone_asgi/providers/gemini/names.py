"""Names: what a model's tells of it, and the two spellings of members of Gemini's own."""

from __future__ import annotations

import re
from functools import cache

from ...wire.fields import Fields
from ...wire.gemini.contents import Raw

_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_NEWEST, _NONE = (99, 0), (0, 0)
_WORD = re.compile(r"(?=[A-Z])")


def generation_of(model: str) -> tuple[int, int]:
    """The version in the name; `gemini-flash-latest` is of the newest, `gemma-3` is of none."""
    found = _GENERATION.search(model)
    if found is None:
        return _NEWEST if "gemini" in model else _NONE
    return int(found[1]), int(found[2] or 0)


def take_own(fields: Fields, name: str) -> Raw | None:
    """A member of Gemini's own API, in camel or in snake case."""
    return fields.raw(name) or fields.raw(_in_snake_case(name))


@cache
def _in_snake_case(name: str) -> str:
    return _WORD.sub("_", name).lower()
