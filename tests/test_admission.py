"""Places and the line for them: nobody starved, no wake-up lost, no place leaked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf
from random import Random

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.admission import Line, Places, Waiter
from waystone_asgi.exceptions import CallerLeft, OverloadedError

pytestmark = pytest.mark.anyio

PRINCIPALS = "abcd"

# The line alone


def line_of(limit: int, *principals: str) -> tuple[Line, list[Waiter]]:
    """A line, and those who joined it, or tried to."""
    line = Line(limit)
    waiters = [Waiter(principal) for principal in principals]
    for waiter in waiters:
        line.join(waiter)
    return line, waiters


def order_of(line: Line) -> str:
    """Whose turn it is, until nobody waits."""
    return "".join(line.next().principal for _ in range(line.count))


@pytest.mark.parametrize(
    ("joining", "order"),
    [
        ("", ""),
        ("aaa", "aaa"),
        ("aab", "aba"),
        ("aaaab", "abaaa"),
        ("aaabbc", "abcaba"),
        ("abcabc", "abcabc"),
    ],
)
def test_principals_take_turns(joining: str, order: str) -> None:
    assert order_of(line_of(100, *joining)[0]) == order


def test_of_a_principal_who_came_first_goes_first() -> None:
    line, waiters = line_of(10, *"aaa")
    line.remove(waiters[1])
    assert [line.next() for _ in range(2)] == [waiters[0], waiters[2]]


@pytest.mark.parametrize(
    ("limit", "there", "comes", "leaver"),
    [
        (3, "aa", "b", None),
        (3, "aaa", "a", 3),
        (3, "aaa", "b", 2),
        (4, "aaab", "b", 2),
        (4, "aaab", "c", 2),
        (4, "aabb", "c", 1),
        (4, "bbaa", "c", 1),
        (3, "abc", "d", 3),
        (3, "abc", "a", 3),
        (1, "a", "b", 1),
    ],
)
def test_whoever_has_most_waiting_makes_room(
    limit: int, there: str, comes: str, leaver: int | None
) -> None:
    line, waiters = line_of(limit, *there)
    waiters.append(Waiter(comes))
    assert line.join(waiters[-1]) is (None if leaver is None else waiters[leaver])
    assert line.count == min(limit, len(there) + 1)


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "join", "join", "next", "remove"]), st.integers(0, 99)),
    max_size=80,
)


@given(st.integers(1, 8), STEPS)
def test_a_line_in_any_order_of_events(limit: int, steps: list[tuple[str, int]]) -> None:
    line = Line(limit)
    there: list[Waiter] = []
    # How often others were served while the oldest of a principal waited.
    passed_by: dict[str, Counter[str]] = {}
    for step, number in steps:
        having = Counter(waiter.principal for waiter in there)
        if step == "join":
            waiter = Waiter(PRINCIPALS[number % len(PRINCIPALS)])
            leaver = line.join(waiter)
            there.append(waiter)
            if leaver is None:
                assert len(there) <= limit
            else:
                assert len(there) == limit + 1
                theirs = [each for each in there if each.principal == leaver.principal]
                assert leaver is theirs[-1]
                if leaver is not waiter:
                    assert having[leaver.principal] == max(having.values())
                    assert having[leaver.principal] > having[waiter.principal] + 1
                else:
                    assert having[waiter.principal] + 1 >= max(having.values())
                there.remove(leaver)
            if not having[waiter.principal]:
                passed_by[waiter.principal] = Counter()
        elif step == "next" and there:
            waiter = line.next()
            first = next(each for each in there if each.principal == waiter.principal)
            assert waiter is first
            there.remove(waiter)
            for principal in having:
                passed_by[principal][waiter.principal] += 1
            assert max(passed_by[waiter.principal].values()) <= 1
            passed_by[waiter.principal] = Counter()
        elif step == "remove" and there:
            waiter = there.pop(number % len(there))
            line.remove(waiter)
        assert line.count == len(there)
    assert len(order_of(line)) == len(there)
    assert (line.count, line._turns, line._having, line._most) == (0, {}, {}, 0)


# Places, on an event loop


class Clock:
    """Time that the test turns; it ends the scopes that are due."""

    def __init__(self) -> None:
        self.now = 0.0
        self._scopes: list[tuple[float, anyio.CancelScope]] = []

    def within(self, seconds: float) -> anyio.CancelScope:
        scope = anyio.CancelScope()
        self._scopes.append((self.now + seconds, scope))
        return scope

    def turn(self, seconds: float) -> None:
        self.now += seconds
        for due, scope in self._scopes:
            # What has been let in is no longer bounded, which its scope's deadline says.
            if due <= self.now and not (scope.deadline == inf and scope.cancel_called):
                scope.cancel()
        self._scopes = [(due, scope) for due, scope in self._scopes if due > self.now]


class There:
    """A caller who stays until told to leave; `whole` if the body has come."""

    def __init__(self, *, whole: bool = True) -> None:
        self.left = anyio.Event()
        self.arrived = anyio.Event()
        self.whole = whole
        self.watched = 0
        if whole:
            self.arrived.set()

    async def watch(self) -> bool:
        self.watched += 1
        try:
            await self.arrived.wait()
            if not self.whole:
                return False
            await self.left.wait()
        finally:
            self.watched -= 1
        return True

    def release(self) -> bool:
        return self.whole


def make(
    limit: int = 1, *, max_waiting: int = 10, max_wait: float = 1.0, clock: Clock | None = None
) -> Places:
    within = anyio.move_on_after if clock is None else clock.within
    return Places(limit, max_waiting=max_waiting, max_wait=max_wait, within=within)


class Request:
    """One who asks for a place, and keeps it until told to go."""

    def __init__(self, principal: str, *, whole: bool = True) -> None:
        self.principal = principal
        self.caller = There(whole=whole)
        self.over = anyio.Event()
        self.scope = anyio.CancelScope()
        self.state = "waiting"

    async def run(self, places: Places, journal: list[str] | None = None) -> None:
        with self.scope:
            try:
                await places.take(self.principal, lambda: self.caller)
            except CallerLeft:
                self.state = "left"
                return
            except OverloadedError as error:
                self.state = error.message
                return
            except BaseException:
                self.state = "cancelled"
                raise
            self.state = "placed"
            if journal is not None:
                journal.append(self.principal)
            try:
                await self.over.wait()
            finally:
                self.state = "over"
                places.leave()


async def settle() -> None:
    """Let everybody go as far as they can, which is never many steps."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def test_a_free_place_is_taken_at_once() -> None:
    places = make(2)
    for free in (1, 0):
        coroutine = places.take("a", There)
        with pytest.raises(StopIteration):
            coroutine.send(None)
        assert places.free == free
    places.leave()
    places.leave()
    assert places.free == 2


