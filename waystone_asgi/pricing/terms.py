"""Prices as a table or a configuration has them: US dollars, by the names of genai-prices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import TypeAlias

from msgspec import Struct


class Tier(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A price for requests with more than `start` input tokens, for all of their tokens."""

    start: int
    price: Decimal


class TieredPrice(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A price that depends on how long the input is; `base` is that of the shortest."""

    base: Decimal
    tiers: tuple[Tier, ...]


Price: TypeAlias = Decimal | TieredPrice


class Period(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True
):
    """The prices of one model: from a day on, or at a time of every day, or always.

    `*_mtok` is for a million tokens, `requests_kcount` for a thousand requests, `*_hours` for an
    hour of recording, of which at least `least_audio_seconds` are paid. The times are seconds since
    midnight UTC. `uncounted` names the prices of a model that is paid only by what no `Usage` says:
    it has prices and no cost.
    """

    input_mtok: Price | None = None
    output_mtok: Price | None = None
    cache_read_mtok: Price | None = None
    cache_write_mtok: Price | None = None
    cache_write_1h_mtok: Price | None = None
    input_audio_mtok: Price | None = None
    cache_audio_read_mtok: Price | None = None
    output_audio_mtok: Price | None = None
    output_reasoning_mtok: Price | None = None
    requests_kcount: Price | None = None
    audio_hours: Price | None = None
    input_audio_hours: Price | None = None
    least_audio_seconds: int = 0
    start_date: date | None = None
    start_time: float | None = None
    end_time: float | None = None
    uncounted: tuple[str, ...] = ()


PRICE_KEYS: tuple[str, ...] = Period.__struct_fields__[:12]
"""The names of the prices themselves."""


class Variant(Period, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Prices in the place of the usual ones for requests that were served at `service_tier`."""

    service_tier: str


def numbers(price: Price) -> Iterator[tuple[str, Decimal]]:
    """The numbers in a price, with the rest of the path of each."""
    if isinstance(price, Decimal):
        yield "", price
        return
    yield ".base", price.base
    for index, tier in enumerate(price.tiers):
        yield f".tiers[{index}].price", tier.price


def is_price(number: Decimal) -> bool:
    """Whether a number can be paid: finite, and 0 or more."""
    return number.is_finite() and number >= 0
