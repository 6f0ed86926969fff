"""The members of a request, each taken once by name, so that nothing is left out in silence.

In: a decoded request. Out: typed values; in the end the names of those that nobody took.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from ..exceptions import InvalidRequestError
from .members import MALFORMED
from .requests import ChatRequest

T = TypeVar("T")

_SAYS_NOTHING = (b"null", b"false", b"{}", b"[]", b'""')
# What OpenAI's API reference gives as the default of a member says nothing either.
_DEFAULTS = {
    "frequency_penalty": (b"0", b"0.0"),
    "presence_penalty": (b"0", b"0.0"),
    "n": (b"1", b"1.0"),
    "service_tier": (b'"auto"',),
    "modalities": (b'["text"]',),
    "top_logprobs": (b"0",),
    "verbosity": (b'"medium"',),
}
_SPEAKS_EMPTY = frozenset({"web_search_options"})  # That it is there says: search.
_NOT_FOR_PROVIDERS = frozenset({"model", "messages", "stream", "stream_options"})
_OURS = "waystone"
_MOST_NAMES = 20
_LONGEST_NAME = 60


class Fields:
    """What a request gives, for a dialect that writes another one.

    Whoever maps a member takes it. `drop` names what is lost inside of one, `tools[].strict`.
    """

    def __init__(self, request: ChatRequest) -> None:
        self._members = request.members
        self._taken = set(_NOT_FOR_PROVIDERS)
        self._lost: dict[str, None] = {}
        if not set(request.view.metadata or ()) - {_OURS}:
            self._taken.add("metadata")

    def __contains__(self, name: str) -> bool:
        return name in self._members and bytes(self._members[name]) != b"null"

    def take(self, name: str, kind: type[T] | Any = Any) -> T | None:
        """The value of a member, None where it is missing or null.

        Raises `InvalidRequestError` with its path where it is not of the kind.
        """
        self._taken.add(name)
        if name not in self:
            return None
        try:
            value: T = msgspec.json.decode(self._members[name], type=kind)
        except MALFORMED as error:
            what, _, path = str(error).partition(" - at `$")
            where = name + path.rstrip("`")
            raise InvalidRequestError(f"{where}: {what}.", param=where) from None
        return value

    def take_whole(self, name: str) -> int | None:
        """The same of a whole number, whatever its spelling."""
        value = self.take(name, int | float)
        if value is not None and value != int(value):
            raise InvalidRequestError(f"{name}: Expected a whole number.", param=name)
        return None if value is None else int(value)

    def raw(self, name: str) -> msgspec.Raw | None:
        """The same, as it was written."""
        self._taken.add(name)
        return self._members[name] if name in self else None

    def drop(self, name: str) -> None:
        """Note that something is lost, where it is not a whole member."""
        self._lost[name] = None

    def check(self, *, strict: bool) -> tuple[str, ...]:
        """What was left out, by name. Where that may not be: raises `InvalidRequestError`."""
        dropped = self.dropped
        if strict:
            refuse(dropped)
        return dropped

    @property
    def dropped(self) -> tuple[str, ...]:
        """What was left out though it says something, by name."""
        said = [
            name
            for name, raw in self._members.items()
            if name not in self._taken and not _says_nothing(name, bytes(raw))
        ]
        return (*said, *self._lost)


def refuse(dropped: Sequence[str]) -> None:
    """Raise `InvalidRequestError` where something would be left out.

    It names them, or where there are many the first, and never more than what begins a name.
    """
    if dropped:
        names = ", ".join([name[:_LONGEST_NAME] for name in dropped[:_MOST_NAMES]])
        more = len(dropped) - _MOST_NAMES
        also = f", and {more} more" if more > 0 else ""
        first = dropped[0][:_LONGEST_NAME]
        raise InvalidRequestError(f"The provider does not take: {names}{also}.", param=first)


def _says_nothing(name: str, raw: bytes) -> bool:
    if raw == b"{}" and name in _SPEAKS_EMPTY:
        return False
    return raw in _SAYS_NOTHING or raw in _DEFAULTS.get(name, ())
