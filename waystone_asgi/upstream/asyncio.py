"""Requests straight over asyncio and httptools: the fast `Upstream`, HTTP/1.1 only.

Takes an `UpstreamRequest`, gives an `UpstreamResponse`. A request costs one write and one future;
it makes no task, no timer and no copy of a large body. Connections are kept per origin and
credential. It sends the endpoint's headers as they are, follows no redirect, keeps no cookie, and
sends a request twice only when a connection that had been idle turns out to be dead before any
byte of an answer.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from .answer import InflatedResponse
from .framing import check_endpoint, host_of
from .pool import Pool, Site
from .tls import default_context

if TYPE_CHECKING:
    from ..records import Endpoint, UpstreamRequest
    from ..types import UpstreamResponse

_MAX_ENDPOINTS = 1024
# Headers that hold no credential, and may change from request to request.
_HARMLESS = frozenset(
    (b"accept", b"anthropic-beta", b"content-type", b"x-amz-content-sha256", b"x-amz-date")
)
_SIGNATURE = b"AWS4-HMAC-SHA256 "


class AsyncioUpstream:
    """An `Upstream` for asyncio and uvloop.

    At most `max_connections` are open at a time, each for at most `keep_alive` seconds without a
    request. Certificates are checked against the system's, or as `ssl_context` says.
    """

    def __init__(
        self,
        *,
        max_connections: int = 1000,
        keep_alive: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._max_connections = max_connections
        self._keep_alive = keep_alive
        self._ssl_context = ssl_context
        self._pool: Pool | None = None
        self._prepared: dict[Endpoint, tuple[bytes, Site]] = {}

    @property
    def open_connections(self) -> int:
        """How many sockets are open."""
        return len(self._pool.sockets) if self._pool else 0

    @property
    def idle_connections(self) -> int:
        """How many of them wait for a request."""
        return sum(len(site.idle) for site in self._pool.sites.values()) if self._pool else 0

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See `types.Upstream`."""
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is None or pool.loop is not loop:
            pool = self._open(loop)
        head, site = self._prepared.get(request.endpoint) or self._prepare(pool, request.endpoint)
        now = loop.time()
        total = now + request.timeouts.total
        connection = site.take()
        retry = False
        while True:
            if connection is None:
                seconds = min(request.timeouts.connect, request.timeouts.total)
                connection = await pool.acquire(
                    site, deadline=now + seconds, seconds=seconds, fresh=retry
                )
                now = loop.time()
            response = connection.start(head, request, now, total)
            try:
                await response.waiter
            except BaseException:
                response.close("The request was cancelled.")
                raise
            if response.status:
                break
            if response.error is not None:
                raise response.error
            connection, retry = None, True
        if response.inflater is not None:
            return InflatedResponse(response, response.inflater)
        return response

    async def aclose(self) -> None:
        """See `types.Upstream`; a request after this opens connections anew."""
        pool, self._pool = self._pool, None
        self._prepared.clear()
        if pool is not None:
            await pool.aclose()

    def _open(self, loop: asyncio.AbstractEventLoop) -> Pool:
        self._prepared.clear()
        self._pool = Pool(loop, limit=self._max_connections, keep_alive=self._keep_alive)
        return self._pool

    def _prepare(self, pool: Pool, endpoint: Endpoint) -> tuple[bytes, Site]:
        key = _credential(endpoint)
        site = pool.sites.get(key)
        if site is None:
            tls = None
            if endpoint.scheme == "https":
                tls = self._ssl_context = self._ssl_context or default_context()
            site = pool.sites[key] = Site(endpoint.host, endpoint.port, tls)
        prepared = (_head(endpoint), site)
        if not endpoint.once:
            if len(self._prepared) >= _MAX_ENDPOINTS:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[endpoint] = prepared
        return prepared


def _head(endpoint: Endpoint) -> bytes:
    """All of a request's head but the value of its last header, the length.

    Raises `UpstreamError` for what cannot be sent.
    """
    check_endpoint(endpoint)
    host = host_of(endpoint)
    headers = list(endpoint.headers)
    if not any(name.lower() == b"host" for name, _ in headers):
        headers.insert(0, (b"host", host))
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"POST %b HTTP/1.1\r\n%bcontent-length: " % (
        endpoint.path.encode(),
        b"".join(lines),
    )


def _credential(endpoint: Endpoint) -> tuple[object, ...]:
    """What two requests must have in common to share a connection.

    Any header, and the query, may hold a credential. Left out is what is known not to, and what
    AWS's signatures change from request to request while the key stays the same.
    """
    headers = []
    for name, value in endpoint.headers:
        name = name.lower()
        if name == b"authorization" and value.startswith(_SIGNATURE):
            headers.append((name, value.partition(b"/")[0]))
        elif name not in _HARMLESS:
            headers.append((name, value))
    query = endpoint.path.partition("?")[2]
    return (endpoint.scheme, endpoint.host, endpoint.port, query, *headers)
