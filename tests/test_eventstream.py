"""AWS event streams: frames in any cut, headers of all types, and what is no frame."""

from __future__ import annotations

import struct
from uuid import UUID
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.eventstream import (
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    Frame,
    FrameError,
    FrameSplitter,
    decode_frame,
)

NAMED = b"\x04name"


def prelude(length: int, headers: int) -> bytes:
    lengths = struct.pack(">II", length, headers)
    return lengths + struct.pack(">I", crc32(lengths))


def frame(headers: bytes = b"", payload: bytes = b"") -> bytes:
    length = 16 + len(headers) + len(payload)
    body = prelude(length, len(headers)) + headers + payload
    return body + struct.pack(">I", crc32(body))


def text_header(name: str, value: str) -> bytes:
    key, said = name.encode(), value.encode()
    return bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(said)) + said


# Values that AWS publishes with the format (its "test vectors" for event streams).
EMPTY = bytes.fromhex("0000001000000000 05c248eb 7d98c8ff")
PAYLOAD = bytes.fromhex("0000001d00000000 fd528c5a 7b27666f6f273a27626172277d c3653936")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (EMPTY, Frame({}, b"")),
        (PAYLOAD, Frame({}, b"{'foo':'bar'}")),
        (frame(NAMED + b"\x00"), Frame({"name": True}, b"")),
        (frame(NAMED + b"\x01"), Frame({"name": False}, b"")),
        (frame(NAMED + b"\x02\xff"), Frame({"name": -1}, b"")),
        (frame(NAMED + b"\x03\xff\xfe"), Frame({"name": -2}, b"")),
        (frame(NAMED + b"\x04\x00\x01\x00\x00"), Frame({"name": 65536}, b"")),
        (frame(NAMED + b"\x05" + b"\xff" * 8), Frame({"name": -1}, b"")),
        (frame(NAMED + b"\x06\x00\x02\x00\xff"), Frame({"name": b"\x00\xff"}, b"")),
        (frame(NAMED + b"\x07\x00\x02\xc3\xa9"), Frame({"name": "é"}, b"")),
        (frame(NAMED + b"\x08" + (1000).to_bytes(8, "big")), Frame({"name": 1000}, b"")),
        (frame(NAMED + b"\x09" + UUID(int=7).bytes), Frame({"name": UUID(int=7).bytes}, b"")),
        (
            frame(text_header(":a", "b") + NAMED + b"\x00", b"c"),
            Frame({":a": "b", "name": True}, b"c"),
        ),
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else "",
)
def test_a_frame_says_what_it_says(message: bytes, said: Frame) -> None:
    splitter = FrameSplitter()
    assert [decode_frame(whole) for whole in splitter.feed(message)] == [said]
    assert splitter.error is None


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (NAMED + b"\x0a", "unknown type"),
        (NAMED + b"\x07\x00\x05abc", "cannot be read"),
        (NAMED + b"\x05\x00\x00", "cannot be read"),
        (NAMED + b"\x07\x00", "cannot be read"),
        (b"\x01\xff\x00", "cannot be read"),
        (NAMED + b"\x07\x00\x01\xff", "cannot be read"),
    ],
)
def test_headers_that_are_none_are_an_error(headers: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        decode_frame(frame(headers))


WHOLE = frame(text_header(":event-type", "metadata"), b'{"usage":{}}')


def flipped(position: int) -> bytes:
    data = bytearray(WHOLE)
    data[position] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (flipped(0), "prelude"),
        (flipped(5), "prelude"),
        (flipped(9), "prelude"),
        (flipped(14), "checksum of a frame is"),
        (flipped(len(WHOLE) - 6), "checksum of a frame is"),
        (flipped(len(WHOLE) - 1), "checksum of a frame is"),
        (prelude(15, 0), "length"),
        (prelude(0, 0), "length"),
        (prelude(20, 5), "length"),
        (prelude(MAX_HEADER_BYTES + 17, MAX_HEADER_BYTES + 1), "length"),
        (prelude(MAX_PAYLOAD_BYTES + 17, 0), "length"),
        (b"event: message\ndata: {}\n\n", "prelude"),
    ],
)
def test_what_is_no_frame_is_an_error_and_the_end(data: bytes, message: str) -> None:
    splitter = FrameSplitter()
    assert splitter.feed(WHOLE + data + WHOLE) == [WHOLE]
    assert message in str(splitter.error)
    assert splitter.feed(WHOLE) == []


def test_the_longest_frame_is_taken() -> None:
    long = frame(b"", bytes(MAX_PAYLOAD_BYTES))
    splitter = FrameSplitter()
    assert not splitter.feed(long[:100])
    assert not splitter.feed(long[100:-1])
    assert splitter.feed(long[-1:] + WHOLE) == [long, WHOLE]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11, 12, 13, 64])
def test_frames_are_the_same_in_any_cut(size: int) -> None:
    data = WHOLE + EMPTY + PAYLOAD + WHOLE
    splitter = FrameSplitter()
    found: list[bytes] = []
    for start in range(0, len(data), size):
        found += splitter.feed(data[start : start + size])
    assert found == [WHOLE, EMPTY, PAYLOAD, WHOLE]


def test_a_frame_cut_short_never_comes() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(WHOLE + WHOLE[:-1]) == [WHOLE]
    assert splitter.feed(b"") == []
    assert splitter.error is None


Headers = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(lambda name: len(name.encode()) < 256),
    st.text(max_size=50),
    max_size=4,
)


@given(st.lists(st.tuples(Headers, st.binary(max_size=200)), max_size=5))
def test_frames_say_what_the_official_client_reads(
    messages: list[tuple[dict[str, str], bytes]],
) -> None:
    data = b"".join(
        frame(b"".join(text_header(name, value) for name, value in headers.items()), payload)
        for headers, payload in messages
    )
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    theirs = [(message.headers, message.payload) for message in buffer]
    ours = [decode_frame(whole) for whole in FrameSplitter().feed(data)]
    assert [(said.headers, said.payload) for said in ours] == theirs == messages
