"""Public model names: full ones, bare ones, wildcards, aliases, and who may use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from waystone_asgi.catalog import Alias, Catalog
from waystone_asgi.exceptions import (
    AmbiguousModelError,
    ConfigurationError,
    GatewayError,
    ModelNotFoundError,
    PermissionDeniedError,
)
from waystone_asgi.records import Choice, Principal, Route, Target

ANYONE = Principal(id="p")
PROVIDERS = {
    "openai": ("gpt", "gpt-mini", "org/tuned:1"),
    "azure": ("gpt", "own"),
    "ollama": ("*", "listed"),
}
ALIASES: dict[str, str | Sequence[str]] = {
    "fast": "gpt-mini",
    "smart": ["openai/gpt", "ollama/anything", "fast"],
    "own": "openai/gpt",
    "ollama/renamed": "openai/gpt",
}
CATALOG = Catalog(PROVIDERS, ALIASES)


def targets(*names: str) -> tuple[Target, ...]:
    return tuple(
        Target(provider=provider, model=model)
        for provider, _, model in (name.partition("/") for name in names)
    )


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt", ("openai/gpt",)),
        ("azure/gpt", ("azure/gpt",)),
        ("gpt-mini", ("openai/gpt-mini",)),
        ("org/tuned:1", ("openai/org/tuned:1",)),
        ("openai/org/tuned:1", ("openai/org/tuned:1",)),
        ("listed", ("ollama/listed",)),
        ("ollama/listed", ("ollama/listed",)),
        ("ollama/anything", ("ollama/anything",)),
        ("ollama/a/b:c", ("ollama/a/b:c",)),
        ("ollama/*", ("ollama/*",)),
        ("fast", ("openai/gpt-mini",)),
        ("smart", ("openai/gpt", "ollama/anything", "openai/gpt-mini")),
        ("own", ("openai/gpt",)),
        ("azure/own", ("azure/own",)),
        ("ollama/renamed", ("openai/gpt",)),
    ],
)
def test_names_that_lead_somewhere(model: str, expected: tuple[str, ...]) -> None:
    route = CATALOG.resolve(model, ANYONE)
    assert route.targets == targets(*expected)


@pytest.mark.parametrize(
    "model",
    [
        *("nothing", "openai/nothing", "nobody/gpt", "OpenAI/gpt", "GPT-mini", "openai", "openai/"),
        *("ollama", "ollama/", "/", "", " gpt-mini", "*", "openai/*", "gpt-mini/", "é", "x" * 1000),
    ],
)
def test_names_that_lead_nowhere(model: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        CATALOG.resolve(model, ANYONE)
    error = caught.value
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert len(error.message) < 300


def test_a_bare_name_that_several_have() -> None:
    with pytest.raises(AmbiguousModelError) as caught:
        CATALOG.resolve("gpt", ANYONE)
    error = caught.value
    assert (error.status, error.code, error.param) == (400, "ambiguous_model", "model")
    assert "openai/gpt, azure/gpt" in error.message


def allowed(*globs: str) -> Principal:
    return Principal(id="p", models=globs)


@pytest.mark.parametrize(
    ("globs", "model", "expected"),
    [
        (("*",), "smart", ("openai/gpt", "ollama/anything", "openai/gpt-mini")),
        (("openai/*",), "smart", ("openai/gpt", "openai/gpt-mini")),
        (("ollama/any*",), "smart", ("ollama/anything",)),
        (("openai/gpt",), "openai/gpt", ("openai/gpt",)),
        (("openai/gpt-*", "azure/*"), "fast", ("openai/gpt-mini",)),
        (("nobody/*", "ollama/[ab]*"), "ollama/b", ("ollama/b",)),
        (("openai/gpt-mini",), "gpt-mini", ("openai/gpt-mini",)),
    ],
)
def test_a_key_uses_what_its_globs_match(
    globs: tuple[str, ...], model: str, expected: tuple[str, ...]
) -> None:
    route = CATALOG.resolve(model, allowed(*globs))
    assert route == Route(request_model=model, targets=targets(*expected))


@pytest.mark.parametrize(
    ("globs", "model"),
    [
        ((), "openai/gpt"),
        (("",), "openai/gpt"),
        (("gpt",), "openai/gpt"),
        (("OPENAI/*",), "openai/gpt"),
        (("openai/gpt",), "gpt-mini"),
        (("fast",), "fast"),
        (("azure/*",), "smart"),
        (("openai/*",), "ollama/openai/gpt"),
    ],
)
def test_a_key_uses_nothing_else(globs: tuple[str, ...], model: str) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        CATALOG.resolve(model, allowed(*globs))
    assert caught.value.status == 403


def test_a_name_of_any_length_is_cut_in_messages() -> None:
    for principal in (ANYONE, allowed()):
        with pytest.raises(GatewayError) as caught:
            CATALOG.resolve(("ollama/" if principal.models == () else "") + "x" * 1000, principal)
        assert "…" in caught.value.message


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (
            ANYONE,
            [
                *[("openai/gpt", "openai"), ("openai/gpt-mini", "openai")],
                *[("openai/org/tuned:1", "openai"), ("azure/gpt", "azure"), ("azure/own", "azure")],
                *[("ollama/listed", "ollama"), ("fast", "openai"), ("smart", "openai")],
                *[("own", "openai"), ("ollama/renamed", "openai")],
            ],
        ),
        (allowed("azure/*"), [("azure/gpt", "azure"), ("azure/own", "azure")]),
        (allowed("ollama/*"), [("ollama/listed", "ollama"), ("smart", "ollama")]),
        (allowed(), []),
    ],
)
def test_the_list_shows_what_may_be_used_and_by_whom(
    principal: Principal, expected: list[tuple[str, str]]
) -> None:
    assert CATALOG.models(principal) == expected
    for name, provider in expected:
        assert CATALOG.resolve(name, principal).targets[0].provider == provider


def test_aliases_are_shown_as_given() -> None:
    assert CATALOG.aliases["fast"] == Alias(models=["gpt-mini"])
    assert CATALOG.aliases["smart"].models == ("openai/gpt", "ollama/anything", "fast")


@pytest.mark.parametrize(
    ("aliases", "words"),
    [
        ({"a": "nothing"}, ["aliases.a", "`nothing` does not exist"]),
        ({"a": "gpt"}, ["aliases.a", "Several providers", "openai/gpt, azure/gpt"]),
        ({"a": []}, ["aliases.a", "at least one model"]),
        ({"a": "b", "b": ()}, ["aliases.b", "at least one model"]),
        ({"a": "a"}, ["aliases.a", "a cycle, a -> a"]),
        ({"a": "b", "b": ["fast", "c"], "c": "a", "fast": "gpt-mini"}, ["a -> b -> c -> a"]),
        ({"a": ["gpt-mini", "b"], "b": "nothing"}, ["aliases.b", "does not exist"]),
        ({"openai/gpt": "azure/gpt"}, ["aliases.openai/gpt", "a provider has a model"]),
        ({"fast": "gpt-mini", "azure/own": "fast"}, ["aliases.azure/own"]),
        ({"a": ["gpt-mini", ""]}, ["aliases.a.models[1]: expected the name of a model"]),
        ({"a": {}}, ["aliases.a.models: is missing."]),
        ({"a": {"models": []}}, ["aliases.a.models: name at least one model"]),
        ({"a": {"models": "gpt-mini"}}, ["aliases.a.models: name at least one model, in a list"]),
        ({"a": {"models": ["own", 1]}}, ["aliases.a.models[1]: expected the name"]),
        ({"a": {"models": ["own", "own"]}}, ["aliases.a.models[1]: this model is named twice"]),
        (
            {"a": {"models": ["gpt-mini", "openai/gpt-mini"], "choose": "least_latency"}},
            ["aliases.a.models[1]: this model is named twice"],
        ),
        (
            {"a": {"models": ["own"], "chose": "order"}},
            ["aliases.a.chose: ", "did you mean choose"],
        ),
        (
            {"a": {"models": ["own"], "choose": "fastest"}},
            ["aliases.a.choose: expected one of order, least_latency, weighted."],
        ),
        ({"a": {"models": ["own"], "choose": ["order"]}}, ["aliases.a.choose: expected one of"]),
        (
            {"a": {"models": ["own"], "weights": [1]}},
            ['aliases.a.weights: belong to choose = "weighted".'],
        ),
        *[
            ({"a": {"models": ["gpt-mini", "own"], "choose": "weighted", **weights}}, [words])
            for weights, words in (
                ({}, "aliases.a.weights: expected one for each of the 2 models."),
                ({"weights": [1]}, "aliases.a.weights: expected one for each of the 2 models."),
                ({"weights": "31"}, "aliases.a.weights: expected numbers"),
                ({"weights": 3}, "aliases.a.weights: expected numbers"),
                ({"weights": [1, 0]}, "aliases.a.weights[1]: expected a number above zero."),
                ({"weights": [-1, 1]}, "aliases.a.weights[0]: expected a number"),
                ({"weights": [float("nan"), 1]}, "aliases.a.weights[0]: expected a number"),
                ({"weights": [float("inf"), 1]}, "aliases.a.weights[0]: expected a number"),
                ({"weights": [10**400, 1]}, "aliases.a.weights[0]: expected a number"),
                ({"weights": [True, 1]}, "aliases.a.weights[0]: expected a number"),
                ({"weights": ["3", 1]}, "aliases.a.weights[0]: expected a number"),
            )
        ],
    ],
)
def test_aliases_that_are_refused(
    aliases: Mapping[str, str | Sequence[str]], words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Catalog(PROVIDERS, aliases)
    assert all(word in str(caught.value) for word in words)


CHOSEN = Catalog(
    PROVIDERS,
    {
        "fast": Alias(models=["openai/gpt", "azure/gpt"], choose="least_latency"),
        "fair": {"models": ["fast", "ollama/x"], "choose": "weighted", "weights": [3, 0.5]},
        "last": ["gpt-mini", "fair"],
        "plain": {"models": ["own", "gpt-mini"]},
    },
)
GPT, AZURE, X, MINI = targets("openai/gpt", "azure/gpt", "ollama/x", "openai/gpt-mini")
FAST = Choice(choose="least_latency", members=(GPT, AZURE))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("fast", Route(request_model="fast", targets=(GPT, AZURE), choice=FAST)),
        (
            "fair",
            Route(
                request_model="fair",
                targets=(GPT, AZURE, X),
                choice=Choice(choose="weighted", members=(FAST, X), weights=(3.0, 0.5)),
            ),
        ),
        ("plain", Route(request_model="plain", targets=(*targets("azure/own"), MINI))),
    ],
)
def test_an_alias_may_say_how_to_choose(model: str, expected: Route) -> None:
    assert CHOSEN.resolve(model, ANYONE) == expected


def test_an_alias_in_an_alias_is_chosen_in_as_it_says() -> None:
    route = CHOSEN.resolve("last", ANYONE)
    assert route.targets == (MINI, GPT, AZURE, X)
    assert route.choice is not None
    assert route.choice.members == (MINI, CHOSEN.resolve("fair", ANYONE).choice)


@pytest.mark.parametrize(
    ("globs", "expected", "weights"),
    [
        (("azure/*", "ollama/*"), (AZURE, X), (3.0, 0.5)),
        (("azure/*",), (AZURE,), (3.0,)),
        (("ollama/*",), (X,), (0.5,)),
    ],
)
def test_a_key_chooses_among_what_it_may_use(
    globs: tuple[str, ...], expected: tuple[Target, ...], weights: tuple[float, ...]
) -> None:
    route = CHOSEN.resolve("fair", allowed(*globs))
    assert route.targets == expected
    assert route.choice is not None
    assert route.choice.weights == weights


def test_without_aliases() -> None:
    catalog = Catalog({"a": ["m"], "b": []})
    assert catalog.aliases == {}
    assert catalog.models(ANYONE) == [("a/m", "a")]
    assert catalog.resolve("m", ANYONE).targets == targets("a/m")
