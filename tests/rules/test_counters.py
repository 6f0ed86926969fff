"""Decisions beside the counters in memory: reserve, and evaluate again where that is refused."""

from __future__ import annotations

import anyio
import pytest

from waystone_asgi.charges import Refused, Taken
from waystone_asgi.exceptions import GatewayError
from waystone_asgi.limits.memory import MemoryCounters
from waystone_asgi.rules import Decision, Program, Rule, Subject

from .requests import NOW, always, program, resolve, subject

pytestmark = pytest.mark.anyio


async def admit(
    rules: Program, counters: MemoryCounters, request: Subject
) -> tuple[Decision, Taken]:
    """The corridor's loop in short. Raises what a block says."""
    passed: dict[int, float] = {}
    while True:
        decision = rules.evaluate(request, passed)
        if decision.blocked is not None:
            raise decision.blocked.error()
        outcome = await counters.reserve(decision.charges, now=request.now, lease=60)
        if isinstance(outcome, Taken):
            return decision, outcome
        assert isinstance(outcome, Refused)
        passed |= decision.passed(outcome)


async def test_requests_to_the_last() -> None:
    usage = {"requests": 10, "per": "hour", "of": "user"}
    rules, counters = program(always(Rule(usage=usage, block="Enough."))), MemoryCounters()
    admitted: list[Taken] = []
    refused: list[GatewayError] = []

    async def ask() -> None:
        try:
            admitted.append((await admit(rules, counters, subject(user="ann", now=NOW + 600)))[1])
        except GatewayError as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(25):
            tasks.start_soon(ask)
    assert (len(admitted), len(refused)) == (10, 15)
    assert {(error.status, error.headers) for error in refused} == {
        (429, ((b"retry-after", b"3000"),))
    }
    await counters.settle(admitted[0], (0,))
    await admit(rules, counters, subject(user="ann", now=NOW + 600))
    await admit(rules, counters, subject(user="bob", now=NOW + 600))


async def test_a_budget_that_falls_to_cheaper_models() -> None:
    usage = {"usd": 0.000004, "per": "day", "of": "everyone"}
    rules = program(
        always(
            Rule(model="openai/o3", usage=usage, change_model_to="openai/o3-mini"),
            Rule(model="openai/*", usage=usage, change_model_to="echo/echo", tag="spent"),
        )
    )
    counters, models = MemoryCounters(), list[str]()
    for _ in range(8):
        decision, taken = await admit(rules, counters, subject("openai/o3"))
        models.append(decision.route.request_model)
        await counters.settle(
            taken, decision.amounts(requests=1, tokens=9, nanodollars=sum(taken.amounts))
        )
    # 3000 nano-dollars as o3, 300 as o3-mini, and then what is free.
    assert models == ["openai/o3", *["openai/o3-mini"] * 3, *["echo/echo"] * 4]
    assert decision.tags == ("spent",)


async def test_output_without_a_bound_takes_what_is_left() -> None:
    usage = {"tokens": 1500, "per": "day", "of": "user"}
    rules, counters = program(always(Rule(usage=usage, block="no"))), MemoryCounters()
    request = subject(user="ann", tokens=(100, None))
    taken = [(await admit(rules, counters, request))[1] for _ in range(2)]
    assert [each.amounts for each in taken] == [(1124,), (376,)]
    with pytest.raises(GatewayError, match="no"):
        await admit(rules, counters, request)
    await counters.settle(taken[0], (110,))
    assert (await admit(rules, counters, request))[1].amounts == (1014,)


async def test_calls_under_way() -> None:
    rules = program(always(Rule(usage={"concurrent": 1, "of": "group"}, block="One at a time.")))
    counters, request = MemoryCounters(), subject(group="acme")
    decision, taken = await admit(rules, counters, request)
    with pytest.raises(GatewayError, match="One at a time"):
        await admit(rules, counters, request)
    await counters.settle(taken, decision.amounts(requests=1, tokens=1, nanodollars=1))
    await admit(rules, counters, request)


async def test_nothing_is_nothing() -> None:
    rules = program(always(Rule(usage={"requests": 0, "per": "day", "of": "user"}, block="no")))
    with pytest.raises(GatewayError, match="no"):
        await admit(rules, MemoryCounters(), subject(user="ann"))
    await admit(rules, MemoryCounters(), subject())


async def test_a_shadow_beside_the_counters() -> None:
    usage = {"requests": 2, "per": "day", "of": "user"}
    rules = program(always(Rule(usage=usage, change_model_to="fast", shadow=True)))
    counters, noted = MemoryCounters(), []
    for _ in range(4):
        decision, taken = await admit(rules, counters, subject(user="ann"))
        assert decision.route is resolve("openai/gpt-4o")
        noted.append(decision.notes(taken))
    note = ("shadow:all[0]:change_model_to=fast",)
    assert noted == [(), (), note, note]
