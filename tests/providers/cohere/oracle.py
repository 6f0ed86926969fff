"""The official client's own types, as a strict reader of what is sent."""

from __future__ import annotations

from typing import Any

from cohere.types import ChatMessageV2, ToolV2
from pydantic import TypeAdapter


def accept(body: dict[str, Any]) -> None:
    """Raise where the client would not take the request."""
    for message in body["messages"]:
        taken = TypeAdapter(ChatMessageV2).validate_python(message)
        assert type(taken).__name__.lower().startswith(message["role"])
    TypeAdapter(list[ToolV2]).validate_python(body.get("tools", []))
