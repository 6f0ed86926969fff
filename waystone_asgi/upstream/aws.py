"""Requests to AWS, signed as they are sent.

Takes an `UpstreamRequest`, signs it with Signature Version 4, and has another `Upstream` send it.
The endpoint has a path that is percent-encoded, and no `authorization` of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio.to_thread
from msgspec.structs import replace

from ..exceptions import Headers, UpstreamError
from ..providers.bedrock.signing import Signer, Unsigned
from .framing import host_of

if TYPE_CHECKING:
    from ..records import UpstreamRequest
    from ..types import Upstream, UpstreamResponse

_LARGE = 256 * 1024  # bytes that take longer to hash than the event loop should stand still


class SignedUpstream:
    """An `Upstream` over `inner`, which it closes. `now` tells the Unix time that is signed."""

    def __init__(
        self, inner: Upstream, signer: Signer, *, now: Callable[[], float] = time.time
    ) -> None:
        self._inner = inner
        self._signer = signer
        self._now = now

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See `types.Upstream`; raises `UpstreamError` for a path with a query too."""
        if len(request.content) > _LARGE:
            signed = await anyio.to_thread.run_sync(self._sign, request)
        else:
            signed = self._sign(request)
        headers = request.endpoint.headers + signed
        endpoint = replace(request.endpoint, headers=headers, once=True)
        return await self._inner.send(replace(request, endpoint=endpoint))

    async def aclose(self) -> None:
        """See `types.Upstream`."""
        await self._inner.aclose()

    def _sign(self, request: UpstreamRequest) -> Headers:
        endpoint = request.endpoint
        if "?" in endpoint.path:
            raise UpstreamError("A path with a query is not signed.")
        unsigned = Unsigned(
            host=host_of(endpoint).decode("latin-1"),
            path=endpoint.path,
            body=request.content,
            headers=endpoint.headers,
        )
        return self._signer.sign(unsigned, self._now())
