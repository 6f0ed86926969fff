"""The providers' own clients, as judges of what they are sent."""

from __future__ import annotations

from google.genai import types
from ollama._types import ChatRequest

from ..providers.anthropic import oracle as anthropic
from ..providers.bedrock import asking as bedrock
from ..providers.cohere import oracle as cohere
from .scripts import Script
from .through import JSON


def accept(script: Script, body: JSON) -> None:
    """Raise where the client of the script's provider would not take the body."""
    if "anthropic_version" in body:
        # On Vertex AI the client itself puts the model into the path.
        anthropic.accept({"model": script.model, **_without(body, "anthropic_version")})
    elif script.type == "anthropic":
        anthropic.accept(body)
    elif script.type == "bedrock":
        bedrock.validate(body, script.model)
    elif script.type == "cohere":
        cohere.accept(body)
    elif script.type == "ollama":
        ChatRequest.model_validate(body)
    else:
        for content in body["contents"]:
            types.Content.model_validate(content)
        rest = _without(body, "contents", "generationConfig")
        types.GenerateContentConfig.model_validate({**body.get("generationConfig", {}), **rest})


def _without(body: JSON, *names: str) -> JSON:
    return {name: value for name, value in body.items() if name not in names}
