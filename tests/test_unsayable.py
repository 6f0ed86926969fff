"""What cannot be said to one provider is asked of the next; where there is none, that is said."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from waystone_asgi import Provider
from waystone_asgi.records import Target

from .asgi import Answer, chat
from .test_hedging import SOON, Host, failing, kinds, make, says

pytestmark = pytest.mark.anyio

ONCE = {"attempts": 1}


def provider(name: str, strict: bool) -> Provider:
    """One that is told nothing of `store`: strict or not, it does not take it."""
    return Provider.vllm(name=name, base_url=f"http://{name}.test/v1", models=["m"], strict=strict)


async def ask(stricts: dict[str, bool], *hosts: Host, **settings: Any) -> tuple[Answer, Any]:
    gateway, sink = make(
        *hosts,
        providers=[provider(name, strict) for name, strict in stricts.items()],
        **{"retry": ONCE} | settings,
    )
    async with gateway.running():
        with anyio.fail_after(5):
            answer = await chat(gateway, model="smart", store=True)
    [record] = sink.records
    return answer, record


async def test_the_next_target_is_asked() -> None:
    one, two = Host(), Host(says("two", False))
    answer, record = await ask({"one": True, "two": False}, one, two)
    assert (answer.status, answer.headers["x-waystone-provider"]) == (200, "two")
    assert answer.headers["x-waystone-dropped"] == "store"
    assert (len(one.requests), len(two.requests)) == (0, 1)
    assert kinds(record.attempts) == [("two", None)]
    assert (record.outcome, record.provider) == ("ok", "two")


async def test_where_there_is_none_it_is_said_why() -> None:
    one, two = Host(), Host()
    answer, record = await ask({"one": True, "two": True}, one, two)
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["type"], error["param"]) == (400, "invalid_request_error", "store")
    assert one.requests == two.requests == []
    assert (record.outcome, record.attempts, record.usage_source) == ("error", (), "none")


async def test_what_the_latest_attempt_came_to_is_said_before() -> None:
    one, two = Host(failing(503)), Host()
    answer, record = await ask({"one": False, "two": True}, one, two)
    assert answer.status == 502
    assert two.requests == []
    assert kinds(record.attempts) == [("one", "upstream_error")]


async def test_a_target_that_cannot_be_asked_does_not_rest() -> None:
    one, two = Host(says("one", False)), Host(*[says("two", False)] * 20)
    gateway, _ = make(
        one, two, providers=[provider("one", True), provider("two", False)], retry=ONCE
    )
    async with gateway.running():
        for _ in range(20):
            await chat(gateway, model="smart", store=True)
        answer = await chat(gateway, model="smart")
    assert answer.headers["x-waystone-provider"] == "one"


async def test_no_hedge_at_a_target_that_cannot_be_asked() -> None:
    async def late() -> None:
        await anyio.sleep(5 * SOON)

    one, two = Host(late, says("one", False)), Host()
    retry = {"attempts": 1, "hedge_after": SOON, "hedge_share": 1.0}
    answer, record = await ask({"one": False, "two": True}, one, two, retry=retry)
    assert answer.status == 200
    assert two.requests == []
    assert kinds(record.attempts) == [("one", None)]


async def test_a_bug_before_an_attempt_says_nothing_of_its_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    one, two = Host(), Host()
    gateway, sink = make(
        one, two, providers=[provider("one", False), provider("two", False)], retry=ONCE
    )
    monkeypatch.setattr("waystone_asgi.forwarding.Exchange", broken)
    async with gateway.running():
        answers = [await chat(gateway, model="smart") for _ in range(20)]
    assert {answer.status for answer in answers} == {500}
    assert {record.error_type for record in sink.records} == {"internal_error"}
    health = gateway._forwarding.routing.health
    assert not health.rests(Target(provider="one", model="m"))
