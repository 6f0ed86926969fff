"""Why an answer ended, in OpenAI's words."""

from __future__ import annotations

from ...wire.gemini.answers import Enumeration

BLOCKED = "content_filter"
_GOES_ON = (None, "FINISH_REASON_UNSPECIFIED", 0)
# As numbers where a client asked for them, which are those of the Gemini API.
_LENGTH = ("MAX_TOKENS", 2)
_BLOCKS = frozenset(
    (
        *(3, "SAFETY"),
        *(4, "RECITATION"),
        *(6, "LANGUAGE"),
        *(7, "BLOCKLIST"),
        *(8, "PROHIBITED_CONTENT"),
        *(9, "SPII"),
        *(11, "IMAGE_SAFETY"),
        "MODEL_ARMOR",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    )
)


def finish_reason(reason: Enumeration, calls: int) -> str | None:
    """The reason of an answer that has made so many calls; None while it goes on.

    Whatever else ends an answer is a stop, and stands in `extra_content` as well.
    """
    if reason in _GOES_ON:
        return None
    if reason in _LENGTH:
        return "length"
    if reason in _BLOCKS:
        return BLOCKED
    return "tool_calls" if calls else "stop"
