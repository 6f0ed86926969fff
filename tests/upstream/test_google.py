"""Google's tokens: of each kind of credentials, against a token server of our own."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import _exponential_backoff, jwt
from google.auth.compute_engine import _metadata
from google.oauth2 import credentials as user_credentials

from waystone_asgi.exceptions import (
    ConfigurationError,
    UpstreamCredentialError,
    UpstreamError,
    UpstreamTimeoutError,
)
from waystone_asgi.records import Endpoint, Timeouts
from waystone_asgi.upstream import google
from waystone_asgi.upstream.google import SCOPE, GoogleUpstream, open_credentials
from waystone_asgi.upstream.httpx import HTTPXUpstream

from .calls import endpoint as to
from .calls import exchange, post
from .conftest import ASYNCIO, TRIO, UVLOOP, Backend
from .fakes import Clock, Inner, fetched
from .scripted import Provider
from .token_server import Asked, Said, TokenServer, granted

pytestmark = pytest.mark.anyio

PLAIN = Endpoint(scheme="https", host="h", port=443, path="/p")
CANARY = "1//0canary-refresh-token"
File: TypeAlias = Callable[..., str]


@pytest.fixture(params=[ASYNCIO, UVLOOP, TRIO], ids=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    backend: Backend = request.param
    return backend


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials in the environment."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.fixture
def infos(pem: str, server: TokenServer, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """What the files of each type have in them."""
    subject = tmp_path / "subject"
    subject.write_text("their token")
    user = {"client_id": "id", "client_secret": "secret", "refresh_token": CANARY}
    service = {
        "client_email": "gateway@project.iam.gserviceaccount.com",
        "private_key": pem,
        "token_uri": f"{server.url}/token",
    }
    return {
        "authorized_user": user,
        "external_account": {
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{server.url}/sts",
            "credential_source": {"file": str(subject)},
        },
        "external_account_authorized_user": user | {"token_url": f"{server.url}/sts"},
        "impersonated_service_account": {
            "service_account_impersonation_url": "https://iam/a@b:generateAccessToken",
            "source_credentials": {"type": "service_account"} | service,
        },
        "service_account": service,
    }


@pytest.fixture
def file(infos: dict[str, dict[str, Any]], tmp_path: Path) -> File:
    """Writes a credentials file of a type, and returns its path."""

    def write(kind: str = "service_account", **changes: object) -> str:
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps({"type": kind} | infos[kind] | changes))
        return str(path)

    return write


async def test_a_service_account(
    file: File, server: TokenServer, key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives at the provider, and what the token server is told."""
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "billed")
    with Provider() as provider:
        upstream = GoogleUpstream(HTTPXUpstream(), file())
        target = to(provider, headers=((b"content-type", b"application/json"),))
        for _ in range(2):
            assert await exchange(upstream, post(target)) == (200, b"in order")
        await upstream.aclose()
        heads = [sent.lower() for peer in provider.peers for sent in peer.requests]
    assert all(b"\r\nauthorization: bearer ya29.one\r\n" in head for head in heads)
    assert all(b"\r\nx-goog-user-project: billed\r\n" in head for head in heads)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/token")
    assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = jwt.decode(asked.form["assertion"], certs=public)  # type: ignore[no-untyped-call]
    assert claims["iss"] == "gateway@project.iam.gserviceaccount.com"
    assert claims["scope"] == SCOPE


