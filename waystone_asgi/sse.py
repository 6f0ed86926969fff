"""Server-sent events without I/O: bytes in any cut to whole events, and values to events.

The format is the WHATWG's: lines end in LF, CR LF or CR and nothing else, a blank line ends an
event. Events come out with every byte they had. It knows nothing of what events mean.
"""

from __future__ import annotations

import re

MAX_EVENT_BYTES = 16 * 1024 * 1024
DONE = b"data: [DONE]\n\n"

_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class EventTooLongError(ValueError):
    """An event passed `MAX_EVENT_BYTES` without coming to its end."""


class EventSplitter:
    """Cuts a byte stream into events, each with its closing blank line."""

    __slots__ = ("_held", "_size", "_tail")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._tail = b""

    @property
    def pending(self) -> bool:
        """Whether the beginning of an event is held."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes. Raises `EventTooLongError`."""
        if self._held:
            # A long event is joined once, when its end has come.
            seam = self._tail + data
            self._held.append(data)
            if b"\n\n" not in seam and (b"\r" not in seam or not _END.search(seam)):
                self._hold(len(data), seam)
                return []
            data = b"".join(self._held)
        if b"\r" in data:
            events, rest = _split_lines(data)
        else:
            blocks = data.split(b"\n\n")
            rest = blocks.pop()
            events = [block + b"\n\n" for block in blocks]
        self._held = [rest] if rest else []
        self._size = 0
        self._hold(len(rest), rest)
        return events

    def flush(self) -> bytes:
        """What is left when the stream has ended without a blank line."""
        rest = b"".join(self._held)
        self._held = []
        self._size = 0
        return rest

    def _hold(self, size: int, end: bytes) -> None:
        """Count what is held, and keep its last bytes: an event's end has up to four."""
        self._size += size
        self._tail = end[-3:]
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLongError(f"an event is longer than {MAX_EVENT_BYTES} bytes")


def _split_lines(data: bytes) -> tuple[list[bytes], bytes]:
    """As `feed`, for streams with CR in them; a CR at the very end may be half of a CR LF."""
    events: list[bytes] = []
    start = 0
    limit = len(data) - 1 if data.endswith(b"\r") else len(data)
    for match in _END.finditer(data, 0, limit):
        events.append(data[start : match.end()])
        start = match.end()
    return events, data[start:]


def event_data(event: bytes) -> bytes | None:
    """The data of an event, its lines joined by LF; None for a comment or an event without data."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    lines = _LINE_END.split(event.removeprefix(_BOM))
    data = [line[5:].removeprefix(b" ") for line in lines if line[:5] in (b"data:", b"data")]
    return b"\n".join(data) if data else None


def encode_event(data: bytes) -> bytes:
    """One event with one line of data; `data` has no line ends (JSON never needs them)."""
    return b"data: %b\n\n" % data