async def test_places_go_to_principals_in_turn() -> None:
    places = make(1)
    journal: list[str] = []
    requests = [Request(principal) for principal in "aaaab"]
    async with anyio.create_task_group() as tasks:
        for request in requests:
            tasks.start_soon(request.run, places, journal)
            await settle()
        assert (places.free, places.waiting) == (0, 4)
        for number in (0, 1, 4, 2, 3):
            requests[number].over.set()
            await settle()
    assert "".join(journal) == "aabaa"
    assert (places.free, places.waiting) == (1, 0)
    assert not any(request.caller.watched for request in requests)


async def test_the_newest_of_a_flood_is_refused_first() -> None:
    places = make(1, max_waiting=3)
    flood = [Request("a") for _ in range(5)]
    other = Request("b")
    async with anyio.create_task_group() as tasks:
        for request in flood:
            tasks.start_soon(request.run, places)
            await settle()
        assert flood[4].state.startswith("Too many")
        tasks.start_soon(other.run, places)
        await settle()
        assert flood[3].state.startswith("Too many")
        flood[0].over.set()
        flood[1].over.set()
        await settle()
        assert (other.state, flood[2].state) == ("placed", "waiting")
        other.over.set()
        flood[2].over.set()
    assert (places.free, places.waiting) == (1, 0)


