"""The mathematics of windows, without counters."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.charges import Calendar, Window

HOUR = Window(seconds=3600)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("per", "now", "start", "end"),
    [
        ("minute", "2026-11-23 12:34:56.7", "2026-11-23 12:34", "2026-11-23 12:35"),
        ("hour", "2026-11-23 12:34:56", "2026-11-23 12:00", "2026-11-23 13:00"),
        ("day", "2026-11-23 00:00:00", "2026-11-23", "2026-11-24"),
        ("day", "2026-12-31 23:59:59.999", "2026-12-31", "2027-01-01"),
        ("week", "2026-11-23 00:00:00", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-22 23:59:59", "2026-11-16", "2026-11-23"),
        ("week", "2027-01-01 12:00:00", "2026-12-28", "2027-01-04"),
        ("month", "2026-11-23 12:00:00", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31 23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2026-02-28 23:59:59", "2026-02-01", "2026-03-01"),
        ("month", "2028-02-29 00:00:00", "2028-02-01", "2028-03-01"),
        ("month", "2028-01-31 12:00:00", "2028-01-01", "2028-02-01"),
        ("month", "1970-01-01 00:00:00", "1970-01-01", "1970-02-01"),
        ("week", "1970-01-01 00:00:00", "1969-12-29", "1970-01-05"),
    ],
)
def test_calendar_windows(per: Calendar, now: str, start: str, end: str) -> None:
    window = Window(per=per)
    moment, first = at(now), int(at(start))
    assert window.span(moment) == (first, first)
    assert window.ends(moment) == at(end)
    assert window.resets(moment) == pytest.approx(at(end) - moment)
    assert window.frees(moment, {first: 5}, 3) == window.resets(moment)
    assert window.length >= at(end) - at(start)
    assert window.buckets == 1


@pytest.mark.parametrize(
    ("seconds", "size", "buckets"),
    [(1, 1, 2), (59, 1, 60), (60, 1, 61), (119, 1, 120), (3600, 60, 61), (86400, 1440, 61)],
)
def test_rolling_windows(seconds: int, size: int, buckets: int) -> None:
    window = Window(seconds=seconds)
    bucket, first = window.span(1e9 + 0.5)
    assert bucket <= 1e9 + 0.5 < bucket + size == window.ends(1e9 + 0.5)
    assert (bucket - first) / size + 1 == buckets == window.buckets
    assert window.resets(1e9) == window.length == seconds


def test_the_present_moment() -> None:
    window = Window()
    assert (window.span(1e9), window.ends(1e9)) == ((0, 0), math.inf)
    assert (window.resets(1e9), window.length, window.buckets) == (0, 0, 1)
    assert window.frees(1e9, {0: 5}, 3) == 0


@pytest.mark.parametrize(
    ("surplus", "seconds"),
    [(1, 3660 - 600), (4, 3660 - 600), (5, 3660 - 60), (9, 3660), (10, 3600)],
)
def test_what_a_rolling_window_forgets_first(surplus: int, seconds: int) -> None:
    now = 3600.0 * 1000
    held = {int(now) - 4000: 100, int(now) - 600: 4, int(now) - 60: 3, int(now): 2}
    assert HOUR.frees(now, held, surplus) == seconds


MOMENTS = st.floats(min_value=0, max_value=4e9, allow_nan=False)
CALENDARS = st.sampled_from(["minute", "hour", "day", "week", "month"])


def naive(per: str, moment: float) -> tuple[int, ...]:
    time = datetime.fromtimestamp(0, UTC) + timedelta(seconds=math.floor(moment))
    if per == "week":
        return time.isocalendar()[:2]
    return time.timetuple()[: {"month": 2, "day": 3, "hour": 4, "minute": 5}[per]]


@given(CALENDARS, MOMENTS, MOMENTS | st.none(), st.floats(0, 5e6))
def test_calendar_windows_hold_what_the_calendar_says(
    per: Calendar, used: float, now: float | None, later: float
) -> None:
    now = used + later if now is None else now
    window = Window(per=per)
    counts = window.span(used)[0] == window.span(now)[1]
    assert counts == (naive(per, used) == naive(per, now))


@given(
    st.integers(1, 10**7),
    st.lists(st.tuples(MOMENTS, st.integers(0, 100)), max_size=20),
    MOMENTS,
    st.lists(st.tuples(st.floats(0, 2e7), st.integers(0, 100)), max_size=20),
)
def test_rolling_windows_never_forget_too_early(
    seconds: int,
    anytime: list[tuple[float, int]],
    now: float,
    before: list[tuple[float, int]],
) -> None:
    usage = [*anytime, *((max(0.0, now - past), amount) for past, amount in before)]
    window = Window(seconds=seconds)
    held = Counter[int]()
    for moment, amount in usage:
        held[window.span(moment)[0]] += amount
    _, first = window.span(now)
    counted = sum(amount for bucket, amount in held.items() if bucket >= first)
    size = max(1, seconds // 60)
    assert counted >= sum(amount for moment, amount in usage if moment > now - seconds)
    assert counted <= sum(amount for moment, amount in usage if moment > now - seconds - 2 * size)


@given(
    st.integers(1, 10**7), MOMENTS, st.lists(st.integers(0, 50), max_size=70), st.integers(1, 99)
)
def test_after_the_wait_enough_is_free(
    seconds: int, now: float, amounts: list[int], surplus: int
) -> None:
    window = Window(seconds=seconds)
    bucket, first = window.span(now)
    size = max(1, seconds // 60)
    held = dict(zip(range(bucket, first - 1, -size), amounts, strict=False))
    later = now + window.frees(now, held, surplus)
    left = sum(amount for when, amount in held.items() if when >= window.span(later + 0.001)[1])
    if surplus <= sum(held.values()):
        assert sum(held.values()) - left >= surplus
