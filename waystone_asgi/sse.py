"""Server-sent events without I/O: bytes in any cut to whole events, and values to events.

The format is the WHATWG's: lines end in LF, CR LF or CR and nothing else, a blank line ends an
event. Events come out with every byte they had. It knows nothing of what events mean.
"""

from __future__ import annotations

import re
from itertools import pairwise

MAX_EVENT_BYTES = 16 * 1024 * 1024
DONE = b"data: [DONE]\n\n"

_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CRLF2 = b"\r\n\r\n"
_LINE_ENDS = (b"\r", b"\n")
_CR = 0x0D  # Looked for as a number, which is several times as fast.
_BOM = b"\xef\xbb\xbf"


class EventTooLongError(ValueError):
    """An event passed `MAX_EVENT_BYTES` without coming to its end."""


class EventSplitter:
    """Cuts a byte stream into events, each with its closing blank line.

    `pending` says whether the beginning of an event is held.
    """

    __slots__ = ("_held", "_size", "_tail", "pending")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._tail = b""
        self.pending = False

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes. Raises `EventTooLongError`."""
        return split_events(self.take(data))

    def take(self, data: bytes) -> bytes:
        """The same events in one piece. Raises `EventTooLongError`."""
        if self.pending:
            # A long event is joined once, when its end has come.
            seam = self._tail + data
            self._held.append(data)
            if b"\n\n" not in seam and (_CR not in seam or not _END.search(seam)):
                self._hold(len(data), seam)
                return b""
            data = b"".join(self._held)
        elif data[-2:] == b"\n\n" and data[-3:-2] != b"\n" and _CR not in data:
            return data  # It ends where an event ends, as most do.
        elif data[-4:] == _CRLF2 and data[-5:-4] not in _LINE_ENDS:
            return data  # The same, from providers whose lines end in CR LF.
        end = _last_end(data)
        rest = data[end:]
        self._held = [rest] if rest else []
        self.pending = bool(rest)
        self._size = 0
        self._hold(len(rest), rest)
        return data[:end]

    def flush(self) -> bytes:
        """What is left when the stream has ended without a blank line."""
        rest = b"".join(self._held)
        self._held = []
        self.pending = False
        self._size = 0
        return rest

    def _hold(self, size: int, end: bytes) -> None:
        """Count what is held, and keep its last bytes: an event's end has up to four."""
        self._size += size
        self._tail = end[-3:]
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLongError(f"an event is longer than {MAX_EVENT_BYTES} bytes")


def split_events(data: bytes) -> list[bytes]:
    """The events in `data`, which is whole events and no more."""
    if _CR in data:
        if data.count(b"\r\n") == data.count(b"\r") == data.count(b"\n"):
            return [block + _CRLF2 for block in data.split(_CRLF2)[:-1]]
        ends = [0, *(match.end() for match in _END.finditer(data))]
        return [data[start:end] for start, end in pairwise(ends)]
    blocks = data.split(b"\n\n")
    return [block + b"\n\n" for block in blocks[:-1]]


def _last_end(data: bytes) -> int:
    """Where the last whole event ends."""
    if _CR in data:
        # A CR at the very end may be half of a CR LF.
        matches = _END.finditer(data, 0, len(data) - data.endswith(b"\r"))
        return max((match.end() for match in matches), default=0)
    end = data.rfind(b"\n\n") + 2
    if end < 2:
        return 0
    # Of an odd number of line ends, the last begins the next event.
    return end - (end - len(data[:end].rstrip(b"\n"))) % 2


def event_data(event: bytes) -> bytes | None:
    """The data of an event, its lines joined by LF; None for a comment or an event without data."""
    if event.startswith(b"data: "):
        first = event.find(b"\n")
        if first == len(event) - 2 and _CR not in event:
            return event[6:-2]
        if first == len(event) - 3 and event.find(b"\r") == first - 1 and event[-2:] == b"\r\n":
            return event[6:-4]
    lines = _LINE_END.split(event.removeprefix(_BOM))
    data = [line[5:].removeprefix(b" ") for line in lines if line[:5] in (b"data:", b"data")]
    return b"\n".join(data) if data else None


def encode_event(data: bytes) -> bytes:
    """One event with one line of data; `data` has no line ends (JSON never needs them)."""
    return b"data: %b\n\n" % data
