"""What an answer says about itself, and what of it OpenAI's form has no word for.

That is in `extra_content.bedrock` of the message, under AWS's own names: `metrics`, a guardrail's
`trace`, `stopReason` where several have one finish reason, `performanceConfig`, a `serviceTier`
that OpenAI has not, `additionalModelResponseFields`, and as `content` all blocks as they are, where
the message alone could not give them back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, UnsetType

from ...wire.bedrock import ContentBlock, Trailer
from .blocks import beside_message

ID_HEADER = b"x-amzn-requestid"

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


def extra_content(
    stop_reason: str,
    additional: Any,
    trailer: Trailer,
    blocks: Iterable[ContentBlock],
) -> Any:
    """What is left of an answer for `extra_content`, or UNSET where nothing is."""
    left = {
        "stopReason": None if stop_reason in _PLAIN else stop_reason,
        "metrics": trailer.metrics,
        "trace": trailer.trace,
        "performanceConfig": trailer.performance_config,
        "serviceTier": trailer.service_tier if service_tier(trailer) is UNSET else None,
        "additionalModelResponseFields": additional,
        "content": beside_message(blocks),
    }
    said = {name: value for name, value in left.items() if value}
    return {"bedrock": said} if said else UNSET


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
