"""Keys and conversations never show: not in a log, an error, a `repr`, a traceback or a record."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import uvicorn

from waystone_asgi import (
    APIKey,
    BearerKeys,
    ConfigurationError,
    Gateway,
    JSONLinesSink,
    MemorySink,
    Provider,
    WaystoneError,
)
from waystone_asgi.cli import main
from waystone_asgi.config import load_config
from waystone_asgi.records import UpstreamRequest
from waystone_asgi.testing import FakeAnswer, FakeProvider, chunks, completion
from waystone_asgi.types import HTTPConnection as Connection
from waystone_asgi.types import UpstreamResponse
from waystone_asgi.upstream.asyncio import AsyncioUpstream
from waystone_asgi.upstream.httpx import HTTPXUpstream

from .asgi import Answer, request

pytestmark = pytest.mark.anyio

NEEDLE = "c4n4ry"
PROVIDER_KEY = f"sk-{NEEDLE}-of-the-gateway"
HEADER_KEY = f"{NEEDLE}-in-a-header"
CALLER_KEY = f"wk_{NEEDLE}-of-the-caller"
BODY = f"{NEEDLE} was said in confidence"


class Watched:
    """What was logged and written since the test began."""

    def __init__(self, logs: pytest.LogCaptureFixture, output: pytest.CaptureFixture[str]) -> None:
        self._logs = logs
        self._output = output

    def text(self) -> str:
        formatter = logging.Formatter("%(name)s %(message)s")
        shown = [formatter.format(record) for record in self._logs.records]
        shown += [f"{record.args!r} {record.exc_info!r}" for record in self._logs.records]
        return "\n".join((*shown, *self._output.readouterr()))


@pytest.fixture
def watched(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Watched]:
    """Every logger at its most talkative; fails the test when one of them has told."""
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "httpcore", "httpx", "uvicorn", "waystone_asgi"):
        caplog.set_level(logging.DEBUG, logger=name)
    seen = Watched(caplog, capfd)
    yield seen
    assert NEEDLE not in seen.text()


def make(upstream: object, **settings: Any) -> Gateway:
    keys = {"authenticate": BearerKeys([CALLER_KEY])}
    return Gateway(
        retry={"attempts": 1},
        **{
            "providers": [
                Provider.openai(
                    api_key=PROVIDER_KEY,
                    base_url="http://provider.test/v1",
                    headers={"x-team-token": HEADER_KEY},
                )
            ],
            "upstream": upstream,
            **(keys if settings.keys().isdisjoint(("authenticate", "api_keys")) else {}),
            **settings,
        },
    )


def said(**changes: object) -> dict[str, object]:
    messages = [{"role": "user", "content": BODY}]
    return {"model": "openai/gpt-test", "messages": messages, **changes}


def check(answer: Answer, status: int, sink: MemorySink | None = None) -> None:
    """The answer is what was to be provoked, and neither it nor a record tells."""
    assert answer.status == status, answer.body
    assert NEEDLE not in repr(answer.messages)
    assert NEEDLE not in repr(sink.records if sink else "")


# What callers may do wrong.

MALFORMED = f'{{"model": "openai/gpt-test", "messages": [{{"role": "user", "content": "{BODY}"'
REFUSED: dict[str, object] = {
    "not JSON": BODY.encode(),
    "cut off": MALFORMED.encode(),
    "not UTF-8": MALFORMED.encode() + b'\xff"}]}',
    "lone surrogate": MALFORMED.encode() + b'\\ud800"}]}',
    "trailing": json.dumps(said()).encode() + BODY.encode(),
    "too deep": json.dumps(said()).encode()[:-1] + b', "x": ' + b"[" * 200_000,
    "too large": b"".join((BODY.encode(), b" " * 5_000_000)),
    "an array": [BODY],
    "a string": BODY,
    "key twice": f'{{"{NEEDLE}": 1, "{NEEDLE}": 2, {json.dumps(said())[1:]}'.encode(),
    "no messages": {"model": "openai/gpt-test", "prompt": BODY},
    "messages are text": said(messages=BODY),
    "message is text": said(messages=[BODY]),
    "unknown role": said(messages=[{"role": BODY, "content": BODY}]),
    "content is a number": said(messages=[{"role": "user", "content": 1, "name": BODY}]),
    "content is an object": said(messages=[{"role": "user", "content": {BODY: BODY}}]),
    "tool content": said(
        messages=[{"role": "tool", "tool_call_id": BODY, "content": [{"type": BODY, "text": BODY}]}]
    ),
    "key of a message twice": MALFORMED.encode() + b'", "role": "user"}]}',
    "temperature": said(temperature=BODY),
    "stream": said(stream=BODY),
    "user": said(user={"name": BODY}),
    "n": said(n=0.5),
    "metadata": said(metadata=BODY),
    "metadata is nested": said(metadata={"k": {BODY: BODY}}),
    "waystone is not JSON": said(metadata={"waystone": BODY}),
    "waystone is an object": said(metadata={"waystone": {"user": BODY}}),
    "waystone is a list": said(metadata={"waystone": json.dumps([BODY])}),
    "waystone id": said(metadata={"waystone": json.dumps({"user": BODY * 99})}),
    "waystone number": said(metadata={"waystone": json.dumps({"user": 1, "group": BODY})}),
    "waystone field": said(metadata={"waystone": json.dumps({"users": BODY})}),
    "waystone field of its own": said(metadata={"waystone": json.dumps({BODY: 1})}),
    "waystone nested field": said(metadata={"waystone": json.dumps({"user": {BODY: 1}})}),
    "waystone key twice": said(metadata={"waystone": f'{{"user":"{BODY}","user":"{BODY}"}}'}),
}


async def ask(app: Gateway, body: object, path: str = "/v1/chat/completions") -> Answer:
    return await request(app, path, body, key=CALLER_KEY)


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
@pytest.mark.usefixtures("watched")
async def test_a_refused_body_is_not_repeated(body: object) -> None:
    sink = MemorySink()
    gateway = make(FakeProvider(completion("")), sinks=[sink], max_body_bytes=4_000_000)
    async with gateway.running():
        answer = await ask(gateway, body)
    large = isinstance(body, bytes) and len(body) > 4_000_000
    check(answer, 413 if large else 400, sink)


@pytest.mark.parametrize("document", [{"user": 1, "x": BODY}, {BODY: BODY}, [BODY], {"group": {}}])
@pytest.mark.usefixtures("watched")
async def test_a_refused_identity_is_not_repeated(document: object) -> None:
    async with make(FakeProvider(completion(""))).running() as gateway:
        check(await ask(gateway, document, "/identify"), 400)


@pytest.mark.usefixtures("watched")
async def test_a_claim_that_is_not_allowed_is_not_repeated() -> None:
    sink = MemorySink()
    keys = [APIKey(key=CALLER_KEY, id="acme", user="ann", models=("other/*",))]
    claim = {"waystone": json.dumps({"user": BODY})}
    async with make(FakeProvider(completion("")), sinks=[sink], api_keys=keys).running() as gateway:
        check(await ask(gateway, said(metadata=claim)), 403)
        check(await ask(gateway, said()), 403, sink)


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {CALLER_KEY}x",
        f"Basic {CALLER_KEY}",
        CALLER_KEY,
        f"Bearer {CALLER_KEY} {CALLER_KEY}",
    ],
)
@pytest.mark.usefixtures("watched")
async def test_a_refused_key_is_not_repeated(header: str) -> None:
    async with make(FakeProvider(completion(""))).running() as gateway:
        headers = [(b"authorization", header.encode())]
        path = "/v1/chat/completions"
        check(await request(gateway, path, said(), key=None, headers=headers), 401)


# What providers may answer.

ECHO: dict[str, object] = {
    "message": {"error": {"message": f"Incorrect API key: {PROVIDER_KEY}.", "type": "t"}},
    "type": {"error": {"message": "no", "type": PROVIDER_KEY}},
    "code": {"error": {"message": "no", "type": "t", "code": PROVIDER_KEY}},
    "param": {"error": {"message": "no", "type": "t", "param": PROVIDER_KEY}},
    "more": {"error": {"message": "no", "type": "t", "hint": {"keys": [PROVIDER_KEY]}}},
    "name": {"error": {"message": "no", "type": "t", PROVIDER_KEY: True}},
    "text": {"error": f"bad key {PROVIDER_KEY}"},
    "flat": {"message": f"bad key {PROVIDER_KEY}", "code": 7},
    "detail": {"detail": [{"msg": f"bad key {PROVIDER_KEY}"}]},
    "list": [{"error": {"message": f"bad key {PROVIDER_KEY}", "code": 400}}],
    "at the bound": {"error": {"message": "." * 1990 + PROVIDER_KEY}},
    "header": {"error": {"message": f"bad header x-team-token: {HEADER_KEY}"}},
}


def failing(status: int, document: object) -> FakeAnswer:
    return FakeAnswer([json.dumps(document).encode()], status=status)


@pytest.mark.parametrize("document", ECHO.values(), ids=ECHO)
@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.usefixtures("watched")
async def test_a_refusal_that_names_our_key(stream: bool, status: int, document: object) -> None:
    sink = MemorySink()
    async with make(FakeProvider(failing(status, document)), sinks=[sink]).running() as gateway:
        answer = await ask(gateway, said(stream=stream))
    check(answer, status if status in (400, 429) else 502, sink)


@pytest.mark.parametrize("document", ECHO.values(), ids=ECHO)
@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.usefixtures("watched")
async def test_an_error_in_a_stream_that_names_our_key(before: int, document: object) -> None:
    events = chunks("Hel", "lo").pieces[:before]
    document = (
        document if isinstance(document, dict) and "error" in document else {"error": document}
    )
    broken = FakeAnswer([*events, b"data: %b\n\n" % json.dumps(document).encode()])
    sink = MemorySink()
    async with make(FakeProvider(broken), sinks=[sink]).running() as gateway:
        answer = await ask(gateway, said(stream=True))
    assert b'"error"' in answer.body
    check(answer, 200 if before else answer.status, sink)


@pytest.mark.parametrize("document", ECHO.values(), ids=ECHO)
@pytest.mark.usefixtures("watched")
async def test_an_error_under_status_200_that_names_our_key(document: object) -> None:
    sink = MemorySink()
    async with make(FakeProvider(failing(200, document)), sinks=[sink]).running() as gateway:
        check(await ask(gateway, said()), 502, sink)


# What hooks of the host may do.


class Leaky:
    """An upstream, a store and an answer whose exceptions tell everything."""

    def __init__(self, *methods: str) -> None:
        self._methods = methods
        self.status = 200
        self.headers: Sequence[tuple[bytes, bytes]] = ()

    def _leak(self, method: str) -> None:
        if method in self._methods:
            try:
                raise KeyError(PROVIDER_KEY)
            except KeyError as cause:
                error = ValueError(f"{PROVIDER_KEY} {CALLER_KEY} {BODY}")
                error.add_note(BODY)
                raise error from cause

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self._leak("send")
        return self

    async def receive(self) -> bytes:
        self._leak("receive")
        return b""

    async def merge(self, user: object, group: object) -> None:
        self._leak("merge")

    async def metadata(self, kind: str, id: str) -> None:
        return None

    async def aclose(self) -> None: ...

    def authenticate(self, connection: Connection) -> Any:
        self._leak("authenticate")
        return CALLER_KEY

    async def identify(self, *_: object) -> Any:
        self._leak("identify")
        return {"user": BODY}


HOOKS: dict[str, tuple[dict[str, object], int]] = {
    "authenticate raises": ({"authenticate": Leaky("authenticate").authenticate}, 401),
    "authenticate returns text": ({"authenticate": Leaky().authenticate}, 401),
    "identify raises": ({"identify": Leaky("identify").identify}, 500),
    "identify returns text": ({"identify": Leaky().identify}, 500),
    "merge raises": ({"entities": Leaky("merge")}, 500),
    "send raises": ({"upstream": Leaky("send")}, 500),
    "receive raises": ({"upstream": Leaky("receive")}, 500),
}


@pytest.mark.parametrize(("settings", "status"), HOOKS.values(), ids=HOOKS)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_hook_raises_is_not_repeated(
    watched: Watched, stream: bool, settings: dict[str, Any], status: int
) -> None:
    sink = MemorySink()
    upstream = settings.get("upstream", FakeProvider(completion("")))
    gateway = make(**{"upstream": upstream, "sinks": [sink], **settings})
    async with gateway.running():
        answer = await ask(gateway, said(stream=stream))
    check(answer, status, sink)
    text = watched.text()
    assert NEEDLE not in text
    assert status == 401 or "ValueError" in text or "dict" in text


@pytest.mark.usefixtures("watched")
async def test_what_a_store_raises_at_identify_is_not_repeated() -> None:
    store = Leaky("merge")
    async with make(FakeProvider(completion("")), entities=store).running() as gateway:
        check(await ask(gateway, {"user": "ann"}, "/identify"), 500)


# What may be looked at.


def ours(*roots: object) -> Iterator[object]:
    """The package's own objects that the roots lead to."""
    seen, left = set[int](), list(roots)
    while left:
        found = left.pop()
        mine = type(found).__module__.startswith("waystone_asgi")
        if id(found) in seen or not (mine or isinstance(found, Sequence | Mapping | set)):
            continue
        seen.add(id(found))
        left += gc.get_referents(found)
        left += [getattr(found, name) for name in getattr(found, "__struct_fields__", ())]
        if mine:
            yield found


