"""The dialects by name; each is imported when a provider first needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .dialects import Dialect
from .forms import Preset


def open_dialect(name: str, preset: Preset) -> Dialect:
    """The dialect of this name, as the provider that has this preset speaks it."""
    return _DIALECTS[name](preset)


def _openai(preset: Preset) -> Dialect:
    from .openai import dialect_of

    return dialect_of(preset)


def _anthropic(preset: Preset) -> Dialect:
    from .anthropic import DIALECT

    return DIALECT


def _vertex_anthropic(preset: Preset) -> Dialect:
    from .anthropic import VERTEX_DIALECT

    return VERTEX_DIALECT


def _gemini(preset: Preset) -> Dialect:
    from .gemini import DIALECT

    return DIALECT


def _bedrock(preset: Preset) -> Dialect:
    from .bedrock import DIALECT

    return DIALECT


def _cohere(preset: Preset) -> Dialect:
    from .cohere import DIALECT

    return DIALECT


def _ollama(preset: Preset) -> Dialect:
    from .ollama import DIALECT

    return DIALECT


_DIALECTS: Mapping[str, Callable[[Preset], Dialect]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "vertex_anthropic": _vertex_anthropic,
    "gemini": _gemini,
    "bedrock": _bedrock,
    "cohere": _cohere,
    "ollama": _ollama,
}
