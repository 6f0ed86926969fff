"""Requests signed as they are sent, on every transport; botocore's own signer is the oracle."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials

from waystone_asgi.exceptions import UpstreamError
from waystone_asgi.pieces import Body, Pieces
from waystone_asgi.providers.bedrock.signing import Credentials, Signer
from waystone_asgi.providers.endpoints import path_of
from waystone_asgi.records import Endpoint, Secret, UpstreamRequest
from waystone_asgi.types import Upstream, UpstreamResponse
from waystone_asgi.upstream.asyncio import AsyncioUpstream
from waystone_asgi.upstream.aws import SignedUpstream

from .calls import endpoint as to
from .calls import exchange, post
from .conftest import Build
from .scripted import Provider

pytestmark = pytest.mark.anyio

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "lent/token=="
NOW = 1_800_000_000.0
HEADERS = ((b"content-type", b"application/json"), (b"x-amzn-bedrock-trace", b"ENABLED"))
LARGE = b'{"image": "' + bytes(300_000) + b'"}'


def signed(
    inner: Upstream, *, key: str = KEY, token: str | None = TOKEN, now: float = NOW
) -> SignedUpstream:
    credentials = Credentials(
        access_key_id=key,
        secret_access_key=Secret(SECRET),
        session_token=Secret(token) if token else None,
    )
    return SignedUpstream(inner, Signer(credentials, region="eu-west-1"), now=lambda: now)


def endpoint(
    provider: Provider, *headers: tuple[bytes, bytes], path: str = "/model/m/converse"
) -> Endpoint:
    return to(provider, path=path, headers=HEADERS + headers)


def arrived(request: bytes) -> tuple[str, dict[str, str], bytes]:
    """The path, the headers and the body of a request on the wire."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    return first.split()[1], {name.lower(): value for name, value in headers.items()}, body


def resigned(request: bytes, token: str | None = TOKEN, scheme: str = "http") -> str:
    """The `authorization` that botocore gives a request that arrived."""
    path, headers, body = arrived(request)
    theirs = AWSRequest(
        method="POST",
        url=f"{scheme}://{headers['host']}{path}",
        data=body,
        headers={"content-type": "application/json", "x-amzn-bedrock-trace": "ENABLED"},
    )
    auth.SigV4Auth(TheirCredentials(KEY, SECRET, token), "bedrock", "eu-west-1").add_auth(theirs)
    value: str = theirs.headers["Authorization"]
    return value


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's clock shows the time that we sign."""
    monkeypatch.setattr(auth, "get_current_datetime", lambda: datetime.fromtimestamp(NOW, UTC))


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("token", [None, TOKEN], ids=["own", "lent"])
@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("amazon.nova-lite-v1:0", b"{}"),
        ("arn:aws:bedrock:eu-west-1:000000000000:inference-profile/é b", Pieces(b"{", b"}")),
        ("large", LARGE),
    ],
    ids=["plain", "encoded, in pieces", "large"],
)
async def test_what_arrives_is_signed(
    upstream: Upstream, token: str | None, model: str, body: Body
) -> None:
    with Provider() as provider:
        target = endpoint(provider, path=path_of("/model/{model}/converse-stream", model))
        sent = post(target, body)
        assert await exchange(signed(upstream, token=token), sent) == (200, b"in order")
        (request,) = provider.peers[0].requests
    _, headers, received = arrived(request)
    assert headers["host"] == f"127.0.0.1:{provider.port}"
    assert headers["authorization"] == resigned(request, token)
    assert headers.get("x-amz-security-token") == token
    assert headers["x-amz-date"] == "20270115T080000Z"
    assert received == bytes(body)


class Recording:
    """An `Upstream` that keeps what it is given, and where that was done."""

    def __init__(self) -> None:
        self.sent: list[UpstreamRequest] = []
        self.closed = False

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.sent.append(request)
        raise UpstreamError("recorded")

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(
    ("scheme", "host", "port", "own", "said"),
    [
        ("https", "bedrock.example", 443, (), "bedrock.example"),
        ("https", "Bedrock.Example", 80, (), "bedrock.example:80"),
        ("http", "::1", 80, (), "[::1]"),
        ("http", "::1", 443, (), "[::1]:443"),
        ("https", "10.0.0.1", 443, ((b"Host", b"bedrock.example"),), "bedrock.example"),
    ],
)
async def test_the_host_that_is_signed(
    scheme: str, host: str, port: int, own: tuple[tuple[bytes, bytes], ...], said: str
) -> None:
    recording = Recording()
    target = Endpoint(scheme=scheme, host=host, port=port, path="/p", headers=HEADERS + own)
    with pytest.raises(UpstreamError, match="recorded"):
        await signed(recording).send(post(target))
    (sent,) = recording.sent
    kept = sent.endpoint.headers[: len(target.headers)]
    added = dict(sent.endpoint.headers[len(target.headers) :])
    assert (kept, sent.endpoint.once) == (target.headers, True)
    head = b"POST /p HTTP/1.1\r\nhost: " + said.encode()
    assert added[b"authorization"].decode() == resigned(
        head + b"\r\n\r\n" + sent.body, scheme=scheme
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"path": "/p?a=b"}, "with a query"), ({"host": "a" * 64}, "host name")],
)
async def test_what_cannot_be_signed(changes: dict[str, str], message: str) -> None:
    recording = Recording()
    fields = {"scheme": "https", "host": "h", "port": 443, "path": "/p"} | changes
    with pytest.raises(UpstreamError, match=message):
        await signed(recording).send(post(Endpoint(**fields)))  # type: ignore[arg-type]
    assert recording.sent == []


async def test_it_closes_what_it_is_over() -> None:
    recording = Recording()
    await signed(recording).aclose()
    assert recording.closed


async def test_a_large_body_is_hashed_beside_the_event_loop() -> None:
    recording, threads = Recording(), list[int]()

    def now() -> float:
        threads.append(threading.get_ident())
        return NOW

    signer = Signer(Credentials(access_key_id=KEY, secret_access_key=Secret(SECRET)), region="r")
    target = Endpoint(scheme="https", host="h", port=443, path="/p")
    for body in (b"{}", LARGE):
        with pytest.raises(UpstreamError, match="recorded"):
            await SignedUpstream(recording, signer, now=now).send(post(target, body))
    assert [thread == threading.get_ident() for thread in threads] == [True, False]


async def test_connections_are_used_again(build: Build) -> None:
    """Though each request has a signature of its own; another key has another connection."""
    upstream = build()
    with Provider() as provider:
        target = endpoint(provider)
        for second in range(5):
            one = signed(upstream, now=NOW + second)
            assert await exchange(one, post(target)) == (200, b"in order")
        assert [len(peer.requests) for peer in provider.peers] == [5]
        signatures = {
            arrived(request)[1]["authorization"] for request in provider.peers[0].requests
        }
        assert len(signatures) == 5
        if isinstance(upstream, AsyncioUpstream):
            await exchange(signed(upstream, key="AKIDOTHER"), post(target))
            await exchange(signed(upstream, token="another"), post(target))
            assert [len(peer.requests) for peer in provider.peers] == [5, 1, 1]