def show(value: object) -> str:
    shown = [repr(value), str(value), f"{value}"]
    if (fields := getattr(type(value), "__rich_repr__", None)) is not None:
        shown.append(repr(list(fields(value))))
    return "\n".join(shown)


class Looking(FakeProvider):
    """Looks, while a request is under way, at every object of ours on the way to here."""

    def __init__(self, *answers: FakeAnswer) -> None:
        super().__init__(*answers)
        self.kinds: dict[str, bool] = {}

    async def send(self, request: UpstreamRequest) -> FakeAnswer:
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            for value in ours(*frame.f_locals.values()):
                self.kinds[type(value).__name__] = NEEDLE in show(value)
            frame = frame.f_back
        return await super().send(request)


@pytest.mark.parametrize("answer", [completion(BODY), chunks(BODY, BODY)], ids=["whole", "stream"])
@pytest.mark.usefixtures("watched")
async def test_nothing_that_lives_during_a_request_shows_itself(answer: FakeAnswer) -> None:
    looking, sink = Looking(answer), MemorySink()
    claim = {"waystone": json.dumps({"user": {"id": "ann", "metadata": {"note": BODY}}})}
    body = said(stream=b"chunk" in answer.pieces[0], metadata=claim, tools=[{"type": BODY}])
    async with make(looking, sinks=[sink]).running() as gateway:
        reply = await ask(gateway, body)
        assert BODY.encode() in reply.body
        values = [*ours(gateway), *ours(sink.records)]
    assert reply.status == 200
    assert [type(value) for value in values if NEEDLE in show(value)] == []
    assert [kind for kind, told in looking.kinds.items() if told] == []
    assert {"ChatRequest", "Provider", "Endpoint", "UpstreamRequest", "Secret"} <= set(
        looking.kinds
    )


