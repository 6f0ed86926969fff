"""The official client's own types, as a strict reader of what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anthropic.types import MessageCreateParams
from pydantic import BaseModel, TypeAdapter

PARAMS: TypeAdapter[MessageCreateParams] = TypeAdapter(MessageCreateParams)


NOT_TYPED = ("temperature", "top_p", "top_k")
"""What the API takes for older models, and the client since its second version by `extra_body`."""


def accept(body: dict[str, Any]) -> None:
    """Raises where the client would not take the body, or does not know a part of it."""
    typed = {name: value for name, value in body.items() if name not in NOT_TYPED}
    assert read(PARAMS.validate_python(typed)) == typed


def read(value: object) -> object:
    """All of a validated value: what may be iterated is validated only then."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, dict):
        return {name: read(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | Iterator):
        return [read(inner) for inner in value]
    return value
