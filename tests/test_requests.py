"""Heads, bodies within their bound, and paths however the prefix is written."""

from __future__ import annotations

import re
from collections.abc import Sequence

import anyio
import pytest

from waystone_asgi.exceptions import CallerLeft, InvalidRequestError, RequestTooLargeError
from waystone_asgi.requests import AHEAD_BYTES, MAX_HEADER_BYTES, Ahead, Head, read_body, route_path
from waystone_asgi.types import Message

anyio_test = pytest.mark.anyio

LIMIT = 10


def head(*headers: tuple[bytes, bytes]) -> Head:
    return Head({"headers": list(headers)})


@pytest.mark.parametrize("given", [b"a", b"req-1", b"A.b_c:d/e+f=g@h", b"x" * 128, b"01JD9ZK7S0X0"])
def test_a_sane_request_id_is_taken_over(given: bytes) -> None:
    assert head((b"x-request-id", given)).request_id == given.decode()


@pytest.mark.parametrize(
    "given",
    [b"", b"x" * 129, b"a b", b"a\r\nset-cookie: x", b"a\x00", "é".encode(), b'"', b"<script>"],
)
def test_any_other_request_id_is_replaced(given: bytes) -> None:
    made = head((b"x-request-id", given)).request_id
    assert re.fullmatch("req_[0-9a-f]{24}", made)
    assert head().request_id != made


@pytest.mark.parametrize("length", [b"0", b"10", b"", b"-1", b"1e3", b"ten", b"+11", "¹".encode()])
def test_a_length_within_the_limit_or_that_says_nothing_passes(length: bytes) -> None:
    head((b"content-length", length)).check(LIMIT)


@pytest.mark.parametrize("length", [b"11", b"99999999999999999999", b"9" * 5000])
def test_a_length_over_the_limit_is_refused(length: bytes) -> None:
    with pytest.raises(RequestTooLargeError, match="longer than 10 bytes") as raised:
        head((b"content-length", length)).check(LIMIT)
    assert (raised.value.status, raised.value.code) == (413, "request_too_large")


@pytest.mark.parametrize("coding", [b"identity", b"Identity", None])
def test_a_plain_body_passes(coding: bytes | None) -> None:
    head(*([] if coding is None else [(b"content-encoding", coding)])).check(LIMIT)


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"identity, gzip", b"GZIP", b""])
def test_a_coded_body_is_refused(coding: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="without a content-encoding"):
        head((b"content-encoding", coding)).check(LIMIT)


@pytest.mark.parametrize("count", [1, 40])
def test_headers_that_are_too_long_are_refused(count: int) -> None:
    size = MAX_HEADER_BYTES // count
    headers = [(b"x-%d" % number, b"x" * size) for number in range(count)]
    head(*headers).check(LIMIT)
    with pytest.raises(InvalidRequestError, match="headers are too long"):
        head(*headers, (b"y", b"x" * (MAX_HEADER_BYTES % count + 1))).check(LIMIT)


class Sender:
    """The `receive` of a caller that sends these pieces and, if cut, leaves before the end."""

    def __init__(self, pieces: Sequence[bytes | None], cut: bool = False) -> None:
        more = len(pieces) - 1
        self.messages: list[Message] = [
            {"type": "http.request", "more_body": cut or number < more}
            | ({} if piece is None else {"body": piece})
            for number, piece in enumerate(pieces)
        ]
        self.read = 0

    async def receive(self) -> Message:
        self.read += 1
        return self.messages.pop(0) if self.messages else {"type": "http.disconnect"}


@anyio_test
@pytest.mark.parametrize(
    "pieces",
    [
        [b""],
        [None],
        [b"0123456789"],
        [b"01234", b"56789"],
        [b"0", b"", None, b"123"],
        [b"0123456789", b""],
        [b"", b""],
    ],
)
async def test_a_body_is_read_whole(pieces: list[bytes | None]) -> None:
    sender = Sender(pieces)
    assert await read_body(sender.receive, LIMIT) == b"".join(piece or b"" for piece in pieces)
    assert not sender.messages


@anyio_test
async def test_a_message_that_says_nothing_of_more_is_the_last() -> None:
    sender = Sender([])
    sender.messages.append({"type": "http.request", "body": b"all"})
    assert await read_body(sender.receive, LIMIT) == b"all"


@anyio_test
@pytest.mark.parametrize(
    ("pieces", "reads"),
    [
        ([b"01234567890"], 1),
        ([b"0123456789", b"0"], 2),
        ([b"0"] * 100, 11),
        ([b"x" * 1000, b"x" * 1000], 1),
    ],
)
async def test_a_body_over_the_limit_is_refused_at_once(pieces: list[bytes], reads: int) -> None:
    sender = Sender(pieces)
    with pytest.raises(RequestTooLargeError):
        await read_body(sender.receive, LIMIT)
    assert sender.read == reads


@anyio_test
@pytest.mark.parametrize("pieces", [[], [b""], [b"012"], [b"0", b"1"]])
async def test_a_body_that_is_cut_short_is_no_body(pieces: list[bytes]) -> None:
    with pytest.raises(CallerLeft):
        await read_body(Sender(pieces, cut=True).receive, LIMIT)


