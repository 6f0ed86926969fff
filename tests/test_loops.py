from __future__ import annotations

import threading

import anyio
import anyio.lowlevel
import pytest

from waystone_asgi.loops import by_itself, on_asyncio, spawn, waker

pytestmark = pytest.mark.anyio


async def test_which_loop_runs(anyio_backend_name: str) -> None:
    assert on_asyncio() == (anyio_backend_name == "asyncio")


async def test_it_is_woken_from_a_thread() -> None:
    woken = anyio.Event()
    thread = threading.Thread(target=waker(), args=[woken.set])
    thread.start()
    await woken.wait()
    thread.join()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_that_ended_is_not_woken(backend: str) -> None:
    async def wake() -> object:
        return waker()

    wake_up = anyio.run(wake, backend=backend)
    with pytest.raises(RuntimeError):
        wake_up(print)  # type: ignore[operator]


async def test_a_task_outlives_the_scope_that_began_it() -> None:
    steps: list[str] = []
    ended = anyio.Event()

    async def work(name: str) -> None:
        await anyio.lowlevel.checkpoint()
        steps.append(name)
        ended.set()

    with anyio.CancelScope() as scope:
        task = spawn(work, "late")
        scope.cancel()
        await anyio.lowlevel.checkpoint()
    assert task is not None
    await ended.wait()
    assert steps == ["late"]


async def test_what_runs_by_itself_is_awaited() -> None:
    async def work(result: int) -> int:
        await anyio.lowlevel.checkpoint()
        if not result:
            raise KeyError
        return result

    assert await by_itself(work(7)) == 7
    with pytest.raises(KeyError):
        await by_itself(work(0))


async def test_what_runs_by_itself_is_cancelled_with_who_awaits_it() -> None:
    steps: list[str] = []
    begun = anyio.Event()

    async def work() -> None:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            steps.append("work")

    async def wait() -> None:
        try:
            await by_itself(work())
        finally:
            steps.append("wait")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await begun.wait()
        tasks.cancel_scope.cancel()
    assert steps == ["work", "wait"]
