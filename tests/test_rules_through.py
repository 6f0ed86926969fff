"""Rules through the whole gateway: what a file may not say, odd ids, pinned keys, and restarts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from waystone_asgi import ConfigurationError, Gateway, MemorySink
from waystone_asgi.entities import MemoryEntities
from waystone_asgi.limits import MemoryCounters
from waystone_asgi.records import Entity, Identity, Principal
from waystone_asgi.testing import FakeProvider, completion
from waystone_asgi.types import HTTPConnection, JSONObject

from .asgi import KEY, Answer, request

pytestmark = pytest.mark.anyio

CANARY = "canary-77aa"
PINNED = "wk_pinned"
BASE: dict[str, Any] = {
    "providers": {"openai": {"api_key": "sk", "models": ["big", "tiny"]}},
    "api_keys": [
        KEY,
        {
            "key": PINNED,
            "id": "acme-backend",
            "user": "ann",
            "group": "acme",
            "models": ["openai/tiny"],
            "endpoints": ["chat"],
        },
    ],
}


def ruleset(*rules: dict[str, Any], condition: Any = "always") -> list[dict[str, Any]]:
    return [{"name": "test", "condition": condition, "rules": list(rules)}]


def make(rulesets: list[dict[str, Any]], **more: Any) -> tuple[Gateway, MemorySink]:
    sink = MemorySink()
    hooks = {"upstream": FakeProvider(completion("Hi")), "sinks": [sink]}
    settings = {name: more.pop(name) for name in ("state",) if name in more}
    source = {**BASE, "rulesets": rulesets, **settings}
    return Gateway.from_config(source, **hooks, **more), sink


async def ask(
    gateway: Gateway, claim: object = None, *, model: str = "openai/tiny", key: str = KEY
) -> Answer:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    if claim is not None:
        body["metadata"] = {"waystone": json.dumps(claim, ensure_ascii=False)}
    return await request(gateway, "/v1/chat/completions", body, key=key)


def limit(amount: object, *, of: str = "user", unit: str = "requests") -> dict[str, Any]:
    return {"usage": {unit: amount, "per": "month", "of": of}, "block": "Enough."}


RULE = "configuration: rulesets[0].rules[0]"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown model": ({"model": f"openai/{CANARY}", "tag": "x"}, f"{RULE}.model"),
    "unknown target": ({"change_model_to": f"openai/{CANARY}"}, f"{RULE}.change_model_to"),
    "unknown fallback": ({"retry": {"fallback": [CANARY]}}, f"{RULE}.retry.fallback[0]"),
    "a number for a model": ({"model": 5, "tag": "x"}, f"{RULE}.model"),
    "a number for a tag": ({"tag": 5}, f"{RULE}.tag"),
    "a list for a block": ({"block": [CANARY]}, f"{RULE}.block"),
    "no action": ({"model": "openai/big"}, RULE),
    "an unknown action": ({"blok": CANARY}, f"{RULE}.blok"),
    "a negative limit": (limit(-1), f"{RULE}.usage.requests"),
    "an absurd limit": (limit(10**40), f"{RULE}.usage.requests"),
    "half a token": (limit(0.5, unit="tokens"), f"{RULE}.usage.tokens"),
    "negative money": (limit(-0.01, unit="usd"), f"{RULE}.usage.usd"),
    "no number": (limit(float("nan"), unit="usd"), f"{RULE}.usage.usd"),
    "no end": (limit(float("inf"), unit="usd"), f"{RULE}.usage.usd"),
    "text for money": (limit(CANARY, unit="usd"), f"{RULE}.usage.usd"),
    "true for a limit": (limit(True), f"{RULE}.usage.requests"),
    "nobody's": (limit(1, of=CANARY), f"{RULE}.usage.of"),
    "negative days": ({"retain_days": -1}, f"{RULE}.retain_days"),
    "too many days": ({"retain_days": 10**9}, f"{RULE}.retain_days"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_rule_may_not_say(name: str) -> None:
    rule, path = WRONG[name]
    with pytest.raises(ConfigurationError) as caught:
        make(ruleset(rule))
    assert str(caught.value).startswith(path), caught.value


def test_what_a_host_must_bring() -> None:
    with pytest.raises(ConfigurationError, match=r"rulesets\[0\].rules\[0\].check_output"):
        make(ruleset({"check_output": "nobody"}))


def test_aliases_in_a_circle_are_no_models_for_rules() -> None:
    aliases = {"a": "b", "b": "a"}
    with pytest.raises(ConfigurationError, match="a cycle, a -> b -> a"):
        Gateway.from_config({**BASE, "aliases": aliases, "rulesets": ruleset({"tag": "x"})})


@pytest.mark.parametrize("unit", ["requests", "tokens"])
async def test_a_limit_of_nothing_and_one_that_nobody_reaches(unit: str) -> None:
    for amount, status in ((0, 429), (10**15, 200)):
        gateway, _ = make(ruleset(limit(amount, unit=unit)))
        async with gateway.running():
            assert (await ask(gateway, {"user": "ann"})).status == status


ODD = [
    {"user": "a:b", "group": "c"},
    {"user": "a", "group": "b:c"},
    {"user": "1:a", "group": "b"},
    {"user": "a", "group": "1:ab"},
    {"user": "a|b/c\\d", "group": "\x00\n\r\t"},
    {"user": "\\x00", "group": "\\n"},
    {"user": "😀" * 256, "group": "語" * 256},
    {"user": "😀" * 255 + "!", "group": "語" * 256},
    {"user": "é", "group": "x"},
    {"user": "e\u0301", "group": "x"},
    {"user": "\u202eann", "group": "*"},
    {"user": "'; DROP TABLE waystone_counters; --", "group": "{x}%s"},
]


@pytest.mark.parametrize("state", ["memory", "sqlite", "postgresql", "redis"])
async def test_no_two_ids_share_a_counter(
    request: pytest.FixtureRequest, tmp_path: Path, state: str
) -> None:
    at = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'state.db'}"}
    url = at.get(state) or request.getfixturevalue(f"{state}_url")
    rule = {**limit(1, of="user_in_group"), "on_failure": "closed"}
    # A server is shared with other tests: each run counts in a window of its own length.
    rule["usage"] = {"requests": 1, "past": f"{time.time_ns() % 10**6 + 3600}s"}
    rule["usage"]["of"] = "user_in_group"
    gateway, sink = make(ruleset(rule), state={"url": url, "deadline": 20})
    async with gateway.running():
        firsts = [(await ask(gateway, claim)).status for claim in ODD]
        seconds = [(await ask(gateway, claim)).status for claim in ODD]
    assert firsts == [200] * len(ODD)
    assert seconds == [429] * len(ODD)
    assert [(record.user, record.group) for record in sink.records] == 2 * [
        (claim["user"], claim["group"]) for claim in ODD
    ]


async def test_counters_and_users_outlive_the_gateway(tmp_path: Path) -> None:
    state = {"url": f"sqlite:///{tmp_path / 'state.db'}", "deadline": 20}
    rules = ruleset(limit(2), condition={"metadata": "tier", "equals": "free"})
    free = {"user": {"id": "ann", "metadata": {"tier": "free"}}}
    statuses = []
    for claim in (free, {"user": "ann"}, {"user": "ann"}):
        gateway, _ = make(rules, state=state)
        async with gateway.running():
            statuses.append((await ask(gateway, claim)).status)
    assert statuses == [200, 200, 429]


async def test_a_pinned_key_is_what_it_stands_for_and_may_what_it_may() -> None:
    gateway, sink = make(
        [
            *ruleset({"tag": "by key"}, condition={"is_user": True, "source": "key"}),
            {"name": "b", "condition": {"is_principal": "acme-backend"}, "rules": [{"tag": "b"}]},
            {
                "name": "c",
                "condition": {"is_group": "acme", "source": ["host", "claimed"]},
                "rules": [{"block": "Only keys may say so."}],
            },
        ]
    )
    async with gateway.running():
        pinned = await ask(gateway, key=PINNED)
        refused = [
            await ask(gateway, key=PINNED, model="openai/big"),
            await ask(gateway, {"user": "bob"}, key=PINNED),
            await request(gateway, "/identify", {"user": "ann"}, key=PINNED),
        ]
        free = await ask(gateway, {"user": "ann"})
        blocked = await ask(gateway, {"group": "acme"})
    assert pinned.status == 200
    assert [answer.status for answer in refused] == [403, 403, 403]
    assert (free.status, blocked.error["code"]) == (200, "blocked_by_rule")
    first, *others = sink.records
    assert (first.user, first.user_source, first.group_source) == ("ann", "key", "key")
    assert first.tags == ("by key", "b")
    assert [record.tags for record in others[-2:]] == [(), ()]


async def test_rules_may_believe_the_host_only() -> None:
    def identify(
        connection: HTTPConnection, principal: Principal, metadata: JSONObject
    ) -> Identity:
        return Identity(Entity("ann", {"tier": "pro"}, "host"), None)

    pro = {"metadata": "tier", "equals": "pro", "source": "host"}
    rules = ruleset({"change_model_to": "openai/big", "tag": "pro"}, condition=pro)
    claim = {"user": {"id": "ann", "metadata": {"tier": "pro"}}}
    for hooks, tags in (({}, ()), ({"identify": identify}, ("pro",))):
        gateway, sink = make(rules, **hooks)
        async with gateway.running():
            assert (await ask(gateway, claim)).status == 200
        assert sink.records[0].tags == tags


async def test_a_million_users_take_the_room_of_some() -> None:
    """In small: ten times as many as are kept, each with two counters."""
    counters, entities = MemoryCounters(limit=200), MemoryEntities(limit=100)
    rules = ruleset(limit(10), limit(10**6, unit="tokens"))
    gateway, sink = make(rules, counters=counters, entities=entities)
    async with gateway.running():
        for number in range(1000):
            assert (await ask(gateway, {"user": f"user-{number}"})).status == 200
    assert len(counters) <= 200
    assert len(entities._known.users) == 100
    assert len(sink.records) == 1000
