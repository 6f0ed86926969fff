"""Callers who leave: noticed after a while, once, and only while there is something to cancel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from waystone_asgi import departures
from waystone_asgi.departures import PATIENCE_SECONDS, Departures, Visit
from waystone_asgi.exceptions import CallerLeft, OverloadedError
from waystone_asgi.types import Message

pytestmark = pytest.mark.anyio

DISCONNECT = {"type": "http.disconnect"}


class Door:
    """The `receive` of one caller, who may send more before leaving; counts who waits at it."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self._left = anyio.Event()
        self.calls = 0
        self.waiting = 0

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> Message:
        self.calls += 1
        if self._messages:
            return self._messages.pop(0)
        self.waiting += 1
        try:
            await self._left.wait()
        finally:
            self.waiting -= 1
        return DISCONNECT


async def until(condition: Callable[[], bool]) -> None:
    """Let the others run until the condition holds."""
    with anyio.fail_after(5):
        while not condition():
            await anyio.lowlevel.checkpoint()


class Watching:
    """A task group in which departures are watched, ended by leaving.

    `at_once` lets visits begin before the watching does, which makes no difference to them.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.departures = Departures()
        self._at_once = at_once

    async def __aenter__(self) -> Departures:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self.departures.run, self._tasks)
        if not self._at_once:
            await anyio.wait_all_tasks_blocked()
        return self.departures

    async def __aexit__(self, *error: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)


async def stay(visit: Visit) -> None:
    """What a request does that waits for its provider."""
    with visit:
        await anyio.sleep_forever()


async def set_when_others_wait(event: anyio.Event) -> None:
    await anyio.wait_all_tasks_blocked()
    event.set()


at_any_time = pytest.mark.parametrize("at_once", [False, True])


@at_any_time
@pytest.mark.parametrize("more", [(), ({"type": "http.request", "body": b""},) * 3])
async def test_a_caller_who_leaves_cancels_the_visit(
    more: tuple[Message, ...], at_once: bool
) -> None:
    door = Door(*more)
    async with Watching(at_once) as watched:
        visit = watched.visit(door.receive)
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stay, visit)
            door.leave()
        assert visit.gone
        # The clock of an event loop may stand still for a millisecond.
        assert anyio.current_time() - began >= PATIENCE_SECONDS - 0.002


async def test_a_caller_who_stays_is_not_noticed() -> None:
    door = Door()
    async with Watching() as watched:
        with watched.visit(door.receive) as visit:
            await until(lambda: door.waiting == 1)
        assert not visit.gone
        await until(lambda: door.waiting == 0)


async def test_a_short_visit_costs_no_watch() -> None:
    doors = [Door() for _ in range(5)]
    last = Door()
    async with Watching() as watched:
        for door in doors:
            with watched.visit(door.receive):
                pass
        with watched.visit(last.receive):
            await until(lambda: last.waiting == 1)
    assert [door.calls for door in doors] == [0] * 5


async def test_a_visit_that_ends_while_the_ticker_sleeps_is_not_watched() -> None:
    door, last = Door(), Door()
    async with Watching() as watched:
        with watched.visit(door.receive):
            await anyio.wait_all_tasks_blocked()
        with watched.visit(last.receive):
            await until(lambda: last.waiting == 1)
    assert door.calls == 0


async def test_a_visit_that_ends_before_its_watch_begins_is_not_watched() -> None:
    door = Door()
    async with Watching() as watched, anyio.create_task_group() as tasks:
        with watched.visit(door.receive) as visit:
            visit.watch(tasks)
        await anyio.wait_all_tasks_blocked()
    assert door.calls == 0


async def test_after_the_answer_is_complete_a_departure_cancels_nothing() -> None:
    door = Door()
    async with Watching() as watched:
        with watched.visit(door.receive) as visit:
            await until(lambda: door.waiting == 1)
            visit.end()
            door.leave()
            await until(lambda: door.waiting == 0)
            await anyio.lowlevel.checkpoint()
        assert not visit.gone


@at_any_time
async def test_a_cancelled_visit_cancels_nothing_after_it(at_once: bool) -> None:
    async with Watching(at_once) as watched:
        for _ in range(2):
            with watched.visit(Door().receive) as visit:
                visit.cancel(CallerLeft())
                await anyio.sleep_forever()
            assert visit.gone
            for _ in range(3):
                await anyio.lowlevel.checkpoint()


@at_any_time
@pytest.mark.parametrize("first", ["visit", "scope"])
async def test_a_server_that_cancels_as_well_is_obeyed(first: str, at_once: bool) -> None:
    passed = False
    async with Watching(at_once) as watched:
        with anyio.CancelScope() as scope:
            with watched.visit(Door().receive) as visit:
                leave = partial(visit.cancel, CallerLeft())
                for cancel in (leave, scope.cancel) if first == "visit" else (scope.cancel, leave):
                    cancel()
                await anyio.sleep_forever()
            await anyio.lowlevel.checkpoint()
            passed = True
        assert scope.cancelled_caught
        assert not passed
        await anyio.lowlevel.checkpoint()


async def test_nobody_else_takes_from_receive_while_the_body_is_read() -> None:
    reading, last = Door(), Door()
    async with Watching() as watched:
        with watched.visit(reading.receive, reading=True) as visit:
            with watched.visit(last.receive):
                await until(lambda: last.waiting == 1)
            assert reading.calls == 0
            visit.listen()
            await until(lambda: reading.waiting == 1)


async def test_the_end_of_the_gateway_cancels_who_still_sends_a_body() -> None:
    watched, left = Watching(), anyio.Event()

    async def read() -> None:
        with watched.departures.visit(Door().receive, reading=True) as visit:
            await anyio.sleep_forever()
        assert visit.gone
        left.set()

    async with anyio.create_task_group() as tasks:
        async with watched:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
        assert left.is_set()


async def test_many_visits_are_watched_each_for_itself() -> None:
    doors = [Door() for _ in range(20)]
    async with Watching() as watched:
        visits = [watched.visit(door.receive) for door in doors]
        async with anyio.create_task_group() as tasks:
            for visit in visits:
                tasks.start_soon(stay, visit)
            await until(lambda: all(door.waiting for door in doors))
            doors[7].leave()
            await until(lambda: visits[7].ended)
            assert [number for number, visit in enumerate(visits) if visit.gone] == [7]
            tasks.cancel_scope.cancel()


async def test_a_receive_that_never_waits_holds_up_nobody() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async with Watching() as watched:
        door = Door()
        broken, visit = watched.visit(receive), watched.visit(door.receive)
        with broken, visit:
            await until(lambda: door.waiting == 1)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            assert not broken.gone
            assert not visit.gone


async def test_a_receive_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def receive() -> Message:
        raise OSError("no more messages")

    door = Door()
    async with Watching() as watched:
        broken, visit = watched.visit(receive), watched.visit(door.receive)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stay, broken)
            tasks.start_soon(stay, visit)
            await until(lambda: "no more messages" in caplog.text and door.waiting == 1)
            assert not broken.gone
            door.leave()
            await until(lambda: visit.gone)
            tasks.cancel_scope.cancel()


async def test_the_end_of_the_gateway_cancels_what_is_under_way() -> None:
    left: list[object] = []

    async def request(visit: Visit) -> None:
        await stay(visit)
        left.append(type(visit.gone))

    watched = Watching()
    async with anyio.create_task_group() as tasks:
        async with watched:
            for _ in range(3):
                tasks.start_soon(request, watched.departures.visit(Door().receive))
            await anyio.wait_all_tasks_blocked()
        assert left == [OverloadedError] * 3


async def test_the_end_of_the_gateway_lets_answered_visits_end() -> None:
    released = anyio.Event()
    left: list[object] = []

    async def answered(visit: Visit) -> None:
        with visit:
            visit.end()
            await released.wait()
        left.append(type(visit.gone))

    watched = Watching()
    async with anyio.create_task_group() as tasks:
        async with watched:
            tasks.start_soon(answered, watched.departures.visit(Door().receive))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(set_when_others_wait, released)
        assert left == [type(None)]


async def test_the_end_of_the_gateway_waits_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "FAREWELL_SECONDS", 0.01)
    released = anyio.Event()

    async def stubborn(visit: Visit) -> None:
        with visit, anyio.CancelScope(shield=True):
            await released.wait()

    watched = Watching()
    async with anyio.create_task_group() as tasks:
        async with watched:
            tasks.start_soon(stubborn, watched.departures.visit(Door().receive))
            await anyio.wait_all_tasks_blocked()
        released.set()


async def test_visits_are_dismissed_twice_and_while_others_begin() -> None:
    watched = Departures()
    first, second = (watched.visit(Door().receive) for _ in range(2))
    async with anyio.create_task_group() as tasks:
        with first:
            first.end()
            for _ in range(2):
                tasks.start_soon(watched.dismiss)
            await anyio.wait_all_tasks_blocked()
        # Nobody has noticed yet that there is none left.
        with second:
            second.end()
            await anyio.wait_all_tasks_blocked()
    assert first.gone is second.gone is None


async def test_it_runs_again_after_it_ended() -> None:
    door, watched = Door(), Watching()
    for _ in range(2):
        async with watched:
            with watched.departures.visit(door.receive):
                await until(lambda: door.waiting == 1)


async def test_an_exception_of_the_visit_passes() -> None:
    async with Watching() as watched:
        with pytest.raises(KeyError), watched.visit(Door().receive):
            raise KeyError
