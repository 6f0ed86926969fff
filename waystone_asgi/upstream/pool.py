"""Who may use which connection, and how many there may be.

A `Site` comes in, a `Connection` to it goes out: the most recently used idle one, or a new one, or,
when the pool is full, the first that comes free, first come, first served. Requests with different
credentials never share a connection. It knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from contextlib import suppress
from functools import partial
from weakref import WeakValueDictionary

from ..exceptions import UpstreamError, UpstreamTimeoutError
from .connection import READ_SIZE, Connection
from .failures import unreachable

_CLOSED = "The connections to providers are being closed."


class Site:
    """An origin, seen with one credential, and its idle connections, the latest used at the end."""

    __slots__ = ("__weakref__", "host", "idle", "port", "tls")

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.idle: list[Connection] = []

    def take(self) -> Connection | None:
        """An idle connection, if there is one that still lives."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if not (connection.closed or connection.is_closing()):
                return connection
        return None


class Pool:
    """All connections of one upstream on one event loop, at most `limit` at a time.

    `sites` keeps a site as long as a connection or a caller does. `sockets` are the connections
    that were handed out and whose socket is not closed yet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit: int, keep_alive: float) -> None:
        self.loop = loop
        self.time = loop.time
        self.create_future = loop.create_future
        self.keep_alive = keep_alive
        self.view = memoryview(bytearray(READ_SIZE))
        # The transports call this without a Python frame; the size that they hint at falls to the
        # second parameter of `get`, which is not needed.
        self.get_buffer = partial({"view": self.view}.get, "view")
        self.sites: WeakValueDictionary[object, Site] = WeakValueDictionary()
        self.sockets: set[Connection] = set()
        self._limit = limit
        self._taken = 0
        self._owners: set[Connection] = set()
        self.waiting: deque[tuple[asyncio.Future[Connection | None], Site]] = deque()
        self._drained: asyncio.Future[None] | None = None

    async def acquire(
        self, site: Site, *, deadline: float, seconds: float, fresh: bool
    ) -> Connection:
        """A connection to the site; `fresh` accepts no used one.

        Raises `UpstreamTimeoutError` at the deadline, which is `seconds` after the start, and
        `UpstreamError` when there can be no connection.
        """
        while True:
            if self._taken >= self._limit:
                self._evict()
            if self._taken < self._limit:
                self._taken += 1
                break
            given = await self._wait(site, deadline, seconds)
            if given is None:
                break
            if not (fresh or given.closed or given.is_closing()):
                return given
            given.abort()
        try:
            connection = await self._connect(site, deadline, seconds)
        except BaseException:
            self._free()
            raise
        self._owners.add(connection)
        self.sockets.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Take back a connection that may be used again."""
        while self.waiting:
            waiter, site = self.waiting[0]
            if waiter.done():
                self.waiting.popleft()
            elif site is connection.site:
                self.waiting.popleft()
                waiter.set_result(connection)
                return
            else:
                connection.abort()  # The first in the line needs its place, not its socket.
                return
        connection.site.idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Give the place of a connection that closes to somebody else."""
        if connection in connection.site.idle:
            connection.site.idle.remove(connection)
        if connection in self._owners:
            self._owners.remove(connection)
            self._free()

    def lost(self, connection: Connection) -> None:
        """Note that the socket of a connection is closed."""
        self.sockets.discard(connection)
        if self._drained is not None and not self.sockets and not self._drained.done():
            self._drained.set_result(None)

    async def aclose(self) -> None:
        """Close every connection, and wait, not for long, until the sockets are closed."""
        self._drained = self.loop.create_future()
        for waiter, _ in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.waiting.clear()
        for connection in list(self.sockets):
            connection.fail(UpstreamError(_CLOSED))
        if self.sockets:
            await asyncio.wait([self._drained], timeout=1)

    def _free(self) -> None:
        while self.waiting:
            waiter, _ = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._taken -= 1

    def _evict(self) -> None:
        oldest = [site.idle[0] for site in self.sites.values() if site.idle]
        if oldest:
            min(oldest, key=lambda connection: connection.alarm.deadline).abort()

    async def _wait(self, site: Site, deadline: float, seconds: float) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        place = (waiter, site)
        self.waiting.append(place)
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except BaseException as error:
            if not waiter.done() or waiter.cancelled():
                with suppress(ValueError):  # It has been passed over already.
                    self.waiting.remove(place)
            elif (given := waiter.result()) is None:
                self._free()
            else:
                given.release()
            if isinstance(error, TimeoutError):
                raise UpstreamTimeoutError(
                    f"No connection came free within {seconds:g} seconds (pool)."
                ) from None
            raise

    async def _connect(self, site: Site, deadline: float, seconds: float) -> Connection:
        if self._drained is not None:
            raise UpstreamError(_CLOSED)
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._dial(site, deadline)
        except TimeoutError:
            raise UpstreamTimeoutError(
                f"No connection to the provider within {seconds:g} seconds (connect)."
            ) from None
        except (OSError, ValueError) as error:
            raise unreachable(error) from None
        if self._drained is not None:
            connection.abort()
            raise UpstreamError(_CLOSED)
        if connection.closed:
            raise UpstreamError("The provider closed the connection without an answer.")
        return connection

    async def _dial(self, site: Site, deadline: float) -> Connection:
        """Try the addresses of the host in turn; each has its share of the time that is left."""
        found = await self.loop.getaddrinfo(site.host, site.port, type=socket.SOCK_STREAM)
        addresses = [str(address[4][0]) for address in found]
        while True:
            address = addresses.pop(0)
            now = self.loop.time()
            try:
                async with asyncio.timeout_at(now + (deadline - now) / (len(addresses) + 1)):
                    _, connection = await self.loop.create_connection(
                        lambda: Connection(self, site),
                        address,
                        site.port,
                        ssl=site.tls,
                        server_hostname=site.host if site.tls else None,
                    )
                    return connection
            except OSError:
                if not addresses:
                    raise
