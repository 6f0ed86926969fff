"""Checks of what an operator wrote.

In: any value at all. Out: the value in the one form that the rules work with, or a `SettingError`
that names the setting and says what would be right. It shows no more of a value than its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import fields

from ..exceptions import ConfigurationError
from ..tables import join, unknown_key

_Table = TypeVar("_Table", bound=Struct)

MOST = 2**53
"""Counters count so far at most: beyond it not every backend is exact."""
LONGEST = 256

_NANO = 10**9
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST_DURATION = 36_500 * 86_400


class SettingError(ConfigurationError):
    """What is wrong with the setting at `path`, seen from where the error is now."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason

    def within(self, path: str) -> SettingError:
        """The same, seen from one table further out."""
        return SettingError(f"{path}.{self.path}" if self.path else path, self.reason)


def table(value: object, kind: type[_Table], path: str) -> _Table:
    """A mapping as the Struct whose keywords it holds; such a Struct is taken as it is."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise SettingError(path, f"expected a table of {', '.join(kind.__struct_fields__)}.")
    known = {field.name: field.required for field in fields(kind)}
    for key in value:
        if key not in known:
            raise SettingError(join(path, key), unknown_key(key, known))
    for key, required in known.items():
        if required and key not in value:
            raise SettingError(path, f"{key} is missing.")
    try:
        return kind(**value)
    except SettingError as error:
        raise error.within(path) from None


def items(value: object, path: str, what: str) -> tuple[Any, ...]:
    """A list or tuple that holds something."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
        raise SettingError(path, f"expected {what}, at least one, in a list.")
    return tuple(value)


def text(value: object, path: str, what: str, longest: int = LONGEST) -> str:
    """A string that says something and can be sent."""
    if not isinstance(value, str) or not value.strip():
        raise SettingError(path, f"expected {what}, as a string.")
    if len(value) > longest:
        raise SettingError(path, f"expected at most {longest} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SettingError(path, "expected whole characters of Unicode.") from None
    return value


def count(value: object, path: str, least: int = 0, most: int = MOST) -> int:
    """A whole number between bounds; 128.0 is one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingError(path, f"expected a whole number from {least} to {most}.")
    return value


def number(value: object, path: str, most: float) -> float:
    """A number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise SettingError(path, f"expected a number above 0, at most {most}.")
    return float(value)


def flag(value: object, path: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise SettingError(path, "expected true or false.")
    return value


def choice(value: object, path: str, known: Sequence[str]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in known:
        raise SettingError(path, f"expected one of {', '.join(known)}.")
    return value


def duration(value: object, path: str) -> int:
    """Seconds, from `45s`, `90m`, `12h`, `30d` or `2w`."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_DURATION:
        raise SettingError(path, 'expected a duration such as "45s", "90m", "12h" or "30d".')
    return seconds


def nanodollars(value: object, path: str) -> int:
    """Dollars as whole nano-dollars."""
    if not isinstance(value, bool) and isinstance(value, int | float | Decimal):
        try:
            amount = Decimal(str(value)) * _NANO
            if amount == 0 or 1 <= amount <= MOST:
                return round(amount)
        except InvalidOperation:  # a signalling NaN
            pass
    raise SettingError(path, f"expected dollars, 0 or more and at most {MOST // _NANO}.")
