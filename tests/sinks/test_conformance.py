"""What holds for every sink: records as they were, those named that it refuses, and its errors."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import (
    JSONLinesSink,
    KafkaSink,
    MemorySink,
    PostgreSQLSink,
    RedisStreamsSink,
    Spool,
    SQLiteSink,
    WebhookSink,
)
from waystone_asgi.types import Sink
from waystone_asgi.upstream.httpx import HTTPXUpstream

from .test_kafka_sink import Broker

MakeRecord = Callable[..., UsageRecord]
Read = Callable[[], Awaitable[list[UsageRecord]]]

pytestmark = pytest.mark.anyio

SECRET = "whsec_" + base64.b64encode(b"0123456789" * 3).decode()


def records(rows: list[dict[str, Any]]) -> list[UsageRecord]:
    return msgspec.convert(rows, list[UsageRecord])


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def of_memory(folder: Path) -> tuple[Sink, Read]:
    sink = MemorySink()

    async def read() -> list[UsageRecord]:
        return sink.records

    return sink, read


def of_jsonl(folder: Path) -> tuple[Sink, Read]:
    async def read() -> list[UsageRecord]:
        return records([json.loads(line) for line in lines(folder / "usage.jsonl")])

    return JSONLinesSink(folder / "usage.jsonl"), read


def of_sqlite(folder: Path) -> tuple[Sink, Read]:
    async def read() -> list[UsageRecord]:
        with closing(sqlite3.connect(folder / "usage.db")) as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute("SELECT * FROM usage_records")]
        for row in rows:
            row |= {name: json.loads(row[name]) for name in ("tags", "finish_reasons", "attempts")}
            row["stream"] = bool(row["stream"])
        return records(rows)

    return SQLiteSink(folder / "usage.db"), read


def of_webhook(folder: Path) -> tuple[Sink, Read]:
    found: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        found.extend(json.loads(request.content)["data"])
        return httpx.Response(204)

    async def read() -> list[UsageRecord]:
        return records(found)

    upstream = HTTPXUpstream(httpx.MockTransport(answer))
    return WebhookSink("https://hooks.test/", SECRET, upstream=upstream), read


def of_kafka(folder: Path) -> tuple[Sink, Read]:
    broker = Broker()

    async def read() -> list[UsageRecord]:
        return records([value for _, _, value in broker.log])

    return KafkaSink("one:9092", "usage", producer=broker), read


def of_postgresql(url: str) -> tuple[Sink, Read]:
    import psycopg

    schema = f"s{uuid4().hex}"
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")

    async def read() -> list[UsageRecord]:
        query = f"SELECT * FROM {schema}.usage_records ORDER BY id"
        with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
            return records(connection.execute(query).fetchall())

    return PostgreSQLSink(f"{url}?options=-csearch_path%3D{schema}"), read


def of_redis(url: str) -> tuple[Sink, Read]:
    import coredis

    stream = f"usage:{uuid4().hex}"

    async def read() -> list[UsageRecord]:
        async with coredis.Redis.from_url(url) as client:
            entries = await client.xrange(stream)
        return records([json.loads(entry.field_values[b"record"]) for entry in entries])

    return RedisStreamsSink(url, stream=stream), read


LOCAL = {
    "memory": of_memory,
    "jsonl": of_jsonl,
    "sqlite": of_sqlite,
    "webhook": of_webhook,
    "kafka": of_kafka,
}


@pytest.fixture(params=[*LOCAL, "postgresql", "redis"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Sink, Read]:
    """A sink, and what tells the records that it has taken."""
    if (make := LOCAL.get(request.param)) is not None:
        return make(tmp_path)
    url = request.getfixturevalue(f"{request.param}_url")
    return of_redis(url) if request.param == "redis" else of_postgresql(url)


@pytest.fixture(params=["bare", "spooled"])
async def opened(
    request: pytest.FixtureRequest, bare: tuple[Sink, Read], tmp_path: Path
) -> AsyncIterator[tuple[Sink, Read]]:
    """The sink as a gateway opens it, alone or behind a spool; reading closes it first."""
    sink, read = bare
    if request.param == "spooled":
        sink = Spool(sink, tmp_path / "usage.spool")
    await call(sink, "open")

    async def read_closed() -> list[UsageRecord]:
        await call(sink, "aclose")
        return await read()

    yield sink, read_closed
    await call(sink, "aclose")


async def call(sink: Sink, name: str) -> None:
    if (method := getattr(sink, name, None)) is not None:
        await method()


async def test_records_are_as_they_were(
    opened: tuple[Sink, Read], make_record: MakeRecord, least: UsageRecord
) -> None:
    sink, read = opened
    await sink.emit([make_record(1), make_record(2, cost_usd=None, user="ü\n'\";--")])
    await sink.emit([])
    await sink.emit([least])
    assert await read() == [
        make_record(1),
        make_record(2, cost_usd=None, user="ü\n'\";--"),
        least,
    ]


async def test_many_records_keep_their_order(
    opened: tuple[Sink, Read], make_record: MakeRecord
) -> None:
    sink, read = opened
    await sink.emit([make_record(number) for number in range(1000)])
    assert [record.request_id for record in await read()] == [f"req-{n}" for n in range(1000)]
