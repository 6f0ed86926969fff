"""One exchange in a thread: what it sends, what it reads, and when it gives up."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from waystone_asgi.upstream.blocking import Reply, exchange

from .scripted import Provider, answer, chunked, drip, hold, request


def post(url: str, *, seconds: float = 5.0, cert: tuple[str, str] | None = None) -> Reply:
    return exchange("POST", url, headers={"X-A": "b"}, body=b"asked", cert=cert, seconds=seconds)


def test_what_is_sent_and_read() -> None:
    with Provider([[request, answer(b"said", b"Set-Cookie: a=b", status=b"302 Found"), hold]]) as p:
        reply = post(f"http://127.0.0.1:{p.port}/path?a=b")
        (sent,) = p.peers[0].requests
    assert (reply.status, reply.headers["set-cookie"], reply.data) == (302, "a=b", b"said")
    assert sent.startswith(b"POST /path?a=b HTTP/1.1\r\n")
    assert b"\r\nX-A: b\r\n" in sent
    assert sent.endswith(b"\r\n\r\nasked")


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([request, hold], httpx.ReadTimeout),
        ([request, drip(answer(b"x" * 999), every=0.02)], TimeoutError),
        ([request, answer(bytes(2 * 1024 * 1024))], ValueError),
        ([request, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"], httpx.RemoteProtocolError),
    ],
    ids=["silent", "slow", "long", "cut"],
)
def test_what_is_no_answer(steps: list[Any], error: type[Exception]) -> None:
    with Provider([steps]) as provider, pytest.raises(error):
        post(f"http://127.0.0.1:{provider.port}/", seconds=0.2)


def test_an_answer_in_pieces() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    with Provider([[request, head, chunked(b"in ", b"pieces"), hold]]) as provider:
        assert post(f"http://127.0.0.1:{provider.port}/").data == b"in pieces"


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "nowhere", "ftp://127.0.0.1/"])
def test_what_cannot_be_reached(url: str) -> None:
    with pytest.raises(httpx.HTTPError):
        post(url)


def test_a_certificate_that_proves_who_asks(
    authority: trustme.CA,
    certificate: Callable[..., ssl.SSLContext],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trusted, chain, key = (str(tmp_path / name) for name in ("ca", "chain", "key"))
    own = authority.issue_cert("gateway@example.com")
    authority.cert_pem.write_to_path(trusted)
    own.cert_chain_pems[0].write_to_path(chain)
    own.private_key_pem.write_to_path(key)
    monkeypatch.setenv("SSL_CERT_FILE", trusted)
    tls = certificate("127.0.0.1")
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    with Provider(tls=tls) as provider:
        url = f"https://127.0.0.1:{provider.port}/"
        assert post(url, cert=(chain, key)).data == b"in order"
        with pytest.raises(httpx.TransportError):
            post(url)
