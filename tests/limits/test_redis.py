from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import coredis
import pytest
from coredis.exceptions import ConnectionError

from tests.limits.backends import LEASE, NOON, Names, held, take
from waystone_asgi.charges import Charge, Taken, Window
from waystone_asgi.limits.redis import RedisCounters

pytestmark = pytest.mark.anyio


@pytest.fixture
async def admin(redis_url: str) -> AsyncIterator[coredis.Redis[bytes]]:
    async with coredis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def counters(redis_url: str) -> AsyncIterator[RedisCounters]:
    counters = RedisCounters(redis_url)
    await counters.open()
    yield counters
    await counters.aclose()


def key_of(charge: Charge) -> str:
    return f"waystone_counter:{charge.counter}"


async def test_scripts_that_the_server_forgot(
    counters: RedisCounters, admin: coredis.Redis[bytes], names: Names
) -> None:
    await admin.script_flush()
    taken = await take(counters, names.charge(5))
    await admin.script_flush()
    await counters.settle(taken, [3])
    assert await held(counters, names.charge()) == 3


async def test_nobody_listens(names: Names) -> None:
    counters = RedisCounters("redis://ann:hunter2@127.0.0.1:1/0")
    await counters.open()
    with pytest.raises(ConnectionError) as raised:
        await take(counters, names.charge())
    assert "hunter2" not in f"{raised.value} {raised.value.__cause__}"
    await counters.aclose()
    await counters.aclose()


async def test_not_opened(redis_url: str, names: Names) -> None:
    with pytest.raises(ConnectionError):
        await take(RedisCounters(redis_url), names.charge())  # type: ignore[arg-type]


async def test_it_connects_again(
    counters: RedisCounters, admin: coredis.Redis[bytes], names: Names
) -> None:
    taken = await take(counters, names.charge(5))
    mine = await admin.client_id()
    for client in await admin.client_list():
        if client["id"] != mine:
            await admin.client_kill(identifier=client["id"])
    await until_settled(counters, taken, 3)  # type: ignore[arg-type]
    assert await held(counters, names.charge()) == 3


async def test_a_server_that_does_not_answer(
    redis_url: str, admin: coredis.Redis[bytes], names: Names
) -> None:
    counters = RedisCounters(redis_url, timeout=0.05)
    await counters.open()
    taken = await take(counters, names.charge(5))
    await admin.client_pause(300)
    with pytest.raises(TimeoutError):
        await counters.settle(taken, [3])
    with pytest.raises((ConnectionError, TimeoutError)):
        await counters.settle(taken, [3])
    await until_settled(counters, taken, 3)  # type: ignore[arg-type]
    assert await held(counters, names.charge()) == 3
    await counters.aclose()


async def test_opening_that_is_cancelled(redis_url: str, admin: coredis.Redis[bytes]) -> None:
    counters = RedisCounters(redis_url)
    await admin.client_pause(100)
    with anyio.move_on_after(0.02) as scope:
        await counters.open()
    assert scope.cancelled_caught


async def test_keys_go_by_themselves(
    counters: RedisCounters, admin: coredis.Redis[bytes], names: Names
) -> None:
    now = time.time()
    minute, slots = (
        names.charge(1, name="m", window=Window(per="minute")),
        names.charge(1, name="s", window=Window()),
    )
    taken = await counters.reserve([minute, slots], now=now, lease=LEASE, id=names.prefix)
    assert await admin.ttl(key_of(minute)) == pytest.approx(60 + LEASE + 60, abs=5)
    assert await admin.ttl(key_of(slots)) == pytest.approx(LEASE + 60, abs=5)
    reservation = f"waystone_reservation:{names.prefix}"
    assert await admin.ttl(reservation) == pytest.approx(LEASE + 86400, abs=5)
    await take(counters, names.charge(0), now=now + LEASE)
    assert await admin.ttl(reservation) == pytest.approx(86400, abs=5)
    assert await admin.exists([key_of(slots), key_of(minute)]) == 0
    await counters.settle(taken, [2, 0])  # type: ignore[arg-type]
    assert await admin.exists([reservation]) == 0
    assert await admin.ttl(key_of(minute)) == pytest.approx(60 + 60, abs=5)
    assert await admin.exists([key_of(slots)]) == 0
    await counters.settle(await named(counters, minute, names.prefix), [1])
    assert await admin.exists([reservation]) == 0
    assert await admin.zscore("waystone_leases", names.prefix) is None


async def named(counters: RedisCounters, charge: Charge, id: str) -> Taken:
    taken = await counters.reserve([charge], now=NOON, lease=LEASE, id=id)
    assert isinstance(taken, Taken)
    return taken


async def test_a_counter_that_was_lost_is_not_below_nothing(
    counters: RedisCounters, admin: coredis.Redis[bytes], names: Names
) -> None:
    charge = names.charge(10)
    taken = await take(counters, charge)
    await admin.delete([key_of(charge)])
    await take(counters, names.charge(1))
    await counters.settle(taken, [3])
    assert await held(counters, charge) >= 0


async def test_old_buckets_go(
    counters: RedisCounters, admin: coredis.Redis[bytes], names: Names
) -> None:
    charge = names.charge(1, window=Window(per="minute"))
    for minute in range(20):
        await counters.settle(await take(counters, charge, now=NOON + 60 * minute), [1])
    assert await admin.hlen(key_of(charge)) <= 4
    assert await held(counters, charge, NOON + 60 * 19) == 1


async def until_settled(counters: RedisCounters, taken: object, amount: int) -> None:
    with anyio.fail_after(10):
        while True:
            try:
                return await counters.settle(taken, [amount])  # type: ignore[arg-type]
            except (ConnectionError, TimeoutError):
                await anyio.sleep(0.01)
