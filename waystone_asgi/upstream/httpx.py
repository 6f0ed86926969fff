"""Requests through an httpx or httpx2 transport, on asyncio and trio.

Takes an `UpstreamRequest`, gives an `UpstreamResponse`. It uses the transport below httpx's client:
no cookie jar, no redirects, no added headers, no decoder but our own bounded one. A host that needs
a proxy, mutual TLS or a mock passes its own transport.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from ..exceptions import UpstreamError, UpstreamTimeoutError
from .codings import inflated, inflater_for
from .failures import unreachable
from .framing import check_endpoint, check_headers, check_status

if TYPE_CHECKING:
    from ..records import Timeouts, UpstreamRequest


class HTTPXUpstream:
    """An `Upstream` over `transport`, an `AsyncBaseTransport` of httpx or httpx2.

    Without one it is httpx's own, HTTP/1.1 only. Unlike `AsyncioUpstream` it sends no request
    twice, and its connections are shared by all credentials for an origin.
    """

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
        httpx, timeouts = self._httpx, request.timeouts
        now = anyio.current_time()
        deadline, first = now + timeouts.total, now + timeouts.first_byte
        timer, seconds = min(
            ("first byte", timeouts.first_byte), ("total", timeouts.total), key=lambda pair: pair[1]
        )
        try:
            with anyio.fail_after(seconds):
                response = await self._exchange(request)
        except httpx.PoolTimeout:
            raise _late("pool", timeouts.connect) from None
        except httpx.TimeoutException:
            raise _late("connect", timeouts.connect) from None
        except TimeoutError:
            raise _late(timer, seconds) from None
        except (httpx.ConnectError, httpx.InvalidURL, OSError, ValueError) as error:
            raise unreachable(error) from None
        except AttributeError:
            # anyio asks uvloop for the peer of a socket that was reset as it was accepted.
            raise UpstreamError("The provider cannot be reached: it resets connections.") from None
        except httpx.TransportError as error:
            raise UpstreamError(
                f"The provider gave no valid answer ({type(error).__name__})."
            ) from None
        try:
            return HTTPXResponse(response, httpx, timeouts, first, deadline)
        except UpstreamError:
            await _close(response)
            raise

    async def aclose(self) -> None:
        """See `types.Upstream`."""
        await self._transport.aclose()

    async def _exchange(self, request: UpstreamRequest) -> Any:
        opened: list[Any] = []

        async def trace(event: str, info: dict[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                opened.append(info["return_value"])

        outgoing = self._outgoing(request, trace)
        try:
            return await self._transport.handle_async_request(outgoing)
        except BaseException:
            # httpcore forgets a socket whose TLS handshake is cancelled.
            for stream in opened:
                await _close(stream)
            raise

    def _outgoing(self, request: UpstreamRequest, trace: Any) -> Any:
        endpoint, connect = request.endpoint, request.timeouts.connect
        check_endpoint(endpoint)
        url = self._httpx.URL(
            scheme=endpoint.scheme,
            host=endpoint.host,
            port=endpoint.port,
            raw_path=endpoint.path.encode(),
        )
        # httpx adds Host and Content-Length, and nothing else, to a Request made by hand.
        return self._httpx.Request(
            "POST",
            url,
            headers=endpoint.headers,
            content=request.body,
            extensions={"timeout": {"connect": connect, "pool": connect}, "trace": trace},
        )


class HTTPXResponse:
    """An `UpstreamResponse` over httpx's; content codings that came unasked are undone.

    Making one raises `UpstreamError` when its head promises what cannot be read.
    """

    def __init__(
        self, response: Any, httpx: Any, timeouts: Timeouts, first: float, deadline: float
    ) -> None:
        self.status: int = response.status_code
        self.headers: Sequence[tuple[bytes, bytes]] = [
            (name.lower(), value) for name, value in response.headers.raw
        ]
        check_status(self.status)
        check_headers(self.headers)
        self._inflater = inflater_for(self.headers)
        self._response = response
        self._httpx = httpx
        self._timeouts = timeouts
        self._first: float | None = first
        self._deadline = deadline
        # Not `aiter_raw`: that gives the connection back before we have looked at it.
        self._chunks: AsyncIterator[bytes] = aiter(response.stream)
        self._h11 = _h11_of(response)
        self._error: UpstreamError | None = None
        self._ended = False

    async def receive(self) -> bytes:
        """See `types.UpstreamResponse`."""
        if self._ended:
            return b""
        if self._error is not None:
            raise self._error
        try:
            if self._inflater is None:
                data = await self._arrived()
            else:
                data = await inflated(self._inflater, self._arrived)
        except UpstreamError as error:
            await self._abort(error)
            raise
        except BaseException:
            self._error = UpstreamError("Reading the answer was cancelled.")
            raise
        if not data:
            self._ended = True
            if self._h11 is not None and any(self._h11.trailing_data):
                self._h11.send_failed()
            await _close(self._response)
        return data

    async def aclose(self) -> None:
        """See `types.UpstreamResponse`."""
        if not self._ended:
            await self._abort(self._error or UpstreamError("The answer was closed before its end."))

    async def _abort(self, error: UpstreamError) -> None:
        self._error = error
        if self._h11 is not None:
            self._h11.send_failed()
        await _close(self._response)

    async def _arrived(self) -> bytes:
        now, httpx = anyio.current_time(), self._httpx
        total, timeouts = self._deadline - now, self._timeouts
        timer, of, seconds = "idle", timeouts.idle, timeouts.idle
        if self._first is not None:
            timer, of, seconds = "first byte", timeouts.first_byte, self._first - now
        if total < seconds:
            timer, of, seconds = "total", timeouts.total, total
        try:
            with anyio.fail_after(seconds):
                async for chunk in self._chunks:
                    if chunk:
                        self._first = None
                        return chunk
                return b""
        except (TimeoutError, httpx.TimeoutException):
            raise _late(timer, of) from None
        except (httpx.TransportError, httpx.StreamError, OSError) as error:
            raise UpstreamError(f"The answer broke off ({type(error).__name__}).") from None


async def _close(resource: Any) -> None:
    with anyio.move_on_after(1, shield=True):
        await resource.aclose()


def _h11_of(response: Any) -> Any:
    """The HTTP state of the response's connection, or None for a transport with other insides.

    httpcore takes bytes beyond the end of an answer for the answer to the next request, whoever
    sends it, and has no public way to see them. A connection whose state is failed is closed.
    """
    value = response.stream
    for name in ("_httpcore_stream", "_stream", "_connection", "_h11_state"):
        value = getattr(value, name, None)
    return value


def _late(timer: str, seconds: float) -> UpstreamTimeoutError:
    return UpstreamTimeoutError(f"The provider was too slow: {seconds:g} seconds ({timer}).")


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
