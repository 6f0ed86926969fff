"""One attempt's exchange with its provider: the request, and the answer once that has begun.

In: a request in OpenAI's form, and an attempt. Out: an answer whose head is there, and of a stream
the first event. It replies to nobody and writes no record.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from .exceptions import GatewayError
from .providers.openai import build_request, open_stream
from .relay import first_events
from .routing import Try, passed_on
from .types import Upstream, UpstreamResponse
from .wire.requests import ChatRequest

logger = logging.getLogger("waystone_asgi")


class Exchange:
    """What goes to a target and what comes back.

    `decoder` is that of a stream, else None, and `held` what is to be relayed of it first.
    `response` is None until there is one.
    """

    __slots__ = ("attempt", "body", "decoder", "dropped", "held", "request", "response")

    def __init__(self, request: ChatRequest, attempt: Try) -> None:
        preset = attempt.provider.preset
        self.request = request
        self.attempt = attempt
        self.body, self.dropped = build_request(request, attempt.target.model, preset)
        self.decoder = open_stream(request.view, preset) if request.view.stream else None
        self.response: UpstreamResponse | None = None
        self.held = b""

    async def open(self, upstreams: Mapping[str, Upstream]) -> UpstreamResponse:
        """Send, and return the answer once it has begun. Raises `GatewayError`."""
        attempt = self.attempt
        upstream = upstreams[attempt.provider.endpoint.scheme]
        self.response = response = await attempt.send(upstream, self.body)
        if self.decoder is not None:
            try:
                self.held = await first_events(response, self.decoder, attempt.left)
            except GatewayError as error:
                error.headers += passed_on(response)
                raise
            attempt.begun()
        return response

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
