"""The recipes of docs/rules.md at work: the page's own TOML in a file, and a gateway made of it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from waystone_asgi import Gateway, GuardContext, Identity, MemorySink, Verdict
from waystone_asgi.records import Entity, Principal
from waystone_asgi.testing import FakeAnswer, FakeProvider, completion
from waystone_asgi.types import HTTPConnection, JSONObject

from .asgi import KEY, Answer, request

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "rules.md").read_text()
TOML = re.findall(r"```toml\n(.*?)```", PAGE.partition("## Recipes")[2], re.DOTALL)
BLOCKS = {tomllib.loads(block)["rulesets"][0]["name"]: block for block in TOML}
FILE = f"""
api_keys = ["{KEY}"]
[providers.openai]
api_key = "sk-one"
base_url = "http://openai.test/v1"
models = ["o3", "o3-mini", "gpt-4o", "gpt-4o-mini"]
[providers.anthropic]
type = "openai"
api_key = "sk-two"
base_url = "http://anthropic.test/v1"
models = ["claude-haiku", "claude-opus"]
[providers.azure]
api_key = "sk-three"
base_url = "http://azure.test/openai/v1"
models = ["gpt-4o"]
[aliases]
smart = ["openai/gpt-4o", "anthropic/claude-opus"]
[prices."openai/o3"]
input_mtok = 1000
output_mtok = 1000
[prices."openai/gpt-4o-mini"]
input_mtok = 0
output_mtok = 0

