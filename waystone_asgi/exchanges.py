"""One attempt's exchange with its provider: the request, and the answer once that has begun.

In: a request in OpenAI's form, and an attempt. Out: an answer whose head is there, and of a stream
the first event. It replies to nobody and writes no record.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import time

from .exceptions import GatewayError
from .providers.dialects import Answer, Head, Stream
from .relay import first_events
from .routing import Try, passed_on
from .types import Upstream, UpstreamResponse
from .wire.requests import ChatRequest

logger = logging.getLogger("waystone_asgi")


class Exchange:
    """What goes to a target and what comes back.

    `response` is None until there is one, and there is no `head` either. `decoder` follows a stream
    from then on, and is None for a whole answer; `held` is what is to be relayed of a stream first.
    """

    __slots__ = (
        "attempt",
        "built",
        "decoder",
        "destination",
        "head",
        "held",
        "request",
        "response",
    )

    head: Head

    def __init__(self, request: ChatRequest, attempt: Try) -> None:
        view = request.view
        destination = attempt.provider.destination(attempt.target.model, stream=bool(view.stream))
        self.request = request
        self.attempt = attempt
        self.destination = destination
        self.built = destination.dialect.build_request(request, destination.target)
        self.decoder: Stream | None = None
        self.response: UpstreamResponse | None = None
        self.held = b""

    async def open(self, upstreams: Mapping[str, Upstream]) -> UpstreamResponse:
        """Send, and return the answer once it has begun. Raises `GatewayError`."""
        attempt = self.attempt
        upstream = upstreams[attempt.target.provider]
        self.response = response = await attempt.send(upstream, self.destination, self.built)
        view = self.request.view
        model = self.destination.target.model
        self.head = Head(model=model, received=int(time()), headers=response.headers)
        if view.stream:
            self.decoder = decoder = self.destination.dialect.open_stream(view, self.head)
            try:
                self.held = await first_events(response, decoder, attempt.left)
            except GatewayError as error:
                error.headers += passed_on(response)
                raise
            attempt.begun()
        return response

    def parse(self, body: bytes) -> Answer:
        """The whole answer that has this body. Raises `GatewayError` for what is none."""
        return self.destination.dialect.parse_response(body, self.head)

    async def aclose(self) -> None:
        """Close what there is, and tell of what was skipped. Never raises."""
        if self.decoder is not None and self.decoder.malformed:
            logger.warning(
                "Malformed events of %s/%s that were skipped: %d.",
                self.attempt.target.provider,
                self.attempt.target.model,
                self.decoder.malformed,
            )
        if self.response is not None:
            await self.response.aclose()
