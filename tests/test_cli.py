from __future__ import annotations

import hashlib
import http.client
import io
import itertools
import json
import os
import queue
import re
import runpy
import signal
import socket
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, redirect_stdout
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeVar

import anyio
import pytest

import waystone_asgi
from waystone_asgi import __main__ as module_entry
from waystone_asgi.cli import demo, main
from waystone_asgi.exceptions import ConfigurationError, WaystoneError
from waystone_asgi.providers import PRESETS
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import JSONLinesSink, SQLiteSink

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CANARY = "canary-3f9c"

CONFIG = """
api_keys = ["wk_canary-3f9c", { key = "wk_b-canary-3f9c", id = "acme", user = "ann", group = "acme",
            models = ["openai/*"], endpoints = ["chat"] }]
[providers.openai]
api_key = "sk-canary-3f9c"
models = ["gpt-4o", "gpt-4o-mini"]
[providers.echo]
[retry]
attempts = 3
on = [429]
hedge_after = 1.5
[aliases]
fast = "openai/gpt-4o-mini"
smart = ["openai/gpt-4o", "fast"]
fair = { models = ["openai/gpt-4o", "echo/x"], choose = "weighted", weights = [3, 0.5] }
quick = { models = ["openai/gpt-4o", "echo/x"], choose = "least_latency" }
plain = { models = ["openai/gpt-4o", "echo/x"] }
""".replace('"acme",\n            models', '"acme", models')


T = TypeVar("T")


class Lines(io.StringIO):
    """Standard output that another thread can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: queue.Queue[str] = queue.Queue()

    def write(self, text: str) -> int:
        self._queue.put(text)
        return super().write(text)

    def wait_for(self, pattern: str) -> str:
        """The first group of the first write that has the pattern."""
        while True:
            if match := re.search(pattern, self._queue.get(timeout=20)):
                return match[1]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an environment without keys."""
    monkeypatch.chdir(tmp_path)
    for preset in PRESETS.values():
        for name in (*preset.key_env, *itertools.chain(*preset.defaults.values())):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("WAYSTONE_API_KEY", raising=False)
    return tmp_path


