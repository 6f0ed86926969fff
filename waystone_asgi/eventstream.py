"""AWS event streams without I/O: bytes in any cut to whole frames, and a frame to what it says.

The format is that of `application/vnd.amazon.eventstream`: a prelude of two lengths and their
CRC32, headers, a payload, and the CRC32 of all that. Nothing is believed before its checksum is
right. It knows nothing of what frames mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct as Layout
from struct import error as LayoutError
from typing import TypeAlias
from zlib import crc32

from msgspec import Struct

MAX_HEADER_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024

HeaderValue: TypeAlias = bool | int | bytes | str
HeaderValues: TypeAlias = Mapping[str, HeaderValue]

_PRELUDE = Layout(">III")
_CHECKSUM = Layout(">I")
_LENGTH = Layout(">H")
_OVERHEAD = _PRELUDE.size + _CHECKSUM.size
_STRING, _BYTES = 7, 6
_NUMBERS = {2: Layout(">b"), 3: Layout(">h"), 4: Layout(">i"), 5: Layout(">q"), 8: Layout(">q")}
_UUID, _UUID_BYTES = 9, 16


class FrameError(ValueError):
    """What came is no frame: a checksum or a length is wrong, or the headers are none."""


class Frame(Struct, frozen=True, gc=False):
    """One message. Timestamps are milliseconds since 1970, and UUIDs their 16 bytes."""

    headers: HeaderValues
    payload: bytes


class FrameSplitter:
    """Cuts a byte stream into whole frames, with every byte they had.

    `error` is set once something came that is no frame. Then there is no way to find the next one,
    and nothing more comes out.
    """

    __slots__ = ("_held", "_size", "_wanted", "error")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._wanted = _PRELUDE.size
        self.error: FrameError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes."""
        if self.error is not None:
            return []
        self._held.append(data)
        self._size += len(data)
        if self._size < self._wanted:
            return []
        # A long frame is joined twice: for its length, and when its end has come.
        data = b"".join(self._held) if len(self._held) > 1 else data
        frames: list[bytes] = []
        start = 0
        try:
            while (length := self._next(data, start)) is not None:
                frames.append(data[start : start + length])
                start += length
        except FrameError as error:
            self.error = error
        rest = data[start:]
        self._held = [rest] if rest else []
        self._size = len(rest)
        return frames

    def _next(self, data: bytes, start: int) -> int | None:
        """The length of the frame that begins at `start`, or None where it is not whole."""
        left = len(data) - start
        if left < _PRELUDE.size:
            self._wanted = _PRELUDE.size
            return None
        length, headers, checksum = _PRELUDE.unpack_from(data, start)
        if crc32(data[start : start + 8]) != checksum:
            raise FrameError("the checksum of a frame's prelude is wrong")
        payload = length - headers - _OVERHEAD
        if headers > MAX_HEADER_BYTES or not 0 <= payload <= MAX_PAYLOAD_BYTES:
            raise FrameError("the length of a frame is wrong")
        if left < length:
            self._wanted = length
            return None
        end = start + length - _CHECKSUM.size
        if crc32(data[start:end]) != _CHECKSUM.unpack_from(data, end)[0]:
            raise FrameError("the checksum of a frame is wrong")
        return int(length)


def decode_frame(frame: bytes) -> Frame:
    """What a whole frame says. Raises `FrameError` for headers that are none."""
    end = _PRELUDE.size + int.from_bytes(frame[4:8], "big")
    block = frame[_PRELUDE.size : end]
    headers: dict[str, HeaderValue] = {}
    position = 0
    try:
        while position < len(block):
            start = position + 1
            position = start + block[position]
            name = block[start:position].decode()
            headers[name], position = _decode_value(block, position)
    except (LayoutError, IndexError, UnicodeDecodeError):
        position = -1
    if position != len(block):
        raise FrameError("the headers of a frame cannot be read")
    return Frame(headers, frame[end : -_CHECKSUM.size])


def _decode_value(block: bytes, position: int) -> tuple[HeaderValue, int]:
    """A value, before which a byte tells its type, and where it ends."""
    kind = block[position]
    start = position + 1
    if kind in (_STRING, _BYTES):
        (length,) = _LENGTH.unpack_from(block, start)
        start += _LENGTH.size
        value = block[start : start + length]
        return (value.decode() if kind == _STRING else value), start + length
    if kind in _NUMBERS:
        layout = _NUMBERS[kind]
        return layout.unpack_from(block, start)[0], start + layout.size
    if kind == _UUID:
        return block[start : start + _UUID_BYTES], start + _UUID_BYTES
    if kind > 1:
        raise FrameError("a header of a frame has an unknown type")
    return kind == 0, start
