"""Runs the main job once: two completions through a real server on this machine, then the ledger.

Nothing comes in. The built-in model needs no network and no key; the ledger is a temporary file.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..authentication import APIKey
from ..exceptions import WaystoneError
from ..gateway import Gateway
from ..providers import Provider
from .console import say, say_table
from .keys import new_key
from .serve import base_url, listen, run_server

if TYPE_CHECKING:
    from uvicorn import Server

HELP = "send two requests through a gateway with a built-in model"

PROMPT = "Every stone on the way says how far it is."
_COLUMNS = (
    *("operation", "principal", "user", "group", "provider", "response_model", "stream"),
    *("status", "outcome", "input_tokens", "output_tokens", "duration"),
)
_CLIENT = """
Your own, with the built-in model and each provider whose key is in the environment:

  waystone-asgi serve

  from openai import OpenAI
  client = OpenAI(base_url="http://127.0.0.1:3000/api/gateway/v1", api_key="wk_...")
  client.chat.completions.create(
      model="echo/echo", messages=[{"role": "user", "content": "Hello"}]
  )

  curl http://127.0.0.1:3000/api/gateway/v1/chat/completions \\
    -H "Authorization: Bearer wk_..." -H "Content-Type: application/json" \\
    -d '{"model": "echo/echo", "messages": [{"role": "user", "content": "Hello"}]}'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(arguments: argparse.Namespace) -> int:
    """Serve, ask, read the ledger, and show all three; raises `WaystoneError` when one is wrong."""
    with TemporaryDirectory(prefix="waystone-") as directory:
        ledger = Path(directory, "waystone.db")
        url, (whole, streamed) = _serve_and_ask(ledger)
        rows = read_rows(ledger)
    say(f"POST {url}/chat/completions")
    say_table([["", "whole", whole[0]], ["", "streamed", "|".join(streamed)]])
    say("\nThe ledger, table usage_records")
    say_table([["", *_COLUMNS], *(["", *row] for row in rows)])
    say(_CLIENT.rstrip())
    return 0


def _serve_and_ask(ledger: Path) -> tuple[str, list[list[str]]]:
    """The gateway's base URL, and the answers in the pieces in which they came."""
    key = new_key()
    gateway = Gateway(
        providers=[Provider(name="echo", type="echo", models=["echo"])],
        api_keys=[APIKey(key=key, id="demo")],
        usage={"url": f"sqlite:///{ledger}"},
    )
    asked: list[Future[list[list[str]]]] = []
    with listen("127.0.0.1", 0) as listener, ThreadPoolExecutor(1) as client:
        url = f"{base_url(listener)}{gateway.path}/v1"

        def opened(server: Server) -> None:
            asked.append(client.submit(ask, url, key))
            asked[0].add_done_callback(lambda _: setattr(server, "should_exit", True))

        run_server(gateway, listener, opened)
        return url, asked[0].result()


def ask(url: str, key: str) -> list[list[str]]:
    """Ask for the prompt back, whole and streamed; raises `WaystoneError` for any other answer."""
    answers = []
    for stream in (False, True):
        try:
            pieces = _complete(url, key, stream)
        except (OSError, HTTPException, LookupError, TypeError, ValueError) as error:
            raise WaystoneError(f"the demo got no proper answer: {error!r}") from error
        if "".join(pieces) != PROMPT:
            raise WaystoneError(f"the demo asked for {PROMPT!r} and got {pieces}")
        answers.append(pieces)
    return answers


def _complete(url: str, key: str, stream: bool) -> list[str]:
    target = urlsplit(url)
    with closing(HTTPConnection(target.netloc, timeout=10)) as connection:
        body = {
            "model": "echo/echo",
            "messages": [{"role": "user", "content": PROMPT}],
            "metadata": {"waystone": json.dumps({"user": "ann", "group": "acme"})},
            "stream": stream,
        }
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request(
            "POST", f"{target.path}/chat/completions", json.dumps(body).encode(), headers
        )
        response = connection.getresponse()
        if response.status != 200:
            raise WaystoneError(f"the demo got {response.status}: {response.read(1000)!r}")
        if stream:
            return _streamed(response)
        return [json.load(response)["choices"][0]["message"]["content"]]


def _streamed(response: HTTPResponse) -> list[str]:
    events = [line[6:].strip() for line in response if line.startswith(b"data: ")]
    if events[-1:] != [b"[DONE]"]:
        raise WaystoneError("the demo's stream was cut off")
    deltas = [choice["delta"] for event in events[:-1] for choice in json.loads(event)["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


def read_rows(ledger: Path) -> list[list[str]]:
    """The two rows of the ledger as text; raises `WaystoneError` when it has not kept them."""
    with closing(sqlite3.connect(ledger)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM usage_records ORDER BY time, id").fetchall()
    if [row["outcome"] for row in rows] != ["ok", "ok"]:
        raise WaystoneError(f"the demo's ledger has {len(rows)} rows, and not two that went well")
    return [[_cell(row[name]) for name in _COLUMNS] for row in rows]


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
