"""What is known of each provider whose API has OpenAI's form, as data.

Sources are the providers' own API references. A quirk is a field here, never a branch elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Quirks(Struct, frozen=True, kw_only=True):
    """Where a provider's messages differ from OpenAI's, in requests and in answers.

    `reasoning` is the member of a message that has its reasoning; in `content` it stands as parts
    of type `thinking`. The caller reads and writes `reasoning_content`. `developer` says whether
    that role is taken, which is `system` elsewhere, and `refuses` are members of messages that are
    not. `call_id_length` is that of the ids of tool calls, which are letters and digits, where
    others are refused: those are replaced. `finish_reasons` are the provider's own words and
    OpenAI's. `counts_calls` is false where streamed tool calls lack their index.
    """

    reasoning: str = "reasoning_content"
    developer: bool = True
    refuses: frozenset[str] = frozenset()
    call_id_length: int | None = None
    finish_reasons: Mapping[str, str] = {}
    counts_calls: bool = True

    @property
    def in_answers(self) -> bool:
        """Whether there is anything in answers to be told in other words."""
        return bool(
            self.reasoning != "reasoning_content" or self.finish_reasons or not self.counts_calls
        )


class Preset(Struct, frozen=True, kw_only=True):
    """The defaults of a provider type.

    `path` is what follows the base URL unless that already ends in `version`. `dated_path` follows
    it where the API's version is a date, with `{model}` for the model's name. `api_key_env` is the
    provider's well-known variable; None means that no key is needed. `auth` is the header of the
    key, which is a bearer token in `authorization`. `refuses` are request fields it does not take:
    they are left out and named; `renames` are those that it knows by another name. `asks_for_usage`
    is false where usage comes unasked and the option is refused. `quirks` is None where messages
    are as OpenAI has them. `models` are those of a provider configured without any.
    """

    base_url: str | None = None
    api_key_env: str | None = None
    version: str = ""
    path: str = "/chat/completions"
    dated_path: str | None = None
    auth: str = "authorization"
    refuses: frozenset[str] = frozenset({"store", "metadata"})
    renames: Mapping[str, str] = {}
    asks_for_usage: bool = True
    quirks: Quirks | None = None
    models: tuple[str, ...] = ("*",)


_NO_STORE = frozenset({"store"})
_STORED = _NO_STORE | {"metadata"}
_MAX_TOKENS = {"max_completion_tokens": "max_tokens"}
# What clients send back of an answer, beside what it says: members that the contract adds, or that
# no provider takes in a request.
_ANSWERED = frozenset({"contents", "annotations", "refusal", "audio"})
_TOLD = frozenset({"reasoning_content"})
_SYSTEM = Quirks(developer=False)
_REASONING = Quirks(reasoning="reasoning")

PRESETS: Mapping[str, Preset] = {
    "openai": Preset(
        base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY", refuses=frozenset()
    ),
    # The v1 API, and those before it whose versions are dates
    # (learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle).
    "azure": Preset(
        api_key_env="AZURE_OPENAI_API_KEY",
        version="/openai/v1",
        dated_path="/openai/deployments/{model}/chat/completions",
        auth="api-key",
        refuses=_NO_STORE,
    ),
    # console.groq.com/docs/openai; a member of a message that it does not know is refused with 400.
    "groq": Preset(
        base_url="https://api.groq.com/openai/v1",
        api_key_env="GROQ_API_KEY",
        refuses=_STORED | {"logprobs", "top_logprobs", "logit_bias"},
        quirks=Quirks(reasoning="reasoning", refuses=_ANSWERED | _TOLD | {"name"}),
    ),
    # docs.mistral.ai/api; a member that it does not know is refused with 422.
    "mistral": Preset(
        base_url="https://api.mistral.ai/v1",
        api_key_env="MISTRAL_API_KEY",
        refuses=_STORED | {"user", "stream_options", "logit_bias"},
        renames=_MAX_TOKENS | {"seed": "random_seed"},
        asks_for_usage=False,
        quirks=Quirks(
            reasoning="content",
            developer=False,
            refuses=_ANSWERED | _TOLD | {"name", "reasoning", "reasoning_details"},
            call_id_length=9,
            finish_reasons={"model_length": "length"},
            counts_calls=False,
        ),
    ),
    # api-docs.deepseek.com/api/create-chat-completion
    "deepseek": Preset(
        base_url="https://api.deepseek.com",
        api_key_env="DEEPSEEK_API_KEY",
        renames=_MAX_TOKENS,
        quirks=Quirks(developer=False, finish_reasons={"insufficient_system_resource": "length"}),
    ),
    "xai": Preset(base_url="https://api.x.ai/v1", api_key_env="XAI_API_KEY"),
    # docs.together.ai/reference/chat-completions
    "together": Preset(
        base_url="https://api.together.xyz/v1",
        api_key_env="TOGETHER_API_KEY",
        renames=_MAX_TOKENS,
        quirks=Quirks(reasoning="reasoning", developer=False, finish_reasons={"eos": "stop"}),
    ),
    "fireworks": Preset(
        base_url="https://api.fireworks.ai/inference/v1", api_key_env="FIREWORKS_API_KEY"
    ),
    # openrouter.ai/docs/use-cases/reasoning-tokens
    "openrouter": Preset(
        base_url="https://openrouter.ai/api/v1",
        api_key_env="OPENROUTER_API_KEY",
        refuses=_NO_STORE,
        quirks=_REASONING,
    ),
    # docs.perplexity.ai/api-reference/chat-completions-post
    "perplexity": Preset(
        base_url="https://api.perplexity.ai",
        api_key_env="PERPLEXITY_API_KEY",
        renames=_MAX_TOKENS,
        quirks=_SYSTEM,
    ),
    # inference-docs.cerebras.ai/resources/openai; as Groq of what it does not know.
    "cerebras": Preset(
        base_url="https://api.cerebras.ai/v1",
        api_key_env="CEREBRAS_API_KEY",
        refuses=_STORED | {"frequency_penalty", "presence_penalty", "logit_bias"},
        quirks=Quirks(reasoning="reasoning", developer=False, refuses=_ANSWERED | _TOLD),
    ),
    "huggingface": Preset(
        base_url="https://router.huggingface.co/v1",
        api_key_env="HF_TOKEN",
        renames=_MAX_TOKENS,
        quirks=Quirks(reasoning="reasoning", developer=False),
    ),
    # docs.z.ai/api-reference/llm/chat-completion
    "zai": Preset(
        base_url="https://api.z.ai/api/paas/v4",
        api_key_env="ZAI_API_KEY",
        renames=_MAX_TOKENS,
        quirks=Quirks(
            developer=False,
            finish_reasons={
                "sensitive": "content_filter",
                "model_context_window_exceeded": "length",
            },
        ),
    ),
    # docs.ollama.com/api/openai-compatibility
    "ollama": Preset(
        base_url="http://127.0.0.1:11434/v1",
        renames=_MAX_TOKENS,
        quirks=Quirks(reasoning="reasoning", developer=False),
    ),
    # docs.vllm.ai/en/stable/features/reasoning_outputs
    "vllm": Preset(base_url="http://127.0.0.1:8000/v1", quirks=_REASONING),
    "lmstudio": Preset(
        base_url="http://127.0.0.1:1234/v1",
        renames=_MAX_TOKENS,
        quirks=Quirks(reasoning="reasoning", developer=False),
    ),
    "echo": Preset(base_url="echo://echo", refuses=frozenset(), models=("echo",)),
}
