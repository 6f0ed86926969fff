"""The table gives what the installed genai-prices gives: the same models, the same money."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest
from genai_prices import types

from waystone_asgi.pricing import Prices, Table
from waystone_asgi.pricing.build import build_installed

from . import oracle

CONTENT = build_installed()
TABLE = Table(CONTENT)


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Prices:
    file = tmp_path_factory.mktemp("prices") / "prices.json"
    file.write_bytes(CONTENT)
    return Prices(file=file)


@pytest.mark.parametrize("provider", oracle.PROVIDERS)
def test_every_model_costs_what_genai_prices_says(provider: str, prices: Prices) -> None:
    wrong = []
    for model in oracle.PROVIDERS[provider].models:
        name = name_of(provider, model)
        for when in oracle.moments(model):
            for usage in oracle.usages(model):
                ours = prices.cost(provider, name, usage, when.timestamp())
                theirs = oracle.cost(provider, model, usage, when)
                if ours != theirs:
                    wrong.append((name, when, usage, ours, theirs))
    assert not wrong


@pytest.mark.parametrize("provider", oracle.PROVIDERS)
def test_every_service_tier_costs_what_genai_prices_says(provider: str, prices: Prices) -> None:
    wrong = []
    for model in oracle.PROVIDERS[provider].models:
        if not model.price_variants:
            continue
        name = name_of(provider, model)
        for kind, tier in oracle.tiers(model):
            for when in oracle.moments(model):
                for usage in islice(oracle.usages(model), None, None, 3):
                    ours = prices.cost(provider, name, usage, when.timestamp(), tier)
                    theirs = oracle.cost(provider, model, usage, when, {kind: tier})
                    if ours != theirs:
                        wrong.append((name, tier, when, usage, ours, theirs))
    assert not wrong


@pytest.mark.parametrize("provider", oracle.PROVIDERS)
def test_every_name_is_the_model_that_genai_prices_says(provider: str) -> None:
    places = [provider, *(oracle.PROVIDERS[provider].fallback_model_providers or ())]
    wrong = []
    for name in sorted({variant for place in places for variant in names_at(place)}):
        ours, theirs = TABLE.find(provider, name), oracle.find(provider, name)
        found = ours and (ours[0], ours[1].id)
        if found != (theirs and (theirs[0], theirs[1].id)):
            wrong.append((name, found, theirs))
    assert not wrong


def test_the_table_has_every_model() -> None:
    ours = [(p, model.id) for p in TABLE.providers for model in TABLE.section(p).models]
    theirs = [(p, model.id) for p in oracle.PROVIDERS for model in oracle.PROVIDERS[p].models]
    assert ours == theirs
    TABLE.check()


def name_of(provider: str, model: types.ModelInfo) -> str:
    """A name that means just this model."""
    found = (
        name for name in literals(model.match) if oracle.find(provider, name) == (provider, model)
    )
    return next(found)


def names_at(provider: str) -> Iterator[str]:
    """What each clause of each of its models looks for, and for some of them what looks alike."""
    for count, model in enumerate(oracle.PROVIDERS[provider].models):
        for name in sorted({model.id, *literals(model.match)}):
            yield name
            if count < 50 or count % 10 == 0:
                yield from (name.upper(), f"x{name}", f"{name}-x", f"{name}:free")
                yield from (f"{name}-20261123", f"{name}-2026-11-23", f"{name}-20260231")


def literals(clause: object) -> Iterator[str]:
    for inner in getattr(clause, "or_", ()) or getattr(clause, "and_", ()):
        yield from literals(inner)
    if not isinstance(clause, types.ClauseOr | types.ClauseAnd | types.ClauseRegex):
        (text,) = vars(clause).values()
        yield text
