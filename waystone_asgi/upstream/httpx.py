"""Requests through an httpx or httpx2 transport, on asyncio and trio.

Takes an `UpstreamRequest`, gives an `UpstreamResponse`. It uses the transport below httpx's client:
no cookie jar, no redirects, no added headers, no decoding of bodies it did not ask for. A host that
needs a proxy, mutual TLS or a mock passes its own transport.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from ..exceptions import UpstreamError, UpstreamTimeoutError

if TYPE_CHECKING:
    from ..records import UpstreamRequest


class HTTPXUpstream:
    """An `Upstream` over `transport`, an `AsyncBaseTransport` of httpx or httpx2; HTTP/1.1 by default."""

    def __init__(self, transport: Any = None, *, max_connections: int = 1000) -> None:
        if transport is None:
            import httpx

            limits = httpx.Limits(
                max_connections=max_connections,
                max_keepalive_connections=100,
                keepalive_expiry=30.0,
            )
            transport = httpx.AsyncHTTPTransport(http1=True, http2=False, limits=limits)
        self._transport = transport
        self._httpx = _module_of(transport)

    async def send(self, request: UpstreamRequest) -> HTTPXResponse:
        """See `types.Upstream`."""
        endpoint, timeouts = request.endpoint, request.timeouts
        deadline = anyio.current_time() + timeouts.total
        url = self._httpx.URL(
            scheme=endpoint.scheme,
            host=endpoint.host,
            port=endpoint.port,
            raw_path=endpoint.path.encode("ascii"),
        )
        # httpx adds Host and Content-Length, and nothing else, to a Request made by hand.
        outgoing = self._httpx.Request(
            "POST",
            url,
            headers=endpoint.headers,
            content=request.body,
            extensions={"timeout": {"connect": timeouts.connect, "pool": timeouts.connect}},
        )
        try:
            with anyio.fail_after(min(timeouts.first_byte, timeouts.total)):
                response = await self._transport.handle_async_request(outgoing)
        except TimeoutError:
            raise UpstreamTimeoutError(
                f"No answer within {min(timeouts.first_byte, timeouts.total):g} seconds (first byte)."
            ) from None
        except self._httpx.TimeoutException:
            raise UpstreamTimeoutError(
                f"No connection within {timeouts.connect:g} seconds (connect)."
            ) from None
        except (self._httpx.TransportError, OSError) as error:
            raise UpstreamError(
                f"The provider cannot be reached ({type(error).__name__})."
            ) from None
        return HTTPXResponse(response, self._httpx, timeouts.idle, deadline)

    async def aclose(self) -> None:
        """See `types.Upstream`."""
        await self._transport.aclose()


class HTTPXResponse:
    """An `UpstreamResponse` over httpx's; content codings that came unasked are undone."""

    def __init__(self, response: Any, httpx: Any, idle: float, deadline: float) -> None:
        self.status: int = response.status_code
        self.headers: Sequence[tuple[bytes, bytes]] = [
            (name.lower(), value) for name, value in response.headers.raw
        ]
        self._response = response
        self._httpx = httpx
        self._idle = idle
        self._deadline = deadline
        coded = response.headers.get("content-encoding", "identity") != "identity"
        chunks = response.aiter_bytes() if coded else response.aiter_raw()
        self._chunks: AsyncIterator[bytes] = chunks

    async def receive(self) -> bytes:
        """See `types.UpstreamResponse`."""
        left = self._deadline - anyio.current_time()
        timer = "idle" if self._idle <= left else "total"
        try:
            with anyio.fail_after(min(self._idle, left)):
                async for chunk in self._chunks:
                    if chunk:
                        return chunk
                return b""
        except (TimeoutError, self._httpx.TimeoutException):
            raise UpstreamTimeoutError(f"The provider stopped sending ({timer} timeout).") from None
        except (self._httpx.TransportError, self._httpx.DecodingError, OSError) as error:
            raise UpstreamError(f"The answer broke off ({type(error).__name__}).") from None

    async def aclose(self) -> None:
        """See `types.UpstreamResponse`."""
        with anyio.move_on_after(1, shield=True):
            await self._response.aclose()


def _module_of(transport: Any) -> Any:
    """The library, httpx or httpx2, whose `Request` the transport takes.

    A transport that derives from neither is given httpx's.
    """
    for base in type(transport).__mro__:
        root = base.__module__.partition(".")[0]
        if root in ("httpx", "httpx2"):
            return sys.modules[root]
    import httpx

    return httpx
