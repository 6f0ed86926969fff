"""The tokens of an answer, from a `usage` object.

The input there is only what no cache had to do with: what a cache gave or took stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, UnsetType

from ...records import Usage
from ...wire.anthropic import COUNTS, Counts
from ...wire.members import MALFORMED, Buffer

_TIERS: Mapping[str, str | UnsetType] = {"standard": "default", "priority": "priority"}


def decode_counts(raw: Buffer) -> Counts | None:
    """A `usage` object; None where there is none that can be read."""
    try:
        return COUNTS.decode(raw)
    except MALFORMED:
        return None


def service_tier(counts: Counts | None) -> str | UnsetType:
    """OpenAI's word for the capacity that answered, where it has one."""
    return _TIERS.get(counts.service_tier or "", UNSET) if counts is not None else UNSET


def merge(first: Counts, last: Counts) -> Counts:
    """What a stream's beginning and its end tell together: the end counts all there is."""
    names = Counts.__struct_fields__
    values = {name: getattr(last, name) for name in names if getattr(last, name) is not None}
    return Counts(**{name: values.get(name, getattr(first, name)) for name in names})


def count(counts: Counts) -> Usage:
    """The tokens, with those of the cache as parts of the input and thinking of the output."""
    read = counts.cache_read_input_tokens or 0
    written, hour = counts.cache_creation_input_tokens or 0, 0
    if (creation := counts.cache_creation) is not None:
        hour = creation.ephemeral_1h_input_tokens or 0
        written = written or hour + (creation.ephemeral_5m_input_tokens or 0)
    output, details = counts.output_tokens or 0, counts.output_tokens_details
    return Usage(
        input_tokens=(counts.input_tokens or 0) + read + written,
        output_tokens=output,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        cache_write_1h_input_tokens=min(hour, written),
        reasoning_output_tokens=min((details and details.thinking_tokens) or 0, output),
    )
