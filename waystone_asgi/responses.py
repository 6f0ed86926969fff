"""Writes answers: JSON, errors in OpenAI's form, and event streams.

In: a status, bytes, headers. Out: ASGI messages, the start sent once, and one at a time. It knows
no provider and decides nothing.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from time import monotonic

import anyio

from .exceptions import CallerLeft, GatewayError
from .sse import encode_event
from .types import Message, Send
from .wire.members import encode

logger = logging.getLogger("waystone_asgi")

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment: clients skip it, and whatever is in between sees that the connection lives."""

_JSON = (b"content-type", b"application/json")
_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)

GONE = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What servers raise on a closed connection (ASGI 2.4, an OSError), and Starlette's middleware."""

CUT_SECONDS = 1.0
"""How long the last event of a stream that is cut may take to be sent."""

Headers = tuple[tuple[bytes, bytes], ...]


class Reply:
    """The answer to one request, begun at `started_at` (monotonic seconds).

    `started` is true once a status has been sent, `streaming` once that of an event stream has,
    `ended` once the last message is on its way.
    `upstream_seconds` is how long the provider took, once that is known. `route_headers` say where
    the answer comes from, and are those of the latest attempt; `headers` are for whatever answer
    follows. What sends raises `CallerLeft` where the server says so; most say nothing.

    `quiet` is None while something is being sent, False after it, and true once somebody has
    looked since. `comment` is on its way while it is there: nothing else is sent meanwhile.
    """

    __slots__ = (
        "_request_id",
        "comment",
        "ended",
        "headers",
        "quiet",
        "route_headers",
        "send",
        "started",
        "started_at",
        "streaming",
        "upstream_seconds",
    )

    def __init__(self, send: Send, request_id: str) -> None:
        self.send = send
        self._request_id = (b"x-request-id", request_id.encode())
        self.route_headers: Headers = ()
        self.headers: Headers = ()
        self.started = False
        self.streaming = False
        self.ended = False
        self.started_at = monotonic()
        self.upstream_seconds: float | None = None
        self.quiet: bool | None = False
        self.comment: Comment | None = None

    async def json(self, status: int, body: bytes) -> None:
        """The whole answer, as JSON."""
        length = (b"content-length", b"%d" % len(body))
        headers = [_JSON, length, self._request_id, *self.route_headers, *self.headers]
        send = self.send
        try:
            await send(self._start(status, headers))
            self.ended = True
            await send({"type": "http.response.body", "body": body})
        except GONE:
            raise CallerLeft from None

    async def error(self, error: GatewayError) -> None:
        """The whole answer, as an error object with the error's own headers; never raises."""
        self.headers += error.headers
        with suppress(CallerLeft):
            await self.json(error.status, encode_error(error))

    async def start_stream(self) -> None:
        """The head of an event stream."""
        await self._write(
            self._start(200, [*_STREAM, self._request_id, *self.route_headers, *self.headers])
        )
        self.streaming = True

    async def write(self, data: bytes) -> None:
        """Some whole events, in one write."""
        await self._write({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self, data: bytes = b"") -> None:
        """The last events and the end."""
        self.ended = True
        await self._write({"type": "http.response.body", "body": data})

    async def cut(self, error: GatewayError) -> None:
        """End a stream that goes no further with the error, within a bound; never raises for a
        caller who is gone. Other answers are left as they are.
        """
        if self.streaming and not self.ended:
            with anyio.move_on_after(CUT_SECONDS, shield=True), suppress(CallerLeft):
                await self.end_stream(encode_event(encode_error(error)))

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> Message:
        self.started = True
        if self.upstream_seconds is not None:
            headers.append((b"server-timing", self._timing(self.upstream_seconds)))
        return {"type": "http.response.start", "status": status, "headers": headers}

    async def _write(self, message: Message) -> None:
        if self.comment is not None:
            await self.comment.sent()
        self.quiet = None
        try:
            await self.send(message)
        except GONE:
            raise CallerLeft from None
        self.quiet = False

    def _timing(self, upstream: float) -> bytes:
        """Milliseconds at the provider and here (W3C Server Timing)."""
        here = monotonic() - self.started_at - upstream
        if here < 0.0:
            here = 0.0
        return b"upstream;dur=%.3f, gateway;dur=%.3f" % (upstream * 1000, here * 1000)


class Comment:
    """A comment in a stream, sent from beside the task that sends the rest of it."""

    __slots__ = ("_reply", "_scope", "_sent")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._scope = anyio.CancelScope()
        self._sent = anyio.Event()
        reply.comment = self

    async def send(self) -> None:
        """Send it, unless the stream has been given up meanwhile; never raises."""
        reply = self._reply
        try:
            with self._scope:
                if not self._scope.cancel_called:
                    await self._send(reply.send)
        finally:
            reply.comment = None
            self._sent.set()

    async def _send(self, send: Send) -> None:
        try:
            await send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
        except GONE:
            return  # The stream's own task finds out.
        except Exception as error:
            # Of this stream only: the task is among those of all others.
            logger.warning("A stream cannot be kept alive: send raised %r.", error)

    async def sent(self) -> None:
        """Wait until it is on its way."""
        await self._sent.wait()

    def cancel(self) -> None:
        """The stream has been given up."""
        self._scope.cancel()


def encode_error(error: GatewayError) -> bytes:
    """OpenAI's error object: message, type, param and code, then what else the provider said."""
    return encode(
        {
            "error": {
                "message": error.message,
                "type": error.type,
                "param": error.param,
                "code": error.code,
                **error.extra,
            }
        }
    )
