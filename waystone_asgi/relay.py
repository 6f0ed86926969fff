"""Moves a streamed answer from the provider to the caller, as it arrives.

In: an answer whose head has come, a decoder, a reply, and where the answer is checked a screen.
Out: events to the caller, one write an arrival. Nothing is sent before the first event has been
looked at, or where the answer is held, before the last; a failure after that is an error event and
the end, without `[DONE]`. It knows no dialect and writes no record.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol, TypeAlias

import anyio

from .exceptions import CallerLeft, GatewayError, UpstreamError, UpstreamTimeoutError
from .keepalive import KeepAlives
from .loops import by_itself
from .responses import GONE, Reply, encode_error
from .sse import encode_event
from .types import Message, UpstreamResponse

DRAIN_SECONDS = 1.0

_CUT = "The provider's stream ended before the answer was complete."

Redact: TypeAlias = Callable[[GatewayError], GatewayError]


class Decoder(Protocol):
    """What a dialect's stream decoder shows to the relay."""

    started: bool
    done: bool
    error: GatewayError | None
    events: int

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""

    def feed(self, data: bytes) -> bytes:
        """The bytes to relay now that `data` has arrived."""

    def finish(self) -> bytes:
        """The bytes to relay now that nothing more comes."""


class Screen(Protocol):
    """What stands between a decoder and the caller, and holds events back until they are checked.

    `started` turns true with the first event of the answer that it lets through. What it raises
    ends the answer: a `GatewayError` that is no `UpstreamError`.
    """

    started: bool

    async def feed(self, events: bytes) -> bytes:
        """The whole events to relay now that `events` have come."""

    async def finish(self) -> bytes:
        """What is still to relay now that nothing more comes."""


async def first_events(
    response: UpstreamResponse, decoder: Decoder, seconds: Callable[[], float] = lambda: inf
) -> bytes:
    """What to relay once the first event is there.

    `seconds` says how long there is left for it: a transport knows of arrivals only, and comments
    are none of the answer. Raises the `GatewayError` that stands in the event's place, or
    `UpstreamError` when there is none.
    """
    data = await response.receive()
    held = decoder.feed(data) if data else decoder.finish()
    if data and not decoder.started and decoder.error is None:
        held += await _awaited(response, decoder, seconds())
    if decoder.error is not None and not (decoder.events and decoder.started):
        raise decoder.error
    if not decoder.started:
        raise UpstreamError("The provider's stream ended before its first event.")
    return held


async def _awaited(response: UpstreamResponse, decoder: Decoder, seconds: float) -> bytes:
    """What comes until the first event does. Raises `UpstreamTimeoutError`."""
    held = b""
    try:
        with anyio.fail_after(max(0.0, seconds)):
            while not decoder.started and decoder.error is None:
                data = await response.receive()
                held += decoder.feed(data) if data else decoder.finish()
                if not data:
                    break
    except TimeoutError:
        raise UpstreamTimeoutError(
            "The provider was too slow: no event came in time (first byte)."
        ) from None
    return held


async def first_shown(
    response: UpstreamResponse, decoder: Decoder, screen: Screen, held: bytes
) -> bytes:
    """What to relay once the screen lets something through of `held` and what follows.

    Raises the error that stands in its place, which may be the screen's.
    """
    shown = await screen.feed(held)
    while not screen.started and decoder.error is None:
        data = await response.receive()
        shown += await screen.feed(decoder.feed(data) if data else decoder.finish())
        if not data:
            break
    if not screen.started:
        raise decoder.error or UpstreamError(_CUT)
    return shown


async def whole_stream(
    response: UpstreamResponse,
    decoder: Decoder,
    held: bytes,
    limit: int,
    screen: Screen | None = None,
) -> bytes:
    """What to relay once the answer is complete: `held` and the rest, of at most `limit` bytes.

    Raises the `GatewayError` that ended it before.
    """
    pieces: list[bytes] = []
    size = 0

    async def send(message: Message) -> None:
        nonlocal size
        pieces.append(message["body"])
        size += len(pieces[-1])
        if size > limit:
            raise UpstreamError(f"The provider's answer is longer than {limit} bytes.")

    last, error = await by_itself(_follow(response, decoder, Reply(send, ""), held, screen))
    if error is not None:
        raise error
    return b"".join([*pieces, last])


async def relay(
    response: UpstreamResponse,
    decoder: Decoder,
    reply: Reply,
    held: bytes,
    *,
    redact: Redact,
    screen: Screen | None = None,
    keep_alives: KeepAlives | None = None,
) -> GatewayError | None:
    """Send `held` and the rest of the stream; the error that ended it, or None when complete.

    `redact` makes an error fit to be shown, `keep_alives` break a long silence.
    """
    error: GatewayError | None
    if keep_alives is not None:
        keep_alives.add(reply)
    try:
        if held and not decoder.done and decoder.error is None:
            await reply.write(held)
            held = b""
        try:
            held, error = await by_itself(_follow(response, decoder, reply, held, screen))
        except GatewayError as refusal:
            held, error = b"", refusal
        end = b"" if error is None else encode_event(encode_error(redact(error)))
        await reply.end_stream(held + end)
        return error
    finally:
        if keep_alives is not None:
            keep_alives.remove(reply)


async def _follow(
    response: UpstreamResponse, decoder: Decoder, reply: Reply, held: bytes, screen: Screen | None
) -> tuple[bytes, GatewayError | None]:
    """Send all but the last events; those, and the error that ended the stream.

    Raises what the screen raises.
    """
    failure: GatewayError | None = None
    receive, feed, send = response.receive, decoder.feed, reply.send
    try:
        while not decoder.done and decoder.error is None:
            if held:
                if reply.comment is not None:
                    await reply.comment.sent()
                reply.quiet = None
                try:
                    await send({"type": "http.response.body", "body": held, "more_body": True})
                except GONE:
                    raise CallerLeft from None
                reply.quiet = False
            data = await receive()
            held = feed(data) if data else decoder.finish()
            if screen is not None:
                held = await screen.feed(held)
            if not data:
                break
    except UpstreamError as error:
        failure = error
        held = decoder.finish() if decoder.complete else b""
        if screen is not None:
            held = await screen.feed(held)
    if screen is not None:
        held += await screen.finish()
    if decoder.complete:
        return held, None
    return held, decoder.error or failure or UpstreamError(_CUT)


async def drain(response: UpstreamResponse, decoder: Decoder) -> None:
    """Read on to the end, within a second: for usage that follows, and to keep the connection."""
    if getattr(response, "ended", False):
        return  # Most answers have, and then a deadline would cost more than what it bounds.
    with anyio.move_on_after(DRAIN_SECONDS):
        try:
            while data := await response.receive():
                decoder.feed(data)
        except UpstreamError:
            return