@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [
        # No mount, and ASGI's way: `root_path` is the beginning of `path`.
        ("", "/v1/models", "/v1/models"),
        ("", "/", "/"),
        ("/api/gateway", "/api/gateway/v1/models", "/v1/models"),
        ("/api/gateway/", "/api/gateway/v1/models", "/v1/models"),
        ("/api/gateway", "/api/gateway", "/"),
        ("/api/gateway", "/api/gateway/", "/"),
        ("/", "/v1/models", "/v1/models"),
        # A proxy or a router has stripped the prefix.
        ("/api/gateway", "/v1/models", "/v1/models"),
        # A proxy has stripped its part and the host has mounted below.
        ("/proxy/api/gateway", "/api/gateway/v1/models", "/v1/models"),
        ("/a/b/proxy/gateway", "/gateway/v1/models", "/v1/models"),
        ("/proxy/gateway", "/gateway", "/"),
        # Something else begins with the same letters.
        ("/api/gateway", "/api/gateways/v1/models", "/api/gateways/v1/models"),
        ("/proxy/api", "/apis/v1/models", "/apis/v1/models"),
        # The prefix is taken away once.
        ("/gateway", "/gateway/gateway/v1", "/gateway/v1"),
        ("/gateway/gateway", "/gateway/gateway/v1", "/v1"),
        # A server may write it without the slash.
        ("api", "/v1/models", "/v1/models"),
        # Nothing is decoded again.
        ("/api gateway", "/api gateway/v1/models/a%2Fb", "/v1/models/a%2Fb"),
    ],
)
def test_the_path_below_the_mount(root: str, path: str, expected: str) -> None:
    assert route_path({"path": path, "root_path": root}) == expected


def test_a_scope_without_a_root_path() -> None:
    assert route_path({"path": "/v1/models"}) == "/v1/models"


@pytest.mark.parametrize(
    ("path", "raw_path", "expected"),
    [
        ("/v1/models/", b"/api/gateway/v1/models", "/v1/models"),
        ("/v1/models/", b"/api/gateway/v1/models/", "/v1/models/"),
        ("/v1/models/gpt/", b"/api/gateway/v1/models/gpt%2F", "/v1/models/gpt/"),
        ("/v1/models/gpt/", b"/api/gateway/v1/models/gpt%2f", "/v1/models/gpt/"),
        ("/", b"/api/gateway", "/"),
        ("/v1/models/", None, "/v1/models/"),
        ("/v1/models/", b"", "/v1/models/"),
    ],
)
def test_a_slash_that_a_router_appended_is_not_the_callers(
    path: str, raw_path: bytes | None, expected: str
) -> None:
    assert route_path({"path": path, "raw_path": raw_path, "root_path": ""}) == expected


# Ahead of its turn


def request_of(*pieces: bytes, more: bool = False) -> list[Message]:
    last = len(pieces) - 1
    return [
        {"type": "http.request", "body": piece, "more_body": more or number < last}
        for number, piece in enumerate(pieces)
    ]


DISCONNECT: Message = {"type": "http.disconnect"}


class Arriving:
    """A `receive` that gives what there is, and then waits."""

    def __init__(self, *messages: Message | Exception) -> None:
        self.messages = list(messages)

    async def receive(self) -> Message:
        if not self.messages:
            await anyio.sleep_forever()
        message = self.messages.pop(0)
        if isinstance(message, Exception):
            raise message
        return message


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("messages", "left"),
    [
        ([DISCONNECT], True),
        ([*request_of(b"ab"), DISCONNECT], True),
        ([*request_of(b"a", b"b"), *request_of(b""), DISCONNECT], True),
        ([*request_of(b"a", more=True), DISCONNECT], True),
        ([*request_of(b"a" * AHEAD_BYTES, b"b"), DISCONNECT], False),
        ([*request_of(b"a", more=True), OSError("broken")], False),
    ],
)
async def test_whether_a_caller_has_left(messages: list[Message | Exception], left: bool) -> None:
    ahead = Ahead(Arriving(*messages).receive)
    assert await ahead.watch() is left
    for message in messages:
        if isinstance(message, Exception):
            with pytest.raises(OSError, match="broken"):
                await ahead.receive()
        elif message.get("body") != b"":
            assert await ahead.receive() == message


@pytest.mark.anyio
async def test_a_watch_is_cancelled_once_the_body_is_there() -> None:
    ahead = Ahead(Arriving(*request_of(b"a", b"b")).receive)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ahead.watch)
        await anyio.wait_all_tasks_blocked()
        assert ahead.release()
        tasks.cancel_scope.cancel()
    assert await read_body(ahead.receive, 10) == b"ab"


@pytest.mark.anyio
async def test_a_watch_that_is_released_reads_no_further() -> None:
    arriving = Arriving(*request_of(b"a", b"b", b"c"))
    ahead = Ahead(arriving.receive)
    assert not ahead.release()
    assert not await ahead.watch()
    assert len(arriving.messages) == 2
    assert await read_body(ahead.receive, 10) == b"abc"


@pytest.mark.anyio
async def test_a_watch_that_is_released_ends_with_the_end_of_the_body() -> None:
    """A request that has its place would wait for its caller to leave."""
    ahead = Ahead(Arriving(*request_of(b"abc")).receive)
    assert not ahead.release()
    with anyio.fail_after(5):
        assert not await ahead.watch()
    assert await read_body(ahead.receive, 10) == b"abc"
