"""Short ways to write programs and subjects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from hypothesis import settings

from waystone_asgi.catalog import Catalog
from waystone_asgi.records import Entity, Identity, Principal, Source, Target
from waystone_asgi.rules import Estimate, Program, Rule, Ruleset, Subject, compile_rules
from waystone_asgi.types import Layers

NOW = 1_795_435_200.0
"""2026-11-23T12:00:00Z, a Monday."""

NO_LAYERS: Layers = {}
"""Those of whom nothing is known: the same ones each time, as stores have them."""

pure = settings(max_examples=80, deadline=None, database=None)
"""For properties: no deadline, because machines are busy, and nothing written."""

CATALOG = Catalog(
    {
        "openai": ["o3", "o3-mini", "gpt-4o", "gpt-4o-mini"],
        "azure": ["gpt-4o"],
        "anthropic": ["claude-opus", "claude-haiku"],
        "router": ["openai/gpt-4o"],
        "gpu": ["*"],
        "echo": ["echo"],
    },
    {"fast": "openai/gpt-4o-mini", "smart": ["openai/o3", "anthropic/claude-opus"]},
)
resolve = partial(CATALOG.resolve, principal=Principal("test"))

PRICES = {"o3": (10, 40), "o3-mini": (1, 4), "gpt-4o": (2, 8), "echo": (0, 0)}
"""Nano-dollars a token; others have no price."""


def price(target: Target, input_tokens: int, output_tokens: int, now: float) -> int | None:
    """What the tokens cost."""
    assert now == NOW
    if (each := PRICES.get(target.model)) is None:
        return None
    return input_tokens * each[0] + output_tokens * each[1]


def program(*rulesets: Ruleset | Mapping[str, Any], guards: Collection[str] = ()) -> Program:
    """The program of rulesets."""
    return compile_rules(list(rulesets), resolve=resolve, guards=guards, price=price)  # type: ignore[arg-type]


def always(*rules: Rule, name: str = "all") -> Ruleset:
    """A ruleset for every request."""
    return Ruleset(name=name, condition="always", rules=rules)


def subject(
    model: str = "openai/gpt-4o",
    *,
    user: str | None = None,
    group: str | None = None,
    source: Source = "claimed",
    user_metadata: Layers | None = None,
    group_metadata: Layers | None = None,
    principal: str = "backend",
    now: float = NOW,
    tokens: tuple[int, int | None] = (100, 50),
) -> Subject:
    """A request for a model."""
    return Subject(
        route=resolve(model),
        principal=principal,
        now=now,
        identity=Identity(
            None if user is None else Entity(user, None, source),
            None if group is None else Entity(group, None, source),
        ),
        user_metadata=user_metadata or NO_LAYERS,
        group_metadata=group_metadata or NO_LAYERS,
        estimate=Estimate(*tokens),
    )
