"""Streams arrive event by event, a few milliseconds after the provider sent them."""

from __future__ import annotations

import threading
from statistics import median

import pytest

from .conftest import Mount
from .keys import KEEP_ALIVE_SECONDS
from .provider import TICK_SECONDS, TICKS, Exchange, ScriptedProvider
from .wire import Caller

STREAMS = 3
MOST_STREAMS = 9
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
    for _ in range(MOST_STREAMS):
        exchange, seen = arrivals(mount, provider)
        times = [at for at, _ in seen]
        delays = [read - wrote for wrote, read in zip(exchange.writes, times, strict=False)]
        # Each one came by itself, before the provider sent the next: else the machine stood still.
        if [count for _, count in seen] == [1] * TICKS and max(delays) < TICK_SECONDS:
            first.append(delays[0])
            every += delays
        if len(first) == STREAMS:
            break
    assert len(first) == STREAMS, "events came bunched, or late"
    milliseconds = {
        "first": median(first) * 1000,
        "median": median(every) * 1000,
        "slowest": max(every) * 1000,
    }
    record_property("delays", milliseconds)
    print({name: f"{value:.2f} ms" for name, value in milliseconds.items()})  # noqa: T201
    assert median(first) < WITHIN_SECONDS
    assert median(every) < WITHIN_SECONDS


def test_a_silent_stream_is_kept_alive(mount: Mount, provider: ScriptedProvider) -> None:
    """Between two events, and no longer than the provider is silent."""
    provider.forget()
    with Caller(mount.served, "openai/half", stream=True) as caller:
        caller.send()
        exchange = provider.take("half")
        assert b"first" in caller.read_until(b"first")
        began = exchange.writes[-1]
        while b": keep-alive\n\n" not in caller.received:
            at, data = caller.arrival()
            assert data
        assert at - began >= KEEP_ALIVE_SECONDS
        exchange.release()
        received = caller.read_until(b"[DONE]")
    first, *_, last = received.partition(b": keep-alive\n\n")
    assert (b"first" in first, b" last" in last) == (True, True)
    record = mount.ledger.wait(caller.request_id)
    assert (record["outcome"], record["output_tokens"]) == ("ok", 3)


def test_the_official_client_skips_what_keeps_a_stream_alive(
    mount: Mount, provider: ScriptedProvider
) -> None:
    provider.forget()
    with mount.client() as client:
        stream = client.chat.completions.create(
            model="openai/half", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        exchange = provider.take("half")
        said = [next(stream).choices[0].delta.content]
        timer = threading.Timer(2 * KEEP_ALIVE_SECONDS, exchange.release)
        timer.start()
        said += [choice.delta.content for chunk in stream for choice in chunk.choices]
        timer.join()
    assert said == ["first", " last", None]
