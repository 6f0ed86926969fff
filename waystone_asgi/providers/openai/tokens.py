"""The tokens of an answer, from a `usage` object wherever vendors put its parts."""

from __future__ import annotations

import msgspec

from ...records import Usage
from ...wire.chat import USAGE
from ...wire.members import MALFORMED, Buffer

_NULL = msgspec.Raw(b"null")


def parse_usage(raw: Buffer) -> Usage | None:
    """The tokens that a `usage` object names, with cache and reasoning as parts of the whole.

    Where vendors put the parts: `*_tokens_details` (OpenAI), `prompt_cache_hit_tokens` (DeepSeek),
    `num_cached_tokens` (Mistral), `cached_tokens` (Together). Reasoning stands beside the
    completion where the total says so (xAI), or where it is the larger (Vercel, whose price counts
    both). A cache that held more than was asked (Grok on Azure) is cut.
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
    beside = usage.total_tokens == input_tokens + output_tokens + reasoning
    if beside or reasoning > output_tokens:
        output_tokens += reasoning
    cached = (
        (prompt and prompt.cached_tokens)
        or usage.prompt_cache_hit_tokens
        or usage.num_cached_tokens
        or usage.cached_tokens
    )
    written = (prompt and prompt.cache_write_tokens) or usage.cache_creation_input_tokens
    cache_read = min(_count(cached), input_tokens)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_input_tokens=cache_read,
        cache_write_input_tokens=min(_count(written), input_tokens - cache_read),
        reasoning_output_tokens=reasoning,
    )


def _count(value: float | None) -> int:
    return int(value) if value is not None and value > 0 else 0
