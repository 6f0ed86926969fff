"""Moves a streamed answer from the provider to the caller, as it arrives.

In: an answer whose head has come, a decoder, a reply, and where the answer is checked a screen.
Out: events to the caller, one write an arrival. Nothing is sent before the first event has been
looked at; a failure after it is an error event and the end, without `[DONE]`. It knows no dialect
and writes no record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import anyio

from .exceptions import CallerLeft, GatewayError, UpstreamError
from .loops import by_itself
from .responses import GONE, Reply, encode_error
from .sse import encode_event
from .types import UpstreamResponse

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
    response: UpstreamResponse, decoder: Decoder, screen: Screen | None = None
) -> bytes:
    """What to relay once the first event is there, and let through.

    Raises the `GatewayError` that stands in its place, or `UpstreamError` when there is none.
    """
    held = b""
    gate = decoder if screen is None else screen
    while not gate.started and decoder.error is None:
        data = await response.receive()
        events = decoder.feed(data) if data else decoder.finish()
        held += events if screen is None else await screen.feed(events)
        if not data:
            break
    if decoder.error is not None and not (decoder.events and gate.started):
        raise decoder.error
    if not decoder.started:
        raise UpstreamError("The provider's stream ended before its first event.")
    if not gate.started:
        raise UpstreamError(_CUT)
    return held


async def relay(
    response: UpstreamResponse,
    decoder: Decoder,
    reply: Reply,
    held: bytes,
    *,
    redact: Redact,
    screen: Screen | None = None,
) -> GatewayError | None:
    """Send `held` and the rest of the stream; the error that ended it, or None when complete.

    `redact` makes an error fit to be shown.
    """
    error: GatewayError | None
    try:
        if held and not decoder.done and decoder.error is None:
            await reply.write(held)
            held = b""
        held, error = await by_itself(_follow(response, decoder, reply, held, screen))
    except GatewayError as refusal:
        held, error = b"", refusal
    end = b"" if error is None else encode_event(encode_error(redact(error)))
    await reply.end_stream(held + end)
    return error


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
                try:
                    await send({"type": "http.response.body", "body": held, "more_body": True})
                except GONE:
                    raise CallerLeft from None
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
