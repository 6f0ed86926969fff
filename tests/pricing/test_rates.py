"""What one model costs: buckets, tiers, dates, times of day, recordings, and one rounding."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.pricing.rates import Cost
from waystone_asgi.pricing.terms import Period, Tier, TieredPrice, Variant
from waystone_asgi.records import Usage

FULL = Period(
    input_mtok=Decimal(1),
    output_mtok=Decimal(10),
    cache_read_mtok=Decimal("0.1"),
    cache_write_mtok=Decimal("1.25"),
    cache_write_1h_mtok=Decimal(2),
    input_audio_mtok=Decimal(4),
    cache_audio_read_mtok=Decimal("0.4"),
    output_audio_mtok=Decimal(40),
    output_reasoning_mtok=Decimal(12),
)
WHOLES = Period(input_mtok=Decimal(1), output_mtok=Decimal(10))


def usage(
    input: int = 0,
    output: int = 0,
    read: int = 0,
    written: int = 0,
    written_1h: int = 0,
    heard: int = 0,
    heard_again: int = 0,
    reasoning: int = 0,
    said: int = 0,
    seconds: float = 0.0,
) -> Usage:
    return Usage(
        input_tokens=input,
        output_tokens=output,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        cache_write_1h_input_tokens=written_1h,
        input_audio_tokens=heard,
        cache_read_audio_tokens=heard_again,
        reasoning_output_tokens=reasoning,
        output_audio_tokens=said,
        audio_seconds=seconds,
    )


def unix(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = unix("2026-11-23T12:00:00")


@pytest.mark.parametrize(
    ("used", "nano_dollars"),
    [
        pytest.param(usage(), 0, id="nothing"),
        pytest.param(usage(10), 10_000, id="input"),
        pytest.param(usage(output=10), 100_000, id="output"),
        pytest.param(usage(10, read=10), 1_000, id="all from the cache"),
        pytest.param(usage(10, read=4), 6_400, id="some from the cache"),
        pytest.param(usage(10, written=4), 11_000, id="to the cache"),
        pytest.param(usage(10, written=4, written_1h=2), 12_500, id="to the cache for an hour"),
        pytest.param(usage(10, heard=4), 22_000, id="audio"),
        pytest.param(usage(10, read=4, heard=4), 2_000 + 400 + 16_000, id="both, apart"),
        pytest.param(usage(10, read=4, heard=5, heard_again=3), 4_000 + 100 + 1_200 + 8_000),
        pytest.param(usage(output=10, reasoning=4), 108_000, id="reasoning"),
        pytest.param(usage(output=10, said=4), 220_000, id="said"),
        pytest.param(
            usage(10, 10, 2, 2, 1, 3, 1, 2, 2), 4_000 + 100 + 400 + 3_250 + 8_000 + 164_000
        ),
    ],
)
def test_each_token_is_in_one_bucket(used: Usage, nano_dollars: int) -> None:
    assert Cost([FULL]).of(used, NOW) == nano_dollars


@pytest.mark.parametrize(
    "used",
    [
        usage(10, 10),
        usage(10, 10, read=10),
        usage(10, 10, read=3, written=4, written_1h=2, heard=5, heard_again=3, reasoning=4, said=2),
    ],
)
def test_a_part_without_a_price_costs_what_the_whole_costs(used: Usage) -> None:
    assert Cost([WHOLES]).of(used, NOW) == 110_000


@pytest.mark.parametrize(
    ("price", "used", "nano_dollars"),
    [
        (Period(cache_write_mtok=Decimal(2)), usage(4, written=4, written_1h=4), 8_000),
        (Period(cache_read_mtok=Decimal(2)), usage(4, read=4, heard=4, heard_again=4), 8_000),
        (Period(input_audio_mtok=Decimal(2)), usage(4, read=4, heard=4, heard_again=4), 8_000),
        pytest.param(Period(input_mtok=Decimal(2)), usage(4, 4), 8_000, id="output is free"),
        pytest.param(Period(requests_kcount=Decimal(5)), usage(), 5_000_000, id="by the request"),
        pytest.param(Period(), usage(4, 4), 0, id="free"),
    ],
)
def test_the_most_exact_price_counts(price: Period, used: Usage, nano_dollars: int) -> None:
    assert Cost([price]).of(used, NOW) == nano_dollars


@pytest.mark.parametrize(
    "used",
    [
        usage(10, read=20),
        usage(10, written=20, written_1h=30),
        usage(10, read=10, written=10, heard=10, heard_again=20),
        usage(output=10, reasoning=20),
        usage(output=10, reasoning=10, said=10),
    ],
)
def test_more_parts_than_the_whole_cost_no_less_than_nothing(used: Usage) -> None:
    cost = Cost([FULL]).of(used, NOW)
    assert cost is not None
    assert cost > 0


@pytest.mark.parametrize(
    ("price", "tokens", "nano_dollars"),
    [
        ("0.0004", 1, 0),
        ("0.0005", 1, 0),
        ("0.0005", 3, 2),
        ("0.0005", 5, 2),
        ("0.0006", 1, 1),
        ("0.00050000000000000001", 1, 1),
        ("0.08333333333333334", 3, 250),
    ],
)
def test_it_rounds_once_and_half_to_even(price: str, tokens: int, nano_dollars: int) -> None:
    cost = Cost([Period(input_mtok=Decimal(price), output_mtok=Decimal(0))])
    assert cost.of(usage(tokens), NOW) == nano_dollars


TIERED = Period(
    input_mtok=TieredPrice(Decimal(1), (Tier(100, Decimal(2)), Tier(200, Decimal(3)))),
    output_mtok=TieredPrice(Decimal(10), (Tier(150, Decimal(20)),)),
    cache_read_mtok=Decimal("0.5"),
)


@pytest.mark.parametrize(
    ("tokens", "input", "output"),
    [
        (1, 1, 10),
        (100, 1, 10),
        (101, 2, 10),
        (150, 2, 10),
        (151, 2, 20),
        (200, 2, 20),
        (201, 3, 20),
    ],
)
def test_a_long_input_puts_all_tokens_in_a_tier(tokens: int, input: int, output: int) -> None:
    cost = Cost([TIERED])
    expected = (tokens - 1) * input * 1000 + 500 + 7 * output * 1000
    assert cost.of(usage(tokens, 7, read=1), NOW) == expected


def priced(dollars: int, **limits: object) -> Period:
    return Period(input_mtok=Decimal(dollars), **limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "dollars"),
    [
        ("1970-01-01T12:00:00", 1),
        ("2026-08-16T04:00:00", 1),
        ("2026-08-16T21:59:59.999", 1),
        ("2026-08-16T01:00:00", 3),
        ("2026-08-17T00:30:00", 2),
        ("2026-08-17T00:59:59.999", 2),
        ("2026-08-17T01:00:00", 3),
        ("2026-08-17T03:59:59.999", 3),
        ("2026-08-17T04:00:00", 2),
        ("2026-08-17T22:00:00", 4),
        ("2026-08-18T00:29:59.999", 4),
        ("2026-08-18T00:30:00", 2),
    ],
)
def test_the_last_period_that_applies_counts(moment: str, dollars: int) -> None:
    cost = Cost(
        [
            priced(1),
            priced(2, start_date=date(2026, 8, 17)),
            priced(3, start_time=3600, end_time=4 * 3600),
            priced(4, start_time=22 * 3600, end_time=1800),
        ]
    )
    assert cost.of(usage(1), unix(moment)) == dollars * 1000


@pytest.mark.parametrize(
    ("moment", "dollars"), [("2026-08-16T23:59:59.999", 1), ("2026-08-17T00:00:00", 2)]
)
def test_a_price_begins_at_midnight(moment: str, dollars: int) -> None:
    cost = Cost([priced(1), priced(2, start_date=date(2026, 8, 17))])
    assert cost.of(usage(1), unix(moment)) == dollars * 1000


def test_where_no_period_applies_the_first_counts() -> None:
    cost = Cost([priced(1, start_date=date(2030, 1, 1)), priced(2, start_date=date(2031, 1, 1))])
    assert cost.of(usage(1), NOW) == 1000


def test_a_time_of_day_without_length_never_comes() -> None:
    cost = Cost([priced(1), priced(2, start_time=3600, end_time=3600)])
    assert cost.of(usage(1), unix("2026-01-01T01:00:00")) == 1000


def test_the_first_variant_that_applies_replaces_single_prices() -> None:
    late = Variant(service_tier="flex", input_mtok=Decimal(3), start_date=date(2027, 1, 1))
    early = Variant(service_tier="flex", input_mtok=Decimal(2), output_mtok=Decimal(5))
    cost = Cost([WHOLES], [late, early])
    assert cost.of(usage(1, 1), NOW) == 7000
    assert cost.of(usage(1, 1), unix("2027-01-01T00:00:00")) == 8000


RECORDED = Period(audio_hours=Decimal("0.36"), least_audio_seconds=10)


@pytest.mark.parametrize(
    ("seconds", "nano_dollars"),
    [(0.0, 0), (0.5, 1_000_000), (10.0, 1_000_000), (61.5, 6_150_000), (4.470000267, 1_000_000)],
)
def test_recordings_are_paid_by_the_second(seconds: float, nano_dollars: int) -> None:
    assert Cost([RECORDED]).of(usage(seconds=seconds), NOW) == nano_dollars


def test_recordings_add_to_tokens_and_have_the_more_exact_price() -> None:
    cost = Cost([Period(input_mtok=Decimal("0.0005"), input_audio_hours=Decimal("3.6"))])
    assert cost.of(usage(1, seconds=0.0000005), NOW) == 0 + 1
    assert cost.of(usage(3, seconds=1.0), NOW) == 1_000_002


def test_what_is_paid_by_something_else_has_no_cost() -> None:
    cost = Cost([WHOLES, Period(uncounted=("input_mchars",), start_date=date(2026, 1, 1))])
    assert cost.of(usage(1, 1), unix("2025-12-31T23:59:59")) == 11_000
    assert cost.of(usage(1, 1), NOW) is None


@pytest.mark.parametrize(
    "periods",
    [
        [FULL],
        [Period(input_mtok=Decimal("0.15"), output_mtok=Decimal("0.6"))],
        [Period(input_mtok=Decimal(1), requests_kcount=Decimal(5), input_audio_hours=Decimal(1))],
        [TIERED],
        [WHOLES, priced(7, start_time=3600, end_time=60)],
        [Period(uncounted=("input_mchars",))],
    ],
)
@pytest.mark.parametrize(
    ("input", "output"), [(0, 0), (1, 0), (33, 7), (120, 7), (151, 9), (999, 1)]
)
def test_plain_text_costs_what_a_usage_of_it_does(
    periods: list[Period], input: int, output: int
) -> None:
    cost = Cost(periods)
    assert cost.of_text(input, output, NOW) == cost.of(usage(input, output), NOW)


@given(
    tokens=st.integers(0, 10**9),
    read=st.integers(0, 10**9),
    written=st.integers(0, 10**9),
    heard=st.integers(0, 10**9),
    when=st.floats(allow_nan=False, allow_infinity=False),
)
def test_no_usage_at_any_time_costs_less_than_nothing(
    tokens: int, read: int, written: int, heard: int, when: float
) -> None:
    cost = Cost([FULL, priced(1, start_time=3600, end_time=60)])
    result = cost.of(usage(tokens, tokens, read, written, heard=heard, heard_again=heard), when)
    assert result is not None
    assert result >= 0
