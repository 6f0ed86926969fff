"""Moves a streamed answer from the provider to the caller, as it arrives.

In: an answer whose head has come, a decoder, a reply. Out: events to the caller, one write an
arrival. Nothing is sent before the first event has been looked at; a failure after it is an error
event and the end, without `[DONE]`. It knows no dialect and writes no record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import anyio

from .exceptions import GatewayError, UpstreamError
from .responses import Reply, encode_error
from .sse import encode_event
from .types import UpstreamResponse

DRAIN_SECONDS = 1.0

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


async def first_events(response: UpstreamResponse, decoder: Decoder) -> bytes:
    """What to relay once the first event is there.

    Raises the `GatewayError` that stands in its place, or `UpstreamError` when there is none.
    """
    held = b""
    while not decoder.started and decoder.error is None:
        data = await response.receive()
        held += decoder.feed(data) if data else decoder.finish()
        if not data:
            break
    if decoder.error is not None and not decoder.events:
        raise decoder.error
    if not decoder.started:
        raise UpstreamError("The provider's stream ended before its first event.")
    return held


async def relay(
    response: UpstreamResponse, decoder: Decoder, reply: Reply, held: bytes, *, redact: Redact
) -> GatewayError | None:
    """Send `held` and the rest of the stream; the error that ended it, or None when complete.

    `redact` makes an error fit to be shown.
    """
    error = decoder.error
    try:
        while not decoder.done and decoder.error is None:
            if held:
                await reply.write(held)
                held = b""
            data = await response.receive()
            held = decoder.feed(data) if data else decoder.finish()
            if not data:
                break
    except UpstreamError as failure:
        held = decoder.finish() if decoder.complete else b""
        error = failure
    error = decoder.error or error
    if decoder.complete:
        error = None
    elif error is None:
        error = UpstreamError("The provider's stream ended before the answer was complete.")
    end = b"" if error is None else encode_event(encode_error(redact(error)))
    await reply.end_stream(held + end)
    return error


async def drain(response: UpstreamResponse, decoder: Decoder) -> None:
    """Read on to the end, within a second: for usage that follows, and to keep the connection."""
    with anyio.move_on_after(DRAIN_SECONDS):
        try:
            while data := await response.receive():
                decoder.feed(data)
        except UpstreamError:
            return
