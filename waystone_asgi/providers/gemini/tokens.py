"""The tokens of an answer, from `usageMetadata`."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from ...records import Usage
from ...wire.gemini.answers import ModalityTokenCount, UsageMetadata

_AUDIO = ("AUDIO", 4)
_TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}


def count(metadata: UsageMetadata | None) -> Usage | None:
    """The tokens that are named, or None where none are: events that go on may name none.

    Thoughts are counted beside the candidates, and what tools gave beside the prompt, of which the
    cache is a part.
    """
    if metadata is None or metadata.prompt_token_count is None:
        return None
    tools = metadata.tool_use_prompt_token_count or 0
    thoughts = metadata.thoughts_token_count or 0
    input_tokens = metadata.prompt_token_count + tools
    heard = _audio(metadata.prompt_tokens_details) + _audio(metadata.tool_use_prompt_tokens_details)
    cached = min(metadata.cached_content_token_count or 0, input_tokens)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=(metadata.candidates_token_count or 0) + thoughts,
        cache_read_input_tokens=cached,
        reasoning_output_tokens=thoughts,
        input_audio_tokens=min(heard, input_tokens),
        output_audio_tokens=_audio(metadata.candidates_tokens_details),
        cache_read_audio_tokens=min(_audio(metadata.cache_tokens_details), heard, cached),
    )


def service_tier(metadata: UsageMetadata | None) -> str | UnsetType:
    """The tier that answered, in OpenAI's words; only the Gemini API tells it."""
    tier = None if metadata is None else metadata.service_tier
    return _TIERS.get(tier, UNSET) if isinstance(tier, str) else UNSET


def _audio(details: Iterable[ModalityTokenCount] | None) -> int:
    return sum([detail.token_count for detail in details or () if detail.modality in _AUDIO])
