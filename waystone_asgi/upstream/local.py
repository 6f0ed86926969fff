"""Answers that are made in this process, behind the same Protocol as those from the network.

Takes an `UpstreamRequest`, hands its body to a pure function, and gives the pieces one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import anyio.lowlevel

if TYPE_CHECKING:
    from ..records import UpstreamRequest

Answer: TypeAlias = Callable[[bytes, int], tuple[bytes, Iterator[bytes]]]


class LocalUpstream:
    """An `Upstream` over `answer(body, unix_time) -> (content type, pieces)`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def send(self, request: UpstreamRequest) -> LocalResponse:
        """See `types.Upstream`."""
        content_type, pieces = self._answer(request.body, int(time.time()))
        return LocalResponse(content_type, pieces)

    async def aclose(self) -> None:
        """There is nothing to close."""


class LocalResponse:
    """An `UpstreamResponse` of pieces that are there already."""

    status = 200

    def __init__(self, content_type: bytes, pieces: Iterator[bytes]) -> None:
        self.headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", content_type),)
        self._pieces = pieces

    async def receive(self) -> bytes:
        """See `types.UpstreamResponse`; lets others run between the pieces."""
        await anyio.lowlevel.checkpoint()
        return next(self._pieces, b"")

    async def aclose(self) -> None:
        """There is nothing to close."""
