"""Where the table has the prices of each type of provider, as data."""

from __future__ import annotations

from collections.abc import Mapping

PRICED_AS: Mapping[str, str] = {
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "foundry": "anthropic",
    "gemini": "google",
    "google": "google",
    "groq": "groq",
    "huggingface": "huggingface_*",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vertex": "google",
    "xai": "x-ai",
    "zai": "zai",
}
"""Provider types to ids of genai-prices.

A star is what follows the last colon of the model's name, with which Hugging Face is told whose
inference to use. The types that run on the host's own machines are not here: they have no price
unless the host gives one.
"""


def place_of(type: str, model: str) -> tuple[str, str]:
    """The table's id for a provider type, or for such an id, and the model's name there."""
    provider = PRICED_AS.get(type, type)
    if not provider.endswith("*"):
        return provider, model
    model, _, chosen = model.rpartition(":")
    return provider[:-1] + chosen, model
