"""The answer of one exchange on asyncio, as its reader sees it.

A `Connection` puts bytes in as they arrive, the reader takes out all of them at once. It never
reads the socket itself, and never holds a connection longer than the body lasts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..exceptions import UpstreamError
from .codings import Inflater, inflated

if TYPE_CHECKING:
    from .connection import Connection


class AsyncioResponse:
    """An `UpstreamResponse` whose `status` is 0 until its head has arrived.

    The connection alone writes the attributes, but for the `waiter`, which is done when there is
    something to see. `pieces` is the body that nobody has taken yet, `error` says why there is no
    more. `connection` is set until the last byte has arrived, `parked` until the last byte has been
    decompressed.
    """

    __slots__ = (
        "connection",
        "error",
        "headers",
        "inflater",
        "parked",
        "pieces",
        "status",
        "waiter",
    )

    def __init__(
        self,
        connection: Connection,
        headers: Sequence[tuple[bytes, bytes]],
        waiter: asyncio.Future[None],
    ) -> None:
        self.status = 0
        self.headers = headers
        self.pieces: deque[bytes] | list[bytes] = []
        self.waiter = waiter
        self.connection: Connection | None = connection
        self.parked: Connection | None = None
        self.inflater: Inflater | None = None
        self.error: UpstreamError | None = None

    @property
    def ended(self) -> bool:
        """Whether the reader has all there is."""
        return self.connection is None and not self.pieces

    async def receive(self) -> bytes:
        """See `types.UpstreamResponse`."""
        while not self.pieces:
            connection = self.connection
            if connection is None:
                if self.error is not None:
                    raise self.error
                return b""
            self.waiter = waiter = connection.create_future()
            if connection.begun:
                deadline = connection.time() + connection.idle
                if deadline > connection.total:
                    deadline = connection.total
                alarm = connection.alarm
                alarm.deadline = deadline
                if deadline < alarm.when:
                    alarm.set(deadline)
            try:
                await waiter
            except BaseException:
                self.close("Reading the answer was cancelled.")
                raise
        pieces = self.pieces
        if len(pieces) == 1:
            data = pieces.pop()
        else:
            data = b"".join(pieces)
            pieces.clear()
        connection = self.connection
        if connection is not None and connection.is_paused:
            connection.resume()
        return data

    async def aclose(self) -> None:
        """See `types.UpstreamResponse`."""
        if self.connection is not None or self.parked is not None:
            self.close("The answer was closed before its end.")

    def close(self, reason: str) -> None:
        """Close the connection unless it has been given back; further reads raise the reason."""
        connection = self.connection or self.parked
        if connection is not None:
            self.connection = self.parked = None
            self.pieces.clear()
            self.error = UpstreamError(reason)
            connection.abort()


class InflatedResponse:
    """An `UpstreamResponse` with its content coding undone; the headers stay as they were."""

    __slots__ = ("_inflater", "_response", "headers", "status")

    def __init__(self, response: AsyncioResponse, inflater: Inflater) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._inflater = inflater

    async def receive(self) -> bytes:
        """See `types.UpstreamResponse`."""
        response = self._response
        try:
            data = await inflated(self._inflater, response.receive)
        except UpstreamError as error:
            response.close(error.message)
            raise
        if not data and response.parked is not None:
            response.parked.release()
            response.parked = None
        return data

    async def aclose(self) -> None:
        """See `types.UpstreamResponse`."""
        await self._response.aclose()