# What may be configured wrongly.

WRONG: dict[str, Callable[[], object]] = {
    "key with a space": lambda: BearerKeys([f"{CALLER_KEY} {CALLER_KEY}"]),
    "key beyond ASCII": lambda: BearerKeys([f"{CALLER_KEY}é"]),
    "key twice": lambda: BearerKeys([CALLER_KEY, CALLER_KEY]),
    "half a hash": lambda: BearerKeys([f"sha256:{CALLER_KEY}"]),
    "unresolved": lambda: BearerKeys([f"env:{CALLER_KEY}"]),
    "provider's key": lambda: Provider.openai(api_key=f"{PROVIDER_KEY}\n"),
    "provider's header": lambda: Provider.openai(api_key="k", headers={"x": f"{HEADER_KEY}é"}),
    "provider's URL": lambda: Provider.ollama(base_url=f"http://me:{PROVIDER_KEY}@host/v1"),
    "provider's query": lambda: Provider.ollama(base_url=f"http://host/v1?key={PROVIDER_KEY}"),
    "provider's port": lambda: Provider.ollama(base_url=f"http://host:{PROVIDER_KEY}/v1"),
    "two ways in": lambda: make(None, authenticate=BearerKeys([CALLER_KEY]), api_keys=[CALLER_KEY]),
    "ledger": lambda: make(None, usage={"url": f"postgresql://me:{NEEDLE}@host/db?x"}),
    "store": lambda: make(None, state={"url": f"redis://me:{NEEDLE}@host/zero"}),
}

