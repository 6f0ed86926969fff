"""What an answer says about itself, and what of it OpenAI's form has no word for.

That is in `extra_content.bedrock` of the message, under AWS's own names: `metrics`, a guardrail's
`trace`, `stopReason` where several have one finish reason, `performanceConfig`, a `serviceTier`
that OpenAI has not, `additionalModelResponseFields`, the `citations` that have no URL, and as
`content` the blocks that are neither text, reasoning nor calls of the caller's tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from ...wire.answers import Annotation, URLCitation
from ...wire.bedrock import Citation, ContentBlock, Trailer

ID_HEADER = "x-amzn-requestid"
SERVER_TOOL = "server_tool_use"

_FINISH_REASONS = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
    "model_context_window_exceeded": "length",
}
_PLAIN = ("end_turn", "tool_use", "max_tokens")
_TIERS = ("default", "flex", "priority")


def finish_reason(stop_reason: str) -> str:
    """Why the model stopped, in OpenAI's words; what they have none for is `stop`."""
    return _FINISH_REASONS.get(stop_reason, "stop")


def service_tier(trailer: Trailer) -> str | UnsetType:
    """The tier that answered, where OpenAI has one of that name."""
    tier = _member(trailer.service_tier, "type")
    return tier if tier in _TIERS else UNSET


def invoked_model(trailer: Trailer) -> str | None:
    """The model that a prompt router chose, which is known to nobody else."""
    model = _member(_member(trailer.trace, "promptRouter"), "invokedModelId")
    return model if isinstance(model, str) else None


def annotation(citation: Citation, start: int, end: int) -> Annotation | None:
    """A citation of a page, for the characters from `start` to `end`; None for other sources."""
    location = citation.location
    if location is None or location.web is None or not location.web.url:
        return None
    url = location.web.url
    return Annotation(URLCitation(url, citation.title or url, start, end))


def extra_content(
    stop_reason: str,
    additional: Any,
    trailer: Trailer,
    *,
    citations: Sequence[Citation] = (),
    content: Sequence[ContentBlock] = (),
) -> Any:
    """What is left of an answer for `extra_content`, or UNSET where nothing is."""
    left = {
        "stopReason": None if stop_reason in _PLAIN else stop_reason,
        "metrics": trailer.metrics,
        "trace": trailer.trace,
        "performanceConfig": trailer.performance_config,
        "serviceTier": trailer.service_tier if service_tier(trailer) is UNSET else None,
        "additionalModelResponseFields": additional,
        "citations": citations,
        "content": content,
    }
    said = {name: value for name, value in left.items() if value}
    return {"bedrock": said} if said else UNSET


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
