"""PostgreSQL and Redis killed under load, behind a spool: nothing is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.services import Services
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import PostgreSQLSink, RedisStreamsSink, Spool
from waystone_asgi.sinks.outbox import Outbox

MakeRecord = Callable[..., UsageRecord]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(180),
    # coredis leaves its queues so, where a connection is made and the server dies before it opens.
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]

RECORDS = 3000


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """One of each kind is enough for tests that take so long."""
    return request.param


@pytest.fixture
def services(postgresql_url: str) -> Iterator[Services]:
    """Where the other tests have servers, servers of our own can be started too."""
    made = Services()
    yield made
    made.stop()


async def ids(url: str) -> AsyncIterator[str]:
    """What has arrived."""
    if url.startswith("redis"):
        import coredis

        async with coredis.Redis.from_url(url) as client:
            for entry in await client.xrange("waystone_usage"):
                yield json.loads(entry.field_values[b"record"])["id"]
    else:
        import psycopg

        with psycopg.connect(url) as connection:
            for (id,) in connection.execute("SELECT id FROM usage_records"):
                yield id


@pytest.mark.parametrize("kind", ["postgresql", "redis"])
async def test_a_server_that_is_killed_and_comes_back(
    services: Services, kind: str, tmp_path: Path, make_record: MakeRecord
) -> None:
    url = services.urls[kind]
    sink = PostgreSQLSink(url) if kind == "postgresql" else RedisStreamsSink(url)

    async def short(seconds: float) -> None:
        await anyio.sleep(0.05)

    spool = Spool(sink, tmp_path / "usage.spool", batch=50, sleep=short)
    outbox = Outbox([spool])
    await outbox.open()
    for number in range(RECORDS):
        assert outbox.offer(make_record(number))
        if not number % 20:
            await outbox.flush()
        if number == RECORDS // 3:
            await anyio.to_thread.run_sync(services.kill, kind)
        if number == 2 * RECORDS // 3:
            assert await spool.pending()
            await anyio.to_thread.run_sync(services.start)
    await outbox.flush()
    with anyio.fail_after(30):
        while await spool.pending():  # noqa: ASYNC110 - the file is the only one that knows
            await anyio.sleep(0.01)
    await outbox.aclose()
    arrived = [id async for id in ids(url)]
    assert set(arrived) == {make_record(number).id for number in range(RECORDS)}
    assert (outbox.dropped, outbox.failed, spool.refused) == (0, 0, 0)
    assert kind == "redis" or len(arrived) == RECORDS