def stop_after(
    call: Callable[[Lines], T], *arguments: str, number: signal.Signals = signal.SIGTERM
) -> tuple[int, str, T]:
    """Serve until `call`, in another thread, returns: the exit code, the output, its result."""

    def call_and_stop() -> T:
        try:
            return call(out)
        finally:
            os.kill(os.getpid(), number)

    out = Lines()
    # Were the server to end before the call, the signal would end the tests.
    handlers = {number: signal.signal(number, ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with redirect_stdout(out), ThreadPoolExecutor(1) as executor:
            called = executor.submit(call_and_stop)
            code = main(["serve", "--port", "0", *arguments])
        assert {signal.getsignal(number) for number in handlers} == {ignore}
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, out.getvalue(), called.result()


def ignore(number: int, frame: object) -> None:
    """The handler that was there before the server's own."""


def complete(url: str, key: str) -> tuple[int, dict[str, object]]:
    host, path = url.removeprefix("http://").split("/", 1)
    body = json.dumps({"model": "echo/echo", "messages": [{"role": "user", "content": "hi"}]})
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with closing(http.client.HTTPConnection(host, timeout=20)) as connection:
        connection.request("POST", f"/{path}/chat/completions", body, headers)
        response = connection.getresponse()
        return response.status, json.load(response)


def rows(path: str = "waystone.db") -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT principal, outcome FROM usage_records").fetchall()


# The command itself.


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, ["serve", "check", "demo", "usage", "prices", "keys"]),
        (["serve", "--help"], 0, ["--config", "127.0.0.1", "3000", "--root-path"]),
        (["usage", "--help"], 0, ["--by", "--since", "30d", "--ledger"]),
        (["keys", "new", "--help"], 0, ["--id"]),
        (["--version"], 0, ["waystone-asgi "]),
        ([], 2, ["COMMAND"]),
        (["sevre"], 2, ["invalid choice"]),
        (["keys"], 2, ["ACTION"]),
        (["serve", "--port", "65536"], 2, ["'65536' is no port"]),
        (["serve", "--port", "x"], 2, ["'x' is no port"]),
        (["usage", "--since", "soon"], 2, ["'soon' is no date, time or past"]),
        (["usage", "--config", "a", "--ledger", "b"], 2, ["not allowed with"]),
    ],
)
def test_help_and_wrong_arguments(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == code
    output = capsys.readouterr()
    assert all(word in (output.err if code else output.out) for word in words)


@pytest.mark.parametrize("command", ["serve", "check", "usage", "prices"])
def test_a_missing_configuration_is_one_line(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--config", "nope.toml"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "waystone-asgi: nope.toml: cannot be read: No such file or directory.\n"


def test_the_version_of_an_installed_package(
    capsys: pytest.CaptureFixture[str], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = directory / "waystone_asgi-7.8.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waystone-asgi\nVersion: 7.8.9\n")
    monkeypatch.setattr(sys, "path", [str(directory), *sys.path])
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == "waystone-asgi 7.8.9\n"


def test_the_module_is_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module_entry.main is main
    monkeypatch.setattr(sys, "argv", ["waystone-asgi", "keys", "new"])
    monkeypatch.delitem(sys.modules, "waystone_asgi.__main__")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("waystone_asgi", run_name="__main__")
    assert caught.value.code == 0
    assert "wk_" in capsys.readouterr().out


# keys


@pytest.mark.parametrize("name", [None, 'Ann\'s "phone"'])
def test_keys_new(capsys: pytest.CaptureFixture[str], name: str | None) -> None:
    keys = set()
    for _ in range(2):
        assert main(["keys", "new", *(["--id", name] if name else [])]) == 0
        first, second = capsys.readouterr().out.splitlines()
        key = first.rpartition(" ")[2]
        keys.add(key)
        assert re.fullmatch(r"wk_[A-Za-z0-9_-]{43}", key)
        line = second.partition(": ")[2]
        digest = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
        entry = {"key": digest, "id": name} if name else digest
        assert tomllib.loads(f"api_keys = [{line}]") == {"api_keys": [entry]}
    assert len(keys) == 2


# check


def test_check_shows_what_a_file_means(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    (directory / "waystone.toml").write_text(CONFIG)
    assert main(["check", "--config", "waystone.toml"]) == 0
    output = capsys.readouterr().out
    assert CANARY not in output
    assert [line.split() for line in output.splitlines()] == [
        ["waystone.toml", "is", "valid."],
        [],
        ["providers"],
        ["openai", "openai", "https://api.openai.com:443/v1/chat/completions"],
        ["echo", "echo", "built", "in"],
        [],
        ["models"],
        ["openai/gpt-4o"],
        ["openai/gpt-4o-mini"],
        ["echo/*", "any", "name"],
        [],
        ["aliases"],
        ["fast", "->", "openai/gpt-4o-mini"],
        ["smart", "->", "openai/gpt-4o,", "fast"],
        ["fair", "->", "openai/gpt-4o", "3,", "echo/x", "0.5", "weighted"],
        ["quick", "->", "openai/gpt-4o,", "echo/x", "least_latency"],
        ["plain", "->", "openai/gpt-4o,", "echo/x"],
        [],
        ["retry"],
        *[["3", "attempts,", "on", "429,", "hedge_after", "1.5", "s,", "hedge_share", "0.05"]],
        [],
        ["callers"],
        ["a", "key", "without", "an", "id"],
        ["acme", "user", "ann", "group", "acme", "models", "openai/*", "endpoints", "chat"],
        [],
        ["rulesets"],
        ["none"],
        [],
        ["ledger"],
        ["waystone.db", "(sqlite)"],
        [],
        ["state"],
        ["memory,", "lost", "at", "the", "end"],
    ]
    assert list(directory.iterdir()) == [directory / "waystone.toml"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ["The environment is valid.", "echo/echo", "that `serve` will make"]),
        ({"GROQ_API_KEY": CANARY, "WAYSTONE_API_KEY": CANARY}, ["groq/*", "without an id"]),
    ],
)
def test_check_shows_what_the_environment_means(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    words: list[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["check"]) == 0
    output = capsys.readouterr().out
    assert all(word in output for word in words)
    assert CANARY not in output


def test_check_of_a_file_for_a_host(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    (directory / "host.toml").write_text("usage.url = 'memory:'\n[providers.echo]")
    assert main(["check", "--config", "host.toml"]) == 0
    output = capsys.readouterr().out
    assert "none: `serve` needs api_keys" in output
    assert "memory, lost at the end" in output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/state.db", "/var/state.db (sqlite)"),
        (f"redis://:{CANARY}@redis.test:6379/0", "redis.test (redis)"),
        (f"postgresql://u:{CANARY}@one,two/db", "one,two (postgresql)"),
        ("postgresql:///db", "this machine (postgresql)"),
    ],
)
def test_check_says_where_state_is(
    capsys: pytest.CaptureFixture[str], directory: Path, url: str, shown: str
) -> None:
    (directory / "host.toml").write_text(f"state.url = '{url}'\n[providers.echo]")
    assert main(["check", "--config", "host.toml"]) == 0
    output = capsys.readouterr().out
    assert output.endswith(f"state\n  {shown}\n")
    assert CANARY not in output


def test_check_refuses(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    (directory / "waystone.toml").write_text(f"[providers.openai]\napikey = '{CANARY}'")
    assert main(["check", "--config", "waystone.toml"]) == 1
    output = capsys.readouterr()
    assert output.err == (
        "waystone-asgi: waystone.toml: providers.openai.apikey: unknown key; "
        "did you mean api_key?\n"
    )


RULESETS = """
[[rulesets]]
name = "free tier"
condition = { metadata = "tier", equals = "free" }
rules = [
  { model = "openai/gpt-4o", change_model_to = "fast" },
  { usage = { usd = 10.0, past = "30d", of = "user" }, block = "Enough for this month." },
]
[[rulesets]]
name = "backends"
condition = { is_principal = "backend" }
rules = [{ check_output = "whatever the host has", shadow = true }]
"""


def test_check_shows_rulesets(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    (directory / "waystone.toml").write_text(CONFIG + RULESETS)
    assert main(["check", "--config", "waystone.toml"]) == 0
    shown = capsys.readouterr().out.partition("rulesets\n")[2].partition("\n\n")[0]
    assert [re.split(r"  +", line.strip()) for line in shown.splitlines()] == [
        ["free tier", 'metadata "tier" equals "free" of any'],
        ["[0] model openai/gpt-4o", "-> change_model_to fast"],
        ["[1] usage over 10.0 usd past 30d of user", '-> block "Enough for this month."'],
        ["backends", 'is_principal "backend"'],
        ["[0] every request", "-> shadow: check_output whatever the host has"],
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--user", "ann", "--metadata", '{"tier": "free"}'],
            ["free tier: applies", 'the user has "free" (claimed)', "goes to fast"],
        ),
        (
            ["--group", "acme", "--metadata", '{"tier": "free"}', "--source", "host"],
            ['there is no user, the group has "free" (host)', "no, the request has no user"],
        ),
        (
            ["--user", "ann", "--group", "acme", "--group-metadata", '{"tier": "free"}'],
            ['the user has none, the group has "free" (claimed)', "once that is passed"],
        ),
        (
            ["--user", "a\nb", "--principal", "backend"],
            ["free tier: does not apply", "backends: applies", "goes to openai/gpt-4o"],
        ),
    ],
)
def test_check_explains(
    capsys: pytest.CaptureFixture[str], directory: Path, arguments: list[str], words: list[str]
) -> None:
    (directory / "waystone.toml").write_text(CONFIG + RULESETS)
    arguments = ["--config", "waystone.toml", "--explain", "openai/gpt-4o", *arguments]
    assert main(["check", *arguments]) == 0
    output = capsys.readouterr().out
    assert [word for word in words if word not in output] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--explain", "o9"], "--explain: The model `o9` does not exist"),
        (["--metadata", "{}"], "--metadata: say whose it is, with --user or --group."),
        (["--user", "a", "--metadata", "[]"], "--metadata: expected a JSON object."),
        (["--user", "a", "--metadata", "[" * 9999], "--metadata: expected a JSON object."),
        (["--user", "a", "--group-metadata", "{}"], "--group-metadata: say whose it is"),
    ],
)
def test_check_explains_no_nonsense(
    capsys: pytest.CaptureFixture[str], directory: Path, arguments: list[str], message: str
) -> None:
    (directory / "waystone.toml").write_text(CONFIG)
    arguments = ["--config", "waystone.toml", "--explain", "gpt-4o", *arguments]
    assert main(["check", *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"waystone-asgi: {message}")


# usage


@pytest.fixture
def ledger(directory: Path) -> Path:
    def record(number: int, **fields: object) -> UsageRecord:
        return UsageRecord(
            id=str(number),
            time=NOON - timedelta(days=number),
            request_id="r",
            operation="chat",
            principal="p",
            provider="openai",
            response_model="gpt-4o",
            input_tokens=100,
            cache_read_input_tokens=40,
            output_tokens=20,
            reasoning_output_tokens=10,
            **fields,  # type: ignore[arg-type]
        )

    async def write() -> None:
        sink = SQLiteSink(directory / "waystone.db")
        await sink.emit(
            [
                record(1, user="ann", cost_usd=Decimal("0.000000001")),
                record(2, user="ann", cost_usd=Decimal("1E-9")),
                record(3, user="b\x1b[2J"),
                record(4, cost_usd=Decimal("0.5")),
            ]
        )
        await sink.aclose()

    anyio.run(write)
    return directory / "waystone.db"


def keep_lines(path: str, time: datetime) -> None:
    """A ledger of lines of JSON with one record."""

    async def write() -> None:
        sink = JSONLinesSink(path)
        await sink.emit(
            [UsageRecord(id="1", time=time, request_id="r", operation="chat", principal="p")]
        )
        await sink.aclose()

    anyio.run(write)


TABLE = """\
user      requests  input  cached  output  reasoning     cost_usd  unpriced
-                1    100      40      20         10          0.5         0
ann              2    200      80      40         20  0.000000002         0
b\\x1b[2J         1    100      40      20         10                      1
"""
CSV = """\
user,requests,input_tokens,cache_read_input_tokens,output_tokens,reasoning_output_tokens,cost_usd,unpriced_requests
,1,100,40,20,10,0.5,0
ann,2,200,80,40,20,0.000000002,0
b\x1b[2J,1,100,40,20,10,,1
"""


@pytest.mark.parametrize(("form", "expected"), [("table", TABLE), ("csv", CSV)])
def test_usage_by_user(
    capsys: pytest.CaptureFixture[str], ledger: Path, form: str, expected: str
) -> None:
    assert main(["usage", "--by", "user", "--format", form]) == 0
    assert capsys.readouterr().out == expected


def test_usage_as_json(capsys: pytest.CaptureFixture[str], ledger: Path) -> None:
    assert main(["usage", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "model": "openai/gpt-4o",
            "requests": 4,
            "input_tokens": 400,
            "cache_read_input_tokens": 160,
            "output_tokens": 80,
            "reasoning_output_tokens": 40,
            "cost_usd": "0.500000002",
            "unpriced_requests": 1,
        }
    ]


@pytest.mark.parametrize(
    ("since", "requests"),
    [
        ("2026-11-20", 3),
        ("2026-11-22", 1),
        ("2026-11-21T13:00:00+01:00", 2),
        ("2026-11-21T12:00:01Z", 1),
    ],
)
def test_usage_since(
    capsys: pytest.CaptureFixture[str], ledger: Path, since: str, requests: int
) -> None:
    assert main(["usage", "--by", "day", "--format", "json", "--since", since]) == 0
    totals = json.loads(capsys.readouterr().out)
    assert sum(total["requests"] for total in totals) == requests


@pytest.mark.parametrize(("past", "lines"), [("1d", 1), ("2d", 2), ("35h", 1), ("37h", 2)])
def test_usage_since_a_past(
    capsys: pytest.CaptureFixture[str], directory: Path, past: str, lines: int
) -> None:
    keep_lines("usage.jsonl", datetime.now(UTC) - timedelta(hours=36))
    assert main(["usage", "--ledger", "usage.jsonl", "--since", past]) == 0
    assert len(capsys.readouterr().out.splitlines()) == lines


@pytest.mark.parametrize(
    "where",
    [
        ["--ledger", "other.db"],
        ["--ledger", "sqlite:///other.db"],
        ["--config", "other.toml"],
        ["--config", "none.toml"],
    ],
)
def test_usage_of_another_ledger(
    capsys: pytest.CaptureFixture[str], ledger: Path, where: list[str]
) -> None:
    ledger.with_name("none.toml").write_text("api_keys = ['env:NOT_SET']")
    ledger.with_name("other.toml").write_text("usage.url = 'sqlite:///other.db'")
    if where[1] != "none.toml":
        ledger.rename("other.db")
    assert main(["usage", "--format", "csv", *where]) == 0
    assert "openai/gpt-4o,4," in capsys.readouterr().out


def test_usage_of_lines(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    keep_lines("usage.jsonl", NOON)
    assert main(["usage", "--ledger", "usage.jsonl", "--by", "day"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["2026-11-23", "1"]


def test_usage_without_a_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage"]) == 1
    assert "waystone-asgi: The ledger waystone.db cannot be read" in capsys.readouterr().err


# serve


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_without_a_file(number: signal.Signals) -> None:
    """A key is made and shown; a signal ends the server after the ledger is complete."""

    def call(out: Lines) -> tuple[int, dict[str, object]]:
        url = out.wait_for(r"listens on (\S+)")
        return complete(url, out.wait_for(r"key +(wk_\S+)"))

    code, output, (status, answer) = stop_after(call, number=number)
    assert code == 0
    assert (status, answer["model"]) == (200, "echo")
    assert [outcome for _, outcome in rows()] == ["ok"]
    assert "providers  echo\n" in output
    assert "ledger     waystone.db (sqlite)\n" in output
    assert output.endswith("Stopped; usage records lost: 0\n")


def test_serve_with_a_file_under_a_prefix(directory: Path) -> None:
    """No key is shown that was not made for this run."""

    def call(out: Lines) -> tuple[int, dict[str, object]]:
        url = out.wait_for(r"listens on (\S+)")
        assert url.endswith("/proxy/llm/v1")
        return complete(url.replace("/proxy", ""), f"wk_{CANARY}")

    file = directory / "waystone.toml"
    file.write_text(f"path = '/llm'\nusage.url = 'memory:'\n{CONFIG}")
    code, output, (status, _) = stop_after(call, "--config", str(file), "--root-path", "/proxy")
    assert (code, status) == (0, 200)
    assert CANARY not in output
    assert list(directory.iterdir()) == [file]


def test_serve_with_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTONE_API_KEY", CANARY)
    monkeypatch.setenv("GROQ_API_KEY", CANARY)
    code, output, providers = stop_after(lambda out: out.wait_for(r"providers +(.+)"))
    assert (code, providers) == (0, "groq, echo")
    assert CANARY not in output


def test_serve_says_that_records_were_lost(directory: Path) -> None:
    def call(out: Lines) -> None:
        complete(out.wait_for(r"listens on (\S+)"), f"wk_{CANARY}")

    (directory / "waystone.toml").write_text(f"usage.url = 'jsonl:/dev/full'\n{CONFIG}")
    code, output, _ = stop_after(call, "--config", "waystone.toml")
    assert code == 1
    assert output.endswith("Stopped; usage records lost: 1\n")


def test_serve_needs_a_free_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"waystone-asgi: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "see --host and --port.\n"
    )


def test_serve_listens_on_ipv6() -> None:
    try:
        listener = demo.listen("::1", 0)
    except ConfigurationError:
        pytest.skip("this machine has no IPv6")
    with closing(listener):
        assert re.fullmatch(r"http://\[::1\]:\d+", demo.base_url(listener))


def test_serve_needs_api_keys(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    (directory / "waystone.toml").write_text("[providers.echo]")
    assert main(["serve", "--config", "waystone.toml"]) == 1
    assert "waystone.toml: api_keys: give at least one" in capsys.readouterr().err


def test_serve_needs_uvicorn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--port", "0"]) == 1
    assert "pip install 'waystone-asgi[server]'" in capsys.readouterr().err


def test_serve_needs_a_ledger_that_opens(
    capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    (directory / "waystone.toml").write_text(f"usage.url = 'sqlite:///no/such.db'\n{CONFIG}")
    assert main(["serve", "--config", "waystone.toml", "--port", "0"]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("waystone-asgi: The ledger no/such.db cannot be opened: ")
    assert output.err.count("\n") == 1
    assert output.out == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_well(directory: Path, number: signal.Signals) -> None:
    root = Path(waystone_asgi.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "waystone_asgi", "serve", "--port", "0"],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(root), "WAYSTONE_API_KEY": "wk_known"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert complete(url, "wk_known")[0] == 200
        process.send_signal(number)
        _, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert [outcome for _, outcome in rows()] == ["ok"]


# demo


def test_demo(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    assert main(["demo"]) == 0
    output = capsys.readouterr().out
    assert re.search(rf"whole +{re.escape(demo.PROMPT)}\n", output)
    assert "streamed  Every| stone| on| the" in output
    assert re.search(r"chat +demo +ann +acme +echo +echo +0 +200 +ok +10 +10 ", output)
    assert re.search(r"chat +demo +ann +acme +echo +echo +1 +200 +ok +10 +10 ", output)
    assert "OpenAI(base_url=" in output
    assert list(directory.iterdir()) == []


def answer(content: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}}]}).encode()


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that gives the test's answers, a status and a body each, one after the other."""
    answers: list[tuple[int, bytes]] = list(request.param)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, body = answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


GOOD = (200, answer(demo.PROMPT))


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        ([(503, b"busy")], "the demo got 503: b'busy'"),
        ([(200, b"<html>")], "no proper answer: JSONDecodeError"),
        ([(200, b'{"choices": []}')], "no proper answer: IndexError"),
        ([(200, answer("something else"))], "asked for 'Every stone .* and got"),
        ([GOOD, (200, b"data: {}\n\n")], "stream was cut off"),
        ([GOOD, (200, b"data: [DONE]\n\n")], "asked for .* and got"),
    ],
    indirect=["fake"],
)
def test_demo_says_what_is_wrong(fake: str, message: str) -> None:
    with pytest.raises(WaystoneError, match=message):
        demo.ask(fake, "wk_key")


def test_demo_without_a_server() -> None:
    with closing(demo.listen("127.0.0.1", 0)) as listener:
        url = demo.base_url(listener)
    with pytest.raises(WaystoneError, match="no proper answer: ConnectionRefusedError"):
        demo.ask(f"{url}/v1", "wk_key")


def test_demo_without_its_rows(directory: Path, ledger: Path) -> None:
    with pytest.raises(WaystoneError, match="has 4 rows"):
        demo.read_rows(ledger)
