from __future__ import annotations

import threading
from collections.abc import Sequence

import anyio
import pytest

from waystone_asgi.limits.background import Background
from waystone_asgi.limits.worker import BATCH, Job, Worker

pytestmark = pytest.mark.anyio


class Doubler(Worker[int, list[int]]):
    """Doubles numbers, as soon as it may; fails at negative ones."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go = threading.Event()
        self.may_go.set()
        self.busy = threading.Event()
        self.batches: list[int] = []
        self.connections: list[list[int]] = []
        self.closed = 0

    def connect(self) -> list[int]:
        self.connections.append([])
        return self.connections[-1]

    def work(self, connection: list[int], jobs: Sequence[Job[int]]) -> None:
        self.busy.set()
        self.may_go.wait()
        self.batches.append(len(jobs))
        for job in jobs:
            if job.operation < 0:
                raise ValueError("negative")
            connection.append(job.operation)
            job.answer = 2 * job.operation

    def close(self, connection: list[int]) -> None:
        self.closed += 1
        raise OSError("broken")


async def test_what_has_queued_is_done_together() -> None:
    worker = Doubler()
    worker.may_go.clear()
    answers: list[object] = []

    async def ask(number: int) -> None:
        answers.append(await worker.do(number))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, 0)
        await anyio.to_thread.run_sync(worker.busy.wait)
        for number in range(1, 2 * BATCH):
            tasks.start_soon(ask, number)
        await anyio.wait_all_tasks_blocked()
        worker.may_go.set()
    assert sorted(answers) == [2 * number for number in range(2 * BATCH)]  # type: ignore[type-var]
    assert worker.batches == [1, BATCH, BATCH - 1]
    assert len(worker.connections) == 1
    await worker.aclose()
    assert worker.closed == 1


async def test_after_an_error_it_connects_again() -> None:
    worker = Doubler()
    assert await worker.do(1) == 2
    with pytest.raises(ValueError, match="negative"):
        await worker.do(-1)
    assert await worker.do(3) == 6
    assert worker.connections == [[1], [3]]
    assert worker.closed == 1
    await worker.aclose()


async def test_at_its_end_it_does_what_has_queued() -> None:
    worker = Doubler()
    worker.may_go.clear()
    answers: list[object] = []

    async def ask(number: int) -> None:
        answers.append(await worker.do(number))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, 1)
        await anyio.to_thread.run_sync(worker.busy.wait)
        tasks.start_soon(ask, 2)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(worker.aclose)
        await anyio.wait_all_tasks_blocked()
        worker.may_go.set()
    assert sorted(answers) == [2, 4]  # type: ignore[type-var]
    assert worker.closed == 1
    assert await worker.do(3) == 6
    await worker.aclose()


async def test_work_that_stops_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise OSError("gone")

    background = Background(work)
    background.start()
    await background.aclose()
    await background.aclose()
    background.start()
    await anyio.wait_all_tasks_blocked()
    await background.aclose()
    assert "stopped" in caplog.text


async def test_work_goes_on_until_it_is_closed() -> None:
    steps: list[str] = []

    async def work() -> None:
        steps.append("began")
        try:
            await anyio.sleep_forever()
        finally:
            steps.append("ended")

    background = Background(work)
    background.start()
    await anyio.wait_all_tasks_blocked()
    assert steps == ["began"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(background.aclose)
    assert steps == ["began", "ended"]
