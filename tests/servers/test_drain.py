"""The end of a server while requests are under way: each is answered, or told that it was cut."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import Start
from .keys import KEY, UPSTREAM_KEY
from .ledger import Ledger
from .processes import END_SECONDS, ROOT, Served
from .provider import ScriptedProvider
from .test_shutdown import complete, wait_until, wait_until_it_refuses
from .wire import Caller

# A server of somebody else's, and what the gateway is in.
HOSTS = [
    ("uvicorn-asyncio", "starlette"),
    ("uvicorn-uvloop", "fastapi"),
    ("uvicorn-uvloop", "middleware"),
    ("hypercorn-trio", "middleware"),
    ("hypercorn-asyncio", "fastapi"),
]
every_host = pytest.mark.parametrize(("server", "host"), HOSTS)


def errors_in(received: bytes) -> list[str]:
    """The codes of the error events in a stream."""
    lines = [line.strip() for line in received.splitlines() if line.startswith(b"data: {")]
    events = [json.loads(line.removeprefix(b"data: ")) for line in lines]
    return [event["error"]["code"] for event in events if "error" in event]


@every_host
def test_what_ends_in_time_is_answered(
    start: Start, tmp_path: Path, provider: ScriptedProvider, server: str, host: str
) -> None:
    provider.forget()
    ledger = Ledger(tmp_path / "main.db")
    with (
        start(server, tmp_path, HOST=host) as served,
        Caller(served, "openai/half", stream=True) as half,
        Caller(served, "openai/silent", stream=False) as silent,
        ThreadPoolExecutor(1) as pool,
    ):
        half.send()
        silent.send()
        held = [provider.take(model) for model in ("half", "silent")]
        assert all(exchange.held.wait(10) for exchange in held)
        answered = [complete(served, stream=bool(count % 2)) for count in range(4)]
        ended = pool.submit(served.end)
        wait_until_it_refuses(served)
        for exchange in held:
            exchange.release()
        assert b"[DONE]" in half.read_until(b"[DONE]")
        assert b'"usage"' in silent.read_until(b'"usage"')
        ended.result()
        assert "Traceback" not in served.log
    expected = [*answered, half.request_id, silent.request_id]
    assert sorted(row["request_id"] for row in ledger.rows()) == sorted(expected)
    assert {row["outcome"] for row in ledger.rows()} == {"ok"}


@every_host
def test_a_stream_that_outlasts_the_servers_patience_is_told(
    start: Start, tmp_path: Path, provider: ScriptedProvider, server: str, host: str
) -> None:
    provider.forget()
    with (
        start(server, tmp_path, HOST=host, GRACE="1") as served,
        Caller(served, "openai/half", stream=True) as caller,
        ThreadPoolExecutor(1) as pool,
    ):
        answered = complete(served)
        caller.send()
        exchange = provider.take("half")
        assert exchange.held.wait(10)
        caller.read_until(b"first")
        ended = pool.submit(served.end)
        received = caller.read_until(b"nothing")
        ended.result()
        assert exchange.closed.wait(10)
    assert errors_in(received) == ["overloaded"]
    assert b"[DONE]" not in received
    assert received.endswith(b"0\r\n\r\n")
    rows = Ledger(tmp_path / "main.db").rows()
    outcomes = {row["request_id"]: (row["status"], row["outcome"]) for row in rows}
    assert outcomes == {answered: (200, "ok"), caller.request_id: (200, "cancelled")}
    assert len(rows) == 2


# Our own: `waystone-asgi serve`.


class Own(NamedTuple):
    """The server under way, and its process."""

    served: Served
    process: subprocess.Popen[str]
    ledger: Ledger

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, dict[str, str]]:
        """One request that is answered at once: its status and headers."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=10)) as by:
            headers = {"authorization": f"Bearer {KEY}"}
            by.request("GET" if body is None else "POST", path, body, headers)
            answer = by.getresponse()
            answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def end(self) -> None:
        """It ends by itself, in order and without a word."""
        said, errors = self.process.communicate(timeout=END_SECONDS)
        assert (self.process.returncode, errors) == (0, "")
        assert "usage records lost: 0" in said


@contextmanager
def serving_itself(directory: Path, provider: ScriptedProvider, **settings: float) -> Iterator[Own]:
    lines = [f"{name} = {value}" for name, value in settings.items()]
    file = f"""
api_keys = ["{KEY}"]
{os.linesep.join(lines)}
[providers.openai]
base_url = "{provider.url}/v1"
api_key = "{UPSTREAM_KEY}"
[usage]
url = "sqlite:///main.db"
"""
    (directory / "waystone.toml").write_text(file)
    command = [sys.executable, "-m", "waystone_asgi", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--config", "waystone.toml"],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[-1].split(":")[2].split("/")[0])
        served = Served(process, port, directory / "no.log")  # type: ignore[arg-type]
        yield Own(served, process, Ledger(directory / "main.db"))
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def test_it_says_that_it_drains_and_cuts_what_outlasts_that(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    provider.forget()
    settings = {"max_drain": 5, "max_in_flight": 1, "max_wait": 60}
    with (
        serving_itself(tmp_path, provider, **settings) as own,
        Caller(own.served, "openai/half", stream=True) as caller,
        Caller(own.served, "openai/plain", stream=False) as waiter,
    ):
        assert own.ask("/ready")[0] == 200
        caller.send()
        assert provider.take("half").held.wait(10)
        waiter.send()
        own.process.send_signal(signal.SIGTERM)
        wait_until(lambda: own.ask("/ready")[0] == 503)
        # Whoever waits is refused, whether it came before the signal or after.
        assert b"503 Service Unavailable" in waiter.read_until(b"overloaded")
        status, headers = own.ask("/api/gateway/v1/chat/completions", b"{}")
        assert (status, headers["retry-after"]) == (503, "1")
        assert own.ask("/health")[0] == 200
        received = caller.read_until(b"nothing")
        own.end()
    assert errors_in(received) == ["overloaded"]
    assert b"[DONE]" not in received
    rows = {row["request_id"]: row for row in own.ledger.rows()}
    row = rows.pop(caller.request_id)
    assert (row["status"], row["outcome"], row["error_type"]) == (200, "error", "overloaded")
    # It had been authenticated if it came before the signal.
    assert {*rows} <= {waiter.request_id}
    assert {row["status"] for row in rows.values()} <= {503}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    tmp_path: Path, provider: ScriptedProvider, number: signal.Signals
) -> None:
    provider.forget()
    with (
        serving_itself(tmp_path, provider, max_drain=600) as own,
        Caller(own.served, "openai/half", stream=True) as half,
        Caller(own.served, "openai/silent", stream=False) as silent,
    ):
        for caller, model in ((half, "half"), (silent, "silent")):
            caller.send()
            assert provider.take(model).held.wait(10)
        own.process.send_signal(number)
        wait_until(lambda: own.ask("/ready")[0] == 503)
        own.process.send_signal(number)
        assert errors_in(half.read_until(b"nothing")) == ["overloaded"]
        assert b"503 Service Unavailable" in silent.read_until(b"nothing")
        own.end()
    rows = {row["request_id"]: row["status"] for row in own.ledger.rows()}
    assert rows == {half.request_id: 200, silent.request_id: 503}
