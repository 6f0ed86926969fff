"""genai-prices as the oracle: what it says a model is and what a usage of it costs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

from waystone_asgi.pricing.terms import PRICE_KEYS
from waystone_asgi.records import Usage

SNAPSHOT = get_snapshot()
PROVIDERS: dict[str, types.Provider] = {provider.id: provider for provider in SNAPSHOT.providers}
_TIERS = ("service_tier", "speed")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def find(provider: str, name: str) -> tuple[str, types.ModelInfo] | None:
    """The model, and the provider that has it, which may be a fallback."""
    try:
        asked, model = SNAPSHOT.find_provider_model(name, None, provider, None)
    except LookupError:
        return None
    owners = [asked.id, *(asked.fallback_model_providers or ())]
    return next((o, model) for o in owners if any(model is m for m in PROVIDERS[o].models))


def cost(
    provider: str,
    model: types.ModelInfo,
    usage: Usage,
    when: datetime,
    context: dict[str, str] | None = None,
) -> int | None:
    """Nano-dollars, or None where the model has prices and none is for what a `Usage` counts."""
    keys = {key for key, value in vars(model.get_prices(when)).items() if value is not None}
    if keys and not keys & set(PRICE_KEYS):
        return None
    counted = types.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_input_tokens,
        cache_write_tokens=usage.cache_write_input_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_input_tokens,
        output_reasoning_tokens=usage.reasoning_output_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        output_audio_tokens=usage.output_audio_tokens,
        cache_audio_read_tokens=usage.cache_read_audio_tokens,
        audio_seconds=usage.audio_seconds,
        input_audio_seconds=usage.audio_seconds,
    )
    price = model.calc_price(
        counted, PROVIDERS[provider], genai_request_timestamp=when, price_context=context
    )
    return int((price.total_price * 1_000_000_000).quantize(Decimal(1), ROUND_HALF_EVEN))


def usages(model: types.ModelInfo) -> Iterator[Usage]:
    """A grid: nothing, little, much, around each tier, and the parts alone and together."""
    sizes = {0, 1, 7, 1013, 1_000_000}
    sizes.update(start + more for start in _tier_starts(model.prices) for more in (-1, 0, 1))
    for size in sorted(sizes):
        yield Usage(input_tokens=size, output_tokens=size // 3)
        yield Usage(
            input_tokens=size,
            output_tokens=size // 2,
            cache_read_input_tokens=size // 3,
            cache_write_input_tokens=size // 5,
            cache_write_1h_input_tokens=size // 7,
            reasoning_output_tokens=size // 4,
        )
    parts: list[dict[str, int]] = [
        {"cache_read_input_tokens": 333},
        {"cache_read_input_tokens": 1013},
        {"cache_write_input_tokens": 334},
        {"cache_write_input_tokens": 1013, "cache_write_1h_input_tokens": 1013},
        {"reasoning_output_tokens": 299},
        {"input_audio_tokens": 501},
        {"output_audio_tokens": 77},
        {"input_audio_tokens": 501, "cache_read_input_tokens": 499},
        {
            "input_audio_tokens": 501,
            "cache_read_input_tokens": 600,
            "cache_read_audio_tokens": 203,
            "cache_write_input_tokens": 99,
            "output_audio_tokens": 51,
            "reasoning_output_tokens": 49,
        },
    ]
    for part in parts:
        yield Usage(input_tokens=1013, output_tokens=299, **part)
    for seconds in (0.25, 10.0, 61.123456789):
        yield Usage(input_tokens=10, output_tokens=20, audio_seconds=seconds)


def moments(model: types.ModelInfo) -> set[datetime]:
    """Now, and around each day and each time of day at which a price begins or ends."""
    found, days = {NOW}, {NOW.date()}
    for constraint in _constraints(model):
        if isinstance(constraint, types.StartDateConstraint):
            day = datetime.combine(constraint.start_date, time(), UTC)
            days.add(constraint.start_date)
            found |= {day - timedelta(seconds=1), day, day + timedelta(hours=13)}
    for constraint in _constraints(model):
        if isinstance(constraint, types.TimeOfDateConstraint):
            for edge in (constraint.start_time, constraint.end_time):
                found.update(_around(days, edge))
    return found


def tiers(model: types.ModelInfo) -> set[tuple[str, str]]:
    """Each service tier that has prices of its own, by what genai-prices calls it; and another."""
    single = [variant.when for variant in model.price_variants or () if len(variant.when) == 1]
    known = {pair for when in single for pair in when.items() if pair[0] in _TIERS}
    return {("service_tier", "unheard of"), *known}


def _around(days: set[date], edge: time) -> Iterator[datetime]:
    for day in days:
        moment = datetime.combine(day, edge)
        yield from (moment - timedelta(microseconds=1), moment)


def _constraints(model: types.ModelInfo) -> Iterator[object]:
    for period in model.prices if isinstance(model.prices, list) else ():
        yield period.constraint
    for variant in model.price_variants or ():
        yield variant.constraint


def _tier_starts(value: Any) -> set[int]:
    if isinstance(value, types.TieredPrices):
        return {tier.start for tier in value.tiers}
    members = value if isinstance(value, list) else vars(value).values()
    kinds = (types.TieredPrices, types.ModelPrice, types.ConditionalPrice)
    return {start for m in members if isinstance(m, kinds) for start in _tier_starts(m)}
