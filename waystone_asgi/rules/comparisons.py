"""Comparisons of a metadata field with what a condition asks, as JSON values.

In: an operator and its operand. Out: a test of `(value, now)`. A field that is missing is None, as
JSON null is: it removes a field. Strings, numbers and booleans never equal each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import TypeAlias

from .checks import SettingError, duration, items

Test: TypeAlias = Callable[[object, float], bool]

LONGEST_TIME = 64
"""No time in ISO 8601 has more characters; longer strings are not looked at."""

_NUMBERS = (int, float)


def same(left: object, right: object) -> bool:
    """Whether two values are the same in JSON: 1 is 1.0, and neither true nor "1"."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS):
        return left == right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, str) and isinstance(right, str) and left == right


def moment(value: object) -> float | None:
    """The Unix time that a value stands for: a number, or ISO 8601, in UTC unless it says else."""
    if isinstance(value, _NUMBERS) and not isinstance(value, bool):
        return value
    return _parse(value) if isinstance(value, str) and len(value) <= LONGEST_TIME else None


@lru_cache(maxsize=4096)
def _parse(value: str) -> float | None:
    try:
        date = datetime.fromisoformat(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def check_operand(operator: str, operand: object) -> object:
    """The operand in the form that `comparison` takes; raises `SettingError`."""
    if operator in ("is_true", "is_false", "exists"):
        if operand is not True:
            raise SettingError(operator, "expected true.")
    elif operator == "one_of":
        operand = items(operand, operator, "values")
        for index, member in enumerate(operand):
            _check_value(member, f"{operator}[{index}]")
    elif operator in ("less_than", "greater_than"):
        if isinstance(operand, bool) or not isinstance(operand, int | float | str):
            raise SettingError(operator, "expected a number or a string.")
        _check_value(operand, operator)
    elif operator in ("newer_than", "older_than"):
        duration(operand, operator)
    else:
        _check_value(operand, operator)
    return operand


def comparison(operator: str, operand: object) -> Test:
    """The test of a value by an operator, whose operand has been checked."""
    match operator, operand:
        case "equals", str():
            return lambda value, now: value == operand
        case "equals", _:
            return lambda value, now: same(value, operand)
        case "not_equals", str():
            return lambda value, now: value != operand
        case "not_equals", _:
            return lambda value, now: not same(value, operand)
        case "is_true", _:
            return lambda value, now: value is True
        case "is_false", _:
            return lambda value, now: value is False or value is None
        case "exists", _:
            return lambda value, now: value is not None
        case "one_of", tuple():
            words = frozenset(member for member in operand if isinstance(member, str))
            others = [member for member in operand if not isinstance(member, str)]
            return lambda value, now: (
                value in words if isinstance(value, str) else any(same(value, o) for o in others)
            )
        case (("less_than" | "greater_than"), (int() | float() | str())):
            return _ordered(operand, 1 if operator == "greater_than" else -1)
    seconds = duration(operand, operator)
    return _older(seconds) if operator == "older_than" else _newer(seconds)


def _ordered(operand: float | str, sign: int) -> Test:
    def test(value: object, now: float) -> bool:
        if isinstance(operand, str):
            order = isinstance(value, str) and (value > operand) - (value < operand)
        elif isinstance(value, _NUMBERS) and not isinstance(value, bool):
            order = (value > operand) - (value < operand)
        else:
            return False
        return order == sign

    return test


def _newer(seconds: int) -> Test:
    def test(value: object, now: float) -> bool:
        then = moment(value)
        return then is not None and then > now - seconds

    return test


def _older(seconds: int) -> Test:
    def test(value: object, now: float) -> bool:
        then = moment(value)
        return then is not None and then <= now - seconds

    return test


def _check_value(value: object, path: str) -> None:
    """A JSON value, and not null, which no field holds."""
    if isinstance(value, list | tuple):
        for index, member in enumerate(value):
            _check_value(member, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        for key, member in value.items():
            _check_value(member, f"{path}.{key}")
    elif not isinstance(value, str | int | float) or (
        isinstance(value, float) and not isfinite(value)
    ):
        raise SettingError(path, "expected a JSON value: a string, number, boolean, list or table.")
