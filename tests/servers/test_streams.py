"""Streams arrive event by event, a few milliseconds after the provider sent them."""

from __future__ import annotations

from statistics import median

import pytest

from .conftest import Mount
from .provider import TICK_SECONDS, TICKS, Exchange, ScriptedProvider
from .wire import Caller

STREAMS = 3
WITHIN_SECONDS = 0.010


def arrivals(mount: Mount, provider: ScriptedProvider) -> tuple[Exchange, list[tuple[float, int]]]:
    """When each arrival with events came, and how many events of the provider it had."""
    provider.forget()
    seen: list[tuple[float, int]] = []
    with Caller(mount.served, "openai/ticking", stream=True) as caller:
        caller.send()
        exchange = provider.take("ticking")
        while b"[DONE]" not in caller.received:
            at, data = caller.arrival()
            assert data
            if count := data.count(b'"content"'):
                seen.append((at, count))
    return exchange, seen


def test_each_event_leaves_within_ten_milliseconds(
    mount: Mount, provider: ScriptedProvider, record_property: pytest.RecordProperty
) -> None:
    first: list[float] = []
    every: list[float] = []
    for _ in range(STREAMS):
        exchange, seen = arrivals(mount, provider)
        assert [count for _, count in seen] == [1] * TICKS, "events came bunched"
        times = [at for at, _ in seen]
        delays = [read - wrote for wrote, read in zip(exchange.writes, times, strict=False)]
        # Each one is here before the provider sends the next.
        assert max(delays) < TICK_SECONDS
        first.append(delays[0])
        every += delays
    milliseconds = {
        "first": median(first) * 1000,
        "median": median(every) * 1000,
        "slowest": max(every) * 1000,
    }
    record_property("delays", milliseconds)
    print({name: f"{value:.2f} ms" for name, value in milliseconds.items()})  # noqa: T201
    assert median(first) < WITHIN_SECONDS
    assert median(every) < WITHIN_SECONDS
