"""Server-sent events: any cut gives the same events, and no byte is lost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi import sse
from waystone_asgi.sse import EventSplitter, EventTooLongError, encode_event, event_data

SEPARATOR = "\u2028".encode()
NEXT_LINE = "\x85".encode()
BOM = "\ufeff".encode()

LINES = ("data: a", "data: b", ": comment", "event: error", "id: 7", "data", "data:", "\u2028")
ENDS = ("\n", "\r\n", "\r")


def split(pieces: Iterable[bytes]) -> tuple[list[bytes], bytes]:
    """The events of a stream that came in these pieces, and what is left at its end."""
    splitter = EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events, splitter.flush()


def cut_at(stream: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({0, len(stream)} | {place % (len(stream) + 1) for place in places})
    return [stream[start:end] for start, end in pairwise(ends)]


def each_byte(stream: bytes) -> list[bytes]:
    return [stream[index : index + 1] for index in range(len(stream))]


def read_lines(stream: bytes) -> list[bytes]:
    """The lines as the WHATWG's grammar has them, each with its end."""
    return re.findall(rb"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$", stream)


def read_events(stream: bytes) -> tuple[list[bytes], bytes]:
    """The events line by line, as the specification tells it: a blank line ends one."""
    events, held = [], b""
    for line in read_lines(stream):
        held += line
        if not line.strip(b"\r\n") and len(read_lines(held)) > 1:
            events.append(held)
            held = b""
    return events, held


# Streams of lines, mostly of one kind of end as real ones are, and of any bytes at all.
streams = st.builds(
    lambda end, lines: "".join(line + end for line in lines).encode(),
    st.sampled_from(ENDS),
    st.lists(st.sampled_from(("", "", *LINES)), max_size=12),
)
mixed = st.lists(st.sampled_from((*LINES, *ENDS, *ENDS)), max_size=20).map(
    lambda parts: "".join(parts).encode()
)
noise = st.lists(st.sampled_from((b"\n", b"\r", b"x", b"data: ", SEPARATOR)), max_size=20).map(
    b"".join
)
any_stream = streams | mixed | noise
places = st.lists(st.integers(min_value=0), max_size=10)


@given(stream=any_stream)
def test_events_are_those_of_the_specification(stream: bytes) -> None:
    events, rest = split([stream])
    # A CR at the very end may be half of a CR LF, so an event that it would end waits for more.
    expected, left = read_events(stream)
    if stream.endswith(b"\r") and expected and not left:
        left = expected.pop()
    assert (events, rest) == (expected, left)


@given(stream=any_stream, places=places)
def test_the_cut_does_not_matter(stream: bytes, places: list[int]) -> None:
    assert split(cut_at(stream, places)) == split([stream])


@given(stream=any_stream)
def test_each_byte_may_come_alone(stream: bytes) -> None:
    assert split(each_byte(stream)) == split([stream])


@given(stream=any_stream, places=places)
def test_no_byte_is_lost(stream: bytes, places: list[int]) -> None:
    events, rest = split(cut_at(stream, places))
    assert b"".join(events) + rest == stream


@given(stream=any_stream, places=places)
def test_pending_says_whether_something_is_held(stream: bytes, places: list[int]) -> None:
    splitter = EventSplitter()
    held = 0
    for piece in cut_at(stream, places):
        held += len(piece) - len(b"".join(splitter.feed(piece)))
        assert splitter.pending == (held > 0)
    assert len(splitter.flush()) == held
    assert not splitter.pending


@given(stream=any_stream, more=any_stream)
def test_flush_begins_anew(stream: bytes, more: bytes) -> None:
    splitter = EventSplitter()
    splitter.feed(stream)
    splitter.flush()
    assert splitter.feed(more) == EventSplitter().feed(more)


