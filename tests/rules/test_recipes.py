"""Every block of the page is read and compiled, and the recipes do what they say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from waystone_asgi import rules
from waystone_asgi.rules import Program, Rule, UsageLimit, read_rulesets
from waystone_asgi.rules.conditions import Condition

from .requests import NOW, program, subject

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text()
TOML = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
RECIPES = {
    ruleset["name"]: program(*block["rulesets"], guards=["abuse"])
    for block in TOML[1:]
    for ruleset in block["rulesets"]
}
EU = {"host": {"region": "eu"}}


def test_toml_and_python_of_the_page_are_the_same() -> None:
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert read_rulesets(TOML[0]["rulesets"]) == (eval(block, vars(rules)),)


@pytest.mark.parametrize("kind", [Rule, UsageLimit, Condition])
def test_every_key_is_on_the_page(kind: type[Rule]) -> None:
    missing = [key for key in kind.__struct_fields__ if not re.search(rf"[`{{ ]{key}[` ]", PAGE)]
    assert missing == []


def goes_to(recipe: Program, model: str, **keys: object) -> list[str]:
    decision = recipe.evaluate(subject(model, **keys))  # type: ignore[arg-type]
    return [f"{t.provider}/{t.model}" for t in (*decision.route.targets, *decision.fallback)]


def test_a_free_tier_gets_the_cheaper_model() -> None:
    free = {"claimed": {"tier": "free"}}
    recipe = RECIPES["free tier"]
    assert goes_to(recipe, "o3", user="ann", user_metadata=free) == ["openai/o3-mini"]
    assert goes_to(recipe, "smart", user="ann", user_metadata=free) == ["openai/o3-mini"]
    assert goes_to(recipe, "openai/gpt-4o", user="ann", user_metadata=free) == ["openai/gpt-4o"]
    assert goes_to(recipe, "o3", user="bob") == ["openai/o3"]


def test_ten_dollars_in_the_past_30_days() -> None:
    recipe, request = RECIPES["allowance"], subject("o3", user="ann")
    [charge] = recipe.evaluate(request).charges
    assert (charge.limit, charge.window.seconds) == (8 * 10**9, 30 * 86_400)
    warned = recipe.evaluate(request, {0: 60})
    assert warned.tags == ("allowance nearly used",)
    assert [charge.limit for charge in warned.charges] == [10 * 10**9]
    spent = recipe.evaluate(request, {0: 60, 1: 60})
    assert spent.blocked is not None
    assert spent.blocked.error().code == "insufficient_quota"
    assert recipe.evaluate(subject("o3", group="acme")).charges == ()


def test_groups_of_the_eu_stay_in_the_eu() -> None:
    recipe = RECIPES["eu"]
    for model in ("o3", "smart", "openai/gpt-4o", "anthropic/claude-opus", "azure/gpt-4o"):
        assert goes_to(recipe, model, group="acme", group_metadata=EU) == ["azure/gpt-4o"]
    assert goes_to(recipe, "o3", group="acme", group_metadata={"claimed": {"region": "eu"}}) == [
        "openai/o3",
        "openai/gpt-4o-mini",
        "anthropic/claude-haiku",
    ]


def test_a_global_fallback() -> None:
    decision = RECIPES["fallback"].evaluate(subject("azure/gpt-4o"))
    assert decision.retry is not None
    assert decision.retry.attempts == 2
    assert decision.retry.covers(None, "upstream_timeout")
    assert len(decision.fallback) == 2


@pytest.mark.parametrize(("age", "guards"), [(6, ("abuse",)), (8, ())])
def test_abuse_checks_for_new_users(age: int, guards: tuple[str, ...]) -> None:
    created = {"host": {"created": NOW - age * 86_400}}
    request = subject(user="ann", user_metadata=created)
    assert RECIPES["new users"].evaluate(request).guards == guards


def test_reviews() -> None:
    flagged = subject(user="ann", user_metadata={"host": {"flagged": True}})
    assert RECIPES["review"].evaluate(flagged).tags == ("to be reviewed",)
    assert RECIPES["review"].evaluate(subject(user="ann")).tags == ()


def test_retention() -> None:
    recipe = RECIPES["retention"]
    assert recipe.evaluate(subject()).retain_days == 60
    assert recipe.evaluate(subject(group="acme")).retain_days == 0


def test_fair_shares() -> None:
    decision = RECIPES["fair shares"].evaluate(subject(user="ann"))
    assert [(charge.amount, charge.limit) for charge in decision.charges] == [(1, 4), (1, 1000)]
    assert len(RECIPES["fair shares"].evaluate(subject()).charges) == 1


def test_a_limit_tried_out() -> None:
    decision = RECIPES["next month"].evaluate(subject(group="acme"))
    assert [charge.limit for charge in decision.charges] == [None]
    assert decision.marks[0].notes == ("shadow:next month[0]:block",)
