from __future__ import annotations

import pytest

from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.rules import Rule

from .requests import always, program, subject


@pytest.mark.parametrize(
    ("asked", "model", "met"),
    [
        ("openai/o3", "openai/o3", True),
        ("o3", "openai/o3", True),
        ("openai/o3", "o3", True),
        ("o3", "o3", True),
        ("openai/o3-mini", "openai/o3", False),
        ("openai/o3", "OpenAI/*", False),
        ("openai/o3", "openai/*", True),
        ("o3", "openai/*", True),
        ("fast", "openai/gpt-4o-mini", True),
        ("fast", "gpt-4o-mini", True),
        ("fast", "fast", True),
        ("fast", "f?st", True),
        ("openai/gpt-4o-mini", "fast", False),
        ("smart", "smart", True),
        ("smart", "openai/o3", True),
        ("smart", "anthropic/*", True),
        ("smart", "openai/gpt*", False),
        ("anthropic/claude-opus", "openai/*", False),
        ("openai/gpt-4o", "gpt-4*", True),
        ("azure/gpt-4o", "gpt-4*", True),
        ("router/openai/gpt-4o", "gpt-4*", False),
        ("router/openai/gpt-4o", "openai/gpt-4o", False),
        ("router/openai/gpt-4o", "openai/*", False),
        ("router/openai/gpt-4o", "*gpt-4o", True),
        ("router/openai/gpt-4o", "router/*", True),
        ("openai/gpt-4o", "*", True),
        ("gpu/anything/at-all", "gpu/*", True),
        ("gpu/llama", "gpu/llama", True),
        ("gpu/llama", "l[kl]ama", True),
        ("openai/o3", ["azure/gpt-4o", "openai/o3"], True),
        ("openai/o3", ["azure/*", "openai/o?"], True),
        ("openai/o3", ["azure/*", "anthropic/*"], False),
    ],
)
def test_which_models_a_rule_is_for(asked: str, model: str | list[str], met: bool) -> None:
    decision = program(always(Rule(model=model, tag="met"))).evaluate(subject(asked))
    assert decision.tags == (("met",) if met else ())


UNKNOWN = "no provider has this model, and no alias this name."


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(model="openai/o9", tag="t"), f"rules[0].model: {UNKNOWN}"),
        (Rule(model=["openai/*", "o9"], tag="t"), f"rules[0].model[1]: {UNKNOWN}"),
        (Rule(change_model_to="o9"), f"rules[0].change_model_to: {UNKNOWN}"),
        (Rule(change_model_to="openai/*"), f"rules[0].change_model_to: {UNKNOWN}"),
        (
            Rule(retry={"fallback": ["openai/o3", "o9"]}),
            f"rules[0].retry.fallback[1]: {UNKNOWN}",
        ),
        (
            Rule(change_model_to="gpt-4o"),
            "rules[0].change_model_to: Several providers have the model `gpt-4o`: "
            "use one of openai/gpt-4o, azure/gpt-4o.",
        ),
        (Rule(check_output="abuse"), "rules[0].check_output: no guard has this name; there is non"),
    ],
)
def test_names_that_nobody_knows(rule: Rule, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        program(always(Rule(tag="t"), name="first"), always(rule))
    assert str(raised.value).startswith(f"rulesets[1].{message}")


def test_guards_that_the_host_has() -> None:
    rule = Rule(check_output="abuse")
    assert program(always(rule), guards=["abuse"]).evaluate(subject()).guards == ("abuse",)
    with pytest.raises(ConfigurationError, match=r"known are tone, length\."):
        program(always(rule), guards=["tone", "length"])
