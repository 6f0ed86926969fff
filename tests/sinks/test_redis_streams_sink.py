"""The sink of Redis streams, over a server of its own kind."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from uuid import uuid4

import anyio
import pytest

from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import RecordsRefusedError

coredis = pytest.importorskip("coredis")

from waystone_asgi.sinks.redis_streams import RedisStreamError, RedisStreamsSink  # noqa: E402

MakeRecord = Callable[..., UsageRecord]

pytestmark = pytest.mark.anyio


@pytest.fixture
def stream() -> str:
    return f"usage:{uuid4().hex}"


async def entries(url: str, stream: str) -> list[dict[bytes, bytes]]:
    async with coredis.Redis.from_url(url) as client:
        return [dict(entry.field_values) for entry in await client.xrange(stream)]


async def test_an_entry_a_record(redis_url: str, stream: str, make_record: MakeRecord) -> None:
    sink = RedisStreamsSink(redis_url, stream=stream)
    await sink.emit([])
    await sink.emit([make_record(1), make_record(2)])
    await sink.emit([make_record(3)])
    found = await entries(redis_url, stream)
    assert [entry[b"id"].decode() for entry in found] == [make_record(n).id for n in (1, 2, 3)]
    record = json.loads(found[0][b"record"])
    assert list(record) == list(UsageRecord.__struct_fields__)
    assert record["cost_usd"] == "0.000123450"


async def test_the_stream_is_bounded(redis_url: str, stream: str, make_record: MakeRecord) -> None:
    sink = RedisStreamsSink(redis_url, stream=stream, max_entries=100)
    for _ in range(3):
        await sink.emit([make_record(number) for number in range(500)])
    assert 100 <= len(await entries(redis_url, stream)) < 400


async def test_what_is_no_json_is_refused(
    redis_url: str, stream: str, make_record: MakeRecord
) -> None:
    sink = RedisStreamsSink(redis_url, stream=stream)
    bad = make_record(2, user="\ud800")
    with pytest.raises(RecordsRefusedError) as caught:
        await sink.emit([make_record(1), bad, make_record(3)])
    assert caught.value.ids == {bad.id}
    assert len(await entries(redis_url, stream)) == 2
    with pytest.raises(RecordsRefusedError):
        await sink.emit([bad])


async def test_an_error_of_the_server_raises(
    redis_url: str, stream: str, make_record: MakeRecord
) -> None:
    async with coredis.Redis.from_url(redis_url) as client:
        await client.set(stream, "no stream")
    with pytest.raises(RedisStreamError, match="WrongTypeError"):
        await RedisStreamsSink(redis_url, stream=stream).emit([make_record()])


async def test_a_server_that_is_not_there(make_record: MakeRecord) -> None:
    sink = RedisStreamsSink("redis://:canary@127.0.0.1:1/0")
    with pytest.raises(RedisStreamError, match="ConnectionError") as caught:
        await sink.emit([make_record()])
    assert "canary" not in str(caught.value) + repr(vars(sink))


async def test_a_server_that_hangs(make_record: MakeRecord) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        sink = RedisStreamsSink(url, timeout=0.2)
        with anyio.fail_after(5), pytest.raises(RedisStreamError, match=r"Timeout|ConnectionError"):
            await sink.emit([make_record()])


async def test_a_server_that_hangs_up(make_record: MakeRecord) -> None:
    def hang_up(server: socket.socket) -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        sink = RedisStreamsSink(f"redis://127.0.0.1:{server.getsockname()[1]}/0", timeout=1.0)
        with anyio.fail_after(5), pytest.raises(RedisStreamError) as caught:
            await sink.emit([make_record()])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert "Group" not in str(caught.value)


def test_a_url_that_is_none() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisStreamsSink("http://:canary@db")
    assert "canary" not in str(caught.value)
