"""The tokens of an answer, from a `usage` object wherever vendors put its parts."""

from __future__ import annotations

import msgspec

from ...records import Usage
from ...wire.chat import USAGE, CompletionUsage, PromptTokensDetails
from ...wire.members import MALFORMED, Buffer

_NULL = msgspec.Raw(b"null")


def parse_usage(raw: Buffer) -> Usage | None:
    """The tokens that a `usage` object names; cache, audio and reasoning are parts of the whole.

    Where vendors put the parts: `*_tokens_details` (OpenAI), `prompt_cache_hit_tokens` (DeepSeek),
    `num_cached_tokens` (Mistral), `cached_tokens` (Together). Reasoning stands beside the
    completion where the total says so (xAI), or where it is the larger (Vercel, whose price counts
    both). A cache that held more than was asked (Grok on Azure) is cut. Where the audio and the
    cache are more than the input together, the cache gave the difference as audio.
    """
    if not raw or raw == _NULL:
        return None
    try:
        usage = USAGE.decode(raw)
    except MALFORMED:
        return None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    input_tokens = _count(usage.prompt_tokens)
    output_tokens = _count(usage.completion_tokens)
    reasoning = _count(completion.reasoning_tokens) if completion else 0
    said = _count(completion.audio_tokens) if completion else 0
    beside = usage.total_tokens == input_tokens + output_tokens + reasoning
    if beside or reasoning > output_tokens:
        output_tokens += reasoning
    cache_read, cache_write = _cache(usage, prompt, input_tokens)
    audio, cached_audio = _audio(prompt, input_tokens - cache_write, cache_read)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_input_tokens=cache_read,
        cache_write_input_tokens=cache_write,
        reasoning_output_tokens=reasoning,
        input_audio_tokens=audio,
        output_audio_tokens=min(said, output_tokens - reasoning),
        cache_read_audio_tokens=cached_audio,
    )


def _cache(
    usage: CompletionUsage, prompt: PromptTokensDetails | None, input_tokens: int
) -> tuple[int, int]:
    """What of the input a cache gave, and what of the rest it took."""
    cached = (
        (prompt and prompt.cached_tokens)
        or usage.prompt_cache_hit_tokens
        or usage.num_cached_tokens
        or usage.cached_tokens
    )
    written = (prompt and prompt.cache_write_tokens) or usage.cache_creation_input_tokens
    cache_read = min(_count(cached), input_tokens)
    return cache_read, min(_count(written), input_tokens - cache_read)


def _audio(
    prompt: PromptTokensDetails | None, input_tokens: int, cache_read: int
) -> tuple[int, int]:
    """The audio in the input, and how much of it the cache gave."""
    if prompt is None or not prompt.audio_tokens:
        return 0, 0
    audio = min(_count(prompt.audio_tokens), input_tokens)
    details = prompt.cached_tokens_details
    cached = max(_count(details.audio_tokens) if details else 0, audio + cache_read - input_tokens)
    return audio, min(cached, audio, cache_read)


def _count(value: float | None) -> int:
    return int(value) if value is not None and value > 0 else 0
