"""Users, groups and links in Redis.

In: merges and links. Out: layers as Redis has them. A user or group is a hash with a field for each
of its fields of metadata in each layer, so that a merge is one script, which nothing comes between.
The links of a user are a set. All calls share one connection, which is made and made again beside
them; they fail while there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha1
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio.abc import TaskStatus
from coredis import ConnectionPool
from coredis.connection import BaseConnection
from coredis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    NoScriptError,
)

from ..exceptions import ConfigurationError
from ..loops import spawn
from ..records import Source
from ..types import JSONObject, Layers
from ..wire.identity import MAX_METADATA_BYTES
from .layers import encode, too_large

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 2.0

_RETRY_SECONDS = 0.1

# A field is the layer, a colon and the key as JSON; its value is JSON. The field without a name
# stands for one who has no metadata. The first argument is the layer with its colon, the second the
# size that it must stay below; then come fields and values, which are empty where one goes.
_MERGE = b"""
local held, sizes, values = redis.call('HGETALL', KEYS[1]), {}, {}
local layer, size, grows = ARGV[1], 1, false
local function measure(field, value)
    return #field - #layer + #value + 2
end
for i = 1, #held, 2 do
    values[held[i]] = held[i + 1]
    if string.sub(held[i], 1, #layer) == layer then
        size = size + measure(held[i], held[i + 1])
    end
end
for i = 3, #ARGV, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    if values[field] then
        size = size - measure(field, values[field])
    end
    if value ~= '' then
        size = size + measure(field, value)
        grows = grows or values[field] ~= value
    end
end
if grows and size >= tonumber(ARGV[2]) then
    return false
end
for i = 3, #ARGV, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    if value == '' then
        if values[field] then
            redis.call('HDEL', KEYS[1], field)
        end
    elseif values[field] ~= value then
        redis.call('HSET', KEYS[1], field, value)
    end
end
if not values[''] then
    redis.call('HSET', KEYS[1], '', '')
end
return redis.call('HGETALL', KEYS[1])
"""

_DIGEST = sha1(_MERGE, usedforsecurity=False).hexdigest().encode()

_decode = msgspec.json.decode


class RedisStore:
    """An `EntityStore` in the Redis at `url`, version 6 or later: one server, not a cluster.

    Keys are `waystone_user:` and `waystone_group:` with the id, and `waystone_groups_of:` with that
    of a user. They do not expire.
    """

    def __init__(self, url: str) -> None:
        self._pool = _parse(url)
        self._connection: BaseConnection | None = None
        self._failure: Exception | None = None
        self._scope: anyio.CancelScope | None = None
        self._tried = anyio.Event()
        self._ended = anyio.Event()
        self._task: object = None

    async def open(self) -> None:
        """See `types.EntityStore`. Connects, or begins to try again and again."""
        self._tried, self._ended = anyio.Event(), anyio.Event()
        self._connection, self._scope = None, anyio.CancelScope()
        self._task = spawn(self._stay_connected)
        await self._tried.wait()
        if isinstance(self._failure, AuthenticationError | AuthorizationError):
            await self.aclose()
            raise ConfigurationError("Redis does not take the credential of its URL.")
        await self._call(b"PING")

    async def read(self, kind: str, id: str) -> Layers | None:
        """See `types.EntityStore`."""
        held = await self._call(b"HGETALL", _key(kind, id))
        return _layers(held.items()) if held else None

    async def merge(self, kind: str, id: str, source: Source, changes: JSONObject) -> Layers:
        """See `types.EntityStore`."""
        values = [f"{source}:".encode(), b"%d" % MAX_METADATA_BYTES]
        for name, value in changes.items():
            values.append(b"%b:%b" % (source.encode(), encode(name)))
            values.append(b"" if value is None else encode(value))
        call = (_DIGEST, b"1", _key(kind, id), *values)
        try:
            held = await self._call(b"EVALSHA", *call)
        except NoScriptError:
            await self._call(b"SCRIPT LOAD", _MERGE)
            held = await self._call(b"EVALSHA", *call)
        if not held:
            raise too_large(kind)
        parts = iter(held)
        return _layers(zip(parts, parts, strict=True))

    async def link(self, user: str, group: str) -> None:
        """See `types.EntityStore`."""
        await self._call(b"SADD", _key("groups_of", user), group.encode())

    async def linked(self, user: str, group: str) -> bool:
        """See `types.EntityStore`."""
        return bool(await self._call(b"SISMEMBER", _key("groups_of", user), group.encode()))

    async def aclose(self) -> None:
        """See `types.EntityStore`."""
        if self._scope is not None:
            self._scope.cancel()
            self._scope = None
            await self._ended.wait()

    async def _call(self, command: bytes, *values: bytes) -> Any:
        connection = self._connection
        if connection is None:
            raise ConnectionError("There is no connection to Redis.") from self._failure
        try:
            return await connection.create_request(command, *values)
        except TimeoutError:
            connection.invalidate("It did not answer.")
            raise

    async def _stay_connected(self) -> None:
        """Keep a connection, on whose tasks nobody depends, until the scope is cancelled."""
        scope, tried, ended = self._scope, self._tried, self._ended
        assert scope is not None
        try:
            with scope:
                while True:
                    try:
                        await self._connect(tried)
                    except Exception as error:
                        self._failure = error
                    self._connection = None
                    tried.set()
                    await anyio.sleep(_RETRY_SECONDS)
        finally:
            self._connection = None
            tried.set()
            ended.set()

    async def _connect(self, tried: anyio.Event) -> None:
        """Return when the connection has come and gone."""
        location = self._pool.location
        # A connection that is made and cannot be opened would leave its queues unclosed.
        with anyio.fail_after(CONNECT_SECONDS):
            if not (location and await location.check()):
                raise ConnectionError(f"Nobody listens at {location}.")
        connection: BaseConnection = self._pool.connection_class(
            location, **self._pool.connection_kwargs
        )

        def connected() -> None:
            self._connection, self._failure = connection, None
            tried.set()

        await connection.run(task_status=_Status(connected))


class _Status(TaskStatus[None]):
    """Has a function called when the connection can be used."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def started(self, value: None = None) -> None:
        self._call()


def _parse(url: str) -> ConnectionPool[Any]:
    """What the URL says, as the library reads it; no connection comes from the pool."""
    try:
        parts = urlsplit(url)
        database = parts.path.strip("/")
        if parts.hostname and parts.port != 0 and (not database or database.isdigit()):
            return ConnectionPool.from_url(
                url,
                decode_components=True,
                connect_timeout=CONNECT_SECONDS,
                stream_timeout=ANSWER_SECONDS,
            )
    except Exception:
        # The error would quote the URL, and a password with it.
        pass
    raise ConfigurationError(
        "The URL of the Redis server is not valid: in a password / is %2F, and # is %23."
    )


def _key(kind: str, id: str) -> bytes:
    return f"waystone_{kind}:{id}".encode()


def _layers(held: Iterable[tuple[bytes, bytes]]) -> Layers:
    layers: dict[str, JSONObject] = {}
    for field, value in held:
        source, _, name = field.partition(b":")
        if name:
            layers.setdefault(source.decode(), {})[_decode(name, type=str)] = _decode(value)
    return cast(Layers, layers)
