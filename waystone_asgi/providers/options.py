"""What a host says of a provider, as keywords and as a table of the file.

In: options, the provider's type, the environment. Out: the options with what the environment gives
in the place of what is not said, or `ConfigurationError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from msgspec import Struct
from msgspec.structs import replace

from ..exceptions import ConfigurationError
from .forms import Preset

_PROVES = ("api_key", "credentials", "access_key_id", "secret_access_key", "session_token")
_OF_TYPES = {
    "api_version": ("azure",),
    "project": ("vertex",),
    "location": ("vertex",),
    "credentials": ("vertex",),
    "region": ("bedrock",),
    "access_key_id": ("bedrock",),
    "secret_access_key": ("bedrock",),
    "session_token": ("bedrock",),
}
"""Which types have an option that not all have."""


class Options(Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """The options of a provider.

    `models` are names as the provider knows them; `"*"` takes any name after the provider prefix.
    `headers` are sent with every request. `max_output_tokens` is the bound of answers for which the
    caller sets none, where the provider needs one. `strict` refuses with 400 what the provider
    cannot take, which is otherwise left out and named; None is as the gateway has it.

    `api_version` is Azure's query parameter; a date leads to the deployment that is named like the
    model. `project`, `location` and `credentials` (a file) are Vertex AI's; `region`,
    `access_key_id`, `secret_access_key` and `session_token` Bedrock's.
    """

    api_key: str | None = None
    models: Iterable[str] | None = None
    base_url: str | None = None
    headers: Mapping[str, str] | None = None
    max_output_tokens: int | None = None
    strict: bool | None = None
    api_version: str | None = None
    project: str | None = None
    location: str | None = None
    credentials: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None

    def __repr__(self) -> str:
        return "Options(…)"


class Keywords(TypedDict, total=False):
    """The same, as keywords; see `Options`."""

    api_key: str | None
    models: Iterable[str] | None
    base_url: str | None
    headers: Mapping[str, str] | None
    max_output_tokens: int | None
    strict: bool | None
    api_version: str | None
    project: str | None
    location: str | None
    credentials: str | None
    region: str | None
    access_key_id: str | None
    secret_access_key: str | None
    session_token: str | None


def complete(
    options: Options, type: str, preset: Preset, where: str, environ: Mapping[str, str]
) -> Options:
    """The options with the variables that stand in for them.

    What proves who asks comes from one place: all of it from the options, or all from variables.
    """
    for name, types in _OF_TYPES.items():
        if getattr(options, name) is not None and type not in types:
            raise ConfigurationError(f"{where}.{name}: only {', '.join(types)} takes it.")
    proved = any(getattr(options, name) is not None for name in _PROVES)
    found = {
        name: value
        for name, value in from_environment(preset, environ).items()
        if getattr(options, name) is None and not (proved and name in _PROVES)
    }
    return replace(options, **found)


def from_environment(preset: Preset, environ: Mapping[str, str]) -> dict[str, str]:
    """What the variables say that stand in for options. Where one is a key, no other one proves."""
    found: dict[str, str] = {}
    for name, variables in preset.defaults.items():
        value = next(filter(None, map(environ.get, variables)), None)
        if value is not None:
            found[name] = value
    if "api_key" in found:
        found = {n: value for n, value in found.items() if n == "api_key" or n not in _PROVES}
    return found
