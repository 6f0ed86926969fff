"""What is asked."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ..chat import Said
from .contents import Content


class FunctionDeclaration(Said, Struct, rename="camel", omit_defaults=True):
    """A function that may be called. Its parameters are an object in JSON schema."""

    name: str
    description: str | None = None
    parameters_json_schema: Any = None


class GenerateContentRequest(Said, Struct, rename="camel", omit_defaults=True):
    """A request. `generation_config` and what follows it are written as the caller had them."""

    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Any] | None = None
    tool_config: Any = None
    generation_config: Any = None
    safety_settings: Any = None
    cached_content: Any = None
    service_tier: Any = None
    labels: Any = None
    model_armor_config: Any = None
