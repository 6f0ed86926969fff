"""The tokens of an answer, from a `usage` object wherever vendors put its parts."""

from __future__ import annotations

from typing import Any

import msgspec

from ...records import Usage
from ...wire.chat import DOCUMENT, USAGE, CompletionUsage, PromptTokensDetails
from ...wire.members import MALFORMED, Buffer

_NULL = msgspec.Raw(b"null")


def parse_usage(raw: Buffer) -> Usage | None:
    """The tokens that a `usage` object names, as `count` takes them; None where there is none."""
    if not raw or raw == _NULL:
        return None
    try:
        return count(USAGE.decode(raw))
    except MALFORMED:
        usage = decode_loosely(raw)
    return None if usage is None else count(usage)


def decode_loosely(raw: Buffer) -> CompletionUsage | None:
    """A `usage` object whose counts may be fractions, or below zero; None where it is none."""
    try:
        return msgspec.convert(_whole(DOCUMENT.decode(raw)), CompletionUsage)
    except MALFORMED:
        return None


def _whole(value: Any) -> object:
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    return max(int(value), 0) if type(value) in (int, float) else value


def count(usage: CompletionUsage) -> Usage:
    """The tokens that are named; cache, audio and reasoning are parts of the whole.

    Where vendors put the parts: `*_tokens_details` (OpenAI), `prompt_cache_hit_tokens` (DeepSeek),
    `num_cached_tokens` (Mistral), `cached_tokens` (Together). Reasoning stands beside the
    completion where the total says so (xAI), or where it is the larger (Vercel, whose price counts
    both). A cache that held more than was asked (Grok on Azure) is cut. Where the audio and the
    cache are more than the input together, the cache gave the difference as audio.
    """
    input_tokens, output_tokens = usage.prompt_tokens or 0, usage.completion_tokens or 0
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = usage.prompt_cache_hit_tokens or usage.num_cached_tokens or usage.cached_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    reasoning = said = audio = cached_audio = 0
    if completion is not None:
        reasoning, said = completion.reasoning_tokens or 0, completion.audio_tokens or 0
        beside = usage.total_tokens == input_tokens + output_tokens + reasoning
        if beside or reasoning > output_tokens:
            output_tokens += reasoning
    if prompt is not None:
        cached = prompt.cached_tokens or cached
        written = prompt.cache_write_tokens or written
    if cached or written:
        cached = min(cached, input_tokens)
        written = min(written, input_tokens - cached)
    if prompt is not None and prompt.audio_tokens:
        audio, cached_audio = _audio(prompt, input_tokens - written, cached)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_input_tokens=cached,
        cache_write_input_tokens=written,
        reasoning_output_tokens=reasoning,
        input_audio_tokens=audio,
        output_audio_tokens=min(said, output_tokens - reasoning) if said else 0,
        cache_read_audio_tokens=cached_audio,
    )


def _audio(prompt: PromptTokensDetails, input_tokens: int, cache_read: int) -> tuple[int, int]:
    """The audio in the input, and how much of it the cache gave."""
    audio = min(prompt.audio_tokens or 0, input_tokens)
    details = prompt.cached_tokens_details
    cached = max((details and details.audio_tokens) or 0, audio + cache_read - input_tokens)
    return audio, min(cached, audio, cache_read)
