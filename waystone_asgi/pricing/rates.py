"""What a model costs: its prices come in, and whole nano-dollars for a usage go out.

The result is that of genai-prices, to the nano-dollar. A part of the tokens that has no price of
its own costs what the whole costs. All is counted exactly, in integers and fractions, and rounded
once, half to even.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from msgspec.structs import replace

from ..records import Usage
from .terms import PRICE_KEYS, Period, Price, TieredPrice, Variant

_DAY = 86_400


class Rates(NamedTuple):
    """The price of each bucket: for one token of it `value / scale` nano-dollars."""

    request: int
    text: int
    read: int
    write: int
    write_1h: int
    audio: int
    read_audio: int
    output: int
    reasoning: int
    output_audio: int
    scale: int
    second: Fraction
    least_seconds: int


class _Tariff(NamedTuple):
    starts: tuple[int, ...]  # input tokens, ascending
    rates: tuple[Rates | None, ...]  # for up to the first start, and above each


_BUCKETS: tuple[tuple[str, ...], ...] = (
    # The keys that price each bucket, the most exact first, in the order of `Rates`.
    ("input_mtok",),
    ("cache_read_mtok", "input_mtok"),
    ("cache_write_mtok", "input_mtok"),
    ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    ("input_audio_mtok", "input_mtok"),
    ("cache_audio_read_mtok", "cache_read_mtok", "input_audio_mtok", "input_mtok"),
    ("output_mtok",),
    ("output_reasoning_mtok", "output_mtok"),
    ("output_audio_mtok", "output_mtok"),
)


class Cost:
    """What one model costs at any time: `periods` of which the last that applies counts.

    Where none applies it is the first. `variants` replace single prices, the first that applies.
    """

    __slots__ = ("_always", "_days", "_flat", "_grid", "_times")

    def __init__(self, periods: Sequence[Period], variants: Sequence[Variant] = ()) -> None:
        every: list[Period] = [*periods, *variants]
        self._days = sorted({_midnight(p.start_date) for p in every if p.start_date is not None})
        self._times = sorted(
            {t for p in every for t in (p.start_time, p.end_time) if t is not None}
        )
        self._grid = [
            [_tariff(_effective(periods, variants, day + time)) for time in (0.0, *self._times)]
            for day in (-_DAY * 1e6, *self._days)
        ]
        always = self._grid[0][0]
        self._always = always if all(t == always for row in self._grid for t in row) else None
        self._flat = self._always.rates[0] if self._always and not self._always.starts else None

    def of(self, usage: Usage, when: float) -> int | None:
        """Nano-dollars for `usage` at a Unix time, or None where what is paid is not counted."""
        rates = self._flat
        if rates is None:
            starts, tariff = self._always or self._at(when)
            rates = tariff[bisect_left(starts, usage.input_tokens)] if starts else tariff[0]
            if rates is None:
                return None
        return _charge(rates, usage)

    def of_text(self, input_tokens: int, output_tokens: int, when: float) -> int | None:
        """Nano-dollars for so much plain text, as `of` counts them."""
        rates = self._flat
        if rates is None:
            usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
            return self.of(usage, when)
        total = rates.request + rates.text * input_tokens + rates.output * output_tokens
        return total if rates.scale == 1 else _divide(total, rates.scale)

    def _at(self, when: float) -> _Tariff:
        row = self._grid[bisect_right(self._days, when)]
        return row[bisect_right(self._times, when % _DAY)] if self._times else row[0]


def _charge(rates: Rates, usage: Usage) -> int:
    """Nano-dollars, of disjoint buckets: no token is in two of them, none is negative."""
    read, written = usage.cache_read_input_tokens, usage.cache_write_input_tokens
    audio, reasoning = usage.input_audio_tokens, usage.reasoning_output_tokens
    text, said = usage.input_tokens, usage.output_tokens
    total = rates.request
    if read or written:
        text -= read + written
        if audio and (read_audio := usage.cache_read_audio_tokens):
            read_audio = min(read_audio, audio, read)
            audio -= read_audio
            read -= read_audio
            total += rates.read_audio * read_audio
        if written_1h := usage.cache_write_1h_input_tokens:
            written_1h = min(written_1h, written)
            written -= written_1h
            total += rates.write_1h * written_1h
        total += rates.read * read + rates.write * written
    if audio:
        text -= audio
        total += rates.audio * audio
    if reasoning:
        said -= reasoning
        total += rates.reasoning * reasoning
    if output_audio := usage.output_audio_tokens:
        said -= output_audio
        total += rates.output_audio * output_audio
    if text > 0:
        total += rates.text * text
    if said > 0:
        total += rates.output * said
    if usage.audio_seconds:
        return _with_seconds(total, rates, usage.audio_seconds)
    return total if rates.scale == 1 else _divide(total, rates.scale)


def _with_seconds(total: int, rates: Rates, seconds: float) -> int:
    paid = Fraction(repr(seconds)) if seconds > rates.least_seconds else rates.least_seconds
    return round(Fraction(total, rates.scale) + rates.second * paid)


def _divide(total: int, scale: int) -> int:
    whole, rest = divmod(total, scale)
    return whole + (2 * rest > scale or (2 * rest == scale and whole & 1))


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _applies(period: Period, when: float) -> bool:
    if period.start_date is not None and when < _midnight(period.start_date):
        return False
    start, end = period.start_time, period.end_time
    if start is None or end is None:
        return True
    time = when % _DAY
    return start <= time < end if start <= end else time >= start or time < end


def _effective(periods: Sequence[Period], variants: Iterable[Variant], when: float) -> Period:
    period = next((p for p in reversed(periods) if _applies(p, when)), periods[0])
    replaced: dict[str, Price] = {}
    for variant in variants:
        if _applies(variant, when):
            prices = {key: getattr(variant, key) for key in PRICE_KEYS}
            replaced = {k: p for k, p in prices.items() if p is not None} | replaced
    return replace(period, **replaced)


def _tariff(period: Period) -> _Tariff:
    tiered = [p for key in PRICE_KEYS if isinstance(p := getattr(period, key), TieredPrice)]
    starts = tuple(sorted({tier.start for price in tiered for tier in price.tiers}))
    if period.uncounted:
        return _Tariff((), (None,))
    return _Tariff(starts, tuple(_rates(period, above) for above in (-1, *starts)))


def _rates(period: Period, above: int) -> Rates:
    """The rates for requests with more than `above` input tokens, up to the next tier."""

    def nano_dollars(keys: Iterable[str], unit: int) -> Fraction:
        price = next((p for key in keys if (p := getattr(period, key)) is not None), Decimal(0))
        if isinstance(price, TieredPrice):
            tiers = [tier.price for tier in price.tiers if tier.start <= above]
            price = tiers[-1] if tiers else price.base
        return Fraction(price) * 1_000_000_000 / unit

    request = nano_dollars(("requests_kcount",), 1000)
    buckets = [request, *(nano_dollars(keys, 1_000_000) for keys in _BUCKETS)]
    scale = lcm(*(rate.denominator for rate in buckets))
    second = nano_dollars(("input_audio_hours", "audio_hours"), 3600)
    scaled = [int(rate * scale) for rate in buckets]
    return Rates._make((*scaled, scale, second, period.least_audio_seconds))
