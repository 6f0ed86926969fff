"""Public model names: from what a caller asked for to the targets that can answer.

In: providers with their models, and aliases. Out: a `Route`, or `ModelNotFoundError` or
`AmbiguousModelError`. Every name is a dictionary key; it knows no dialect and awaits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from ..exceptions import (
    AmbiguousModelError,
    ConfigurationError,
    ModelNotFoundError,
    PermissionDeniedError,
)
from ..records import Choice, Principal, Route, Target
from ..tables import join
from .aliases import Alias, as_alias

ANY = "*"

Node: TypeAlias = Target | Choice


class Catalog:
    """The models of `providers` (name to model names, `"*"` for any) under their public names.

    An alias is a model, a list of them, or an `Alias` or its keywords.

    Raises `ConfigurationError` for an alias to an unknown model, a cycle of aliases, or an alias
    that hides a provider's full name.
    """

    def __init__(
        self,
        providers: Mapping[str, Iterable[str]],
        aliases: Mapping[str, str | Sequence[str] | Alias | Mapping[str, Any]] | None = None,
    ) -> None:
        self._routes: dict[str, Route] = {}
        self._owners: dict[str, list[str]] = {}
        self._open: set[str] = set()
        self._aliases = {
            name: as_alias(given, join("aliases", name)) for name, given in (aliases or {}).items()
        }
        for provider, models in providers.items():
            for model in models:
                if model == ANY:
                    self._open.add(provider)
                    continue
                self._add(f"{provider}/{model}", Target(provider=provider, model=model))
                self._owners.setdefault(model, []).append(provider)
        self._providers = frozenset(providers)
        self._listed = [*self._routes, *self._aliases]
        for model, owners in self._owners.items():
            if len(owners) == 1 and model not in self._routes:
                self._routes[model] = self._routes[f"{owners[0]}/{model}"]
        for name in self._aliases:
            if name in self._listed[: -len(self._aliases)]:
                raise ConfigurationError(f"aliases.{name}: a provider has a model of that name.")
            self._add(name, self._node_of(name, ()))

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
        if route.choice is None:
            return Route(request_model=model, targets=allowed)
        return _route(model, _narrowed(route.choice, frozenset(allowed)))

    def models(self, principal: Principal) -> list[tuple[str, str]]:
        """Every listed name with its provider, as far as the principal may use it."""
        usable = (
            (name, next((t for t in self._routes[name].targets if _may_use(principal, t)), None))
            for name in self._listed
        )
        return [(name, target.provider) for name, target in usable if target is not None]

    @property
    def aliases(self) -> Mapping[str, Alias]:
        """The aliases."""
        return self._aliases

    def _add(self, name: str, node: Node) -> None:
        self._routes[name] = _route(name, node)

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

    def _node_of(self, name: str, path: tuple[str, ...]) -> Node:
        """What is behind an alias, whose own models may be aliases."""
        if name in path:
            raise ConfigurationError(f"aliases.{name}: a cycle, {' -> '.join((*path, name))}.")
        if (alias := self._aliases.get(name)) is None:
            try:
                return (self._routes.get(name) or self._resolve_open(name)).targets[0]
            except (ModelNotFoundError, AmbiguousModelError) as error:
                raise ConfigurationError(f"aliases.{path[-1]}: {error.message}") from None
        members = tuple([self._node_of(member, (*path, name)) for member in alias.models])
        if alias.choose != "order":
            for index, member in enumerate(members):
                if member in members[:index]:
                    named = f"{join('aliases', name)}.models[{index}]"
                    raise ConfigurationError(f"{named}: this model is named twice.")
        return Choice(choose=alias.choose, members=members, weights=tuple(alias.weights))


def _route(name: str, node: Node) -> Route:
    """The route to a node; one that is in order has no need to be chosen in."""
    targets = tuple(_targets(node))
    choice = None if isinstance(node, Target) or _is_ordered(node) else node
    return Route(request_model=name, targets=targets, choice=choice)


def _targets(node: Node) -> Iterator[Target]:
    if isinstance(node, Target):
        yield node
    else:
        for member in node.members:
            yield from _targets(member)


def _is_ordered(node: Node) -> bool:
    return isinstance(node, Target) or (
        node.choose == "order" and all(map(_is_ordered, node.members))
    )


def _narrowed(choice: Choice, allowed: frozenset[Target]) -> Choice:
    """The choice among what is allowed of it."""
    members: list[Node] = []
    weights: list[float] = []
    for member, weight in zip(
        choice.members, choice.weights or (1.0,) * len(choice.members), strict=True
    ):
        kept = _narrowed(member, allowed) if isinstance(member, Choice) else member
        if kept in allowed if isinstance(kept, Target) else kept.members:
            members.append(kept)
            weights.append(weight)
    return Choice(
        choose=choice.choose,
        members=tuple(members),
        weights=tuple(weights) if choice.weights else (),
    )


def _may_use(principal: Principal, target: Target) -> bool:
    full = f"{target.provider}/{target.model}"
    return principal.models is None or any(fnmatchcase(full, glob) for glob in principal.models)


def _shown(model: str) -> str:
    return model if len(model) <= 200 else model[:200] + "…"
