"""Ending a server: what is in flight is answered, and every record is in the ledger."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median

import pytest

from .conftest import Start
from .ledger import Ledger
from .processes import Served
from .provider import ScriptedProvider
from .serve import SERVERS
from .wire import Caller

BATCH_SECONDS = 0.2

every_server = pytest.mark.parametrize("server", SERVERS)
every_life = pytest.mark.parametrize("lifespan", [True, False], ids=["lifespan", "lazy"])


def complete(served: Served, model: str = "echo/echo", *, stream: bool = False) -> str:
    """One answered request; its id."""
    with Caller(served, model, stream=stream) as caller:
        caller.send()
        end = b"[DONE]" if stream else b'"usage"'
        assert end in caller.read_until(end), caller.received
        return caller.request_id


@every_server
@every_life
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_loses_no_answer_and_no_record(
    start: Start,
    tmp_path: Path,
    provider: ScriptedProvider,
    server: str,
    lifespan: bool,
    number: signal.Signals,
) -> None:
    provider.forget()
    ledger = Ledger(tmp_path / "main.db")
    with (
        start(server, tmp_path, lifespan=lifespan) as served,
        Caller(served, "openai/half", stream=True) as half,
        Caller(served, "openai/silent", stream=True) as silent,
        ThreadPoolExecutor(1) as pool,
    ):
        half.send()
        silent.send()
        held = {model: provider.take(model) for model in ("half", "silent")}
        assert all(exchange.held.wait(5) for exchange in held.values())
        answered = [complete(served, stream=bool(count % 2)) for count in range(10)]
        ended = pool.submit(served.end, number)
        wait_until_it_refuses(served)
        held["half"].release()
        # So the last record is made when its batch may be the last thing that the server waits for.
        ledger.wait(half.request_id)
        held["silent"].release()
        for caller in (half, silent):
            assert b"[DONE]" in caller.read_until(b"[DONE]")
        ended.result()
    rows = ledger.rows()
    expected = [*answered, half.request_id, silent.request_id]
    assert sorted(row["request_id"] for row in rows) == sorted(expected)
    assert {row["outcome"] for row in rows} == {"ok"}


@every_server
@every_life
def test_a_second_interrupt_cancels_and_loses_no_record(
    start: Start, tmp_path: Path, provider: ScriptedProvider, server: str, lifespan: bool
) -> None:
    provider.forget()
    with (
        start(server, tmp_path, lifespan=lifespan) as served,
        Caller(served, "openai/half", stream=True) as caller,
        ThreadPoolExecutor(1) as pool,
    ):
        caller.send()
        exchange = provider.take("half")
        assert exchange.held.wait(5)
        ended = pool.submit(served.end, signal.SIGINT)
        wait_until_it_refuses(served)
        served.end(signal.SIGINT)
        ended.result()
        assert exchange.closed.wait(5)
    [row] = Ledger(tmp_path / "main.db").rows()
    assert (row["request_id"], row["outcome"]) == (caller.request_id, "cancelled")


def test_sigkill_loses_at_most_the_last_batch(start: Start, tmp_path: Path) -> None:
    ages = []
    for number in range(3):
        directory = tmp_path / str(number)
        directory.mkdir()
        with start("uvicorn-uvloop", directory) as served:
            ages.append(kill(served, Ledger(directory / "main.db"), after=50 + 7 * number))
    print(f"the oldest lost record: {[f'{age * 1000:.0f} ms' for age in ages]}")  # noqa: T201
    assert median(ages) < BATCH_SECONDS


def kill(served: Served, ledger: Ledger, after: int) -> float:
    """How old the oldest answer is that has no record when the server was killed amid others."""
    answered: dict[str, float] = {}

    def go_on() -> None:
        with suppress(OSError, AssertionError):
            while True:
                request_id = complete(served)
                answered[request_id] = time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(go_on)
        try:
            wait_until(lambda: len(answered) > after)
        finally:
            killed = time.monotonic()
            served.end(signal.SIGKILL)
    lost = answered.keys() - {row["request_id"] for row in ledger.rows()}
    return max((killed - answered[request_id] for request_id in lost), default=0.0)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_it_refuses(served: Served) -> None:
    """Return once the server takes no new connections."""

    def refuses() -> bool:
        try:
            socket.create_connection(("127.0.0.1", served.port), 1).close()
        except OSError:
            return True
        return False

    wait_until(refuses)
