"""Counters against a model that keeps every reservation and adds it all up each time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from waystone_asgi.charges import Charge, Refused, Taken, Window
from waystone_asgi.limits import MemoryCounters
from waystone_asgi.limits.books import Books
from waystone_asgi.limits.operations import Operation, reservation, settlement

WINDOWS = (Window(per="minute"), Window(per="month"), Window(seconds=600), Window())
T = TypeVar("T")


class Part(Struct):
    id: str
    counter: str
    bucket: int
    amount: int
    expires: float | None


class Model:
    """What each counter holds, the slow way."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def held(self, charge: Charge, now: float) -> int:
        _, first = charge.window.span(now)
        return sum(
            part.amount
            for part in self.parts
            if part.counter == charge.counter
            and part.bucket >= first
            and (part.expires is None or part.expires > now)
        )

    def reserve(self, charges: Sequence[Charge], now: float, lease: float, id: str) -> list[int]:
        """What each charge takes, or nothing where one is refused."""
        amounts = []
        for charge in charges:
            left = charge.amount
            if charge.limit is not None:
                left = max(0, min(left, charge.limit - self.held(charge, now)))
            if left < charge.least:
                return []
            amounts.append(left)
        for charge, amount in zip(charges, amounts, strict=True):
            bucket, _ = charge.window.span(now)
            self.parts.append(Part(id, charge.counter, bucket, amount, now + lease))
        return amounts

    def settle(self, id: str, amounts: Sequence[int]) -> None:
        mine = [part for part in self.parts if part.id == id and part.expires is not None]
        for part, amount in zip(mine, amounts, strict=False):
            part.amount, part.expires = amount, None


class Shelf:
    """What a database does, with dictionaries for tables."""

    def __init__(self) -> None:
        self.counters: dict[tuple[str, int], int] = {}
        self.probed: tuple[int, ...] = ()
        self.held: dict[str, tuple[str, float, str]] = {}

    def do(self, *operations: Operation) -> list[Taken | Refused | None]:
        books = Books(operations)
        books.load_held(
            (id, state, expires, parts)
            for id, (state, expires, parts) in self.held.items()
            if id in books.ids or (state == "open" and expires <= books.latest)
        )
        books.load_counters(
            (key, bucket, amount)
            for (key, bucket), amount in self.counters.items()
            if key in books.keys
        )
        answers = books.apply()
        self.counters |= {(row.counter, row.bucket): row.amount for row in books.rows}
        for id in books.gone:
            self.held.pop(id, None)
        self.held |= {row.id: (row.state, row.expires, row.parts) for row in books.put}
        return answers

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        # With a neighbour who looks at the same counters, and leaves them as they are.
        free = [Charge(charge.counter, charge.window, 0, 0) for charge in charges]
        probe = Taken("probe", tuple(free), (), (), tuple(c.window.span(now)[0] for c in free))
        answer, seen, _ = self.do(
            reservation(charges, now, lease, id),
            reservation(free, now, lease, "probe"),
            settlement(probe, [0] * len(free)),
        )
        assert answer is not None
        assert isinstance(seen, Taken)
        assert "probe" not in self.held
        self.probed = seen.used
        return answer

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        # With a neighbour that does nothing, and twice: one batch holds many.
        self.do(settlement(taken, amounts), settlement(taken, [9] * len(amounts)))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never waits."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    result: T = stopped.value.value
    return result


charges = st.builds(
    lambda n, amount, part, limit: Charge(
        f"counter {n}", WINDOWS[n % 4], amount, amount * part // 2, limit
    ),
    st.integers(0, 5),
    st.integers(0, 20),
    st.integers(0, 2),
    st.none() | st.integers(0, 60),
)
steps = st.tuples(
    st.sampled_from([0, 1, 7, 59, 60, 300, 601, 90_000]),
    st.one_of(
        st.lists(charges, max_size=5, unique_by=lambda charge: charge.counter),
        st.tuples(st.integers(0, 30), st.lists(st.integers(0, 30), min_size=5, max_size=5)),
    ),
)


@pytest.mark.parametrize("make", [MemoryCounters, Shelf])
@given(script=st.lists(steps, max_size=40))
@settings(max_examples=150, deadline=None)
def test_they_count_as_the_model_does(
    make: Callable[[], MemoryCounters | Shelf], script: list[tuple[int, Any]]
) -> None:
    counters, model, now = make(), Model(), 1_795_435_205.0
    made: list[Taken] = []
    for pause, step in script:
        now += pause
        if isinstance(step, list):
            id = f"reservation {len(made)}"
            before = [model.held(charge, now) for charge in step]
            expected = model.reserve(step, now, 120, id)
            outcome = run(counters.reserve(step, now=now, lease=120, id=id))
            if isinstance(counters, Shelf):
                assert counters.probed == tuple(model.held(charge, now) for charge in step)
            if isinstance(outcome, Refused):
                assert expected == []
                assert outcome.used == tuple(before[index] for index in outcome.indexes)
                assert min(outcome.retry_after) >= 0
                continue
            assert outcome.amounts == tuple(expected)
            assert outcome.used == tuple(map(sum, zip(before, expected, strict=True)))
            made.append(outcome)
        elif step[0] < len(made):
            taken = made[step[0]]
            amounts = step[1][: len(taken.charges)]
            model.settle(taken.id, amounts)
            run(counters.settle(taken, amounts))
