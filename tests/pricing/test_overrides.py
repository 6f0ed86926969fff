"""The host's own prices: what they may say, and what is refused with the path of it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.pricing.overrides import read_settings
from waystone_asgi.pricing.terms import Period, Tier, TieredPrice

TYPES = {"openai": "openai", "gpu": "vllm"}
WHOLE = {"input_mtok": 1, "output_mtok": 2}


def test_prices_are_exact_and_names_are_full() -> None:
    settings = read_settings(
        {
            "file": "prices.json",
            "openai/gpt-4o-mini": {"input_mtok": 0.15, "output_mtok": "0.6"},
            "gpu/*": {"input_mtok": 0, "output_mtok": Decimal(0)},
            "gpu/org/model": {
                "input_mtok": {"base": 1.25, "tiers": [{"start": 200_000, "price": 2.5}]},
                "output_mtok": 10,
                "cache_read_mtok": 0.1,
            },
            "gpu/whisper": {"audio_hours": 0.36},
            "gpu/same": "openai/gpt-4o",
        },
        TYPES,
    )
    assert settings.file == "prices.json"
    assert settings.overrides == {
        "openai/gpt-4o-mini": Period(input_mtok=Decimal("0.15"), output_mtok=Decimal("0.6")),
        "gpu/*": Period(input_mtok=Decimal(0), output_mtok=Decimal(0)),
        "gpu/org/model": Period(
            input_mtok=TieredPrice(Decimal("1.25"), (Tier(200_000, Decimal("2.5")),)),
            output_mtok=Decimal(10),
            cache_read_mtok=Decimal("0.1"),
        ),
        "gpu/whisper": Period(audio_hours=Decimal("0.36")),
        "gpu/same": "openai/gpt-4o",
    }


def tiers(*tiers: object) -> dict[str, object]:
    return {"openai/x": {**WHOLE, "input_mtok": {"base": 1, "tiers": list(tiers)}}}


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        (7, "prices: expected a table."),
        ({"file": 7}, "prices.file: expected the path of a file."),
        ({"file": ""}, "prices.file: expected the path of a file."),
        ({"gpt-4o": WHOLE}, "prices.gpt-4o: expected file, or a full name such as"),
        ({7: WHOLE}, "prices.7: expected file, or a full name such as"),
        ({"openai/": WHOLE}, 'prices."openai/": expected file, or a full name such as'),
        ({"opnai/x": WHOLE}, 'prices."opnai/x": there is no such provider; known are openai, gpu.'),
        ({"openai/x": 7}, 'prices."openai/x": expected prices, such as input_mtok = 0.15.'),
        ({"openai/x": "gpt-4o"}, 'prices."openai/x": expected prices, or a name such as'),
        ({"openai/x": {}}, 'prices."openai/x".input_mtok: is missing; 0 is free.'),
        ({"openai/x": {"input_mtok": 1}}, 'prices."openai/x".output_mtok: is missing; 0 is free.'),
        (
            {"openai/x": {"input_mtoks": 1}},
            'prices."openai/x".input_mtoks: unknown key; did you mean input_mtok?',
        ),
        ({"openai/x": {"a b": 1}}, 'prices."openai/x"."a b": unknown key; known are input_mtok, '),
        (
            {"openai/x": {**WHOLE, "start_date": "2026-01-01"}},
            'prices."openai/x".start_date: unknown key; ',
        ),
        (
            {"openai/x": {**WHOLE, "input_mtok": -1}},
            'prices."openai/x".input_mtok: expected US dollars, 0 or more.',
        ),
        (
            {"openai/x": {**WHOLE, "input_mtok": float("nan")}},
            'prices."openai/x".input_mtok: expected US dollars, 0 or more.',
        ),
        (
            {"openai/x": {**WHOLE, "input_mtok": True}},
            'prices."openai/x".input_mtok: expected a number, or a base with tiers, got `bool`.',
        ),
        (
            {"openai/x": {**WHOLE, "input_mtok": "much"}},
            'prices."openai/x".input_mtok: invalid decimal string.',
        ),
        (tiers({"start": 1}), "tiers[0]: object missing required field `price`."),
        (tiers({"start": 1, "price": 1, "end": 2}), "object contains unknown field `end`."),
        (tiers({"start": 1, "price": -1}), "tiers[0].price: expected US dollars, 0 or more."),
        (tiers({"start": 0, "price": 1}), "tiers[0].start: expected input tokens, more than in"),
        (
            tiers({"start": 5, "price": 1}, {"start": 5, "price": 2}),
            'prices."openai/x".input_mtok.tiers[1].start: expected input tokens, more than in',
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_path(prices: object, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_settings(prices, TYPES)  # type: ignore[arg-type]
    assert said in str(raised.value)


def test_without_known_providers_any_may_be_named() -> None:
    assert "some/model" in read_settings({"some/model": WHOLE}).overrides
