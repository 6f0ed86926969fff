"""What is known of each provider, as data.

Sources are the providers' own API references. A quirk is a field here, never a branch elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from .forms import Form, Preset, Quirks

_NO_STORE = frozenset({"store"})
_STORED = _NO_STORE | {"metadata"}
_MAX_TOKENS = {"max_completion_tokens": "max_tokens"}
# What clients send back of an answer, beside what it says: members that the contract adds, that
# another provider needs, or that none takes in a request.
_NEEDED = frozenset({"extra_content", "reasoning_details"})
_ANSWERED = _NEEDED | {"contents", "annotations", "refusal", "audio", "images"}
_TOLD = frozenset({"reasoning_content"})
_MESSAGES = {"anthropic-version": "2023-06-01"}
_PLACE = "/projects/{project}/locations/{location}"
_SYSTEM = Quirks(developer=False)
_REASONING = Quirks(reasoning="reasoning")

PRESETS: Mapping[str, Preset] = {
    "openai": Preset(
        base_url="https://api.openai.com/v1", key_env=("OPENAI_API_KEY",), refuses=frozenset()
    ),
    # The v1 API, and those before it whose versions are dates
    # (learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle).
    "azure": Preset(
        key_env=("AZURE_OPENAI_API_KEY",),
        version="/openai/v1",
        defaults={"base_url": ("AZURE_OPENAI_ENDPOINT",)},
        enough=(frozenset({"api_key", "base_url"}),),
        dated_forms=(Form(path="/openai/deployments/{model}/chat/completions"),),
        auth="api-key",
        refuses=_NO_STORE,
    ),
    # console.groq.com/docs/openai; a member of a message that it does not know is refused with 400.
    "groq": Preset(
        base_url="https://api.groq.com/openai/v1",
        key_env=("GROQ_API_KEY",),
        refuses=_STORED | {"logprobs", "top_logprobs", "logit_bias"},
        quirks=Quirks(reasoning="reasoning", refuses=_ANSWERED | _TOLD | {"name"}),
    ),
    # docs.mistral.ai/api; a member that it does not know is refused with 422.
    "mistral": Preset(
        base_url="https://api.mistral.ai/v1",
        key_env=("MISTRAL_API_KEY",),
        refuses=_NO_STORE
        | {"user", "stream_options", "logit_bias", "modalities", "audio", "verbosity"}
        | {"safety_identifier", "web_search_options", "functions", "function_call"},
        renames=_MAX_TOKENS | {"seed": "random_seed"},
        asks_for_usage=False,
        quirks=Quirks(
            reasoning="content",
            developer=False,
            refuses=_ANSWERED | _TOLD | {"name", "reasoning"},
            call_id_length=9,
            finish_reasons={"model_length": "length"},
            counts_calls=False,
        ),
    ),
    # api-docs.deepseek.com/api/create-chat-completion
    "deepseek": Preset(
        base_url="https://api.deepseek.com",
        key_env=("DEEPSEEK_API_KEY",),
        renames=_MAX_TOKENS,
        quirks=Quirks(developer=False, finish_reasons={"insufficient_system_resource": "length"}),
    ),
    "xai": Preset(base_url="https://api.x.ai/v1", key_env=("XAI_API_KEY",)),
    # docs.together.ai/reference/chat-completions
    "together": Preset(
        base_url="https://api.together.xyz/v1",
        key_env=("TOGETHER_API_KEY",),
        renames=_MAX_TOKENS,
        quirks=Quirks(reasoning="reasoning", developer=False, finish_reasons={"eos": "stop"}),
    ),
    "fireworks": Preset(
        base_url="https://api.fireworks.ai/inference/v1", key_env=("FIREWORKS_API_KEY",)
    ),
    # openrouter.ai/docs/use-cases/reasoning-tokens
    "openrouter": Preset(
        base_url="https://openrouter.ai/api/v1",
        key_env=("OPENROUTER_API_KEY",),
        refuses=_NO_STORE,
        quirks=_REASONING,
    ),
    # docs.perplexity.ai/api-reference/chat-completions-post
    "perplexity": Preset(
        base_url="https://api.perplexity.ai",
        key_env=("PERPLEXITY_API_KEY",),
        renames=_MAX_TOKENS,
        quirks=_SYSTEM,
    ),
    # inference-docs.cerebras.ai/resources/openai; as Groq of what it does not know.
    "cerebras": Preset(
        base_url="https://api.cerebras.ai/v1",
        key_env=("CEREBRAS_API_KEY",),
        refuses=_STORED | {"frequency_penalty", "presence_penalty", "logit_bias"},
        quirks=Quirks(reasoning="reasoning", developer=False, refuses=_ANSWERED | _TOLD),
    ),
    "huggingface": Preset(
        base_url="https://router.huggingface.co/v1",
        key_env=("HF_TOKEN",),
        renames=_MAX_TOKENS,
        quirks=Quirks(reasoning="reasoning", developer=False),
    ),
    # docs.z.ai/api-reference/llm/chat-completion
    "zai": Preset(
        base_url="https://api.z.ai/api/paas/v4",
        key_env=("ZAI_API_KEY",),
        renames=_MAX_TOKENS,
        quirks=Quirks(
            developer=False,
            finish_reasons={
                "sensitive": "content_filter",
                "model_context_window_exceeded": "length",
            },
        ),
    ),
    # docs.ollama.com/api/chat; below /v1 it speaks OpenAI's form
    # (docs.ollama.com/api/openai-compatibility).
    "ollama": Preset(
        base_url="http://127.0.0.1:11434",
        version="/api",
        forms=(Form(dialect="ollama", path="/chat"),),
        forms_below={"/v1": (Form(),)},
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
    # docs.claude.com/en/api/messages
    "anthropic": Preset(
        base_url="https://api.anthropic.com",
        key_env=("ANTHROPIC_API_KEY",),
        version="/v1",
        forms=(Form(dialect="anthropic", path="/messages"),),
        auth="x-api-key",
        headers=_MESSAGES,
    ),
    # learn.microsoft.com/azure/ai-foundry/foundry-models/how-to/use-foundry-models-claude
    "foundry": Preset(
        key_env=("ANTHROPIC_FOUNDRY_API_KEY",),
        version="/anthropic/v1",
        forms_below={"/anthropic": (Form(dialect="anthropic", path="/v1/messages"),)},
        defaults={"base_url": ("ANTHROPIC_FOUNDRY_BASE_URL",)},
        enough=(frozenset({"api_key", "base_url"}),),
        forms=(Form(dialect="anthropic", path="/messages"),),
        auth="x-api-key",
        headers=_MESSAGES,
    ),
    # ai.google.dev/api/generate-content; a tuned model's name has its kind before it.
    "gemini": Preset(
        base_url="https://generativelanguage.googleapis.com",
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        version="/v1beta",
        forms=(
            Form(
                dialect="gemini",
                path="/models/{model}:generateContent",
                stream_path="/models/{model}:streamGenerateContent?alt=sse",
                models="[^/]+",
            ),
            Form(
                dialect="gemini",
                path="/{+model}:generateContent",
                stream_path="/{+model}:streamGenerateContent?alt=sse",
                models="(models|tunedModels)/[^/]+",
            ),
        ),
        auth="x-goog-api-key",
    ),
    # cloud.google.com/vertex-ai/generative-ai/docs: Gemini, Claude as a partner's model, and what
    # has its publisher in its name in OpenAI's form.
    "vertex": Preset(
        base_url="https://{location}-aiplatform.googleapis.com",
        base_urls={
            "global": "https://aiplatform.googleapis.com",
            "us": "https://aiplatform.us.rep.googleapis.com",
            "eu": "https://aiplatform.eu.rep.googleapis.com",
        },
        forms=(
            Form(
                dialect="vertex_anthropic",
                path=f"/v1{_PLACE}/publishers/anthropic/models/{{model}}:rawPredict",
                stream_path=f"/v1{_PLACE}/publishers/anthropic/models/{{model}}:streamRawPredict",
                models="claude-[^/]+",
            ),
            Form(
                dialect="gemini",
                path=f"/v1beta1{_PLACE}/publishers/google/models/{{model}}:generateContent",
                stream_path=f"/v1beta1{_PLACE}/publishers/google/models/{{model}}"
                ":streamGenerateContent?alt=sse",
                models="[^/]+",
            ),
            Form(path=f"/v1beta1{_PLACE}/endpoints/openapi/chat/completions"),
        ),
        auth="x-goog-api-key",
        defaults={
            "project": ("GOOGLE_CLOUD_PROJECT",),
            "location": ("GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_REGION"),
            "credentials": ("GOOGLE_APPLICATION_CREDENTIALS",),
        },
        enough=(frozenset({"project", "location", "credentials"}),),
        quirks=_SYSTEM,
    ),
    # docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    "bedrock": Preset(
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        forms=(
            Form(
                dialect="bedrock",
                path="/model/{model}/converse",
                stream_path="/model/{model}/converse-stream",
            ),
        ),
        headers={"accept": "application/json, application/vnd.amazon.eventstream"},
        defaults={
            "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
            "api_key": ("AWS_BEARER_TOKEN_BEDROCK",),
            "access_key_id": ("AWS_ACCESS_KEY_ID",),
            "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
            "session_token": ("AWS_SESSION_TOKEN",),
        },
        enough=(
            frozenset({"region", "api_key"}),
            frozenset({"region", "access_key_id", "secret_access_key"}),
        ),
    ),
    # docs.cohere.com/reference/chat
    "cohere": Preset(
        base_url="https://api.cohere.com",
        key_env=("CO_API_KEY", "COHERE_API_KEY"),
        version="/v2",
        forms=(Form(dialect="cohere", path="/chat"),),
    ),
    "echo": Preset(base_url="echo://echo", refuses=frozenset(), models=("echo",)),
}
