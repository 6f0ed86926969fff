"""What the blocks of an answer come to in OpenAI's message, whole or streamed.

What OpenAI's members cannot tell travels in `extra_content.anthropic`: the blocks as they are, when
from the message alone they could not be written again, and how the answer ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from ...wire.answers import Annotation, URLCitation
from ...wire.anthropic import STOP_DETAILS, Ending
from ...wire.conversations import ReasoningDetail
from ...wire.members import MALFORMED, Buffer
from .replies import FORMAT

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_TOLD = ("end_turn", "max_tokens", "tool_use", None)
_ORDER = {"thinking": 0, "redacted_thinking": 0, "text": 1, "tool_use": 2}
_NOTHING = (b"", b"null")


class Shape:
    """Whether blocks could be written again from the message: reasoning, one text, then calls."""

    __slots__ = ("_last", "plain")

    def __init__(self) -> None:
        self._last = 0
        self.plain = True

    def add(self, kind: str, *, more: bool = False) -> None:
        """The next block; `more` where it has something that no message tells."""
        rank = _ORDER.get(kind, -1)
        again = rank == self._last == _ORDER["text"]
        self.plain = self.plain and rank >= self._last and not again and not more
        self._last = rank


def finish_reason(stop_reason: str | None) -> str:
    """OpenAI's word for why the answer ended."""
    return _REASONS.get(stop_reason or "", "stop")


def is_called_else(caller: Mapping[str, Any] | None) -> bool:
    """Whether a program of the model makes the call, and not the model itself."""
    return caller is not None and caller.get("type") != "direct"


def thought(index: int, text: str, signature: str | None) -> ReasoningDetail:
    """A block of reasoning as it travels; one without text is signed all the same."""
    return ReasoningDetail(
        "reasoning.text", text=text, signature=signature, format=FORMAT, index=index
    )


def hidden(index: int, data: str) -> ReasoningDetail:
    """A block of reasoning that only the provider can read."""
    return ReasoningDetail("reasoning.encrypted", data=data, format=FORMAT, index=index)


def annotate(citations: Sequence[Mapping[str, Any]], start: int, end: int) -> list[Annotation]:
    """The citations of a text that name a URL; the text stands from `start` to `end`."""
    found: list[Annotation] = []
    for citation in citations:
        url = citation.get("url") or citation.get("source")
        if isinstance(url, str) and url.startswith(("https://", "http://")):
            title = citation.get("title")
            cited = URLCitation(url, title if isinstance(title, str) else "", start, end)
            found.append(Annotation(cited))
    return found


def refusal(ending: Ending) -> str | None:
    """Why the model refused, where it says so."""
    if ending.stop_reason != "refusal" or bytes(ending.stop_details) in _NOTHING:
        return None
    try:
        return STOP_DETAILS.decode(ending.stop_details).explanation
    except MALFORMED:
        return None


def extra_content(blocks: Sequence[object], ending: Ending) -> Any:
    """`extra_content`, `UNSET` where there is nothing to tell."""
    told: dict[str, Any] = {"content": blocks} if blocks else {}
    if ending.stop_reason not in _TOLD:
        told["stop_reason"] = ending.stop_reason
    if ending.stop_sequence is not None:
        told["stop_sequence"] = ending.stop_sequence
    told |= _written("stop_details", ending.stop_details)
    told |= _written("container", ending.container)
    return {"anthropic": told} if told else UNSET


def _written(name: str, value: Buffer) -> dict[str, Buffer]:
    return {} if bytes(value) in _NOTHING else {name: value}
