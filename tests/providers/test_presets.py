"""What is known of each provider, held to what the contract says of all of them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from waystone_asgi.providers import PRESETS

NEEDS_NO_KEY = {"ollama", "vllm", "lmstudio", "echo"}
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
        "ollama",
        "vllm",
        "lmstudio",
        "echo",
    }


@pytest.mark.parametrize("type", PRESETS)
def test_a_preset_is_complete(type: str) -> None:
    preset = PRESETS[type]
    assert (preset.api_key_env is None) == (type in NEEDS_NO_KEY)
    assert (preset.base_url is None) == (type == "azure")
    assert preset.models == (("echo",) if type == "echo" else ("*",))
    assert preset.path == "/chat/completions"
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
    variables = [preset.api_key_env for preset in PRESETS.values() if preset.api_key_env]
    assert len(variables) == len(set(variables))
    assert all(variable.isupper() for variable in variables)
