from __future__ import annotations

import pytest

from waystone_asgi.providers.anthropic.models import traits_of


@pytest.mark.parametrize(
    ("names", "thinking", "samples", "told_later"),
    [
        (
            "claude-instant-1.2 claude-2.1 claude-v2 claude-3-opus-20240229 claude-3-haiku-20240307"
            " claude-3-5-sonnet-20240620 claude-3-5-haiku-latest claude-3-5-sonnet-v2@20241022",
            "none",
            True,
            False,
        ),
        (
            "claude-3-7-sonnet-latest claude-sonnet-4-0 claude-opus-4-20250514 claude-opus-4"
            " claude-opus-4@20250514 claude-opus-4-1-20250805 claude-opus-4-1@20250805"
            " claude-sonnet-4-5 claude-sonnet-4-5@20250929 claude-opus-4-5-20251101"
            " claude-haiku-4-5-20251001",
            "budget",
            True,
            False,
        ),
        ("claude-opus-4-6 claude-sonnet-4-6 claude-mythos-preview mine", "adaptive", True, False),
        (
            "claude-opus-4-7 claude-sonnet-5 claude-sonnet-5-5 claude-haiku-5-5 claude-mythos-5-2",
            "adaptive",
            False,
            False,
        ),
        ("claude-opus-4-8 claude-opus-5 claude-opus-5-5 claude-fable-5-1", "adaptive", False, True),
    ],
)
def test_what_models_take(names: str, thinking: str, samples: bool, told_later: bool) -> None:
    for name in names.split():
        traits = traits_of(name)
        assert (traits.thinking, traits.samples, traits.told_later) == (
            thinking,
            samples,
            told_later,
        ), name
