"""The webhook sink, over a small server on this machine and over a transport that says anything."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import httpx
import pytest
import trustme

from waystone_asgi.exceptions import ConfigurationError, UpstreamError
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import RecordsRefusedError, WebhookSink
from waystone_asgi.sinks.webhook import WebhookError
from waystone_asgi.upstream.httpx import HTTPXUpstream

MakeRecord = Callable[..., UsageRecord]

pytestmark = pytest.mark.anyio

KEY = b"canary-0123456789-0123456789"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER = "whsec_" + base64.b64encode(KEY[::-1]).decode()
NOW = 1_795_435_200.5


class Server(ThreadingHTTPServer):
    """Notes what it is posted, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.body = b"ok"
        self.headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/usage?a=b"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.posts.append((self.path, headers, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 204)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("location", self.server.url)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    with server:
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as running:
        running.body = b""
        yield running


def answering(status: int, posts: list[httpx.Request] | None = None) -> HTTPXUpstream:
    def answer(request: httpx.Request) -> httpx.Response:
        if posts is not None:
            posts.append(request)
        return httpx.Response(status)

    return HTTPXUpstream(httpx.MockTransport(answer))


async def test_a_batch_is_a_signed_post(server: Server, make_record: MakeRecord) -> None:
    sink = WebhookSink(server.url, [SECRET, OTHER], clock=lambda: NOW)
    await sink.emit([])
    await sink.emit([make_record(1), make_record(2)])
    await sink.aclose()
    ((path, headers, body),) = server.posts
    assert path == "/hooks/usage?a=b"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-timestamp"] == "1795435200"
    assert len(headers["webhook-signature"].split()) == 2
    event = json.loads(body)
    assert (event["type"], event["timestamp"]) == ("usage.records", "2026-11-23T12:00:02+00:00")
    assert [record["request_id"] for record in event["data"]] == ["req-1", "req-2"]
    assert list(event["data"][0]) == list(UsageRecord.__struct_fields__)
    assert event["data"][0]["cost_usd"] == "0.000123450"


@pytest.mark.parametrize("secret", [SECRET, OTHER, SECRET.removeprefix("whsec_")])
async def test_the_specification_s_own_library_agrees(make_record: MakeRecord, secret: str) -> None:
    library = pytest.importorskip("standardwebhooks")
    posts: list[httpx.Request] = []
    sink = WebhookSink("https://hooks.test/", [SECRET, OTHER], upstream=answering(200, posts))
    await sink.emit([make_record()])
    headers = dict(posts[0].headers)
    assert library.Webhook(secret).verify(posts[0].content, headers)
    with pytest.raises(library.WebhookVerificationError):
        library.Webhook(secret).verify(posts[0].content + b" ", headers)


async def test_the_signature_is_that_of_the_specification() -> None:
    """The example of its reference implementations."""
    sink = WebhookSink("https://h.test", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signed = sink.sign(b"msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_batch_that_is_sent_again_has_the_same_id(
    server: Server, make_record: MakeRecord
) -> None:
    times = itertools.count(1.0)
    server.statuses = [500]
    sink = WebhookSink(server.url, SECRET, clock=lambda: next(times))
    with pytest.raises(WebhookError):
        await sink.emit([make_record(1)])
    await sink.emit([make_record(1)])
    await sink.emit([make_record(2)])
    await sink.aclose()
    first, second, third = [headers for _, headers, _ in server.posts]
    assert first["webhook-id"] == second["webhook-id"] != third["webhook-id"]
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (202, None),
        (204, None),
        (301, WebhookError),
        (307, WebhookError),
        (400, RecordsRefusedError),
        (408, WebhookError),
        (410, RecordsRefusedError),
        (429, WebhookError),
        (500, WebhookError),
        (503, WebhookError),
    ],
)
async def test_statuses(
    server: Server, make_record: MakeRecord, status: int, error: type[Exception] | None
) -> None:
    server.statuses = [status]
    sink = WebhookSink(server.url, SECRET)
    if error is None:
        await sink.emit([make_record()])
    else:
        with pytest.raises(error, match=str(status)) as caught:
            await sink.emit([make_record()])
        assert "hooks" not in str(caught.value)
    await sink.aclose()
    assert len(server.posts) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("soon", None),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 89.5),
    ],
)
async def test_when_to_come_back(
    server: Server, make_record: MakeRecord, status: int, said: str | None, seconds: float | None
) -> None:
    server.statuses = [status]
    server.headers = {} if said is None else {"Retry-After": said}
    sink = WebhookSink(server.url, SECRET, clock=lambda: NOW)
    with pytest.raises(WebhookError) as caught:
        await sink.emit([make_record()])
    await sink.aclose()
    assert caught.value.retry_after == seconds


@pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")
async def test_a_long_reply_is_not_read_to_its_end(server: Server, make_record: MakeRecord) -> None:
    server.body = b"x" * 1_000_000
    sink = WebhookSink(server.url, SECRET)
    server.statuses = [200]
    server.handle_error = lambda *arguments: None  # type: ignore[method-assign]
    await sink.emit([make_record()])
    await sink.aclose()


async def test_what_is_no_json_is_refused(make_record: MakeRecord) -> None:
    sink = WebhookSink("https://hooks.test/", SECRET, upstream=answering(200))
    with pytest.raises(RecordsRefusedError):
        await sink.emit([make_record(user="\ud800")])
    await sink.aclose()


async def test_nobody_there(make_record: MakeRecord) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = WebhookSink(
            f"http://127.0.0.1:{silent.getsockname()[1]}/canary", SECRET, timeout=0.1
        )
        with anyio.fail_after(5), pytest.raises(UpstreamError) as caught:
            await sink.emit([make_record()])
        await sink.aclose()
    assert "canary" not in str(caught.value) + repr(vars(sink)).replace("/canary", "")


async def test_certificates_are_checked(make_record: MakeRecord) -> None:
    server = Server()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *arguments: None  # type: ignore[method-assign]
    with serving(server):
        sink = WebhookSink(server.url.replace("http:", "https:"), SECRET)
        with pytest.raises(UpstreamError):
            await sink.emit([make_record()])
        await sink.aclose()
    assert server.posts == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("ftp://canary.test/", SECRET),
        ("https:///canary", SECRET),
        ("https://ann:canary@hooks.test/", SECRET),
        ("https://ann@canary.test/", SECRET),
        ("https://canary.test:port/", SECRET),
        ("https://canary.test/#part", SECRET),
        ("canary", SECRET),
        ("https://hooks.test/", []),
        ("https://hooks.test/", "whsec_canary!"),
        ("https://hooks.test/", "whsec_" + base64.b64encode(b"canary").decode()),
        ("https://hooks.test/", [SECRET, "whsec_cänary"]),
    ],
)
def test_wrong_configurations(arguments: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebhookSink(*arguments)
    assert "canary" not in str(caught.value)