@pytest.mark.parametrize(
    ("stream", "events", "rest"),
    [
        pytest.param(b"", [], b"", id="nothing"),
        pytest.param(b"data: a\n\n", [b"data: a\n\n"], b"", id="LF"),
        pytest.param(b"data: a\r\n\r\n", [b"data: a\r\n\r\n"], b"", id="CR LF"),
        pytest.param(b"data: a\r\rx", [b"data: a\r\r"], b"x", id="CR"),
        pytest.param(b"data: a\r\r", [], b"data: a\r\r", id="a CR that may be half of a CR LF"),
        pytest.param(b"data: a\n\r\n", [b"data: a\n\r\n"], b"", id="LF, CR LF"),
        pytest.param(b"data: a\r\n\n", [b"data: a\r\n\n"], b"", id="CR LF, LF"),
        pytest.param(b"data: a\r\n", [], b"data: a\r\n", id="CR LF is one end"),
        pytest.param(b"a\n\nb\n\n", [b"a\n\n", b"b\n\n"], b"", id="two events"),
        pytest.param(b"a\n\n\nb\n\n", [b"a\n\n", b"\nb\n\n"], b"", id="a blank line more"),
        pytest.param(b": wait\n\ndata: a", [b": wait\n\n"], b"data: a", id="unfinished"),
        pytest.param(
            b"data: a\ndata: b\n\n", [b"data: a\ndata: b\n\n"], b"", id="two lines of data"
        ),
        pytest.param(
            b"data: " + SEPARATOR * 2 + NEXT_LINE * 2 + b"\x0b\x0c\x1c\n\n",
            [b"data: " + SEPARATOR * 2 + NEXT_LINE * 2 + b"\x0b\x0c\x1c\n\n"],
            b"",
            id="what Unicode and Python take for line ends",
        ),
        pytest.param(BOM + b"data: a\n\n", [BOM + b"data: a\n\n"], b"", id="byte order mark"),
    ],
)
def test_splitting(stream: bytes, events: list[bytes], rest: bytes) -> None:
    assert split([stream]) == (events, rest)
    assert split(each_byte(stream)) == (events, rest)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        pytest.param(b"data: a\n\n", b"a", id="LF"),
        pytest.param(b"data: a\r\n\r\n", b"a", id="CR LF"),
        pytest.param(b"data: a\r\r", b"a", id="CR"),
        pytest.param(b"data: a\r\n\n", b"a", id="CR LF, LF"),
        pytest.param(b"data: a\rdata: b\n\n", b"a\nb", id="CR, LF"),
        pytest.param(b"data:a\n\n", b"a", id="no space"),
        pytest.param(b"data:  a \n\n", b" a ", id="one space is not data"),
        pytest.param(b"data:\n\n", b"", id="empty"),
        pytest.param(b"data: \n\n", b"", id="empty after a space"),
        pytest.param(b"data\n\n", b"", id="a field name alone"),
        pytest.param(b"data: a\ndata: b\n\n", b"a\nb", id="two lines"),
        pytest.param(b"data: a\ndata\ndata:b\n\n", b"a\n\nb", id="an empty line in the middle"),
        pytest.param(b"event: error\ndata: a\n\n", b"a", id="a name first"),
        pytest.param(b"data: a\nevent: error\n\n", b"a", id="a name last"),
        pytest.param(b": comment\ndata: a\n\n", b"a", id="a comment first"),
        pytest.param(b"\ndata: a\n\n", b"a", id="a blank line first"),
        pytest.param(BOM + b"data: a\n\n", b"a", id="byte order mark"),
        pytest.param(b"data: " + SEPARATOR + b"\n\n", SEPARATOR, id="U+2028"),
        pytest.param(b": comment\n\n", None, id="comment"),
        pytest.param(b"event: ping\n\n", None, id="a name alone"),
        pytest.param(b"database: a\n\n", None, id="another field"),
        pytest.param(b" data: a\n\n", None, id="a space first"),
        pytest.param(b"\n\n", None, id="blank"),
    ],
)
def test_data(event: bytes, data: bytes | None) -> None:
    assert event_data(event) == data


@given(data=st.binary().filter(lambda data: not {10, 13} & set(data)))
def test_an_encoded_event_has_its_data(data: bytes) -> None:
    event = encode_event(data)
    assert split([event]) == ([event], b"")
    assert event_data(event) == data


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n"])
def test_an_event_without_end_is_given_up(
    size: int, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    splitter = EventSplitter()
    line = b"data: " + b"x" * size + end
    for _ in range(100 // len(line)):
        assert splitter.feed(line) == []
    with pytest.raises(EventTooLongError, match="100 bytes"):
        splitter.feed(line)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_many_short_events_are_no_long_one(end: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 20)
    splitter = EventSplitter()
    for _ in range(100):
        assert splitter.feed(b"data: x" + end) == [b"data: x" + end]
    assert len(splitter.feed((b"data: x" + end) * 100)) == 100


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_a_long_event_in_small_pieces_is_joined_once(end: bytes) -> None:
    splitter = EventSplitter()
    piece = b"data: " + b"x" * 1024 + end
    for _ in range(4096):
        assert splitter.feed(piece) == []
    assert splitter.feed(b"x\n\n") == [piece * 4096 + b"x\n\n"]