@pytest.mark.parametrize(("max_wait", "seconds"), [(1.0, "1"), (2.5, "3"), (0.25, "1")])
async def test_whoever_has_waited_long_enough_is_refused(max_wait: float, seconds: str) -> None:
    clock = Clock()
    places = make(1, max_wait=max_wait, clock=clock)
    await places.take("a", There)
    raised: list[OverloadedError] = []

    async def ask() -> None:
        try:
            await places.take("b", There)
        except OverloadedError as error:
            raised.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await settle()
        clock.turn(max_wait * 0.9)
        await settle()
        assert places.waiting == 1
        clock.turn(max_wait * 0.2)
    assert dict(raised[0].headers) == {b"retry-after": seconds.encode()}
    places.leave()
    assert (places.free, places.waiting) == (1, 0)


async def test_nobody_waits_for_no_time() -> None:
    places = make(1, max_wait=0)
    await places.take("a", There)
    with pytest.raises(OverloadedError):
        await places.take("b", There)


async def test_on_the_loops_own_clock() -> None:
    places = make(1, max_wait=0.01)
    await places.take("a", There)
    with pytest.raises(OverloadedError):
        await places.take("b", There)
    assert places.waiting == 0


async def test_a_caller_who_leaves_makes_room_at_once() -> None:
    places = make(1, max_waiting=1)
    first, second, third = (Request("a") for _ in range(3))
    async with anyio.create_task_group() as tasks:
        for request in (first, second):
            tasks.start_soon(request.run, places)
            await settle()
        second.caller.left.set()
        await settle()
        assert (second.state, places.waiting) == ("left", 0)
        tasks.start_soon(third.run, places)
        await settle()
        assert third.state == "waiting"
        first.over.set()
        third.over.set()
    assert places.free == 1


@pytest.mark.parametrize("late", ["arrives", "times out", "is cancelled"])
async def test_a_message_on_its_way_is_waited_for(late: str) -> None:
    clock = Clock()
    places = make(1, clock=clock)
    first, second = Request("a"), Request("b", whole=False)
    async with anyio.create_task_group() as tasks:
        for request in (first, second):
            tasks.start_soon(request.run, places)
            await settle()
        first.over.set()
        await settle()
        assert (second.state, second.caller.watched) == ("waiting", 1)
        if late == "arrives":
            second.caller.arrived.set()
        elif late == "times out":
            clock.turn(1.0)
        else:
            second.scope.cancel()
        await settle()
        expected = {"arrives": "placed", "is cancelled": "cancelled"}
        assert second.state[:8] == expected.get(late, "Too many")[:8]
        assert second.caller.watched == 0
        second.over.set()
    assert (places.free, places.waiting) == (1, 0)


async def test_a_caller_of_whom_nothing_can_be_told_waits_as_well() -> None:
    places = make(1)
    first, second = Request("a"), Request("b", whole=False)
    second.caller.arrived.set()
    async with anyio.create_task_group() as tasks:
        for request in (first, second):
            tasks.start_soon(request.run, places)
            await settle()
        assert second.state == "waiting"
        first.over.set()
        await settle()
        assert second.state == "placed"
        second.over.set()


async def test_closing_refuses_those_who_wait_and_opening_lets_them() -> None:
    places = make(1)
    requests = [Request(principal) for principal in "aabc"]
    late = Request("d")
    async with anyio.create_task_group() as tasks:
        for request in requests:
            tasks.start_soon(request.run, places)
            await settle()
        places.close()
        await settle()
        tasks.start_soon(late.run, places)
        await settle()
        states = [request.state for request in (*requests, late)]
        assert states[0] == "placed"
        assert all("shutting down" in state for state in states[1:])
        requests[0].over.set()
    assert (places.free, places.waiting) == (1, 0)
    places.open()
    again = [Request("a"), Request("a")]
    async with anyio.create_task_group() as tasks:
        for request in again:
            tasks.start_soon(request.run, places)
        await settle()
        assert places.waiting == 1
        for request in again:
            request.over.set()


# Anything at any moment


