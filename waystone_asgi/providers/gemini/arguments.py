"""Arguments of a call that come piece by piece, each under a JSON path (Vertex, where asked for).

In: pieces in their order. Out: the whole object, as JSON.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import UNSET

from ...wire.gemini.contents import FunctionCall, PartialArg
from ...wire.members import encode

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")


class Arguments:
    """The arguments of one call, as far as they have come."""

    __slots__ = ("_root", "call")

    def __init__(self, call: FunctionCall) -> None:
        self.call = call
        self._root: dict[str | int, Any] = {}

    def add(self, piece: PartialArg) -> None:
        """The next piece; texts under one path go on. Raises `ValidationError` for a bad path."""
        place: Any = self._root
        steps = _steps(piece.json_path)
        for step, following in pairwise(steps):
            empty: Any = [] if isinstance(following, int) else {}
            place = _enter(place, step, empty)
        last = steps[-1]
        if piece.string_value is not UNSET:
            before = _enter(place, last, "")
            place[last] = f"{before}{piece.string_value}"
        else:
            _enter(place, last, None)
            place[last] = _value(piece)

    def encode(self) -> bytes:
        """All of them."""
        return encode(self._root)


def _steps(path: str) -> list[str | int]:
    found = list(_STEP.finditer(path))
    if not found or path != "$" + "".join([step[0] for step in found]):
        raise msgspec.ValidationError("not a path to a value")
    return [int(step[2]) if step[2] else step[1] or step[3] or step[4] for step in found]


def _enter(place: Any, step: str | int, empty: Any) -> Any:
    """What stands at a step, which `empty` becomes if nothing does."""
    if isinstance(place, dict) and isinstance(step, str):
        return place.setdefault(step, empty)
    if not isinstance(place, list) or not isinstance(step, int) or step > len(place):
        raise msgspec.ValidationError("not a path to a value")
    if step == len(place):
        place.append(empty)
    return place[step]


def _value(piece: PartialArg) -> float | bool | None:
    if piece.number_value is not UNSET:
        return piece.number_value
    return None if piece.bool_value is UNSET else piece.bool_value
