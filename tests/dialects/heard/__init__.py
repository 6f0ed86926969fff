"""What providers answer, in their own words: plainly, and with one feature more."""

from __future__ import annotations

from collections.abc import Mapping

from ..features import Change
from . import anthropic, bedrock, cohere, gemini, ollama, openai

ANSWERS: Mapping[str, Mapping[str, Change]] = {
    "openai": openai.ANSWERS,
    "anthropic": anthropic.ANSWERS,
    "gemini": gemini.ANSWERS,
    "bedrock": bedrock.ANSWERS,
    "cohere": cohere.ANSWERS,
    "ollama": ollama.ANSWERS,
}
"""By dialect."""
