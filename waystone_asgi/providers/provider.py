"""A provider as the host configures it, and how each of its models is asked.

In: keyword arguments or a table of the file. Out: a `Provider` that is complete and valid, or
`ConfigurationError`. It opens nothing, and its `repr` shows no credential.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from copy import copy
from typing import ClassVar, Self, Unpack

from msgspec import Struct
from msgspec.structs import replace

from ..exceptions import ConfigurationError, ModelNotFoundError
from ..recent import MODELS
from ..records import Endpoint, Secret
from .access import choose_access, secrets_of
from .dialects import Dialect, Target
from .endpoints import build_ways, path_of, read_base, write_headers
from .forms import Preset
from .options import Keywords, Options, complete
from .presets import PRESETS


class Destination(Struct, frozen=True):
    """How one model is asked: in which dialect, where, and what the dialect is told of it."""

    dialect: Dialect
    endpoint: Endpoint
    target: Target


class _Constructor:
    """`Provider.<type>(…)`: a provider of one type, named like it unless `name` says otherwise."""

    def __init__(self, type: str) -> None:
        self._type = type

    def __call__(self, *, name: str | None = None, **options: Unpack[Keywords]) -> Provider:
        return Provider(name=name or self._type, type=self._type, **options)


class Provider:
    """One provider: its dialects, where it is, what it is called here, and its models.

    `type` is a key of `PRESETS`; for the rest see `Options`. `access` is what proves who asks where
    no header that is always the same does. Raises `ConfigurationError` that says what would be
    right.
    """

    openai: ClassVar = _Constructor("openai")
    azure: ClassVar = _Constructor("azure")
    anthropic: ClassVar = _Constructor("anthropic")
    foundry: ClassVar = _Constructor("foundry")
    gemini: ClassVar = _Constructor("gemini")
    vertex: ClassVar = _Constructor("vertex")
    bedrock: ClassVar = _Constructor("bedrock")
    cohere: ClassVar = _Constructor("cohere")
    groq: ClassVar = _Constructor("groq")
    mistral: ClassVar = _Constructor("mistral")
    deepseek: ClassVar = _Constructor("deepseek")
    xai: ClassVar = _Constructor("xai")
    together: ClassVar = _Constructor("together")
    fireworks: ClassVar = _Constructor("fireworks")
    openrouter: ClassVar = _Constructor("openrouter")
    perplexity: ClassVar = _Constructor("perplexity")
    cerebras: ClassVar = _Constructor("cerebras")
    huggingface: ClassVar = _Constructor("huggingface")
    zai: ClassVar = _Constructor("zai")
    ollama: ClassVar = _Constructor("ollama")
    vllm: ClassVar = _Constructor("vllm")
    lmstudio: ClassVar = _Constructor("lmstudio")
    echo: ClassVar = _Constructor("echo")

    def __init__(self, *, name: str, type: str, **options: Unpack[Keywords]) -> None:
        where = f"providers.{name}"
        if type not in PRESETS:
            raise ConfigurationError(
                f"{where}.type: unknown type {type!r}; known are {', '.join(PRESETS)}."
            )
        if not name or "/" in name or name != name.strip():
            raise ConfigurationError(f"{where}: a name is not empty and has no slash.")
        self.name = name
        self.type = type
        self.preset = preset = PRESETS[type]
        given = complete(Options(**options), type, preset, where, os.environ)
        self.models = _models(given.models, preset, where)
        self.api_key = Secret(given.api_key) if given.api_key is not None else None
        if self.api_key is None and preset.key_env:
            raise ConfigurationError(
                f"{where}.api_key: {type} needs one, such as env:{preset.key_env[0]}."
            )
        self.access = choose_access(given, type, where)
        self.secrets = secrets_of(given)
        self.strict = given.strict
        self._max_output_tokens = given.max_output_tokens
        base = read_base(given, type, preset, where)
        self._ways = build_ways(
            replace(base, headers=write_headers(given, preset, where)), given, type, preset, where
        )
        self.endpoint = self._ways[0].endpoint
        self._destinations: dict[tuple[str, bool], Destination] = {}

    def destination(self, model: str, *, stream: bool) -> Destination:
        """How the model is asked for a whole answer or for a stream. The same for the same.

        Raises `ModelNotFoundError` for a name that no model of the provider can have.
        """
        found = self._destinations.get((model, stream))
        if found is None:
            if len(self._destinations) >= 2 * MODELS:
                self._destinations.clear()
            found = self._destinations[model, stream] = self._find(model, stream)
        return found

    def as_strict_as(self, gateway: bool) -> Self:
        """The provider, or where it does not say whether it is strict, one that says it."""
        if self.strict is not None or not gateway:
            return self
        strict = copy(self)
        strict.strict, strict._destinations = True, {}
        return strict

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, type={self.type!r}, endpoint={self.endpoint!r})"

    def _find(self, model: str, stream: bool) -> Destination:
        for way in self._ways:
            if way.models.fullmatch(model):
                endpoint = way.stream_endpoint if stream else way.endpoint
                path = path_of(endpoint.path, model)
                if path != endpoint.path:
                    endpoint = replace(endpoint, path=path)
                target = Target(
                    model=model,
                    max_output_tokens=self._max_output_tokens,
                    strict=bool(self.strict),
                )
                return Destination(way.dialect, endpoint, target)
        raise ModelNotFoundError(
            f"No model of {self.name} has such a name: {model!r}.", param="model"
        )


def _models(models: Iterable[str] | None, preset: Preset, where: str) -> tuple[str, ...]:
    if models is None:
        return preset.models
    names = (models,) if isinstance(models, str) else tuple(models)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(f"{where}.models: expected names, or '*' for any name.")
    return tuple(dict.fromkeys(names))
