"""Public model names: from what a caller asked for to the targets that can answer.

In: providers with their models, and aliases. Out: a `Route`, or `ModelNotFoundError` or
`AmbiguousModelError`. Every name is a dictionary key; it knows no dialect and awaits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from .exceptions import (
    AmbiguousModelError,
    ConfigurationError,
    ModelNotFoundError,
    PermissionDeniedError,
)
from .records import Principal, Route, Target

ANY = "*"


class Catalog:
    """The models of `providers` (name to model names, `"*"` for any) under their public names.

    Raises `ConfigurationError` for an alias to an unknown model, a cycle of aliases, or an alias
    that hides a provider's full name.
    """

    def __init__(
        self,
        providers: Mapping[str, Iterable[str]],
        aliases: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        self._routes: dict[str, Route] = {}
        self._owners: dict[str, list[str]] = {}
        self._open: set[str] = set()
        self._aliases = {
            name: (target,) if isinstance(target, str) else tuple(target)
            for name, target in (aliases or {}).items()
        }
        for provider, models in providers.items():
            for model in models:
                if model == ANY:
                    self._open.add(provider)
                    continue
                self._add(f"{provider}/{model}", (Target(provider=provider, model=model),))
                self._owners.setdefault(model, []).append(provider)
        self._providers = frozenset(providers)
        self._listed = [*self._routes, *self._aliases]
        for model, owners in self._owners.items():
            if len(owners) == 1 and model not in self._routes:
                self._routes[model] = self._routes[f"{owners[0]}/{model}"]
        for name in self._aliases:
            if name in self._listed[: -len(self._aliases)]:
                raise ConfigurationError(f"aliases.{name}: a provider has a model of that name.")
            self._add(name, self._targets_of(name, ()))

    def resolve(self, model: str, principal: Principal) -> Route:
        """The route of a public name, without the targets that the principal may not use.

        Raises `ModelNotFoundError`, `AmbiguousModelError` or `PermissionDeniedError`.
        """
        route = self._routes.get(model) or self._resolve_open(model)
        if principal.models is None:
            return route
        allowed = tuple(t for t in route.targets if _may_use(principal, t))
        if not allowed:
            raise PermissionDeniedError(f"This key may not use the model `{_shown(model)}`.")
        return Route(request_model=model, targets=allowed)

    def models(self, principal: Principal) -> list[tuple[str, str]]:
        """Every listed name with its provider, as far as the principal may use it."""
        usable = (
            (name, next((t for t in self._routes[name].targets if _may_use(principal, t)), None))
            for name in self._listed
        )
        return [(name, target.provider) for name, target in usable if target is not None]

    @property
    def aliases(self) -> Mapping[str, tuple[str, ...]]:
        """The aliases as they were given."""
        return self._aliases

    def _add(self, name: str, targets: tuple[Target, ...]) -> None:
        self._routes[name] = Route(request_model=name, targets=targets)

    def _resolve_open(self, model: str) -> Route:
        owners = self._owners.get(model, ())
        if len(owners) > 1:
            names = ", ".join(f"{owner}/{model}" for owner in owners)
            raise AmbiguousModelError(
                f"Several providers have the model `{_shown(model)}`: use one of {names}.",
                param="model",
            )
        provider, slash, name = model.partition("/")
        if slash and name and provider in self._open:
            return Route(request_model=model, targets=(Target(provider=provider, model=name),))
        raise ModelNotFoundError(
            f"The model `{_shown(model)}` does not exist or you do not have access to it.",
            param="model",
        )

    def _targets_of(self, name: str, path: tuple[str, ...]) -> tuple[Target, ...]:
        """The targets behind an alias, whose own targets may be aliases."""
        if name in path:
            raise ConfigurationError(f"aliases.{name}: a cycle, {' -> '.join((*path, name))}.")
        if name not in self._aliases:
            try:
                return (self._routes.get(name) or self._resolve_open(name)).targets
            except (ModelNotFoundError, AmbiguousModelError) as error:
                raise ConfigurationError(f"aliases.{path[-1]}: {error.message}") from None
        if not self._aliases[name]:
            raise ConfigurationError(f"aliases.{name}: name at least one model.")
        return tuple(
            target
            for member in self._aliases[name]
            for target in self._targets_of(member, (*path, name))
        )


def _may_use(principal: Principal, target: Target) -> bool:
    full = f"{target.provider}/{target.model}"
    return principal.models is None or any(fnmatchcase(full, glob) for glob in principal.models)


def _shown(model: str) -> str:
    return model if len(model) <= 200 else model[:200] + "…"
