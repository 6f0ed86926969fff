"""Public model names: full ones, bare ones, wildcards, aliases, and who may use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from waystone_asgi.catalog import Catalog
from waystone_asgi.exceptions import (
    AmbiguousModelError,
    ConfigurationError,
    GatewayError,
    ModelNotFoundError,
    PermissionDeniedError,
)
from waystone_asgi.records import Principal, Route, Target

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
    assert CATALOG.aliases["fast"] == ("gpt-mini",)
    assert CATALOG.aliases["smart"] == ("openai/gpt", "ollama/anything", "fast")


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
    ],
)
def test_aliases_that_are_refused(
    aliases: Mapping[str, str | Sequence[str]], words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Catalog(PROVIDERS, aliases)
    assert all(word in str(caught.value) for word in words)


def test_without_aliases() -> None:
    catalog = Catalog({"a": ["m"], "b": []})
    assert catalog.aliases == {}
    assert catalog.models(ANYONE) == [("a/m", "a")]
    assert catalog.resolve("m", ANYONE).targets == targets("a/m")