FILES: dict[str, str] = {
    "not TOML": f'api_keys = ["{CALLER_KEY}"',
    "no value": f"api_keys = {CALLER_KEY}",
    "twice": f'path = "/{NEEDLE}"\npath = "/{NEEDLE}"',
    "wrong kind": f'api_keys = "{CALLER_KEY}"\n[providers.echo]',
    "no path": f'path = "{NEEDLE}"\n[providers.echo]',
    "no number": f'max_in_flight = "{NEEDLE}"\n[providers.echo]',
    "no seconds": f'[providers.echo]\n[timeouts]\nconnect = "{NEEDLE}"',
    "key is a table": f'[providers.openai]\napi_key = {{ value = "{PROVIDER_KEY}" }}',
    "key is a list": f'[providers.openai]\napi_key = ["{PROVIDER_KEY}"]',
    "key with a line end": f'[providers.openai]\napi_key = "{PROVIDER_KEY}\\n"',
    "header is a table": f'[providers.ollama]\nheaders = {{ x = {{ y = "{HEADER_KEY}" }} }}',
    "no such key": f'[providers.openai]\napi_kye = "{PROVIDER_KEY}"',
    "no variable": '[providers.openai]\napi_key = "env:NOT_SET"\nbase_url = "env:SET"',
    "variable's value": '[providers.openai]\napi_key = "x"\nbase_url = "env:SET"',
    "pinned": f'api_keys = [{{ key = "{CALLER_KEY}", endpoints = ["x"] }}]\n[providers.echo]',
    "ledger": f'[providers.echo]\n[usage]\nurl = "postgresql://me:{NEEDLE}@host/db?x"',
    "store": f'[providers.echo]\n[state]\nurl = "redis://me:{NEEDLE}@host/zero"',
}


