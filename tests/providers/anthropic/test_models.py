from __future__ import annotations

import pytest

from waystone_asgi.providers.anthropic.models import Traits, traits_of

K = 1000


@pytest.mark.parametrize(
    ("names", "thinking", "samples", "most"),
    [
        ("claude-instant-1.2 claude-2.1 claude-v2", "none", "both", 4096),
        ("claude-3-opus-20240229 claude-3-haiku-20240307", "none", "both", 4096),
        (
            "claude-3-5-sonnet-20240620 claude-3-5-haiku-latest claude-3-5-sonnet-v2@20241022",
            "none",
            "both",
            8192,
        ),
        (
            "claude-3-7-sonnet-latest claude-sonnet-4 claude-sonnet-4-0 claude-sonnet-4@20250514"
            " us.anthropic.claude-sonnet-4-20250514-v1:0",
            "budget",
            "both",
            64 * K,
        ),
        (
            "claude-opus-4 claude-opus-4-0 claude-opus-4-20250514 claude-opus-4@20250514",
            "budget",
            "both",
            32 * K,
        ),
        ("claude-opus-4-1-20250805 claude-opus-4-1@20250805", "budget", "either", 32 * K),
        (
            "claude-sonnet-4-5 claude-sonnet-4-5@20250929 claude-opus-4-5-20251101"
            " claude-haiku-4-5-20251001",
            "budget",
            "either",
            64 * K,
        ),
        ("claude-opus-4-6 claude-sonnet-4-6", "adaptive", "either", 128 * K),
        ("claude-mythos-preview", "always", "either", 128 * K),
        (
            "claude-opus-4-7 claude-opus-4-8 claude-opus-5 claude-sonnet-5 claude-haiku-5-5"
            " claude-opus-5@20260724",
            "adaptive",
            "none",
            128 * K,
        ),
        (
            "claude-opus-5-5 claude-sonnet-5-5 claude-fable-5-1 claude-mythos-5-2",
            "always",
            "none",
            128 * K,
        ),
        ("mine claude-opus-4-10", "adaptive", "both", 8192),
    ],
)
def test_what_models_take(names: str, thinking: str, samples: str, most: int) -> None:
    for name in names.split():
        traits = traits_of(name)
        assert (traits.thinking, traits.samples, traits.max_output_tokens) == (
            thinking,
            samples,
            most,
        ), name


def named(names: str) -> list[Traits]:
    return [traits_of(name) for name in names.split()]


def test_which_have_system_messages_in_the_middle() -> None:
    newest = named("claude-opus-4-8 claude-opus-5 claude-opus-5-5 claude-fable-5-1")
    others = named("claude-opus-4-7 claude-sonnet-5-5 claude-mythos-5 claude-haiku-5-5 mine")
    assert all(traits.told_later for traits in newest)
    assert not any(traits.told_later for traits in others)


def test_which_have_an_effort_between_high_and_the_most() -> None:
    assert not any(t.knows_xhigh for t in named("claude-opus-4-6 claude-sonnet-4-6"))
    assert all(t.knows_xhigh for t in named("claude-opus-4-7 claude-sonnet-5 mine"))


def test_which_think_though_they_have_to_call() -> None:
    newest = "claude-opus-4-8 claude-opus-5 claude-sonnet-5 claude-haiku-5-5 claude-fable-5 mine"
    others = "claude-3-7-sonnet claude-opus-4-1 claude-opus-4-5 claude-sonnet-4-6 claude-opus-4-7"
    assert all(t.thinks_forced for t in named(newest))
    assert not any(t.thinks_forced for t in named(others))
