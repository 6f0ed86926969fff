"""Aliases as an operator writes them: a model, a list of them, or a table that says how to choose.

In: a value of a configuration, or keyword arguments. Out: an `Alias`, or `ConfigurationError` with
the path of what is wrong and what would be right. Whether there are such models it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, get_args

from msgspec import Struct
from msgspec.structs import force_setattr

from ..exceptions import ConfigurationError
from ..records import Choose
from ..tables import convert, join, unknown_key

KINDS = get_args(Choose)


class Alias(Struct, frozen=True, kw_only=True):
    """Models behind one name: one of them is chosen for each request, and the others follow it.

    `choose` says how: "order" takes them as they are written, "least_latency" the one that has been
    answering soonest, "weighted" one by chance, as often as its weight says. There is one of
    `weights` for each model then.
    """

    models: Sequence[str]
    choose: Choose = "order"
    weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        models = self.models
        if isinstance(models, str) or not isinstance(models, Sequence) or not models:
            raise ConfigurationError("models: name at least one model, in a list.")
        for index, model in enumerate(models):
            if not isinstance(model, str) or not model:
                raise ConfigurationError(f"models[{index}]: expected the name of a model.")
            if model in models[:index]:
                raise ConfigurationError(f"models[{index}]: this model is named twice.")
        if self.choose not in KINDS:
            raise ConfigurationError(f"choose: expected one of {', '.join(KINDS)}.")
        self._check_weights()
        force_setattr(self, "models", tuple(models))
        force_setattr(self, "weights", tuple(map(float, self.weights)))

    def _check_weights(self) -> None:
        weights = self.weights
        if self.choose != "weighted":
            if weights != () and weights != []:
                raise ConfigurationError('weights: belong to choose = "weighted".')
            return
        if isinstance(weights, str) or not isinstance(weights, Sequence):
            raise ConfigurationError("weights: expected numbers above zero, in a list.")
        if len(weights) != len(self.models):
            raise ConfigurationError(
                f"weights: expected one for each of the {len(self.models)} models."
            )
        for index, weight in enumerate(weights):
            if not _is_weight(weight):
                raise ConfigurationError(f"weights[{index}]: expected a number above zero.")


def read_alias(value: object, path: str) -> str | list[str] | Alias:
    """An alias in one of its three forms. Raises `ConfigurationError`."""
    if isinstance(value, Alias):
        return value
    given: str | list[str] | dict[str, Any]
    given = convert(value, str | list[str] | dict[str, Any], path)
    return _table(given, path) if isinstance(given, dict) else given


def as_alias(value: object, path: str) -> Alias:
    """The same in the last of the three forms."""
    given = read_alias(value, path)
    if isinstance(given, Alias):
        return given
    models = [given] if isinstance(given, str) else given
    if not models:
        raise ConfigurationError(f"{path}: name at least one model.")
    return _alias({"models": tuple(dict.fromkeys(models))}, path)


def _table(given: Mapping[str, Any], path: str) -> Alias:
    known = Alias.__struct_fields__
    for key in given:
        if key not in known:
            raise ConfigurationError(f"{join(path, key)}: {unknown_key(key, known)}")
    if "models" not in given:
        raise ConfigurationError(f"{path}.models: is missing.")
    return _alias(given, path)


def _alias(given: Mapping[str, Any], path: str) -> Alias:
    try:
        return Alias(**given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}.{error}") from None


def _is_weight(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value) and value > 0
    except OverflowError:
        return False
