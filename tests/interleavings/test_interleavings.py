"""Exactly one record for each authenticated request, whatever caller, provider, time and host do.

All interleavings up to a depth are played, and longer ones at random. At the end of each there is
one record that says what the caller was sent, nothing is reserved and no task is left.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import AsyncIterator
from itertools import takewhile

import anyio
import pytest

from waystone_asgi.records import UsageRecord

from .clocks import BACKENDS, living, settled
from .world import EVENT_ERROR, EVENTS, WHOLE, Move, Request, Response, Setting, World

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

DEPTH = int(os.environ.get("WAYSTONE_TEST_DEPTH", "4"))
WALKS = int(os.environ.get("WAYSTONE_TEST_WALKS", "300"))
SEED = int(os.environ.get("WAYSTONE_TEST_SEED", "5"))

ORDERS = (
    ("authenticate", "read", "body", "head", "next"),
    ("leave", "authenticate", "body"),
    ("drain", "close", "authenticate", "read"),
    ("abort", "authenticate"),
)
"""How an interleaving goes on after its depth: well, or as somebody ends it."""


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Clocks that stand still; uvloop has none."""
    return BACKENDS[request.param]


async def play(setting: Setting, moves: list[Move], depth: int, order: int) -> list[list[Move]]:
    """Play the moves, go on with the first possible ones to the depth, finish, and check.

    The choices that there were at each step.
    """
    before = living()
    choices: list[list[Move]] = []
    async with anyio.create_task_group() as tasks:
        world = World(setting, tasks)
        try:
            await world.begin()
            while len(choices) < depth and not world.ended:
                possible = [*world.moves()]
                choices.append(possible)
                taken = moves[len(choices) - 1] if len(choices) <= len(moves) else possible[0]
                if taken not in possible:
                    break
                await world.move(taken)
            await world.finish(ORDERS[order])
            await check(world)
        except BaseException as error:
            error.add_note(f"{setting}\n{world.taken}")
            raise
    await settled()
    assert living() == before, world.taken
    return choices


async def interleavings(setting: Setting, depth: int) -> AsyncIterator[list[Move]]:
    """All of them, each played once before it is given."""
    waiting: list[list[Move]] = [[]]
    played = 0
    while waiting:
        moves = waiting.pop()
        choices = await play(setting, moves, depth, played % len(ORDERS))
        played += 1
        for step in range(len(moves), len(choices)):
            first = [each[0] for each in choices[len(moves) : step]]
            waiting += [[*moves, *first, other] for other in choices[step][1:]]
        yield moves


async def check(world: World) -> None:
    """What holds when all is over."""
    records = {record.request_id: record for record in world.sink.records}
    assert len(records) == len(world.sink.records)
    known = [request for request in world.requests if request.authenticated]
    assert {*records} == {request.id for request in known}
    for request in known:
        check_record(request, records[request.id])
    gateway = world.gateway
    assert (gateway.outbox.dropped, gateway.outbox.failed) == (0, 0)
    assert (gateway._life.in_flight, gateway._departures._visits) == (0, set())
    await check_counters(world)


def check_record(request: Request, record: UsageRecord) -> None:
    """The record says what the caller was sent and what the provider gave."""
    outcome = record.status, record.outcome, record.error_type
    assert outcome in expected(request), (outcome, expected(request))
    assert (record.time_to_first_chunk is not None) == (
        request.setting.stream and bool(request.caller.messages) and record.status == 200
    )
    assert len(record.attempts) == len(request.asking)
    assert all(response.closed for response in request.responses)
    if request.setting.hedged or request.setting.whole:
        # What of several attempts the caller had is not told by what was taken of each.
        assert record.usage_source != "none" or record.outcome != "ok"
        return
    source, tokens = used(request)
    assert record.usage_source == source
    if source != "none":
        assert (record.output_tokens, record.input_tokens > 0) == (tokens, True)
    assert record.response_id == (None if source == "none" else "chatcmpl-test")


