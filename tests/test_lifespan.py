"""Opening and closing: under a lifespan, at the first request, again, and when it goes wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from waystone_asgi import lifespan
from waystone_asgi.lifespan import Lifespan, serve_lifespan
from waystone_asgi.types import Message

pytestmark = pytest.mark.anyio


class Served:
    """What a gateway would hold open, as a log of what happened to it."""

    def __init__(self, max_drain: float = 30.0) -> None:
        self.log: list[str] = []
        self.life = Lifespan(self, refuse=self._refuse, cut=self._cut, max_drain=max_drain)
        self.cutting: list[Callable[[], None]] = []
        self.failing: Exception | None = None
        self.slow: anyio.Event | None = None
        self.broken: anyio.Event

    async def __call__(self, opened: Callable[[], None], closing: anyio.Event) -> None:
        self.broken = anyio.Event()
        if self.slow is not None:
            await self.slow.wait()
        if self.failing is not None:
            raise self.failing
        self.log.append("open")
        opened()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._break, tasks.cancel_scope)
                await closing.wait()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            self.log.append("closed")

    def _refuse(self) -> None:
        self.log.append("refused")

    async def _cut(self) -> None:
        self.log.append("cut")
        for function in self.cutting:
            function()

    async def _break(self, scope: anyio.CancelScope) -> None:
        await self.broken.wait()
        raise OSError("a cable was pulled")


async def until(condition: Callable[[], bool]) -> None:
    """Let the others run until the condition holds."""
    with anyio.fail_after(5):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_running_opens_on_entering_and_closes_on_leaving() -> None:
    served = Served()
    assert served.life.state == "idle"
    for _ in range(2):
        async with served.life.running():
            assert served.life.is_open
        assert served.life.state == "closed"
    assert served.log == ["open", "refused", "closed"] * 2


async def test_running_entered_again_does_nothing() -> None:
    served = Served()
    async with served.life.running():
        async with served.life.running():
            assert served.log == ["open"]
        assert served.life.is_open
    assert served.log == ["open", "refused", "closed"]


async def test_running_waits_for_what_is_in_flight() -> None:
    served = Served()
    events: list[str] = []

    async def request() -> None:
        served.life.enter()
        await until(lambda: served.life.state == "draining")
        events.append("answered")
        served.life.leave()

    async with anyio.create_task_group() as tasks:
        async with served.life.running():
            tasks.start_soon(request)
            await until(lambda: served.life.in_flight == 1)
        assert events == ["answered"]
        assert served.life.state == "closed"


async def test_one_of_two_requests_ending_does_not_end_the_draining() -> None:
    served = Served()
    ended: list[int] = []

    async def request(number: int) -> None:
        served.life.enter()
        await until(lambda: served.life.state == "draining" and len(ended) == number)
        ended.append(number)
        served.life.leave()

    async with anyio.create_task_group() as tasks:
        async with served.life.running():
            for number in range(2):
                tasks.start_soon(request, number)
            await until(lambda: served.life.in_flight == 2)
        assert ended == [0, 1]


async def test_what_is_not_over_in_time_is_cut() -> None:
    served = Served(max_drain=0)
    async with served.life.running():
        served.cutting.append(served.life.leave)
        served.life.enter()
    assert served.log == ["open", "refused", "cut", "closed"]


async def test_draining_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifespan, "FAREWELL_SECONDS", 0.01)
    served = Served(max_drain=0)
    async with served.life.running():
        served.life.enter()
    assert served.log == ["open", "refused", "cut", "closed"]


async def test_draining_before_the_end() -> None:
    served = Served()
    async with served.life.running():
        async with anyio.create_task_group() as tasks:
            served.life.enter()
            for _ in range(2):
                tasks.start_soon(served.life.drain)
            await anyio.wait_all_tasks_blocked()
            assert served.life.state == "draining"
            # One that comes before anybody has noticed that the last one went is waited for too.
            served.life.leave()
            served.life.enter()
            await anyio.wait_all_tasks_blocked()
            served.life.leave()
        # What comes now is refused, and nobody waits for it.
        served.life.enter()
        await served.life.drain()
    assert served.log == ["open", "refused", "closed"]
    await served.life.drain()
    assert served.life.state == "closed"


@pytest.mark.parametrize("stubborn", [False, True])
async def test_draining_can_be_cut_short(stubborn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifespan, "FAREWELL_SECONDS", 0.01)
    served = Served()
    if not stubborn:
        served.cutting.append(served.life.leave)
    with anyio.fail_after(10):
        async with served.life.running(), anyio.create_task_group() as tasks:
            served.life.enter()
            tasks.start_soon(served.life.drain)
            await anyio.wait_all_tasks_blocked()
            await served.life.drain(0)
    assert served.log == ["open", "refused", "cut", "closed"]


async def test_a_drained_gateway_that_a_request_opened_can_be_opened_again() -> None:
    served = Served()
    await served.life.ensure()
    await served.life.drain()
    assert served.life.state == "draining"
    async with served.life.running():
        assert served.life.is_open
    assert served.log == ["open", "refused", "closed", "open", "refused", "closed"]


async def test_entering_while_draining_waits_for_the_next_life() -> None:
    served = Served()
    entered = anyio.Event()

    async def enter() -> None:
        async with served.life.running():
            entered.set()

    async with anyio.create_task_group() as tasks:
        async with served.life.running():
            served.life.enter()
            tasks.start_soon(until, lambda: served.life.state == "draining")

            async def leave() -> None:
                await until(lambda: served.life.state == "draining")
                tasks.start_soon(enter)
                await anyio.wait_all_tasks_blocked()
                assert not entered.is_set()
                served.life.leave()

            tasks.start_soon(leave)
        await entered.wait()
    assert served.log == ["open", "refused", "closed"] * 2


async def test_an_exception_of_the_body_passes_unchanged() -> None:
    served = Served()
    with pytest.raises(KeyError, match="mine"):
        async with served.life.running():
            raise KeyError("mine")
    assert served.log == ["open", "refused", "closed"]


async def test_what_opening_raises_reaches_everybody_who_enters() -> None:
    served = Served()
    served.failing = OSError("no such disk")
    served.slow = anyio.Event()
    raised: list[str] = []

    async def enter() -> None:
        try:
            async with served.life.running():
                pass
        except OSError as error:
            raised.append(str(error))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        await until(lambda: served.life.state == "starting")
        tasks.start_soon(enter)
        await anyio.wait_all_tasks_blocked()
        served.slow.set()
    assert raised == ["no such disk"] * 2
    assert served.life.state == "closed"
    served.failing = None
    async with served.life.running():
        assert served.life.is_open


async def test_cancelled_while_open_it_drains_before_it_closes() -> None:
    served = Served()
    answered: list[str] = []

    async def request() -> None:
        await until(lambda: served.life.state == "draining")
        answered.extend(served.log)
        served.life.leave()

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with served.life.running():
                served.life.enter()
                tasks.start_soon(request)
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
    assert answered == ["open", "refused"]
    assert served.log == ["open", "refused", "closed"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_by_asyncio_itself_while_draining_it_closes() -> None:
    """That passes shields, and comes twice when a server is in a hurry."""
    served = Served()
    entered = anyio.Event()

    async def run() -> None:
        async with served.life.running():
            served.life.enter()
            entered.set()
            await anyio.sleep_forever()

    running = asyncio.create_task(run())
    await entered.wait()
    running.cancel()
    await until(lambda: served.life.state == "draining")
    running.cancel()
    await until(running.done)
    assert running.cancelled()
    assert served.log == ["open", "refused", "closed"]


async def test_cancelled_while_opening_it_does_not_wait() -> None:
    served = Served()
    served.slow = anyio.Event()
    with anyio.move_on_after(0.01) as scope:
        async with served.life.running():
            raise AssertionError("it never opened")
    assert scope.cancelled_caught
    assert served.life.state == "closed"


async def test_a_gateway_that_breaks_does_not_break_its_host(
    caplog: pytest.LogCaptureFixture,
) -> None:
    served = Served()
    async with served.life.running():
        served.broken.set()
        await until(lambda: served.life.state == "closed")
    assert "The gateway stopped." in caplog.text
    assert "a cable was pulled" in caplog.text


async def test_the_first_request_opens() -> None:
    served = Served()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(served.life.ensure)
    assert served.life.is_open
    assert served.log == ["open"]
    # Closes at its end, as the event loop would.
    async with served.life.running():
        pass


async def test_running_takes_over_what_a_request_opened() -> None:
    served = Served()
    await served.life.ensure()
    async with served.life.running():
        assert served.life.is_open
    assert served.log == ["open", "refused", "closed"]
    assert served.life.state == "closed"
    served.life.begin()
    assert served.life.state == "closed"


async def test_a_request_that_could_not_open_leaves_it_to_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    served = Served()
    served.failing = OSError("no such disk")
    for _ in range(2):
        with pytest.raises(OSError, match="no such disk"):
            await served.life.ensure()
        await until(lambda: served.life.state == "idle")
    assert caplog.text.count("The gateway could not open: no such disk") == 2


async def test_a_gateway_that_breaks_is_opened_by_the_next_request() -> None:
    served = Served()
    await served.life.ensure()
    served.broken.set()
    await until(lambda: served.life.state == "idle")
    await served.life.ensure()
    assert served.log == ["open", "closed", "open"]
    async with served.life.running():
        pass


# Several event loops, one after the other: what a test client or a script does.

LOOPS = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


def run(loop: str, function: Callable[[], Awaitable[None]]) -> None:
    backend, options = LOOPS[loop]
    anyio.run(function, backend=backend, backend_options=options)


@pytest.mark.parametrize("second", LOOPS)
@pytest.mark.parametrize("first", LOOPS)
def test_the_end_of_an_event_loop_closes_and_the_next_one_opens(first: str, second: str) -> None:
    served = Served()
    for loop in (first, second, first):
        run(loop, served.life.ensure)
        assert served.life.state == "idle"
    assert served.log == ["open", "closed"] * 3


@pytest.mark.parametrize("loop", LOOPS)
def test_an_event_loop_that_ends_while_opening_leaves_it_to_the_next(loop: str) -> None:
    served = Served()

    async def begin() -> None:
        served.slow = anyio.Event()
        served.life.begin()
        await anyio.wait_all_tasks_blocked()
        assert served.life.state == "starting"

    run(loop, begin)
    assert served.life.state == "idle"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_that_was_closed_without_its_tasks_is_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    served = Served()
    for _ in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(served.life.ensure())
        assert served.life.is_open
        loop.close()
        assert served.life.state == "idle"
    gc.collect()
    run("asyncio", served.life.ensure)
    assert served.log.count("open") == 3


# The protocol, message by message.


async def speak(
    running: Callable[[], object], *, on_send: Callable[[Message], None] = lambda message: None
) -> list[Message]:
    """Startup and shutdown as a server sends them; what the application answered."""
    received = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return received.pop()

    async def send(message: Message) -> None:
        on_send(message)
        sent.append(message)

    await serve_lifespan(running, receive, send)  # type: ignore[arg-type]
    return sent


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        (None, [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]),
        ("startup", [{"type": "lifespan.startup.failed", "message": "at startup"}]),
        (
            "shutdown",
            [
                {"type": "lifespan.startup.complete"},
                {"type": "lifespan.shutdown.failed", "message": "at shutdown"},
            ],
        ),
    ],
)
async def test_the_lifespan_protocol(fails: str | None, expected: list[Message]) -> None:
    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        if fails == "startup":
            raise RuntimeError("at startup")
        yield
        if fails == "shutdown":
            raise RuntimeError("at shutdown")

    assert await speak(running) == expected


async def test_what_the_server_raises_is_not_swallowed() -> None:
    """hypercorn raises out of `send` when it is told that the startup failed."""

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        raise RuntimeError("at startup")
        yield

    def refuse(message: Message) -> None:
        raise LookupError(message["type"])

    with pytest.raises(LookupError, match=r"lifespan\.startup\.failed"):
        await speak(running, on_send=refuse)