class Simulation:
    """Requests that come, end, are cancelled or left at random, settled or in one breath."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.limit = self.random.randint(1, 4)
        self.places = make(
            self.limit, max_waiting=self.random.randint(1, 8), max_wait=5.0, clock=self.clock
        )
        self.requests: list[Request] = []

    def _some(self, *states: str) -> Request | None:
        found = [request for request in self.requests if request.state in states]
        return self.random.choice(found) if found else None

    def step(self, start: Callable[[Request], None]) -> None:
        kind = self.random.choices(
            ["come", "end", "cancel", "leave", "arrive", "turn", "close", "open"],
            [40, 25, 8, 8, 10, 8, 1, 4],
        )[0]
        if kind == "come":
            # One of them floods.
            principal = self.random.choices(PRINCIPALS, [10, 1, 1, 1])[0]
            start(Request(principal, whole=self.random.random() < 0.8))
        elif kind == "end" and (request := self._some("placed")):
            request.over.set()
        elif kind == "cancel" and (request := self._some("waiting", "placed")):
            request.scope.cancel()
        elif kind == "leave" and (request := self._some("waiting")):
            request.caller.left.set()
        elif kind == "arrive" and (request := self._some("waiting")):
            request.caller.arrived.set()
        elif kind == "turn":
            self.clock.turn(self.random.choice([0.5, 2.0, 6.0]))
        elif kind == "close":
            self.places.close()
        elif kind == "open":
            self.places.open()

    def check(self) -> None:
        """What holds whenever everybody has gone as far as they can."""
        places = self.places
        placed = sum(request.state == "placed" for request in self.requests)
        waiting = [request for request in self.requests if request.state == "waiting"]
        # One who has a place may still wait for a message on its way.
        late = sum(not request.caller.arrived.is_set() for request in waiting)
        assert 0 <= self.limit - places.free - placed <= late
        assert len(waiting) - places.waiting == self.limit - places.free - placed
        assert not (places.free and places.waiting)
        assert sum(request.caller.watched for request in self.requests) <= len(waiting)


@pytest.mark.parametrize("seed", range(25))
async def test_no_place_is_leaked_and_no_wake_up_lost(seed: int) -> None:
    simulation = Simulation(seed)
    async with anyio.create_task_group() as tasks:

        def start(request: Request) -> None:
            simulation.requests.append(request)
            tasks.start_soon(request.run, simulation.places)

        for _ in range(60):
            for _ in range(simulation.random.randint(1, 4)):
                simulation.step(start)
                for _ in range(simulation.random.randint(0, 2)):
                    await anyio.lowlevel.checkpoint()
            await settle()
            simulation.check()
        for request in simulation.requests:
            request.caller.arrived.set()
            request.over.set()
        with anyio.fail_after(10):
            await settle()
    assert (simulation.places.free, simulation.places.waiting) == (simulation.limit, 0)
    assert not {request.state for request in simulation.requests} & {"waiting", "placed"}


@pytest.mark.parametrize("floods", [1, 3])
async def test_a_flood_starves_nobody(floods: int) -> None:
    """Each of the others asks again as soon as it is answered; the floods ask without end."""
    clock, random = Clock(), Random(7)
    places = make(4, max_waiting=40, max_wait=10.0, clock=clock)
    polite = "wxyz"
    served: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    running: list[Request] = []
    async with anyio.create_task_group() as tasks:

        def ask(principal: str) -> None:
            running.append(Request(principal))
            tasks.start_soon(running[-1].run, places)

        for _ in range(200):
            for flood in range(floods):
                for _ in range(20):
                    ask(f"flood {flood}")
            for principal in polite:
                if not any(request.principal == principal for request in running):
                    ask(principal)
            await settle()
            for request in [each for each in running if each.state == "placed"]:
                if random.random() < 0.5:
                    request.over.set()
                    served[request.principal] += 1
            clock.turn(0.1)
            await settle()
            for request in running:
                if request.state.startswith("Too many"):
                    refused[request.principal] += 1
            running = [each for each in running if each.state in ("waiting", "placed")]
        tasks.cancel_scope.cancel()
    total = sum(served.values())
    assert not any(refused[principal] for principal in polite)
    # A caller who waits for each answer asks for less than a flood, and gets what it asks for.
    fair = total / (len(polite) + floods)
    assert all(served[principal] > 0.5 * fair for principal in polite), served
    assert (places.free, places.waiting) == (4, 0)
