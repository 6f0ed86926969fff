from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

import waystone_asgi
from waystone_asgi import sinks
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import (
    JSONLinesSink,
    MemorySink,
    SQLiteSink,
    Total,
    open_sink,
    read_totals,
)

MakeRecord = Callable[..., UsageRecord]


@pytest.mark.anyio
async def test_memory_keeps_the_newest(make_record: MakeRecord) -> None:
    sink = MemorySink(limit=3)
    await sink.emit([make_record(1), make_record(2)])
    assert [record.request_id for record in sink.records] == ["req-1", "req-2"]
    await sink.emit([make_record(3), make_record(4)])
    assert [record.request_id for record in sink.records] == ["req-2", "req-3", "req-4"]


@pytest.mark.parametrize(
    ("url", "kind", "path"),
    [
        ("sqlite:///waystone.db", SQLiteSink, "waystone.db"),
        ("sqlite:///data/waystone.db", SQLiteSink, "data/waystone.db"),
        ("sqlite:////var/lib/waystone.db", SQLiteSink, "/var/lib/waystone.db"),
        ("jsonl:///usage.jsonl", JSONLinesSink, "usage.jsonl"),
        ("jsonl:////var/log/usage.jsonl", JSONLinesSink, "/var/log/usage.jsonl"),
        ("jsonl:usage.jsonl", JSONLinesSink, "usage.jsonl"),
        ("jsonl:/var/log/usage.jsonl", JSONLinesSink, "/var/log/usage.jsonl"),
    ],
)
def test_open_sink(url: str, kind: type[SQLiteSink | JSONLinesSink], path: str) -> None:
    sink = open_sink(url)
    assert isinstance(sink, kind)
    assert sink.path == Path(path)


@pytest.mark.parametrize("url", ["memory", "memory:", "memory://"])
def test_open_sink_in_memory(url: str) -> None:
    assert isinstance(open_sink(url), MemorySink)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://ann:canary@db/usage", ["'mysql'", "sqlite:///", "jsonl:", "memory:"]),
        ("postgresql://ann:canary@db/usage?nosuch", ["PostgreSQL"]),
        ("redis://:canary@db", ["'redis'"]),
        ("waystone.db", ["'waystone.db'", "sqlite:///"]),
        ("", ["''"]),
        ("sqlite:waystone.db", ["needs a file", "sqlite:////absolute.db"]),
        ("sqlite://host/canary.db", ["needs a file"]),
        ("sqlite:///", ["needs a file"]),
        ("jsonl:", ["needs a file"]),
        ("jsonl://host/canary.jsonl", ["needs a file"]),
    ],
)
def test_open_sink_refuses(url: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_sink(url)
    assert all(word in str(caught.value) for word in words)
    assert "canary" not in str(caught.value)


def test_importing_the_room_does_not_import_sqlite() -> None:
    code = "import sys, waystone_asgi.sinks as s; sys.exit(f'{s.__name__}.sqlite' in sys.modules)"
    root = Path(waystone_asgi.__file__).parents[1]
    # Without the variables by which a measured process has its children measured, with sqlite3.
    subprocess.run([sys.executable, "-c", code], cwd=root, env={}, check=True)


@pytest.mark.parametrize(
    ("ask", "package", "extra"),
    [
        (lambda: open_sink("postgresql://db/usage"), "psycopg", "postgresql"),
        (lambda: sinks.PostgreSQLSink, "psycopg", "postgresql"),
        (lambda: sinks.RedisStreamsSink, "coredis", "redis"),
        (lambda: sinks.KafkaSink("localhost", "usage"), "confluent_kafka", "kafka"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object], package: str, extra: str
) -> None:
    for module in ("postgresql", "redis_streams"):
        monkeypatch.delitem(sys.modules, f"{sinks.__name__}.{module}", raising=False)
        monkeypatch.delattr(sinks, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"waystone-asgi\[{extra}\]"):
        ask()


def test_other_failures_of_an_import_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"{sinks.__name__}.webhook", raising=False)
    monkeypatch.delattr(sinks, "webhook", raising=False)
    monkeypatch.setitem(sys.modules, f"{waystone_asgi.__name__}.upstream.httpx", None)
    with pytest.raises(ImportError):
        _ = sinks.WebhookSink


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="PostgresSink"):
        _ = sinks.PostgresSink  # type: ignore[attr-defined]


@pytest.fixture(
    params=["sqlite:///{}/usage.db", "jsonl:///{}/usage.jsonl"], ids=["sqlite", "jsonl"]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    location: str = request.param.format(tmp_path)
    return location


def write(url: str, *records: UsageRecord) -> None:
    async def run() -> None:
        sink = open_sink(url)
        assert isinstance(sink, SQLiteSink | JSONLinesSink)
        await sink.open()
        await sink.emit(records)
        await sink.aclose()

    anyio.run(run)


def test_totals_add_up(url: str, make_record: MakeRecord) -> None:
    write(
        url,
        make_record(1, cost_usd=Decimal("0.1")),
        make_record(2, cost_usd=Decimal("0.2"), provider="azure"),
        make_record(3, cost_usd=None, user="bob"),
        make_record(4, cost_usd=Decimal("0.30")),
    )
    ann, bob = read_totals(url, "user")
    assert ann == Total(
        key="ann",
        requests=3,
        input_tokens=300,
        cache_read_input_tokens=120,
        output_tokens=60,
        reasoning_output_tokens=30,
        cost_usd=Decimal("0.60"),
        unpriced_requests=0,
    )
    assert str(ann.cost_usd) == "0.60"
    assert bob.cost_usd is None
    assert (bob.requests, bob.unpriced_requests) == (1, 1)


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("user", ["ann", "bob", None]),
        ("group", ["acme", None]),
        ("model", ["openai/gpt-4o-mini", "fast"]),
        ("day", ["2026-11-22", "2026-11-23", "2026-11-24"]),
    ],
)
def test_totals_are_grouped_and_ordered(
    url: str, make_record: MakeRecord, by: sinks.Dimension, keys: list[str | None]
) -> None:
    day = timedelta(days=1)
    noon = make_record().time
    write(
        url,
        make_record(1, time=noon + day, cost_usd=Decimal(5)),
        make_record(2, time=noon - day, user="bob", cost_usd=Decimal(2)),
        make_record(3, user="bob", cost_usd=Decimal(1), response_model=None),
        make_record(4, user=None, group=None, cost_usd=Decimal(0)),
    )
    assert [total.key for total in read_totals(url, by)] == keys


def test_totals_of_requests_that_used_nothing(url: str, least: UsageRecord) -> None:
    write(url, least)
    assert read_totals(url, "model") == [Total(key=None, requests=1)]


@pytest.mark.parametrize(
    ("since", "requests"),
    [
        (datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC), 3),
        (datetime(2026, 11, 23, 12, 0, 1, 1, tzinfo=UTC), 2),
        (datetime(2026, 11, 23, 13, 0, 2, tzinfo=timezone(timedelta(hours=1))), 2),
        (datetime(2026, 11, 24, tzinfo=UTC), 0),
    ],
)
def test_totals_since(url: str, make_record: MakeRecord, since: datetime, requests: int) -> None:
    write(url, *(make_record(number) for number in (1, 2, 3)))
    assert sum(total.requests for total in read_totals(url, "day", since)) == requests


def test_totals_of_a_ledger_that_is_not_there(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"usage\..* cannot be read"):
        read_totals(url, "user")


def test_totals_of_a_memory_ledger() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_totals("memory:", "user")
