"""The tokens of an answer, from Converse's `usage`."""

from __future__ import annotations

from ...records import Usage
from ...wire.bedrock import USAGE
from ...wire.members import MALFORMED, Buffer


def parse_usage(raw: Buffer) -> Usage | None:
    """The tokens that are named, or None where none can be read.

    Bedrock counts what its cache gave and took beside the input; here both are parts of it. What
    was reasoned is in the output, and not told apart.
    """
    if not raw:
        return None
    try:
        told = USAGE.decode(raw)
    except MALFORMED:
        return None
    read = told.cache_read_input_tokens or 0
    written = told.cache_write_input_tokens or 0
    for_an_hour = [detail.input_tokens for detail in told.cache_details or () if detail.ttl == "1h"]
    return Usage(
        input_tokens=told.input_tokens + read + written,
        output_tokens=told.output_tokens,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        cache_write_1h_input_tokens=min(sum(for_an_hour), written),
    )
