"""Several gateways that count together, each in a process, and callers who ask until refused."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .keys import KEY, UPSTREAM_KEY
from .processes import Served, serving
from .steady import INPUT_TOKENS

PATIENCE = 5
MAX_OUTPUT_TOKENS = 10
_BYTES = INPUT_TOKENS * 4
"""A request is taken to have a token for each four bytes."""


class Used(NamedTuple):
    """What a user's answered requests came to."""

    requests: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)


def configuration(provider: str, state: str, ledger: Path, **more: object) -> dict[str, Any]:
    """A configuration as a file would have it; a token costs 2 cents.

    The deadline is so long that a busy machine makes no process count by itself.
    """
    price = {"input_mtok": 20_000, "output_mtok": 20_000}
    models = ["ten", "nine", "plain", "silent"]
    return {
        "api_keys": [KEY],
        "providers": {
            "openai": {"base_url": f"{provider}/v1", "api_key": UPSTREAM_KEY, "models": models}
        },
        "prices": {f"openai/{model}": price for model in models},
        "usage": {"url": f"sqlite:///{ledger}"},
        "state": {"url": state, "deadline": 20.0},
        **more,
    }


@contextmanager
def gateways(
    count: int, directory: Path, configuration: dict[str, Any]
) -> Iterator[Sequence[Served]]:
    """So many processes of the same configuration."""
    environment = {"CONFIGURATION": json.dumps(configuration)}
    command = ["tests.servers.serve", "uvicorn-uvloop", "{fd}", "tests.servers.counted"]
    with ExitStack() as stack:
        yield [
            stack.enter_context(serving(command, directory / f"gateway-{number}.log", environment))
            for number in range(count)
        ]


@contextmanager
def steady_provider(directory: Path) -> Iterator[Served]:
    """The steady provider, in a process of its own."""
    command = ["tests.servers.serve", "uvicorn-uvloop", "{fd}", "tests.servers.steady"]
    with serving(command, directory / "provider.log") as served:
        yield served


class Caller:
    """One caller on a connection that lasts, who asks for a user."""

    def __init__(self, served: Served, user: str, model: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        document = {
            "model": f"openai/{model}",
            "messages": [{"role": "user", "content": "hello"}],
            "max_completion_tokens": MAX_OUTPUT_TOKENS,
            "metadata": {"waystone": json.dumps({"user": user})},
        }
        self._body = json.dumps(document, separators=(",", ":")).encode().ljust(_BYTES)
        assert len(self._body) == _BYTES
        self.seconds = 0.0

    def send(self) -> None:
        """Send the request, and nothing more."""
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", self._body, headers)

    def ask(self) -> int:
        """Send the request; the status of its answer. `seconds` is how long that took."""
        began = time.monotonic()
        self.send()
        answer = self._connection.getresponse()
        answer.read()
        self.seconds = time.monotonic() - began
        return answer.status

    def close(self) -> None:
        """Leave."""
        self._connection.close()


def ask_until_refused(user: str, model: str, served: Served) -> Counter[int]:
    """Ask until refused some times in a row; how often each status came."""
    statuses: Counter[int] = Counter()
    refused = 0
    with closing(Caller(served, user, model)) as caller:
        while refused < PATIENCE:
            status = caller.ask()
            statuses[status] += 1
            if status == 200:
                refused = 0
            else:
                refused += 1
                time.sleep(0.02)
    return statuses


def wait_for_counters(served: Served, user: str, model: str) -> None:
    """Return when a user is answered whom a rule that fails closed is for.

    A gateway that has just started on a busy machine may not have reached them in a second.
    """
    deadline = time.monotonic() + 30
    with closing(Caller(served, user, model)) as caller:
        while caller.ask() != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def spend(served: Sequence[Served], callers: int, user: str, model: str) -> Counter[int]:
    """So many callers ask each gateway, all at the same time; how often each status came."""
    everybody = [each for each in served for _ in range(callers)]
    with ThreadPoolExecutor(len(everybody)) as pool:
        found = pool.map(partial(ask_until_refused, user, model), everybody)
        return sum(found, Counter[int]())


def used(ledger: Path, user: str) -> Used:
    """What the records of a user that are in the ledger come to."""
    query = """
        SELECT input_tokens + output_tokens, cost_usd FROM usage_records
        WHERE outcome = 'ok' AND user = ?
    """
    with closing(sqlite3.connect(ledger)) as connection:
        rows = connection.execute(query, (user,)).fetchall()
    tokens, costs = [row[0] for row in rows], [Decimal(row[1]) for row in rows]
    return Used(len(rows), sum(tokens), sum(costs, Decimal(0)))
