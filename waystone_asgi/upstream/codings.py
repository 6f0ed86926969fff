"""Undoes the content codings that a provider applies without being asked.

Headers and coded bytes come in, plain bytes go out, a bounded piece at a time. It awaits nothing
but the bytes it is given, and never inflates a body out of proportion: what is small on the wire
and huge in memory is refused (a "zip bomb").
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable

from ..exceptions import UpstreamError

PIECE = 65536
"""The most bytes that one step of inflating gives."""

_FREE = 1 << 20
_RATIO = 100
_GZIP, _ZLIB, _RAW = 31, 15, -15  # wbits of zlib.decompressobj


class Inflater:
    """Inflates `gzip` (RFC 1952, several members too) or `deflate` (RFC 1950, or bare RFC 1951).

    Beyond the first MiB it refuses a body that grows more than a hundredfold.
    """

    __slots__ = ("_given", "_gzip", "_pending", "_stream", "_taken")

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream = zlib.decompressobj(_GZIP) if gzip else None
        self._pending = b""
        self._taken = 0
        self._given = 0

    def feed(self, data: bytes) -> None:
        """Add coded bytes as they arrived."""
        self._taken += len(data)
        self._pending += data

    def inflate(self) -> bytes:
        """The next plain bytes, at most `PIECE`; `b""` when more coded bytes are needed."""
        try:
            piece = self._inflate()
        except zlib.error:
            raise UpstreamError("The answer's compression is damaged.") from None
        self._given += len(piece)
        if self._given > _FREE and self._given > _RATIO * self._taken:
            raise UpstreamError("The answer grows too much when decompressed.")
        return piece

    def finish(self) -> None:
        """Refuse a body that ended inside its compression; an empty body is in order."""
        if self._taken and (self._stream is None or not self._stream.eof):
            raise UpstreamError("The answer broke off inside its compression.")

    def _inflate(self) -> bytes:
        stream = self._stream or self._deflate()
        while stream is not None and self._pending:
            if stream.eof:
                if not self._gzip:
                    raise zlib.error("data after the end")
                stream = self._stream = zlib.decompressobj(_GZIP)
            piece = stream.decompress(self._pending, PIECE)
            self._pending = stream.unconsumed_tail or stream.unused_data
            if piece:
                return piece
        return b""

    def _deflate(self) -> zlib._Decompress | None:
        # The name means the zlib format, yet some servers send the bare one: two bytes tell.
        if len(self._pending) < 2:
            return None
        first, second = self._pending[:2]
        zlib_header = first & 15 == 8 and (first << 8 | second) % 31 == 0
        self._stream = zlib.decompressobj(_ZLIB if zlib_header else _RAW)
        return self._stream


def inflater_for(headers: Iterable[tuple[bytes, bytes]]) -> Inflater | None:
    """What undoes the codings that the headers (lower-case names) name; None when there are none.

    Raises `UpstreamError` when they cannot be undone.
    """
    values = [value for name, value in headers if name == b"content-encoding"]
    names = [part.strip().lower() for part in b",".join(values).split(b",")]
    codings = [name for name in names if name not in (b"", b"identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in (b"gzip", b"x-gzip", b"deflate"):
        raise UpstreamError("The answer has a content coding that was not asked for.")
    return Inflater(gzip=codings[0] != b"deflate")


async def inflated(inflater: Inflater, receive: Callable[[], Awaitable[bytes]]) -> bytes:
    """The next plain bytes of the body that `receive` gives, or `b""` at its proper end."""
    while not (piece := inflater.inflate()):
        data = await receive()
        if not data:
            inflater.finish()
            return b""
        inflater.feed(data)
    return piece