async def test_a_user(file: File, server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{server.url}/token")
    inner = Inner()
    path = file("authorized_user", quota_project_id="billed")
    await GoogleUpstream(inner, path).send(post(PLAIN))
    assert inner.last.endpoint.headers == (
        (b"authorization", b"Bearer ya29.one"),
        (b"x-goog-user-project", b"billed"),
    )
    (asked,) = server.asked
    assert (asked.form["grant_type"], asked.form["refresh_token"]) == ("refresh_token", CANARY)


async def test_another_clouds_identity(file: File, server: TokenServer) -> None:
    inner = Inner()
    await GoogleUpstream(inner, file("external_account")).send(post(PLAIN))
    assert inner.tokens == [b"Bearer ya29.one"]
    (asked,) = server.asked
    assert (asked.path, asked.form["subject_token"]) == ("/sts", "their token")
    assert asked.form["scope"] == SCOPE


async def test_the_environments_file(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file())
    inner = Inner()
    await GoogleUpstream(inner).send(post(PLAIN))
    assert inner.tokens == [b"Bearer ya29.one"]
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    with pytest.raises(ConfigurationError, match="/nowhere cannot be used: No such file"):
        GoogleUpstream(inner)


async def test_the_machines_own(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata server is looked for at the first request, once."""

    def answer(asked: Asked) -> Said:
        if asked.path.partition("?")[0].endswith("/token"):
            return granted()
        return 200, {"email": "default@project", "scopes": [SCOPE]} if "?" in asked.path else b"p"

    host = server.url.removeprefix("http://")
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", host)
    monkeypatch.setenv("GCE_METADATA_IP", host)
    server.answer = answer
    inner, clock = Inner(), Clock()
    upstream = GoogleUpstream(inner, now=clock)
    assert server.asked == []
    await upstream.send(post(PLAIN))
    assert inner.tokens == [b"Bearer ya29.one"]
    assert all(asked.headers["metadata-flavor"] == "Google" for asked in server.asked)
    clock.now = 1e12
    await upstream.send(post(PLAIN))
    assert [asked.path for asked in server.asked].count("/") == 1


async def test_none_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_metadata, "_NO_GCE_CHECK", True)
    with pytest.raises(UpstreamCredentialError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        await GoogleUpstream(Inner()).send(post(PLAIN))


async def test_many_requests_ask_once(file: File, server: TokenServer) -> None:
    inner = Inner()
    upstream = GoogleUpstream(inner, file())
    server.gate.clear()
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(upstream.send, post(PLAIN))
            if number % 2:
                with anyio.move_on_after(0) as gone:
                    await upstream.send(post(PLAIN))
                assert gone.cancelled_caught
        await anyio.wait_all_tasks_blocked()
        server.gate.set()
    assert inner.tokens == [b"Bearer ya29.one"] * 50
    assert len(server.asked) == 1


async def test_the_end_is_what_google_says(file: File, server: TokenServer) -> None:
    """Near it the token is replaced, beyond it there is none."""
    tokens = iter(("ya29.one", "ya29.two", "ya29.three"))
    server.answer = lambda _: granted(next(tokens), 7200)
    inner, clock = Inner(), Clock()
    upstream = GoogleUpstream(inner, file(), now=clock)
    await upstream.send(post(PLAIN))
    end = upstream._token.expires  # type: ignore[union-attr]
    for clock.now in (end - 226, end - 225, end - 224):
        await upstream.send(post(PLAIN))
        await fetched()
    clock.now = end + 7200
    await upstream.send(post(PLAIN))
    names = [token.removeprefix(b"Bearer ya29.") for token in inner.tokens]
    assert names == [b"one", b"one", b"one", b"two", b"three"]


async def test_it_is_slow(file: File, server: TokenServer) -> None:
    """The request gives up; the token is there for the next."""
    inner = Inner()
    upstream = GoogleUpstream(inner, file())
    server.gate.clear()
    with pytest.raises(UpstreamTimeoutError, match=r"0\.05 seconds \(connect\)"):
        await upstream.send(post(PLAIN, timeouts=Timeouts(connect=0.05)))
    server.gate.set()
    await upstream.send(post(PLAIN))
    assert (inner.tokens, len(server.asked)) == ([b"Bearer ya29.one"], 1)


REFUSED = "Google refuses the gateway's credentials"
AWAY = "Google's token server cannot be reached"


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ((500, b"no"), UpstreamError, f"{AWAY} (status 500)."),
        ((502, {"error": "invalid_grant"}), UpstreamError, f"{AWAY} (status 502)."),
        ((429, {}), UpstreamError, f"{AWAY} (status 429)."),
        ((200, b"x" * 2_000_000), UpstreamError, f"{AWAY} (ValueError)."),
        (
            (400, {"error": "temporarily_unavailable"}),
            UpstreamError,
            "Google gives no access token (RefreshError).",
        ),
        ((200, b"html"), UpstreamError, "Google gives no access token (TypeError)."),
        (
            (200, {"access_token": "t", "expires_in": "soon"}),
            UpstreamError,
            "Google gives no access token (ValueError).",
        ),
        ((400, {"error": "invalid_grant"}), UpstreamCredentialError, f"{REFUSED} (invalid_grant)."),
        (
            (401, {"error": "invalid_client"}),
            UpstreamCredentialError,
            f"{REFUSED} (invalid_client).",
        ),
        ((403, b"no"), UpstreamCredentialError, f"{REFUSED}."),
        ((404, {}), UpstreamCredentialError, f"{REFUSED}."),
    ],
)
async def test_failures(
    file: File,
    server: TokenServer,
    monkeypatch: pytest.MonkeyPatch,
    said: Said,
    kind: type[UpstreamError],
    message: str,
) -> None:
    monkeypatch.setattr(_exponential_backoff, "time", SimpleNamespace(sleep=lambda seconds: None))
    server.answer = lambda _: said
    clock = Clock()
    upstream = GoogleUpstream(inner := Inner(), file(), now=clock)
    with pytest.raises(UpstreamError) as caught:
        await upstream.send(post(PLAIN))
    assert (type(caught.value), caught.value.message) == (kind, message)
    server.answer = lambda _: granted()
    clock.now += 10
    await upstream.send(post(PLAIN))
    assert inner.tokens == [b"Bearer ya29.one"]


async def test_google_refuses_an_identity_of_another_cloud(file: File, server: TokenServer) -> None:
    server.answer = lambda _: (400, {"error": "invalid_target", "error_description": "canary"})
    with pytest.raises(UpstreamCredentialError, match=r"credentials \(invalid_target\)"):
        await GoogleUpstream(Inner(), file("external_account")).send(post(PLAIN))


async def test_nobody_is_there(file: File, server: TokenServer) -> None:
    upstream = GoogleUpstream(Inner(), file(token_uri="http://127.0.0.1:1/token"))
    with pytest.raises(UpstreamError, match=r"cannot be reached \(ConnectError\)"):
        await upstream.send(post(PLAIN))


@pytest.mark.parametrize("kind", ["service_account", "authorized_user"])
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_nothing_is_shown(
    file: File,
    pem: str,
    server: TokenServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    status: int,
) -> None:
    """Not even when the token server says all that it knows."""
    monkeypatch.setattr(user_credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{server.url}/token")
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []

    def answer(asked: Asked) -> Said:
        seen.extend(asked.form.values())
        told = {"error_description": pem, "error": f"invalid_grant {asked.body!r}"}
        return status, told | asked.form

    server.answer = answer
    upstream = GoogleUpstream(Inner(), file(kind))
    with pytest.raises(UpstreamError) as caught:
        await upstream.send(post(PLAIN))
    secrets = {pem.splitlines()[5], *(value for value in seen if len(value) > 30), CANARY}
    shown = caplog.text + repr(upstream) + repr(upstream.__dict__)
    error: BaseException | None = caught.value
    while error is not None:
        shown += repr(error) + str(error) + "".join(traceback.format_exception(error))
        error = error.__context__
    assert seen
    assert not [secret for secret in secrets if secret in shown]


WRONG: list[tuple[str, str]] = [
    ("", "it is not a JSON object"),
    ("{", "it is not a JSON object"),
    ("\udcff", "it is not a JSON object"),
    ("null", "it is not a JSON object"),
    ("[" * 100_000, "it is not a JSON object"),
    ("[]", "it is not a JSON object"),
    ("{}", 'its "type" is none of authorized_user, external_account, '),
    ('{"type": ["service_account"]}', 'its "type" is none of '),
    ('{"type": "gdch_service_account"}', 'its "type" is none of '),
    (
        '{"type": "service_account", "client_email": "a"}',
        "its type service_account needs private_key, token_uri.",
    ),
    (
        '{"type": "service_account", "client_email": "a", "token_uri": "b", "private_key": "KEY"}',
        "a value in it is not valid for service_account.",
    ),
    (
        '{"type": "external_account", "audience": "KEY", "subject_token_type": "KEY",'
        ' "token_url": "KEY", "credential_source": {"KEY": "KEY"}}',
        "a value in it is not valid for external_account.",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(ConfigurationError) as caught:
        GoogleUpstream(Inner(), str(path))
    assert str(caught.value).startswith(f"The Google credentials {path} cannot be used: ")
    assert message in str(caught.value)
    assert "KEY" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used: Is a directory"):
        open_credentials(str(tmp_path))


@pytest.mark.parametrize("kind", google._NEEDED)
def test_each_type_is_opened_without_the_network(
    file: File, server: TokenServer, kind: str
) -> None:
    assert open_credentials(file(kind)) is not None
    assert server.asked == []


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth.credentials", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'waystone-asgi\[vertex\]'"):
        GoogleUpstream(Inner(), "credentials.json")
