"""Thousands of callers who leave at any point: one record each, and nothing is left of them.

`WAYSTONE_TEST_LEAVERS=10000` makes them ten thousand.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from .flowing import sockets
from .keys import KEY
from .ledger import Ledger
from .processes import Served, serving

CALLERS = int(os.environ.get("WAYSTONE_TEST_LEAVERS", "4000"))
AT_ONCE = 64
SEED = 5


class Leaver:
    """One caller, who leaves at a point of its choice, or not at all."""

    def __init__(self, number: int, chance: random.Random) -> None:
        document = {
            "model": "openai/flowing",
            "messages": [{"role": "user", "content": "hello"}],
            "stream": chance.random() < 0.6,
        }
        body = json.dumps(document).encode()
        key = KEY if chance.random() < 0.95 else "wk_wrong"
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            f"authorization: Bearer {key}\r\nx-request-id: req-{number}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._chance = chance.random()
        self._point = chance.random()
        self.how = ""

    async def __call__(self, port: int) -> None:
        """Come and go."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            with suppress(ConnectionError):
                await self._ask(reader, writer)
        finally:
            # Half of those who leave reset the connection.
            if self.how != "stayed" and self._point < 0.5:
                writer.transport.abort()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._chance < 0.15:
            self.how = "amid the request"
            writer.write(self._request[: int(self._point * len(self._request))])
            await writer.drain()
            return
        writer.write(self._request)
        await writer.drain()
        if self._chance < 0.5:
            self.how = "after a while"
            await asyncio.sleep(self._point * 0.05)
        elif self._chance < 0.85:
            self.how = "amid the answer"
            with suppress(asyncio.IncompleteReadError):
                await reader.readexactly(1 + int(self._point * 3000))
        else:
            self.how = "stayed"
            await reader.read()


async def come_and_go(served: Served, number: int) -> Counter[str]:
    """So many callers, some at a time; how they left."""
    chance = random.Random(SEED)
    waiting = [Leaver(number, chance) for number in range(number)]
    found: Counter[str] = Counter()

    async def one_after_the_other() -> None:
        while waiting:
            leaver = waiting.pop()
            await leaver(served.port)
            found[leaver.how] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(one_after_the_other())
    return found


class Watch:
    """Asks a process what it has left, and compares it with what it had at first."""

    def __init__(self, served: Served) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        self._allowed = self.left()
        # A gateway keeps connections to its provider, not more than it had callers at a time.
        self._allowed["sockets"] += AT_ONCE

    def left(self) -> dict[str, Any]:
        """What it has left."""
        try:
            self._connection.request("GET", "/left")
            response = self._connection.getresponse()
        except ConnectionError:
            # It lasts some seconds only: what is closed is opened again.
            self._connection.close()
            return self.left()
        found: dict[str, Any] = json.loads(response.read())
        return found

    def over(self, found: dict[str, Any]) -> bool:
        """Whether that is no more than it may have."""
        return all(found[name] <= self._allowed[name] for name in found if name != "known")

    def settled(self) -> dict[str, Any]:
        """What it has left once it is no more than it may have, or after a long time."""
        deadline = time.monotonic() + 30
        while not self.over(found := self.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        print(f"allowed {self._allowed}, now {found}")  # noqa: T201
        return found

    def close(self) -> None:
        """Go."""
        self._connection.close()


@contextmanager
def gateway(server: str, directory: Path) -> Iterator[tuple[Served, Served]]:
    """A gateway under the server, and its provider."""
    command = ["tests.servers.serve", "uvicorn-uvloop", "{fd}", "tests.servers.flowing"]
    with serving(command, directory / "provider.log") as provider:
        ledger = f"sqlite:///{directory / 'ledger.db'}"
        environment = {"PROVIDER_URL": provider.url, "LEDGER": ledger}
        command = ["tests.servers.serve", server, "{fd}", "tests.servers.watched"]
        with serving(command, directory / "gateway.log", environment) as served:
            yield served, provider


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("server", "share"), [("uvicorn-uvloop", 1), ("hypercorn-trio", 20)])
def test_a_record_each_and_nothing_left(tmp_path: Path, server: str, share: int) -> None:
    with (
        gateway(server, tmp_path) as (served, provider),
        closing(Watch(served)) as watch,
        closing(Watch(provider)) as other,
    ):
        own = sockets()
        began = time.monotonic()
        how = asyncio.run(come_and_go(served, CALLERS // share))
        seconds = time.monotonic() - began
        assert other.over(other.settled())
        found = watch.settled()
        assert watch.over(found)
        assert sockets() == own
    rows = Ledger(tmp_path / "ledger.db").rows()
    outcomes = Counter((row["outcome"], row["usage_source"]) for row in rows)
    print(f"{server}: {how.total()} callers in {seconds:.1f} s: {dict(how)}")  # noqa: T201
    print(f"{found['known']} known, {len(rows)} records: {dict(outcomes)}")  # noqa: T201
    assert len(rows) == len({row["id"] for row in rows}) == found["known"]
    assert {outcome for outcome, _ in outcomes} <= {"ok", "cancelled"}
    assert "ERROR" not in served.log
