"""Counters in Redis, for processes on many machines.

In: charges. Out: what was taken, or what refused. Each call is one script in one round trip, and
all calls share one connection, whose answers come in order: one who leaves early disturbs nobody.
The connection is made and made again beside the calls, which fail while there is none. What the
keys are is told in `scripts`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha1
from typing import Any, cast

import anyio
from anyio.abc import TaskStatus
from coredis import ConnectionPool
from coredis.connection import BaseConnection
from coredis.exceptions import ConnectionError, NoScriptError

from ..charges import Charge, Refused, Taken
from ..exceptions import ConfigurationError
from .background import Background
from .operations import GRACE_SECONDS, LATE_SECONDS, new_id
from .scripts import RESERVE, SETTLE

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 1.0

_RETRY_SECONDS = 0.1
_MOST = 2**53  # as far as Lua counts
_LEASES = b"waystone_leases"

_Value = str | bytes | int | float


class RedisCounters:
    """Keeps counters in the Redis database at `url`: one server, not a cluster.

    After `timeout` seconds without an answer a call fails and the connection is made anew.
    """

    def __init__(self, url: str, *, timeout: float = ANSWER_SECONDS) -> None:
        self._url = url
        self._timeout = timeout
        self._pool()
        self._background = Background(self._stay_connected)
        self._tried = anyio.Event()
        self._connection: BaseConnection | None = None
        self._failure: Exception | None = None

    async def open(self) -> None:
        """Connect, or begin to try again and again."""
        self._tried = anyio.Event()
        self._background.start()
        try:
            await self._tried.wait()
        except BaseException:
            await self._background.aclose()
            raise

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        """See `types.Counters`. Raises `coredis.exceptions.RedisError` or `TimeoutError`."""
        id = id or new_id()
        buckets: list[int] = []
        keeps = math.ceil(lease) + LATE_SECONDS
        values: list[_Value] = [repr(now), repr(now + lease), LATE_SECONDS, keeps, _bytes(id)]
        for charge in charges:
            window = charge.window
            bucket, first = window.span(now)
            buckets.append(bucket)
            values += (
                bucket,
                first,
                min(charge.amount, _MOST),
                charge.least,
                "" if charge.limit is None else min(charge.limit, _MOST),
                window.buckets + 2,
                window.length + math.ceil(lease) + GRACE_SECONDS,
            )
        good, parts = await self._run(_RESERVE, id, charges, values)
        if not good:
            return _refusal(charges, cast(list[tuple[int, int, list[bytes]]], parts), now)
        numbers = cast(list[int], parts)
        return Taken(id, tuple(charges), (*numbers[::2],), (*numbers[1::2],), tuple(buckets))

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """See `types.Counters`. Raises `coredis.exceptions.RedisError` or `TimeoutError`."""
        values: list[_Value] = [LATE_SECONDS, _bytes(taken.id), 0 if taken.local else 1]
        for charge, bucket, amount in zip(taken.charges, taken.buckets, amounts, strict=True):
            values += (bucket, min(amount, _MOST), charge.window.length + GRACE_SECONDS)
        await self._run(_SETTLE, taken.id, taken.charges, values)

    async def aclose(self) -> None:
        """Disconnect."""
        await self._background.aclose()

    def _pool(self) -> ConnectionPool[Any]:
        """What the URL says, as the library reads it; no connection comes from it."""
        with suppress(Exception):
            pool: ConnectionPool[Any] = ConnectionPool.from_url(
                self._url,
                decode_components=True,
                connect_timeout=CONNECT_SECONDS,
                stream_timeout=self._timeout,
            )
            if pool.location is not None:
                return pool
        # The library's error would quote the URL, and a password with it.
        raise ConfigurationError("The URL of the Redis database is not valid.")

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._connect()
            except Exception as error:
                self._failure = error
            finally:
                self._connection = None
                self._tried.set()
            await anyio.sleep(_RETRY_SECONDS)

    async def _connect(self) -> None:
        """Return when the connection has come and gone."""
        pool = self._pool()
        location = pool.location
        assert location is not None
        # A connection that is made and cannot be opened would leave its queues unclosed.
        with anyio.fail_after(CONNECT_SECONDS):
            if not await location.check():
                raise ConnectionError(f"Nobody listens at {location}.")
        connection: BaseConnection = pool.connection_class(location, **pool.connection_kwargs)

        def connected() -> None:
            self._connection = connection
            self._tried.set()

        await connection.run(task_status=_Status(connected))

    async def _run(
        self, script: _Script, id: str, charges: Sequence[Charge], values: Sequence[_Value]
    ) -> tuple[int, object]:
        connection = self._connection
        if connection is None:
            raise ConnectionError("There is no connection to Redis.") from self._failure
        keys = [_LEASES, b"waystone_reservation:" + _bytes(id)]
        keys += [b"waystone_counter:" + _bytes(charge.counter) for charge in charges]
        call = (script.digest, len(keys), *keys, *values)
        try:
            try:
                answer = await connection.create_request(b"EVALSHA", *call)
            except NoScriptError:
                await connection.create_request(b"SCRIPT LOAD", script.text)
                answer = await connection.create_request(b"EVALSHA", *call)
        except TimeoutError:
            connection.invalidate("It did not answer.")
            raise
        return cast(tuple[int, object], answer)


class _Status(TaskStatus[None]):
    """Has a function called when the connection can be used."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def started(self, value: None = None) -> None:
        self._call()


class _Script:
    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


_RESERVE = _Script(RESERVE)
_SETTLE = _Script(SETTLE)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _refusal(
    charges: Sequence[Charge], parts: Sequence[tuple[int, int, list[bytes]]], now: float
) -> Refused:
    seconds: list[float] = []
    for index, total, pairs in parts:
        charge = charges[index]
        numbers = [int(number) for number in pairs]
        held = dict(zip(numbers[::2], numbers[1::2], strict=True))
        surplus = total + charge.least - (charge.limit or 0)
        seconds.append(charge.window.frees(now, held, surplus))
    return Refused(
        tuple(index for index, _, _ in parts),
        tuple(total for _, total, _ in parts),
        tuple(seconds),
    )