"""


class Host:
    """A gateway of a recipe, and what becomes of its requests.

    `said` is what the host's own hook says of users and groups; else the request body is believed.
    """

    def __init__(
        self, directory: Path, recipe: str, *answers: FakeAnswer, said: Identity | None = None
    ) -> None:
        file = directory / "waystone.toml"
        file.write_text(FILE + BLOCKS[recipe])
        self.sink = MemorySink()
        self.provider = FakeProvider(*answers or (completion("Hi"),))
        hooks: dict[str, Any] = {"guards": {"abuse": looks}, "sinks": [self.sink]}

        async def identify(
            connection: HTTPConnection, principal: Principal, metadata: JSONObject
        ) -> Identity:
            assert said is not None
            return said

        if said is not None:
            hooks["identify"] = identify
        self.gateway = Gateway.from_config(file, upstream=self.provider, **hooks)

    async def ask(self, model: str, metadata: object = None, **members: object) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **members}
        if metadata is not None:
            body["metadata"] = {"waystone": json.dumps(metadata)}
        return await request(self.gateway, "/v1/chat/completions", body)

    @property
    def asked(self) -> Sequence[str]:
        """Which models were asked for, at which hosts."""
        return [
            f"{sent.endpoint.host}/{json.loads(sent.body)['model']}"
            for sent in self.provider.requests
        ]


def looks(text: str, context: GuardContext) -> Verdict:
    return Verdict.blocked("Withheld.") if "abuse" in text else Verdict.passed()


def user(**metadata: object) -> dict[str, object]:
    return {"user": {"id": "ann", "metadata": metadata}}


async def test_a_free_tier_gets_the_cheaper_model(tmp_path: Path) -> None:
    host = Host(tmp_path, "free tier")
    async with host.gateway.running():
        await host.ask("openai/o3", user(tier="free"))
        await host.ask("anthropic/claude-opus", {"user": "ann"})  # Her tier is remembered.
        await host.ask("o3", {"user": "bob"})
    assert host.asked == ["openai.test/o3-mini", "openai.test/o3-mini", "openai.test/o3"]
    assert [record.response_model for record in host.sink.records] == ["test-model"] * 3
    assert [record.user for record in host.sink.records] == ["ann", "ann", "bob"]


async def test_ten_dollars_in_the_past_30_days(tmp_path: Path) -> None:
    # A thousand tokens are a dollar.
    host = Host(tmp_path, "allowance", completion("Hi", prompt_tokens=500, completion_tokens=500))
    async with host.gateway.running():
        replies = [
            await host.ask("o3", {"user": "ann"}, max_completion_tokens=500) for _ in range(12)
        ]
        other = await host.ask("o3", {"user": "bob"}, max_completion_tokens=500)
        free = await host.ask("gpt-4o-mini", {"user": "ann"}, max_completion_tokens=500)
    statuses = [reply.status for reply in replies]
    assert statuses == [200] * statuses.count(200) + [429] * (12 - statuses.count(200))
    records = host.sink.records[:12]
    spent = sum((record.cost_usd or Decimal(0) for record in records), Decimal(0))
    assert Decimal(9) <= spent <= Decimal(10)
    tagged = [record.tags for record in records]
    assert tagged[0] == ()
    assert tagged[statuses.count(200) - 1] == ("allowance nearly used",)
    error = replies[-1].error
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert error["message"] == "You have used up your allowance of $10 for 30 days."
    assert int(replies[-1].headers["retry-after"]) > 86_400
    # Another user has an allowance of his own, and what is free needs none.
    assert (other.status, free.status) == (200, 200)


@pytest.mark.parametrize("model", ["openai/o3", "smart", "anthropic/claude-opus", "azure/gpt-4o"])
async def test_groups_of_the_eu_stay_in_the_eu(tmp_path: Path, model: str) -> None:
    europe = Identity(None, Entity("acme", {"region": "eu"}, "host"))
    down = FakeAnswer([b"{}"], status=503)
    host = Host(tmp_path, "fallback", *[down] * 3, said=europe)
    async with host.gateway.running():
        assert (await host.ask(model)).status == 502
    # Tried twice, and nothing of the global fallback is in Europe.
    assert host.asked == ["azure.test/gpt-4o"] * 2


async def test_a_claim_keeps_nobody_in_the_eu(tmp_path: Path) -> None:
    host = Host(tmp_path, "fallback")
    async with host.gateway.running():
        await host.ask("openai/o3", {"group": {"id": "acme", "metadata": {"region": "eu"}}})
    assert host.asked == ["openai.test/o3"]


async def test_a_global_fallback(tmp_path: Path) -> None:
    down = FakeAnswer([b"{}"], status=503)
    host = Host(tmp_path, "fallback", *[down] * 4, completion("Hi"))
    async with host.gateway.running():
        answer = await host.ask("openai/o3")
    assert (answer.status, answer.headers["x-waystone-attempts"]) == (200, "5")
    [record] = host.sink.records
    assert [f"{attempt.provider}/{attempt.model}" for attempt in record.attempts] == [
        *["openai/o3"] * 2,
        *["openai/gpt-4o-mini"] * 2,
        "anthropic/claude-haiku",
    ]
    assert [attempt.status for attempt in record.attempts] == [503] * 4 + [200]


@pytest.mark.parametrize(("age", "status"), [(6, 403), (8, 200), (None, 200)])
async def test_new_users_are_checked_for_abuse(
    tmp_path: Path, age: int | None, status: int
) -> None:
    host = Host(tmp_path, "new users", completion("That is abuse."))
    created = {} if age is None else {"created": iso(age)}
    async with host.gateway.running():
        answer = await host.ask("openai/o3", user(**created))
    assert answer.status == status
    assert (b"abuse" in answer.body) is (status == 200)
    [record] = host.sink.records
    assert record.outcome == ("ok" if status == 200 else "blocked")


async def test_reviews_and_retention(tmp_path: Path) -> None:
    host = Host(tmp_path, "review")
    async with host.gateway.running():
        await host.ask("openai/o3", user(flagged=True))
        await host.ask("openai/o3", {"user": "bob"})
    assert [record.tags for record in host.sink.records] == [("to be reviewed",), ()]
    assert [record.retain_days for record in host.sink.records] == [None, None]
    host = Host(tmp_path, "retention")
    async with host.gateway.running():
        await host.ask("openai/o3", {"user": "ann"})
        await host.ask("openai/o3", {"group": "acme"})
        assert (await host.ask("nobody/knows")).status == 404
    assert [record.retain_days for record in host.sink.records] == [60, 0, None]


async def test_every_recipe_opens(tmp_path: Path) -> None:
    assert set(BLOCKS) >= {"fair shares", "next month"}
    for recipe in BLOCKS:
        host = Host(tmp_path, recipe)
        async with host.gateway.running():
            assert (await host.ask("openai/o3", {"user": "ann", "group": "b"})).status == 200


def iso(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()
