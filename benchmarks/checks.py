"""Whether the answers are right, looked at outside the timed parts.

In: a running server. Out: notes on what differs, or `ValueError` when what came is no answer. It
decodes everything, which the load does not.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import payloads

if TYPE_CHECKING:
    from .contenders import Server
    from .load import Address

_SECONDS = 30.0


def exchange(address: Address, request: bytes) -> tuple[int, bytes]:
    """Status and whole body of the answer to an HTTP request in bytes."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    method, path, _ = line.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    with closing(http.client.HTTPConnection(*address, timeout=_SECONDS)) as connection:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return response.status, response.read()


def check_contender(server: Server, models: Sequence[str]) -> list[str]:
    """Ask for each model once, and look at the whole answer."""
    notes: list[str] = []
    for model in models:
        verb, *words = model.split("-")
        if verb == "json":
            notes += _check_whole(server, model)
        elif verb in ("stream", "burst") and server.name != "direct":
            notes += _check_stream(server, model, int(words[0]))
    return notes


def check_ledger(server: Server) -> list[str]:
    """Whether the ledger holds one record for each request."""
    if server.ledger is None:
        return []
    records = count_records(server.ledger)
    if records == server.asked:
        return []
    return [f"{server.name}: {records} records in the ledger after {server.asked} requests"]


def count_records(ledger: Path) -> int:
    """How many usage records a ledger has."""
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as connection:
        count: int = connection.execute("SELECT count(*) FROM usage_records").fetchone()[0]
        return count


def _ask(server: Server, request: bytes) -> tuple[int, bytes]:
    server.asked += 1
    return exchange(server.address, request)


def _check_whole(server: Server, model: str) -> list[str]:
    status, body = _ask(server, server.request(model))
    if status != 200:
        raise ValueError(f"{model}: status {status}: {body[:300]!r}")
    wanted, got = json.loads(payloads.answer()), json.loads(body)
    return _differences(server.name, _facts(wanted), _facts(got))


def _check_stream(server: Server, model: str, events: int) -> list[str]:
    status, body = _ask(server, server.request(model, stream=True))
    if status != 200:
        raise ValueError(f"{model}: status {status}: {body[:300]!r}")
    lines = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    chunks = [json.loads(line) for line in lines if line != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk.get("choices") or ()]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    usage = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    wanted = {
        "text": "".join(payloads.WORDS[n % len(payloads.WORDS)] for n in range(events)),
        "total tokens": 119,
        "done": True,
    }
    got = {
        "text": text,
        "total tokens": usage[-1]["total_tokens"] if usage else None,
        "done": lines[-1:] == ["[DONE]"],
    }
    notes = _differences(server.name, wanted, got)
    if len(lines) != events + payloads.EXTRA_EVENTS:
        notes.append(
            f"{server.name}: {len(lines)} events for {events + payloads.EXTRA_EVENTS} of {model}"
        )
    return notes


def _facts(answer: dict[str, Any]) -> dict[str, object]:
    choice = answer["choices"][0]
    return {
        "id": answer["id"],
        "text": choice["message"]["content"],
        "finish reason": choice["finish_reason"],
        "total tokens": answer["usage"]["total_tokens"],
    }


def _differences(name: str, wanted: dict[str, object], got: dict[str, object]) -> list[str]:
    return [
        f"{name}: {what} is {str(got[what])[:60]!r}, not {str(value)[:60]!r}"
        for what, value in wanted.items()
        if got[what] != value
    ]
