from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks.jsonl import JSONLinesSink, read_totals

MakeRecord = Callable[..., UsageRecord]

pytestmark = pytest.mark.anyio


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def tear(path: Path) -> None:
    path.write_bytes(b'{"id": "torn')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.jsonl"


async def test_a_line_a_record(path: Path, make_record: MakeRecord, least: UsageRecord) -> None:
    sink = JSONLinesSink(path)
    await sink.open()
    await sink.emit([make_record(), least])
    await sink.emit([])
    await sink.aclose()
    written = [msgspec.json.decode(line, type=UsageRecord) for line in lines(path)]
    assert written == [make_record(), least]
    first = json.loads(lines(path)[0])
    assert list(first) == list(UsageRecord.__struct_fields__)
    assert first["time"] == "2026-11-23T12:00:01Z"
    assert first["cost_usd"] == "0.000123450"


async def test_emit_opens_and_appends(path: Path, make_record: MakeRecord) -> None:
    for number in (1, 2):
        sink = JSONLinesSink(path)
        await sink.emit([make_record(number)])
        await sink.aclose()
        await sink.aclose()
    assert len(lines(path)) == 2


async def test_an_unfinished_line_spoils_no_other(path: Path, make_record: MakeRecord) -> None:
    tear(path)
    sink = JSONLinesSink(path)
    await sink.emit([make_record()])
    await sink.aclose()
    torn, whole = lines(path)
    assert torn == b'{"id": "torn'
    assert msgspec.json.decode(whole, type=UsageRecord) == make_record()
    (total,) = read_totals(path, "user")
    assert total.requests == 1


async def test_a_full_disk_raises_and_the_next_batch_opens_anew(make_record: MakeRecord) -> None:
    sink = JSONLinesSink("/dev/full")
    await sink.open()
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            await sink.emit([make_record()])
    await sink.aclose()


async def test_open_says_what_is_wrong(tmp_path: Path) -> None:
    sink = JSONLinesSink(tmp_path / "missing" / "usage.jsonl")
    with pytest.raises(ConfigurationError, match=r"usage\.jsonl cannot be opened: No such file"):
        await sink.open()
