from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from waystone_asgi import Alias, Gateway
from waystone_asgi.authentication import APIKey
from waystone_asgi.config import (
    Config,
    environment_config,
    gateway_settings,
    load_config,
    load_usage_url,
    settings_of,
)
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.records import Secret, Timeouts
from waystone_asgi.rules import Retry, Rule, Ruleset

DIGEST = "sha256:" + "ab" * 32
PINNED = (
    'id = "acme-backend", user = "ann", group = "acme", models = ["openai/*"], endpoints = ["chat"]'
)
CANARY = "canary-3f9c"

GUESTS = {"name": "guests", "condition": "always", "rules": [{"tag": "guest"}]}

WHOLE = f"""
path = "/llm"
api_keys = [
  "env:WAYSTONE_API_KEY",
  "wk_literal",
  {{ key = "{DIGEST}", {PINNED} }},
]
max_body_bytes = 1024
max_in_flight = 10
max_waiting = 20
max_wait = 0.5
max_drain = 0
keep_alive = 5
hold = "complete"

[providers.openai]
api_key = "env:OPENAI_API_KEY"
models = ["gpt-4o-mini", "gpt-4o"]

[providers.mine]
type = "vllm"
base_url = "http://127.0.0.1:9000/v1"
headers = {{ x-team = "env:TEAM" }}

[providers.azure]
base_url = "https://acme.openai.azure.com"
api_key = "az"
api_version = "preview"

[aliases]
fast = "openai/gpt-4o-mini"
smart = ["openai/gpt-4o", "mine/anything", "fast"]

[timeouts]
connect = 1
total = 2.5

[usage]
url = "jsonl:///usage.jsonl"

[state]
url = "memory:"

[prices]
file = "prices.json"
"mine/anything" = "openai/gpt-4o"

[prices."openai/gpt-4o-mini"]
input_mtok = 0.1
output_mtok = 0

[[rulesets]]
name = "guests"
condition = {{ is_group = "acme" }}
rules = [{{ model = "fast", check_output = "abuse" }}]
"""


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAYSTONE_API_KEY", "OPENAI_API_KEY", "TEAM"):
        monkeypatch.setenv(name, f"{name.lower()}-{CANARY}")
    monkeypatch.delenv("MISSING", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "waystone.toml"
    path.write_text(WHOLE)
    return path


def minimal(**tables: object) -> dict[str, Any]:
    return {"providers": {"echo": {"models": ["echo"]}}} | tables


def test_the_whole_file(file: Path) -> None:
    config = load_config(file)
    assert config.path == "/llm"
    assert config.api_keys == (
        APIKey(key=f"waystone_api_key-{CANARY}"),
        APIKey(key="wk_literal"),
        APIKey(
            key=DIGEST,
            id="acme-backend",
            user="ann",
            group="acme",
            models=("openai/*",),
            endpoints=("chat",),
        ),
    )
    assert (config.max_body_bytes, config.max_in_flight, config.max_waiting) == (1024, 10, 20)
    assert (config.max_wait, config.max_drain) == (0.5, 0)
    assert (config.keep_alive, config.hold) == (5, "complete")
    assert config.aliases == {
        "fast": "openai/gpt-4o-mini",
        "smart": ["openai/gpt-4o", "mine/anything", "fast"],
    }
    assert config.timeouts == Timeouts(connect=1.0, total=2.5)
    assert config.usage_url == "jsonl:///usage.jsonl"
    assert config.prices == {
        "file": "prices.json",
        "mine/anything": "openai/gpt-4o",
        "openai/gpt-4o-mini": {"input_mtok": 0.1, "output_mtok": 0},
    }
    assert config.rulesets == (
        Ruleset(
            name="guests",
            condition={"is_group": "acme"},
            rules=[Rule(model="fast", check_output="abuse")],
        ),
    )


def test_the_providers_of_the_file(file: Path) -> None:
    openai, mine, azure = load_config(file).providers
    assert (openai.name, openai.type, openai.models) == (
        "openai",
        "openai",
        ("gpt-4o-mini", "gpt-4o"),
    )
    assert isinstance(openai.api_key, Secret)
    assert openai.api_key.reveal() == f"openai_api_key-{CANARY}"
    assert openai.endpoint.host == "api.openai.com"
    assert (mine.name, mine.type, mine.models) == ("mine", "vllm", ("*",))
    assert (mine.endpoint.host, mine.endpoint.port) == ("127.0.0.1", 9000)
    assert (b"x-team", f"team-{CANARY}".encode()) in mine.endpoint.headers
    assert azure.endpoint.path.endswith("?api-version=preview")


def test_defaults() -> None:
    config = load_config(minimal())
    assert config == Config(providers=config.providers)
    assert config.timeouts == Timeouts()
    assert (config.path, config.usage_url) == ("/api/gateway", None)


def test_the_repr_of_a_configuration_shows_no_secret(file: Path) -> None:
    assert CANARY not in repr(load_config(file))


@pytest.mark.parametrize("wrap", [dict, MappingProxyType])
def test_a_mapping_is_as_good_as_a_file(wrap: type[Mapping[str, Any]]) -> None:
    provider = wrap({"models": ("a", "env:TEAM")})
    config = load_config(wrap(minimal(providers=wrap({"ollama": provider}))))
    assert config.providers[0].models == ("a", f"team-{CANARY}")


@pytest.mark.parametrize("as_text", [True, False])
def test_gateway_settings(file: Path, as_text: bool) -> None:
    settings = gateway_settings(str(file) if as_text else file)
    assert set(settings) == {
        "providers",
        "api_keys",
        "aliases",
        "timeouts",
        "path",
        "strict",
        "max_body_bytes",
        "max_in_flight",
        "max_waiting",
        "max_wait",
        "max_drain",
        "keep_alive",
        "hold",
        "usage",
        "rulesets",
        "prices",
        "state",
        "retry",
    }
    assert settings["retry"] == Retry(attempts=2)
    assert settings["usage"] == {"url": "jsonl:///usage.jsonl"}
    usage = {"url": "postgresql://db/usage", "spool": "usage.spool"}
    assert settings_of(load_config(minimal(usage=usage)))["usage"] == usage
    assert settings["state"] == {"url": "memory:", "deadline": 0.05}


def test_a_gateway_without_a_ledger() -> None:
    assert settings_of(load_config(minimal()))["usage"] is None


WRONG = [
    ({}, "providers: give at least one"),
    ({"provider": {}}, "provider: unknown key; did you mean providers?"),
    (minimal(zebra=1), "zebra: unknown key; known are path, strict, max_body_bytes, "),
    (minimal(rulesets={"name": "r"}), "rulesets: expected a list of rulesets."),
    (minimal(prices=[]), "prices: expected `object`, got `array`."),
    (minimal(prices={"openai/x": "echo/x"}), 'prices."openai/x": there is no such provider; known'),
    (minimal(prices={"echo/x": {}}), 'prices."echo/x".input_mtok: is missing; 0 is free.'),
    (minimal(rulesets=[GUESTS | {"x": 1}]), "rulesets[0].x: unknown key; known are name, "),
    (
        minimal(rulesets=[GUESTS | {"rules": [{"tag": "env:MISSING"}]}]),
        "rulesets[0].rules[0].tag: the environment variable MISSING is not set.",
    ),
    (
        minimal(rulesets=[GUESTS | {"rules": [{"change_model_to": "openai/o3"}]}]),
        "rulesets[0].rules[0].change_model_to: no provider has this model, and no alias this name.",
    ),
    (minimal(path="llm"), "path: expected `str` matching"),
    (minimal(path=1), "path: expected `str`, got `int`"),
    (minimal(max_body_bytes=0), "max_body_bytes: expected `int` >= 1"),
    (minimal(max_in_flight=True), "max_in_flight: expected `int`, got `bool`"),
    (minimal(max_in_flight="10"), "max_in_flight: expected `int`, got `str`"),
    (minimal(max_waiting=0), "max_waiting: expected `int` >= 1"),
    (minimal(max_wait=-1), "max_wait: expected `float` >= 0"),
    (minimal(max_drain="1"), "max_drain: expected `float`, got `str`"),
    (minimal(keep_alive=True), "keep_alive: expected seconds, or false for none."),
    (minimal(keep_alive="15"), "keep_alive: expected `bool | float`, got `str`"),
    (minimal(hold="half"), "hold: invalid enum value"),
    ({1: {}}, "expected `str`, got `int`"),
    # providers
    (minimal(providers=[]), "providers: expected `object`, got `array`"),
    (minimal(providers={"openai": 1}), "providers.openai: expected `object`, got `int`"),
    (
        minimal(providers={"openai": {"base-url": CANARY}}),
        "providers.openai.base-url: unknown key; did you mean base_url?",
    ),
    (
        minimal(providers={"openai": {"qqq": CANARY}}),
        "providers.openai.qqq: unknown key; known are type, base_url, api_key, models, ",
    ),
    (
        minimal(providers={"openai": {"api_key": 5}}),
        "providers.openai.api_key: expected `str`, got `int`",
    ),
    (minimal(providers={"openai": {}}), "providers.openai.api_key: openai needs one"),
    (minimal(providers={"azure": {"api_key": CANARY}}), "providers.azure.base_url: azure needs"),
    (
        minimal(providers={"vllm": {"base_url": f"http://ann:{CANARY}@host"}}),
        "providers.vllm.base_url: expected http",
    ),
    (minimal(providers={"vllm": {"models": []}}), "providers.vllm.models: expected names"),
    (
        minimal(providers={"vllm": {"models": ["a", 1]}}),
        "providers.vllm.models[1]: expected `str`, got `int`",
    ),
    (
        minimal(providers={"mine": {"type": "opnai"}}),
        "providers.mine.type: known types are openai, azure, ",
    ),
    (
        minimal(providers={"mine": {"base_url": "http://host"}}),
        "providers.mine.type is missing, and 'mine' is none: known types are openai, ",
    ),
    (minimal(providers={"a/b": {"type": "vllm"}}), "providers.a/b: a name is"),
    (
        minimal(providers={"my own": {"type": "vllm", "api_key": 1}}),
        'providers."my own".api_key: expected',
    ),
    (
        minimal(providers={"vllm": {"headers": {"x-team": 1}}}),
        "providers.vllm.headers.x-team: expected `str`, got `int`",
    ),
    (
        minimal(providers={"vllm": {"headers": {"x-team": f"{CANARY}\n"}}}),
        "providers.vllm: the header 'x-team'",
    ),
    # api_keys
    (minimal(api_keys=CANARY), "api_keys: expected `array`, got `str`"),
    (minimal(api_keys=["wk_a", 1]), "api_keys[1]: expected `object`, got `int`"),
    (minimal(api_keys=[""]), "api_keys[0].key: expected `str` of length >= 1"),
    (minimal(api_keys=["sha256:canary-3f9c"]), "api_keys[0]: expected a key, or sha256:"),
    (minimal(api_keys=[CANARY, CANARY]), "api_keys[1]: the same key is given twice"),
    (minimal(api_keys=[{"id": "a"}]), "api_keys[0]: object missing required field `key`"),
    (minimal(api_keys=[{"key": CANARY, "idd": "a"}]), "api_keys[0].idd: unknown key; did you"),
    (minimal(api_keys=[{"key": CANARY, "user": ""}]), "api_keys[0].user: expected `str`"),
    (minimal(api_keys=[{"key": CANARY, "models": "a/*"}]), "api_keys[0].models: expected `array"),
    (
        minimal(api_keys=[{"key": CANARY, "endpoints": ["chat", "chats"]}]),
        "api_keys[0].endpoints[1]: known endpoints are chat, responses, ",
    ),
    # aliases
    (minimal(aliases={"fast": 1}), "aliases.fast: expected `str | object | array`, got"),
    (minimal(aliases={"fast": ["echo/echo", 1]}), "aliases.fast[1]: expected `str`, got `int`"),
    (minimal(aliases={"fast": []}), "aliases.fast: name at least one model"),
    (minimal(aliases={"fast": "echo/nope"}), "aliases.fast: The model `echo/nope` does not"),
    (minimal(aliases={"a": "b", "b": "a"}), "a cycle, a -> b -> a"),
    (
        minimal(aliases={"my own": {"models": ["echo/echo"], "choose": CANARY}}),
        'aliases."my own".choose: expected one of order, least_latency, weighted.',
    ),
    # timeouts
    (minimal(timeouts={"conect": 1}), "timeouts.conect: unknown key; did you mean connect?"),
    (minimal(timeouts={"connect": 0}), "timeouts.connect: expected `float` > 0"),
    (minimal(timeouts={"idle": float("nan")}), "timeouts.idle: expected `float` > 0"),
    (minimal(timeouts={"total": float("inf")}), "timeouts.total: expected `float` <= 86400"),
    (minimal(timeouts={"total": "60"}), "timeouts.total: expected `float`, got `str`"),
    # retry
    (minimal(retry=2), "retry: expected a table of attempts, fallback, on, "),
    (minimal(retry={"hedge_after": 0}), "retry.hedge_after: expected a number above 0"),
    (minimal(retry={"attempt": 2}), "retry.attempt: unknown key; did you mean attempts?"),
    (minimal(retry={"fallback": ["echo/echo"]}), "retry.fallback: belongs to a rule"),
    # usage and state
    (minimal(usage={"url": f"mysql://a:{CANARY}@db"}), "usage.url: There is no ledger of"),
    (minimal(usage={"url": f"postgresql://a:{CANARY}@db?x"}), "usage.url: The URL of the"),
    (minimal(usage={"spool": "usage.spool"}), "usage.spool: usage.url is missing"),
    (minimal(usage={"uri": "memory:"}), "usage.uri: unknown key; did you mean url?"),
    (minimal(state={"url": f"mysql://a:{CANARY}@db"}), "state.url: There is no state of this kind"),
    (minimal(state={"url": f"redis://:{CANARY}/@db"}), "state.url: The URL of the Redis server"),
    (minimal(state={"url": "redis://db", "deadline": 0}), "state.deadline: expected `float` > 0"),
    (minimal(state={"dedline": 1}), "state.dedline: unknown key; did you mean deadline?"),
    # env:
    (minimal(api_keys=["env:MISSING"]), "api_keys[0]: the environment variable MISSING is not"),
    (
        minimal(providers={"vllm": {"headers": {"x-team": "env:MISSING"}}}),
        "providers.vllm.headers.x-team: the environment variable MISSING is not set",
    ),
    (minimal(api_keys=[{"key": f"env:{CANARY}"}]), "api_keys[0].key: after env: comes the name"),
]


@pytest.mark.parametrize(("document", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_named_and_not_shown(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_config(document)
    assert str(caught.value).startswith("configuration: ")
    assert message in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in str(error)
        error = error.__cause__


def test_an_empty_variable_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTONE_API_KEY", "")
    with pytest.raises(ConfigurationError, match="WAYSTONE_API_KEY is not set"):
        load_config(minimal(api_keys=["env:WAYSTONE_API_KEY"]))


def test_a_variable_whose_content_looks_like_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "env:MISSING")
    config = load_config(minimal(aliases={"a": "echo/echo"}, usage={"url": "memory:"}))
    assert config.aliases == {"a": "echo/echo"}


def test_what_is_tried_again() -> None:
    assert load_config(minimal()).retry == Retry(attempts=2)
    table = {"on": [429], "hedge_after": 2, "hedge_share": 0.1}
    expected = Retry(attempts=2, on=[429], hedge_after=2.0, hedge_share=0.1)
    assert load_config(minimal(retry=table)).retry == expected
    assert load_config(minimal(retry={"hedge_after": 2})).retry.hedge_share == 0.05


def test_an_alias_may_be_a_table() -> None:
    two = {"echo": {"models": ["a", "b"]}}
    table = {"models": ("echo/a", "echo/b"), "choose": "weighted", "weights": [3, 1]}
    config = load_config(minimal(providers=two, aliases={"x": table}))
    alias = Alias(models=["echo/a", "echo/b"], choose="weighted", weights=[3.0, 1.0])
    assert config.aliases == {"x": alias}
    for given in (table, alias):
        document = minimal(providers=two)
        gateway = Gateway.from_config(document, aliases={"x": given}, allow_anonymous=True)
        assert gateway.catalog.aliases == {"x": alias}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path = \n", r"waystone\.toml: is not TOML: .*line 1"),
        (b"path = '\xff'", r"waystone\.toml: is not TOML: "),
        (b"[timeouts]\nidle = -1", r"waystone\.toml: timeouts\.idle: expected `float` > 0"),
        (None, r"waystone\.toml: cannot be read: No such file"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "waystone.toml"
    if content is not None:
        path.write_bytes(content + (b"" if content.startswith(b"path") else b"\n[providers.echo]"))
    with pytest.raises(ConfigurationError, match=message):
        load_config(path)


def test_load_usage_url_needs_no_other_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER", "sqlite:///a.db")
    document = minimal(api_keys=["env:MISSING"], usage={"url": "env:LEDGER"})
    assert load_usage_url(document) == "sqlite:///a.db"
    assert load_usage_url({}) is None
    with pytest.raises(ConfigurationError, match=r"configuration: usage\.url: expected `str`"):
        load_usage_url({"usage": {"url": 1}})


def test_the_environment_alone() -> None:
    variables = {
        "GROQ_API_KEY": "g",
        "AZURE_OPENAI_API_KEY": "a",
        "AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com",
        "OPENAI_API_KEY": "",
        "HF_TOKEN": "h",
    }
    config = environment_config(variables, "wk_key")
    assert [provider.name for provider in config.providers] == [
        "azure",
        "groq",
        "huggingface",
        "echo",
    ]
    assert config.providers[-1].models == ("echo",)
    assert config.api_keys == (APIKey(key="wk_key"),)
    del variables["AZURE_OPENAI_ENDPOINT"]
    assert "azure" not in {p.name for p in environment_config(variables, "wk_key").providers}
