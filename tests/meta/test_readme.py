"""What the README and the docs show is run: every block of Python, the call, the commands."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import uvicorn

from waystone_asgi import ConfigurationError, Gateway
from waystone_asgi.cli import _parser
from waystone_asgi.config import load_config
from waystone_asgi.providers import PRESETS
from waystone_asgi.records import Attempt, UsageRecord

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    page.name: page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
}
ADDRESS = "http://127.0.0.1:8000"
VOLATILE = {"id", "time", "request_id", "response_id", "duration", "upstream_duration", "attempts"}


def blocks(language: str, page: str = "README.md") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)


APP, CLIENT, *OTHERS = blocks("python")
CURL, *COMMANDS = blocks("bash")
[RECORD] = blocks("json")

# Runs a block and, where it made an application, asks that for its health, with a lifespan or not.
RUNNER = """
import sys, types, anyio

module = types.ModuleType("block")
sys.modules["block"] = module
exec(compile(sys.stdin.read(), "block", "exec"), vars(module))
app = getattr(module, "application", getattr(module, "app", None))
path = "/api/gateway" if app else ""
app = app or getattr(module, "gateway", None)


async def ask():
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
             "scheme": "http", "path": path + "/health", "raw_path": (path + "/health").encode(),
             "root_path": "", "query_string": b"", "headers": [], "client": None, "server": None}
    await app(scope, receive, send)
    print(sent[0]["status"], sent[1]["body"].decode())

if app is not None:
    anyio.run(ask)
"""


PLAIN = "import sys; exec(sys.stdin.read())"


def run(code: str, block: str, cwd: Path) -> str:
    command = [sys.executable, "-c", code]
    here = os.environ | {"PYTHONPATH": os.fspath(ROOT)}
    done = subprocess.run(command, input=block, capture_output=True, text=True, cwd=cwd, env=here)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The directory of a host, with the settings that the Django block names."""
    (tmp_path / "mysite").mkdir()
    settings = "SECRET_KEY = 'x'\nROOT_URLCONF = 'mysite.settings'\nurlpatterns = []\n"
    (tmp_path / "mysite" / "settings.py").write_text(settings)
    return tmp_path


@pytest.mark.parametrize("block", OTHERS, ids=lambda block: block.splitlines()[0])
def test_a_block_runs(block: str, project: Path) -> None:
    shown = run(RUNNER, block, project)
    assert shown == ("" if "anyio.run(" in block else '200 {"status":"ok"}\n')


class Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, app: Any) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_config=None))
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The application's address under uvicorn; at the end it has been shut down."""
    server = Server(app)
    thread = threading.Thread(target=asyncio.run, args=(server.serve(),))
    thread.start()
    assert server.listening.wait(20)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def call(command: str, address: str) -> httpx2.Response:
    """Do what the curl command does."""
    program, url, *options = shlex.split(command.replace("\\\n", " "))
    assert program == "curl"
    given = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ") for option, value in given if option == "-H")
    [data] = [value for option, value in given if option == "-d"]
    return httpx2.post(url.replace(ADDRESS, address), headers=headers, content=data)


def test_the_first_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    host: dict[str, Any] = {}
    exec(compile(APP, "app.py", "exec"), host)
    with serving(host["app"]) as address:
        answer = call(CURL, address)
        said = run(PLAIN, CLIENT.replace(ADDRESS, address), tmp_path)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "Hello, stone"
    assert said == "Hello, stone\n"
    shown = json.loads(RECORD)
    records = [json.loads(line) for line in (tmp_path / "usage.jsonl").read_text().splitlines()]
    assert len(records) == 2
    for record in records:
        assert list(record) == list(shown)
        assert list(record["attempts"][0]) == list(shown["attempts"][0])
        assert {k: v for k, v in record.items() if k not in VOLATILE} == {
            k: v for k, v in shown.items() if k not in VOLATILE
        }
    msgspec.convert(shown, UsageRecord)


def test_the_commands_exist() -> None:
    shown = [line.split() for block in COMMANDS for line in block.splitlines()]
    for command, *arguments in shown:
        if command.startswith("scripts/"):
            assert (ROOT / command).is_file()
        elif command == "waystone-asgi":
            _parser().parse_args(arguments)


@pytest.mark.parametrize("page", ["README.md", "configuration.md"])
def test_a_configuration_is_valid(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r'"env:(\w+)"', "".join(blocks("toml", page))):
        monkeypatch.setenv(name, f"a-{name}")
    for block in blocks("toml", page):
        assert load_config(tomllib.loads(block)).providers


def known(document: dict[str, object]) -> list[str]:
    """The keys of the table in which the document has one that there is not."""
    with pytest.raises(ConfigurationError) as raised:
        load_config(document)
    return str(raised.value).rpartition("known are ")[2].rstrip(".").split(", ")


@pytest.mark.parametrize(
    "document",
    [
        {"?": 1},
        {"providers": {"echo": {"?": 1}}},
        {"providers": {"echo": {}}, "api_keys": [{"?": 1}]},
        {"providers": {"echo": {}}, "timeouts": {"?": 1}},
        {"providers": {"echo": {}}, "usage": {"?": 1}},
        {"providers": {"echo": {}}, "state": {"?": 1}},
    ],
    ids=str,
)
def test_every_key_is_in_the_docs(document: dict[str, object]) -> None:
    assert [key for key in known(document) if f"| `{key}` |" not in PAGES["configuration.md"]] == []


def test_every_keyword_and_type_is_in_the_docs() -> None:
    page = PAGES["configuration.md"]
    keywords = inspect.signature(Gateway).parameters
    assert [name for name in keywords if f"| `{name}` |" not in page] == []
    assert [name for name in PRESETS if f"`{name}`" not in page] == []


@pytest.mark.parametrize("kind", [UsageRecord, Attempt])
def test_every_field_is_in_the_docs(kind: type[msgspec.Struct]) -> None:
    rows = [row.split("`")[1] for row in PAGES["records.md"].splitlines() if row[:3] == "| `"]
    fields = list(kind.__struct_fields__)
    assert any(rows[start : start + len(fields)] == fields for start in range(len(rows)))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page == "README.md" else ROOT / "docs"
    links = re.findall(r"\]\(([^)#]+)\)", PAGES[page])
    assert [link for link in links if "://" not in link and not (folder / link).exists()] == []
