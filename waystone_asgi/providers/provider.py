"""A provider as the host configures it, and the endpoint that its requests go to.

In: keyword arguments or a table of the file. Out: a `Provider` that is complete and valid, or
`ConfigurationError`. It opens nothing, and its `repr` shows no credential.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from ..exceptions import ConfigurationError
from ..records import Endpoint, Secret
from .presets import PRESETS, Preset

_SHORTEST_SECRET = 8
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, section 5.6.2
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SAFE = "/%:@!$&'()*+,;=~-._"
_MODEL = "{model}"
_MOST_ENDPOINTS = 1024
_PORTS = {"http": 80, "https": 443, "echo": 0}


class _Constructor:
    """`Provider.<type>(…)`: a provider of one type, named like it unless `name` says otherwise."""

    def __init__(self, type: str) -> None:
        self._type = type

    def __call__(
        self,
        *,
        api_key: str | None = None,
        models: Iterable[str] | None = None,
        base_url: str | None = None,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        api_version: str | None = None,
    ) -> Provider:
        return Provider(
            name=name or self._type,
            type=self._type,
            api_key=api_key,
            models=models,
            base_url=base_url,
            headers=headers,
            api_version=api_version,
        )


class Provider:
    """One provider: its dialect, where it is, what it is called here, and its models.

    `type` is a key of `PRESETS`. `models` are names as the provider knows them; `"*"` takes any
    name after the provider prefix. `headers` are sent with every request. `api_version` is azure's
    query parameter; a date leads to the deployment that is named like the model, for which
    `{model}` stands in the path of `endpoint`. Raises `ConfigurationError` that says what would be
    right.
    """

    openai: ClassVar = _Constructor("openai")
    azure: ClassVar = _Constructor("azure")
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

    def __init__(
        self,
        *,
        name: str,
        type: str,
        api_key: str | None = None,
        models: Iterable[str] | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        api_version: str | None = None,
    ) -> None:
        if type not in PRESETS:
            raise ConfigurationError(
                f"providers.{name}.type: unknown type {type!r}; known are {', '.join(PRESETS)}."
            )
        if not name or "/" in name or name != name.strip():
            raise ConfigurationError(f"providers.{name}: a name is not empty and has no slash.")
        self.name = name
        self.type = type
        self.preset: Preset = PRESETS[type]
        self.models = self._models(models)
        self.api_key = Secret(api_key) if api_key is not None else None
        self.secrets = _secrets(api_key, headers or {})
        self.endpoint = self._endpoint(
            base_url or self.preset.base_url, dict(headers or {}), api_version
        )
        self._endpoints: dict[str, Endpoint] = {}

    def endpoint_to(self, model: str) -> Endpoint:
        """Where requests for the model go. It is the same value for the same model."""
        if _MODEL not in self.endpoint.path:
            return self.endpoint
        endpoint = self._endpoints.get(model)
        if endpoint is None:
            if len(self._endpoints) >= _MOST_ENDPOINTS:
                self._endpoints.clear()
            path = self.endpoint.path.replace(_MODEL, quote(model, safe=""), 1)
            endpoint = self._endpoints[model] = replace(self.endpoint, path=path)
        return endpoint

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, type={self.type!r}, endpoint={self.endpoint!r})"

    def _models(self, models: Iterable[str] | None) -> tuple[str, ...]:
        if models is None:
            return self.preset.models
        names = (models,) if isinstance(models, str) else tuple(models)
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ConfigurationError(
                f"providers.{self.name}.models: expected names, or '*' for any name."
            )
        return tuple(dict.fromkeys(names))

    def _endpoint(
        self, base_url: str | None, headers: dict[str, str], api_version: str | None
    ) -> Endpoint:
        where = f"providers.{self.name}"
        if not base_url:
            raise ConfigurationError(f"{where}.base_url: {self.type} needs one.")
        if self.api_key is None and self.preset.api_key_env:
            raise ConfigurationError(
                f"{where}.api_key: {self.type} needs one, such as env:{self.preset.api_key_env}."
            )
        try:
            url = urlsplit(base_url)
            port = url.port or _PORTS[url.scheme]
            host = (url.hostname or "").encode("idna").decode("ascii")
        except (ValueError, KeyError):
            host, port = "", 0
        if not host or url.query or url.fragment or url.username:
            raise ConfigurationError(
                f"{where}.base_url: expected http:// or https://, a host and perhaps a path."
            )
        return Endpoint(
            scheme=url.scheme,
            host=host,
            port=port,
            path=self._path(url.path, api_version),
            headers=self._headers(headers),
        )

    def _path(self, base: str, api_version: str | None) -> str:
        preset = self.preset
        path = quote(base.rstrip("/").removesuffix(preset.version), safe=_SAFE)
        dated = preset.dated_path if api_version and _DATE.match(api_version) else None
        path += dated or f"{preset.version}{preset.path}"
        return path if api_version is None else f"{path}?api-version={quote(api_version, safe='')}"

    def _headers(self, extra: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
        headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "user-agent": "waystone-asgi",
        }
        if self.api_key is not None:
            key = self.api_key.reveal()
            bearer = self.preset.auth == "authorization"
            headers[self.preset.auth] = f"Bearer {key}" if bearer else key
        headers.update((name.lower(), value) for name, value in extra.items())
        for name, value in headers.items():
            if not (_TOKEN.fullmatch(name) and value.isascii() and value.isprintable()):
                raise ConfigurationError(
                    f"providers.{self.name}: the header {name!r} or the key has characters "
                    "that HTTP headers cannot carry."
                )
        return tuple((name.encode(), value.encode()) for name, value in headers.items())


def _secrets(api_key: str | None, headers: Mapping[str, str]) -> tuple[Secret, ...]:
    """What a provider's error must not repeat: the key, and headers that may be one."""
    said = [value.removeprefix("Bearer ") for value in headers.values()]
    found = [value for value in said if len(value) >= _SHORTEST_SECRET]
    return tuple(Secret(value) for value in ([api_key] if api_key else []) + found)