def expected(request: Request) -> list[tuple[int, str, str | None]]:
    """What may stand in the record, by what was sent."""
    if not request.caller.messages:
        # A record that is closed and waits for room says what its caller was about to be sent.
        closed = request.setting.narrow and request.aborted
        refused = [(status, "error", kind) for status, kind in CODES.items() if closed]
        return [(499, "cancelled", None), *refused]
    status = request.caller.status
    if status != 200:
        kind = CODES[status]
        assert not request.caller.complete or request.caller.error["code"] == kind
        return [(status, "error", kind)]
    if not request.delivered.complete:
        # Or the gateway has closed, and the caller did not read that it cut the answer off.
        return [(200, "cancelled", None), (200, "error", "overloaded")]
    last = request.caller.body.rpartition(b"data: ")[2]
    if b'"error"' in last:
        kind = json.loads(last)["error"]["code"]
        if kind == "overloaded":
            # Whoever cancels the request does not say why.
            return [(200, "error", kind), *[(200, "cancelled", None)] * request.aborted]
        return [(200, "upstream_cut", kind), (200, "error", kind)]
    assert not request.setting.stream or last == b"[DONE]\n\n"
    return [(200, "ok", None)]


CODES = {502: "upstream_error", 503: "overloaded", 504: "upstream_timeout"}


def used(request: Request) -> tuple[str, int]:
    """Where the tokens of the answer are from, and how many it had."""
    for response in request.responses:
        if response.status == 200 and (found := used_by(response, request.setting.stream)):
            return found
    return "none", 0


def used_by(response: Response, stream: bool) -> tuple[str, int] | None:
    if not stream:
        return ("provider", 3) if response.given == [WHOLE[:30], WHOLE[30:], b""] else None
    if EVENTS[3] in response.given:
        return "provider", 3
    relayed = takewhile(EVENT_ERROR.__ne__, response.given)
    events = sum(piece in EVENTS[:3] for piece in relayed)
    return ("estimated", events) if events else None


async def check_counters(world: World) -> None:
    """Nothing is reserved, and what is counted is what the records say."""
    counted = await world.counters.totals()
    assert world.counters.held == set()
    charged = [record for record in world.sink.records if record.usage_source != "none"]
    tokens = sum(record.input_tokens + record.output_tokens for record in charged)
    assert counted.get("concurrent", 0) == 0
    assert counted.get("requests", 0) == len(charged)
    assert counted.get("tokens", 0) == tokens


EXHAUSTIVE = {
    "stream": Setting(),
    "json": Setting(stream=False),
    "slow": Setting(slow=True, raising=True, waiting=True),
}


@pytest.mark.parametrize("name", EXHAUSTIVE)
async def test_all_interleavings(name: str) -> None:
    played = 0
    async for _ in interleavings(EXHAUSTIVE[name], DEPTH):
        played += 1
    print(f"{name}: {played} interleavings of depth {DEPTH}")  # noqa: T201


async def test_long_interleavings() -> None:
    print(f"{WALKS} walks, WAYSTONE_TEST_SEED={SEED}")  # noqa: T201
    chance = random.Random(SEED)
    for _ in range(WALKS):
        await walk(chance)


async def walk(chance: random.Random) -> None:
    """A world at random, and moves at random in it."""
    often = [chance.random() < 0.5 for _ in range(6)]
    rarely = [chance.random() < 0.2 for _ in range(3)]
    requests, attempts = chance.choice([1, 1, 2, 3]), chance.choice([1, 2])
    setting = Setting(often[0], requests, attempts, *often[1:], *rarely)
    before = living()
    async with anyio.create_task_group() as tasks:
        world = World(setting, tasks)
        try:
            await world.begin()
            for _ in range(chance.randrange(40)):
                if world.ended:
                    break
                await world.move(choose(chance, [*world.moves()]))
            await world.finish(chance.choice(ORDERS))
            await check(world)
        except BaseException as error:
            error.add_note(f"{setting}\n{world.taken}")
            raise
    await settled()
    assert living() == before, world.taken


def choose(chance: random.Random, moves: list[Move]) -> Move:
    """One of them; what ends a request or the gateway is rarer, or walks would be short."""
    ends = {"leave", "abort", "drain", "close", "cancel", "refuse", "unreachable", "end", "cut"}
    weights = [0.15 if name.rstrip(" 0123456789") in ends else 1.0 for _, name, _ in moves]
    return chance.choices(moves, weights)[0]
