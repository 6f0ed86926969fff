"""What is known of each provider, held to what the contract says of all of them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from waystone_asgi.providers import PRESETS
from waystone_asgi.providers.forms import Form

NEEDS_NO_KEY = {"ollama", "vllm", "lmstudio", "echo", "vertex", "bedrock"}
HAVE_NO_ADDRESS = {"azure", "foundry"}
TRANSLATED = {"anthropic", "foundry", "gemini", "vertex", "bedrock", "cohere", "ollama"}
RUNS_HERE = {"ollama", "vllm", "lmstudio"}


def test_all_that_are_promised_are_there() -> None:
    assert set(PRESETS) == {
        "openai",
        "azure",
        "groq",
        "mistral",
        "deepseek",
        "xai",
        "together",
        "fireworks",
        "openrouter",
        "perplexity",
        "cerebras",
        "huggingface",
        "zai",
        "anthropic",
        "foundry",
        "gemini",
        "vertex",
        "bedrock",
        "cohere",
        "ollama",
        "vllm",
        "lmstudio",
        "echo",
    }


@pytest.mark.parametrize("type", PRESETS)
def test_a_preset_is_complete(type: str) -> None:
    preset = PRESETS[type]
    assert (not preset.key_env) == (type in NEEDS_NO_KEY)
    assert (preset.base_url is None) == (type in HAVE_NO_ADDRESS)
    assert preset.models == (("echo",) if type == "echo" else ("*",))
    assert (preset.forms == (Form(),)) == (type not in TRANSLATED)
    assert ("store" in preset.refuses) == (type not in ("openai", "echo"))


@pytest.mark.parametrize("type", [type for type in PRESETS if PRESETS[type].base_url])
def test_a_base_url_is_one(type: str) -> None:
    url = urlsplit(PRESETS[type].base_url or "")
    assert url.hostname
    assert not url.path.endswith("/")
    if type in RUNS_HERE:
        assert (url.scheme, url.hostname) == ("http", "127.0.0.1")
    else:
        assert url.scheme == ("echo" if type == "echo" else "https")


def test_usage_is_asked_for_unless_the_option_is_refused() -> None:
    for preset in PRESETS.values():
        assert preset.asks_for_usage == ("stream_options" not in preset.refuses)


def test_key_variables_are_of_one_provider_each() -> None:
    variables = [name for preset in PRESETS.values() for name in preset.key_env]
    assert len(variables) == len(set(variables))
    assert all(variable.isupper() for variable in variables)


def test_a_member_is_not_both_refused_and_renamed() -> None:
    for preset in PRESETS.values():
        assert not preset.refuses & preset.renames.keys()
        assert not preset.refuses & set(preset.renames.values())


def test_quirks_are_told_in_openais_words() -> None:
    for preset in PRESETS.values():
        quirks = preset.quirks
        if quirks is not None:
            assert quirks.reasoning in ("reasoning_content", "reasoning", "content")
            assert quirks.reasoning not in quirks.refuses
            assert set(quirks.finish_reasons.values()) <= {"stop", "length", "content_filter"}


def test_members_of_messages_that_are_renamed_are_not_sent_to_strict_vendors() -> None:
    for preset in PRESETS.values():
        if preset.quirks is not None and preset.quirks.refuses:
            assert "reasoning_content" in preset.quirks.refuses
