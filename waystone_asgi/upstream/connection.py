"""One HTTP/1.1 connection on asyncio: a request goes out, an answer comes in, one after the other.

The pool hands out the connection, `AsyncioUpstream` starts an exchange on it, and the answer's
reader takes bytes from it. It decides alone when an answer is complete, broken or late, and whether
the socket may be used again; when in doubt it closes it. It must not retry, log, or look into a
body, and its callbacks must not raise.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from ..exceptions import UpstreamError, UpstreamTimeoutError
from ..pieces import Pieces
from .alarm import NEVER, Alarm
from .answer import AsyncioResponse
from .framing import ends_with_connection
from .parser import PARSER_ERRORS, AnswerParser, fault_of
from .tls import ended_in_order

if TYPE_CHECKING:
    from ..records import UpstreamRequest
    from .pool import Pool, Site

BUFFER_SIZE = 262144
"""The most bytes of an answer that wait for their reader; beyond them the socket is not read."""

READ_SIZE = 65536
MAX_HEAD = 65536

_COPY_UP_TO = 65536
_PIECE_COST = 64  # of the objects around a piece, however small it is


class Connection(AnswerParser, asyncio.BufferedProtocol):
    """A socket to one `Site`, and the exchange that is going on over it, if any."""

    __slots__ = (
        "_barren",
        "_pool",
        "_request",
        "_transport",
        "_unread",
        "_unsent",
        "_used",
        "_writing_paused",
        "alarm",
        "begun",
        "closed",
        "create_future",
        "get_buffer",
        "idle",
        "is_closing",
        "is_paused",
        "site",
        "time",
        "total",
    )

    _request: UpstreamRequest
    _transport: asyncio.Transport

    def __init__(self, pool: Pool, site: Site) -> None:
        super().__init__()
        self.site = site
        self.closed = False
        self._pool = pool
        self.time = pool.time
        self.create_future = pool.create_future
        # All connections share a buffer: each empties it before another one can read.
        self.get_buffer = pool.get_buffer  # type: ignore[method-assign, assignment]
        self.alarm = Alarm(pool.loop, self._ring)
        self.idle = self.total = NEVER
        # Whether anything of the body has come: until then the timer is that of the first byte.
        self.begun = self.is_paused = self._writing_paused = self._used = False
        self._barren = self._unread = self._unsent = 0

    # For the pool, the sender and the reader of the answer

    def start(
        self, head: bytes, request: UpstreamRequest, now: float, total: float
    ) -> AsyncioResponse:
        """Write the request; `head` lacks only the length, `total` is when all must be over."""
        headers: list[tuple[bytes, bytes]] = []
        response = AsyncioResponse(self, headers, self._pool.create_future())
        self._ask(response, headers)
        self._barren = self._unread = 0
        self.begun = False
        self._request = request
        self.idle = request.timeouts.idle
        self.total = total
        deadline = now + request.timeouts.first_byte
        self.alarm.set(deadline if deadline < total else total)
        content = request.content
        length = len(content)
        if length <= _COPY_UP_TO:
            self._transport.write(b"%b%d\r\n\r\n%b" % (head, length, bytes(content)))
        else:
            self._transport.write(b"%b%d\r\n\r\n" % (head, length))
            for part in content.parts if isinstance(content, Pieces) else (content,):
                self._transport.write(part)
        return response

    def resume(self) -> None:
        """Read on, now that the reader has taken all that had arrived."""
        self.is_paused = False
        self._transport.resume_reading()

    def release(self) -> None:
        """Give the connection back to the pool, unless it has been closed meanwhile."""
        if not self.closed:
            self._pool.release(self)

    def fail(self, error: UpstreamError | None) -> None:
        """End the exchange, if there is one, and close the socket; no error means "try again"."""
        response = self._response
        if response is not None:
            response.error = error
            response.connection = None
            _wake(response)
        self.abort()

    def abort(self) -> None:
        """Close the socket at once; whoever waits for the answer is not told."""
        self._response = None
        if not self.closed:
            self.closed = True
            self.alarm.cancel()
            self._pool.forget(self)
            self._transport.abort()

    # For the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that there is a socket."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_closing = transport.is_closing

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what has arrived, and wake the reader if the answer has gone on."""
        response = self._response
        if response is None:
            self.abort()  # Nobody asked for this.
            return
        status = response.status
        chunks = self._chunks
        held = len(chunks)
        fault: UpstreamError | None = None
        try:
            self._parser.feed_data(self._pool.view[:nbytes])
        except PARSER_ERRORS as error:
            fault = fault_of(error)
        arrived = len(chunks) - held
        if arrived:
            if arrived > 1:
                newest_first = [chunks.pop() for _ in range(arrived)]
                chunks.append(b"".join(reversed(newest_first)))
            self._unread = nbytes + _PIECE_COST + (self._unread if held else 0)
            self._barren = 0
            self.begun = True
        elif response.status == status and not self._complete:
            self._barren += nbytes
            if fault is None:
                if self._barren <= MAX_HEAD:
                    return
                fault = UpstreamError("The provider sends headers without end.")
        if self._complete:
            self._settle(response, fault is None and self._keep_alive)
        elif fault is not None:
            self.fail(fault)
        elif self._unread > BUFFER_SIZE - READ_SIZE:
            self.is_paused = True
            self._transport.pause_reading()
        waiter = response.waiter
        if not waiter.done():
            waiter.set_result(None)

    def eof_received(self) -> None:
        """The provider sends no more: the end of a body without a length, else a failure."""
        response = self._response
        if (
            response is not None
            and response.status
            and ends_with_connection(response.headers)
            and ended_in_order(self._transport.get_extra_info("ssl_object"))
        ):
            self._settle(response, reuse=False)
            _wake(response)
        else:
            self._lose()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whomever."""
        self._lose()
        self._pool.lost(self)
        del self._parser  # It refers back to this object.

    def pause_writing(self) -> None:
        """The request does not fit into the socket: what counts now is that it moves on."""
        self._writing_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self._allow(self._request.timeouts.idle)

    def resume_writing(self) -> None:
        """The request is as good as sent: the time to the first byte starts."""
        self._writing_paused = False
        if self._response is not None and not self.begun:
            self._allow(self._request.timeouts.first_byte)

    # The end of an exchange

    def _settle(self, response: AsyncioResponse, reuse: bool) -> None:
        self._response = None
        response.connection = None
        response.pieces = list(self._chunks)
        self._chunks.clear()
        if not reuse or self._writing_paused:
            self.abort()
            return
        self._used = True
        self.alarm.set(self.time() + self._pool.keep_alive)
        if response.inflater is not None:
            response.parked = self
        elif self._pool.waiting:
            self._pool.release(self)
        else:
            self.site.idle.append(self)

    def _lose(self) -> None:
        response = self._response
        if response is None:
            self.abort()
        elif response.status:
            self.fail(UpstreamError("The provider's answer broke off."))
        elif self._used and not self._barren:
            self.fail(None)
        else:
            self.fail(UpstreamError("The provider closed the connection without an answer."))

    def _ring(self) -> None:
        response = self._response
        if response is None:
            self.abort()  # It has been idle for long enough.
            return
        timeouts = self._request.timeouts
        if self.time() >= self.total:
            self._expire("total", timeouts.total)
        elif response.status and response.waiter.done():
            self.alarm.set(self.total)  # The reader is slow, not the provider.
        elif self.begun:
            self._expire("idle", timeouts.idle)
        elif not self._writing_paused:
            self._expire("first byte", timeouts.first_byte)
        elif (unsent := self._transport.get_write_buffer_size()) < self._unsent:
            self._unsent = unsent
            self._allow(timeouts.idle)
        else:
            self._expire("write", timeouts.idle)

    def _allow(self, seconds: float) -> None:
        self.alarm.set(min(self.time() + seconds, self.total))

    def _expire(self, timer: str, seconds: float) -> None:
        self.fail(
            UpstreamTimeoutError(f"The provider was too slow: {seconds:g} seconds ({timer}).")
        )


def _wake(response: AsyncioResponse) -> None:
    if not response.waiter.done():
        response.waiter.set_result(None)