def told(error: BaseException) -> str:
    """All that a log or a console could show of an exception."""
    return "".join((*traceback.format_exception(error), repr(error), str(error)))


@pytest.mark.parametrize("build", WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_not_repeated(build: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build()
    assert NEEDLE not in told(raised.value)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_wrong_file_is_not_repeated(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setenv("SET", f"https://{NEEDLE}.test?x")
    monkeypatch.delenv("NOT_SET", raising=False)
    file = tmp_path / "waystone.toml"
    file.write_text(text)
    with pytest.raises(WaystoneError) as raised:
        Gateway.from_config(file)
    assert NEEDLE not in told(raised.value)
    assert main(["check", "--config", str(file)]) == 1
    assert "waystone.toml" in watched.text()


def test_a_valid_file_is_shown_without_its_keys(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SET", PROVIDER_KEY)
    file = tmp_path / "waystone.toml"
    file.write_text(f"""
        api_keys = ["{CALLER_KEY}", {{ key = "{CALLER_KEY}2", id = "acme" }}]
        [providers.openai]
        api_key = "env:SET"
        headers = {{ x-team-token = "{HEADER_KEY}" }}
    """)
    config = load_config(file)
    assert [show(value) for value in ours(config) if NEEDLE in show(value)] == []
    assert main(["check", "--config", str(file)]) == 0
    text = watched.text()
    assert "acme" in text
    assert NEEDLE not in text


# All of it over real sockets, with the loggers of the libraries below and above.


class Recorded(BaseHTTPRequestHandler):
    """A provider that answers as the model's name says, and always names the key it was given."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = int(asked["model"])
        answer: FakeAnswer = (
            completion("Hello") if status == 200 else failing(status, ECHO["message"])
        )
        [body] = answer.pieces
        assert isinstance(body, bytes)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: this is the provider's log and not ours."""


@pytest.fixture
def provider_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorded) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@pytest.fixture(params=[HTTPXUpstream, AsyncioUpstream])
def served(request: pytest.FixtureRequest, provider_port: int, tmp_path: Path) -> Iterator[int]:
    """The port of a gateway under uvicorn in its own thread."""
    url = f"http://127.0.0.1:{provider_port}/v1"
    upstream, ledger = request.param(), tmp_path / "usage.jsonl"
    gateway = make(
        upstream,
        providers=[Provider.openai(api_key=PROVIDER_KEY, base_url=url)],
        sinks=[JSONLinesSink(ledger)],
    )
    server = Server(uvicorn.Config(gateway, port=0, log_level="trace", log_config=None))

    async def serve() -> None:
        await server.serve()
        await upstream.aclose()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert server.listening.wait(10)
    [socket] = server.servers[0].sockets
    yield socket.getsockname()[1]
    server.should_exit = True
    thread.join()
    assert NEEDLE not in ledger.read_text()


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(
    ("model", "status", "key"),
    [
        ("200", 200, CALLER_KEY),
        ("400", 400, CALLER_KEY),
        ("401", 502, CALLER_KEY),
        ("500", 502, CALLER_KEY),
        ("200", 401, f"{CALLER_KEY}x"),
    ],
)
def test_no_library_tells_either(served: int, model: str, status: int, key: str) -> None:
    connection = HTTPConnection("127.0.0.1", served, timeout=10)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    body = json.dumps(said(model=f"openai/{model}"))
    connection.request("POST", "/v1/chat/completions", body, headers)
    answer = connection.getresponse()
    assert answer.status == status
    assert NEEDLE not in answer.read().decode()
    connection.close()
