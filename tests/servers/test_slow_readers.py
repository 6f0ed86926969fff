"""A caller who does not read costs the memory of its own answer, and nobody else any time."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .ledger import Ledger
from .processes import Served, serving
from .provider import (
    USAGE,
    Behaviour,
    Exchange,
    ScriptedProvider,
    by_name,
    chunk,
    completion,
    scripted_provider,
)
from .test_shutdown import complete, wait_until
from .wire import Caller

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SERVERS = {
    "uvicorn-uvloop": "the transport on asyncio",
    "hypercorn-trio": "the one through httpx",
}
OTHERS = 50
MEBIBYTE = 1024 * 1024
EVENTS = 3000
TEXT = "x" * 16_000
STREAM_BYTES = EVENTS * len(TEXT)
"""Much more than all buffers between the provider and the caller can hold, in this machine too."""

JSON_BYTES = 8 * MEBIBYTE


async def long(exchange: Exchange) -> None:
    """A long stream, as fast as it is taken."""
    await exchange.head(200, "text/event-stream", None)
    for _ in range(EVENTS):
        await exchange.event(chunk("long", {"content": TEXT}))
    await exchange.event(chunk("long", {}, "stop"))
    await exchange.event("[DONE]")
    await exchange.end()


async def big(exchange: Exchange) -> None:
    """A long answer in one piece."""
    await exchange.json(200, completion("big", {"content": "x" * JSON_BYTES}))


def choose(exchange: Exchange) -> Behaviour:
    return {"long": long, "big": big}.get(exchange.model) or by_name(exchange)


@pytest.fixture(scope="module")
def generous() -> Iterator[ScriptedProvider]:
    """A provider of long answers."""
    with scripted_provider(choose) as provider:
        yield provider


@pytest.fixture(params=SERVERS)
def served(
    request: pytest.FixtureRequest, generous: ScriptedProvider, tmp_path: Path
) -> Iterator[Served]:
    environment = {
        "PROVIDER_URL": generous.url,
        "LEDGERS": str(tmp_path),
        "LIFESPAN": "yes",
        "FIRST_BYTE_SECONDS": "20",  # Fifty at once take a while where the machine is busy.
    }
    command = ["tests.servers.serve", request.param, "{fd}", "tests.servers.host"]
    with serving(command, tmp_path / "server.log", environment) as served:
        yield served


def ask_all(served: Served) -> float:
    """All the others ask at the same time, whole and streamed; how long the last one took."""

    def ask(number: int) -> float:
        began = time.monotonic()
        complete(served, "openai/plain", stream=bool(number % 2))
        return time.monotonic() - began

    with ThreadPoolExecutor(OTHERS) as pool:
        return max(pool.map(ask, range(OTHERS)))


def come_to_rest(exchange: Exchange) -> None:
    """Wait until the provider has written nothing for a while."""
    seen, since = -1, 0.0

    def resting() -> bool:
        nonlocal seen, since
        if len(exchange.writes) != seen:
            seen, since = len(exchange.writes), time.monotonic()
        return time.monotonic() - since > 0.5

    wait_until(resting)


def test_a_stream_that_nobody_reads(
    served: Served, generous: ScriptedProvider, tmp_path: Path
) -> None:
    alone = min(ask_all(served) for _ in range(3))
    before = served.memory
    with Caller(served, "openai/long", stream=True) as slow:
        slow.send()
        exchange = generous.take("long")
        come_to_rest(exchange)
        beside = min(ask_all(served) for _ in range(3))
        # The provider's socket is not read: it holds the rest, and the gateway a little of it.
        written = len(exchange.writes) * len(TEXT)
        print(  # noqa: T201
            f"written {written / MEBIBYTE:.1f} of {STREAM_BYTES / MEBIBYTE:.1f} MiB, "
            f"memory +{(served.memory - before) / MEBIBYTE:.1f} MiB, "
            f"others {alone * 1000:.0f} and {beside * 1000:.0f} ms"
        )
        assert written < STREAM_BYTES / 2
        assert served.memory - before < 8 * MEBIBYTE
        assert beside < 5 * alone + 2.0
        received = slow.read_all_until(b"[DONE]")
        assert received.count(b"chat.completion.chunk") == EVENTS + 1
        assert received.count(b"x") > STREAM_BYTES
    row = Ledger(tmp_path / "main.db").wait(slow.request_id)
    assert (row["status"], row["outcome"]) == (200, "ok")


def test_an_answer_that_nobody_reads(
    served: Served, generous: ScriptedProvider, tmp_path: Path
) -> None:
    alone = min(ask_all(served) for _ in range(3))
    before = served.memory
    with Caller(served, "openai/big", stream=False) as slow:
        slow.send()
        come_to_rest(generous.take("big"))
        beside = min(ask_all(served) for _ in range(3))
        print(  # noqa: T201
            f"memory +{(served.memory - before) / MEBIBYTE:.1f} MiB, "
            f"others {alone * 1000:.0f} and {beside * 1000:.0f} ms"
        )
        assert served.memory - before < 6 * JSON_BYTES
        assert beside < 5 * alone + 2.0
        received = slow.read_all_until(b"}}")
        head, _, body = received.partition(b"\r\n\r\n")
    assert b" 200 " in head
    answer = json.loads(body)
    assert len(answer["choices"][0]["message"]["content"]) == JSON_BYTES
    assert answer["usage"]["prompt_tokens"] == USAGE["prompt_tokens"]
    row = Ledger(tmp_path / "main.db").wait(slow.request_id)
    assert (row["status"], row["outcome"]) == (200, "ok")
