"""What is known of each provider whose API has OpenAI's form, as data.

Sources are the providers' own API references. A quirk is a field here, never a branch elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Preset(Struct, frozen=True, kw_only=True):
    """The defaults of a provider type.

    `path` is what follows the base URL unless that already ends in `version`. `api_key_env` is the
    provider's well-known variable; None means that no key is needed. `auth` is the header of the
    key, which is a bearer token in `authorization`. `refuses` are request fields it does not take:
    they are left out and named. `asks_for_usage` is false where usage comes unasked and the option
    is refused. `models` are those of a provider configured without any.
    """

    base_url: str | None = None
    api_key_env: str | None = None
    version: str = ""
    path: str = "/chat/completions"
    auth: str = "authorization"
    refuses: frozenset[str] = frozenset({"store", "metadata"})
    asks_for_usage: bool = True
    models: tuple[str, ...] = ("*",)


_NO_STORE = frozenset({"store"})
_MISTRAL = frozenset({"store", "metadata", "user", "stream_options", "logit_bias"})

PRESETS: Mapping[str, Preset] = {
    "openai": Preset(
        base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY", refuses=frozenset()
    ),
    # The v1 API (learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle).
    "azure": Preset(
        api_key_env="AZURE_OPENAI_API_KEY",
        version="/openai/v1",
        auth="api-key",
        refuses=_NO_STORE,
    ),
    "groq": Preset(base_url="https://api.groq.com/openai/v1", api_key_env="GROQ_API_KEY"),
    "mistral": Preset(
        base_url="https://api.mistral.ai/v1",
        api_key_env="MISTRAL_API_KEY",
        refuses=_MISTRAL,
        asks_for_usage=False,
    ),
    "deepseek": Preset(base_url="https://api.deepseek.com", api_key_env="DEEPSEEK_API_KEY"),
    "xai": Preset(base_url="https://api.x.ai/v1", api_key_env="XAI_API_KEY"),
    "together": Preset(base_url="https://api.together.xyz/v1", api_key_env="TOGETHER_API_KEY"),
    "fireworks": Preset(
        base_url="https://api.fireworks.ai/inference/v1", api_key_env="FIREWORKS_API_KEY"
    ),
    "openrouter": Preset(
        base_url="https://openrouter.ai/api/v1",
        api_key_env="OPENROUTER_API_KEY",
        refuses=_NO_STORE,
    ),
    "perplexity": Preset(base_url="https://api.perplexity.ai", api_key_env="PERPLEXITY_API_KEY"),
    "cerebras": Preset(base_url="https://api.cerebras.ai/v1", api_key_env="CEREBRAS_API_KEY"),
    "huggingface": Preset(base_url="https://router.huggingface.co/v1", api_key_env="HF_TOKEN"),
    "zai": Preset(base_url="https://api.z.ai/api/paas/v4", api_key_env="ZAI_API_KEY"),
    "ollama": Preset(base_url="http://127.0.0.1:11434/v1"),
    "vllm": Preset(base_url="http://127.0.0.1:8000/v1"),
    "lmstudio": Preset(base_url="http://127.0.0.1:1234/v1"),
    "echo": Preset(base_url="echo://echo", refuses=frozenset(), models=("echo",)),
}
