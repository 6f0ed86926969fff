"""Which models a rule speaks of.

In: the names and globs of a rule, and where a request may go. Out: whether they meet. A rule meets
a request by the name that was asked for and by every full name behind it, so that no spelling of a
model's name leads around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from typing import TypeAlias

from ..exceptions import GatewayError, ModelNotFoundError
from ..records import Route, Target
from .checks import SettingError

Resolve: TypeAlias = Callable[[str], Route]

_WILD = frozenset("*?[")


def full_name(target: Target) -> str:
    """The name that is a target's alone."""
    return f"{target.provider}/{target.model}"


def find_route(resolve: Resolve, name: str, path: str) -> Route:
    """Where a name leads that an operator wrote; raises `SettingError` where it leads nowhere."""
    try:
        return resolve(name)
    except ModelNotFoundError:
        raise SettingError(path, "no provider has this model, and no alias this name.") from None
    except GatewayError as error:
        raise SettingError(path, error.message) from None


class Models:
    """The models of one rule, as full names, aliases, bare names and globs.

    A bare name stands for the model's full name; a glob without a slash is for the model's own
    name, whoever has it. Raises `SettingError` for an unknown name.
    """

    def __init__(self, names: Sequence[str], resolve: Resolve, path: str, *, many: bool) -> None:
        exact: set[str] = set()
        globs: list[str] = []
        for index, name in enumerate(names):
            if _WILD.isdisjoint(name):
                exact.add(_whole(find_route(resolve, name, f"{path}[{index}]" if many else path)))
            else:
                globs.append(translate(name))
        self._exact = frozenset(exact)
        self._glob = re.compile("|".join(globs)) if globs else None

    def meet(self, route: Route) -> bool:
        """Whether one of them is the name asked for, or a model behind it."""
        if route.request_model in self._exact or self._like((route.request_model,)):
            return True
        return any(map(self.meet_target, route.targets))

    def meet_target(self, target: Target) -> bool:
        """Whether the target's model is one of them."""
        name = full_name(target)
        if name in self._exact or self._like((name,)):
            return True
        return "/" not in target.model and self._like((target.model,))

    def _like(self, names: Iterable[str]) -> bool:
        return self._glob is not None and any(map(self._glob.match, names))


def _whole(route: Route) -> str:
    """The one name of a model in the place of its bare name; an alias remains itself."""
    name, target = route.request_model, route.targets[0]
    return full_name(target) if len(route.targets) == 1 and target.model == name else name
