"""Providers that need more than a base URL and a key: where requests go, and who is said to ask."""

from __future__ import annotations

from itertools import chain
from typing import Any, get_type_hints

import pytest

from waystone_asgi import ConfigurationError, Provider
from waystone_asgi.exceptions import ModelNotFoundError
from waystone_asgi.providers import PRESETS, provider_of, read_provider
from waystone_asgi.providers.access import AWSAccess, GoogleAccess
from waystone_asgi.providers.options import Keywords, Options
from waystone_asgi.providers.tables import _ProviderTable

KEY = "sk-canary-7f3a"
VARIABLES = {name for preset in PRESETS.values() for name in chain(*preset.defaults.values())}
VERTEX = {"project": "acme", "location": "us-east5"}
SIGNED = {"region": "eu-west-1", "access_key_id": "AKIA", "secret_access_key": "s" * 40}
PLACE = "/projects/acme/locations/us-east5"
NATIVE = "/models/gemini-2.5-pro"
CLAUDE = "claude-opus-4-1@20250805"
NOVA = "us.amazon.nova-2-lite-v1:0"


@pytest.fixture(autouse=True)
def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def make(type: str, **options: Any) -> Provider:
    return Provider(name=type, type=type, **options)


def url(provider: Provider, model: str, *, stream: bool) -> str:
    endpoint = provider.destination(model, stream=stream).endpoint
    return f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}{endpoint.path}"


@pytest.mark.parametrize(
    ("type", "options", "model", "dialect", "whole", "stream"),
    [
        pytest.param(
            "anthropic",
            {"api_key": KEY},
            "claude-sonnet-4-5",
            "anthropic",
            "https://api.anthropic.com:443/v1/messages",
            None,
            id="anthropic",
        ),
        pytest.param(
            "anthropic",
            {"api_key": KEY, "base_url": "http://host.test/proxy/v1/"},
            "claude-sonnet-4-5",
            "anthropic",
            "http://host.test:80/proxy/v1/messages",
            None,
            id="anthropic below a base URL",
        ),
        pytest.param(
            "foundry",
            {"api_key": KEY, "base_url": "https://acme.services.ai.azure.com/anthropic"},
            "claude-sonnet-4-5",
            "anthropic",
            "https://acme.services.ai.azure.com:443/anthropic/v1/messages",
            None,
            id="foundry",
        ),
        pytest.param(
            "foundry",
            {"api_key": KEY, "base_url": "https://acme.services.ai.azure.com"},
            "claude-sonnet-4-5",
            "anthropic",
            "https://acme.services.ai.azure.com:443/anthropic/v1/messages",
            None,
            id="foundry by its resource",
        ),
        pytest.param(
            "gemini",
            {"api_key": KEY},
            "gemini-2.5-pro",
            "gemini",
            f"https://generativelanguage.googleapis.com:443/v1beta{NATIVE}:generateContent",
            f"https://generativelanguage.googleapis.com:443/v1beta{NATIVE}"
            ":streamGenerateContent?alt=sse",
            id="gemini",
        ),
        pytest.param(
            "gemini",
            {"api_key": KEY, "base_url": "http://host.test/v1beta"},
            "tunedModels/mine",
            "gemini",
            "http://host.test:80/v1beta/tunedModels/mine:generateContent",
            "http://host.test:80/v1beta/tunedModels/mine:streamGenerateContent?alt=sse",
            id="a tuned model",
        ),
        pytest.param(
            "vertex",
            VERTEX,
            "gemini-2.5-pro",
            "gemini",
            f"https://us-east5-aiplatform.googleapis.com:443/v1beta1{PLACE}/publishers/google"
            f"{NATIVE}:generateContent",
            f"https://us-east5-aiplatform.googleapis.com:443/v1beta1{PLACE}/publishers/google"
            f"{NATIVE}:streamGenerateContent?alt=sse",
            id="vertex",
        ),
        pytest.param(
            "vertex",
            VERTEX | {"base_url": "http://host.test/proxy"},
            CLAUDE,
            "vertex_anthropic",
            f"http://host.test:80/proxy/v1{PLACE}/publishers/anthropic/models/{CLAUDE}:rawPredict",
            f"http://host.test:80/proxy/v1{PLACE}/publishers/anthropic/models/{CLAUDE}"
            ":streamRawPredict",
            id="claude on vertex",
        ),
        pytest.param(
            "vertex",
            VERTEX | {"location": "global"},
            "meta/llama-4-scout",
            "openai",
            "https://aiplatform.googleapis.com:443/v1beta1/projects/acme/locations/global"
            "/endpoints/openapi/chat/completions",
            None,
            id="others on vertex",
        ),
        pytest.param(
            "vertex",
            {"api_key": KEY, "location": "eu"},
            "gemini-2.5-pro",
            "gemini",
            f"https://aiplatform.eu.rep.googleapis.com:443/v1beta1/publishers/google{NATIVE}"
            ":generateContent",
            f"https://aiplatform.eu.rep.googleapis.com:443/v1beta1/publishers/google{NATIVE}"
            ":streamGenerateContent?alt=sse",
            id="vertex with a key of a project",
        ),
        pytest.param(
            "bedrock",
            {"api_key": KEY, "region": "eu-west-1"},
            NOVA,
            "bedrock",
            "https://bedrock-runtime.eu-west-1.amazonaws.com:443"
            "/model/us.amazon.nova-2-lite-v1%3A0/converse",
            "https://bedrock-runtime.eu-west-1.amazonaws.com:443"
            "/model/us.amazon.nova-2-lite-v1%3A0/converse-stream",
            id="bedrock",
        ),
        pytest.param(
            "bedrock",
            {"api_key": KEY, "base_url": "http://host.test/below"},
            "arn:aws:bedrock:eu-west-1:1:inference-profile/a b",
            "bedrock",
            "http://host.test:80/below/model"
            "/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fa%20b/converse",
            "http://host.test:80/below/model"
            "/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fa%20b/converse-stream",
            id="an ARN",
        ),
        pytest.param(
            "cohere",
            {"api_key": KEY},
            "command-a-03-2025",
            "cohere",
            "https://api.cohere.com:443/v2/chat",
            None,
            id="cohere",
        ),
        pytest.param(
            "ollama",
            {"base_url": "http://host.test:11434/"},
            "qwen3:4b",
            "ollama",
            "http://host.test:11434/api/chat",
            None,
            id="ollama",
        ),
        pytest.param(
            "ollama",
            {"base_url": "http://host.test:11434/v1"},
            "qwen3:4b",
            "openai",
            "http://host.test:11434/v1/chat/completions",
            None,
            id="ollama in OpenAI's form",
        ),
    ],
)
def test_how_a_model_is_asked(
    type: str, options: dict[str, Any], model: str, dialect: str, whole: str, stream: str | None
) -> None:
    provider = make(type, **options)
    assert url(provider, model, stream=False) == whole
    assert url(provider, model, stream=True) == (stream or whole)
    destination = provider.destination(model, stream=False)
    assert (destination.dialect.name, destination.target.model) == (dialect, model)


@pytest.mark.parametrize("type", ["anthropic", "cohere"])
def test_models_of_one_path_share_their_endpoint(type: str) -> None:
    provider = make(type, api_key=KEY)
    one, two = (provider.destination(model, stream=True) for model in ("one", "two"))
    assert one.endpoint is two.endpoint is provider.endpoint


@pytest.mark.parametrize(
    ("type", "options", "name", "value"),
    [
        ("anthropic", {}, b"x-api-key", KEY.encode()),
        ("foundry", {"base_url": "https://a.test"}, b"x-api-key", KEY.encode()),
        ("gemini", {}, b"x-goog-api-key", KEY.encode()),
        ("vertex", VERTEX, b"x-goog-api-key", KEY.encode()),
        ("bedrock", {"region": "eu-west-1"}, b"authorization", b"Bearer " + KEY.encode()),
        ("cohere", {}, b"authorization", b"Bearer " + KEY.encode()),
    ],
)
def test_the_key_is_sent_as_the_provider_wants_it(
    type: str, options: dict[str, Any], name: bytes, value: bytes
) -> None:
    provider = make(type, api_key=KEY, **options)
    sent = dict(provider.endpoint.headers)
    assert {n: v for n, v in sent.items() if KEY.encode() in v} == {name: value}
    assert provider.access is None
    assert (sent.get(b"anthropic-version") == b"2023-06-01") == (type in ("anthropic", "foundry"))


@pytest.mark.parametrize(
    ("type", "options", "model"),
    [
        ("gemini", {}, "."),
        ("gemini", {}, ".."),
        ("gemini", {}, "tunedModels/.."),
        ("gemini", {}, "a/b"),
        ("gemini", {}, "../../v1/files"),
        ("vertex", VERTEX, ".."),
        ("bedrock", {"region": "eu-west-1"}, ".."),
        ("bedrock", {"region": "eu-west-1"}, "a/../b"),
        ("azure", {"base_url": "https://a.test", "api_version": "2025-04-01"}, ".."),
    ],
)
def test_a_name_that_means_another_path_is_no_model(
    type: str, options: dict[str, Any], model: str
) -> None:
    provider = make(type, api_key=KEY, **options)
    with pytest.raises(ModelNotFoundError) as caught:
        provider.destination(model, stream=False)
    assert (caught.value.status, caught.value.param) == (404, "model")
    assert model in caught.value.message


def test_requests_to_bedrock_are_signed_where_there_is_no_key() -> None:
    provider = make("bedrock", **SIGNED, session_token="t" * 20)
    assert isinstance(provider.access, AWSAccess)
    assert b"authorization" not in dict(provider.endpoint.headers)
    assert [secret.reveal() for secret in provider.secrets] == ["s" * 40, "t" * 20]
    assert "s" * 40 not in f"{provider!r} {vars(provider)} {provider.access!r}"


@pytest.mark.parametrize("file", [None, "key.json"])
def test_requests_to_vertex_carry_a_token_where_there_is_no_key(file: str | None) -> None:
    provider = make("vertex", **VERTEX, credentials=file)
    assert provider.access == GoogleAccess(file)


AWS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s" * 40, "AWS_SESSION_TOKEN": "t" * 9}


@pytest.mark.parametrize(
    ("type", "options", "variables", "secrets", "host"),
    [
        pytest.param(
            "bedrock",
            {},
            {"AWS_DEFAULT_REGION": "eu-west-3", **AWS},
            ["s" * 40, "t" * 9],
            "bedrock-runtime.eu-west-3.amazonaws.com",
            id="all of AWS's",
        ),
        pytest.param(
            "bedrock",
            {},
            {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3", **AWS}
            | {"AWS_BEARER_TOKEN_BEDROCK": KEY},
            [KEY],
            "bedrock-runtime.eu-west-2.amazonaws.com",
            id="a key before what signs",
        ),
        pytest.param(
            "bedrock",
            {"region": "eu-west-1", "access_key_id": "a", "secret_access_key": "b" * 40},
            {"AWS_REGION": "eu-west-2", "AWS_BEARER_TOKEN_BEDROCK": KEY, **AWS},
            ["b" * 40],
            "bedrock-runtime.eu-west-1.amazonaws.com",
            id="what is said before what is found",
        ),
        pytest.param(
            "vertex",
            {},
            {"GOOGLE_CLOUD_PROJECT": "acme", "GOOGLE_CLOUD_LOCATION": "global"},
            [],
            "aiplatform.googleapis.com",
            id="Google's",
        ),
        pytest.param(
            "azure",
            {"api_key": KEY},
            {"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com"},
            [KEY],
            "acme.openai.azure.com",
            id="Azure's",
        ),
    ],
)
def test_variables_stand_in_for_options(
    type: str,
    options: dict[str, Any],
    variables: dict[str, str],
    secrets: list[str],
    host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    provider = make(type, **options)
    assert [secret.reveal() for secret in provider.secrets] == secrets
    assert provider.endpoint.host == host


@pytest.mark.parametrize(
    ("type", "options", "said"),
    [
        ("openai", {"api_key": KEY, "region": "x"}, "openai.region: only bedrock takes it"),
        ("groq", {"api_key": KEY, "api_version": "1"}, "groq.api_version: only azure takes it"),
        ("bedrock", {"api_key": KEY}, "region: bedrock needs one, or AWS_REGION or"),
        ("bedrock", {"region": "eu-west-1"}, "api_key: bedrock needs one, or access_key_id and"),
        ("bedrock", SIGNED | {"secret_access_key": None}, "api_key: bedrock needs one"),
        ("bedrock", SIGNED | {"api_key": KEY}, "access_key_id: there is an api_key already"),
        (
            "bedrock",
            SIGNED | {"region": None, "base_url": "http://a.test"},
            "region: bedrock needs one to sign for",
        ),
        ("bedrock", SIGNED | {"access_key_id": "é"}, "access_key_id: expected ASCII"),
        ("bedrock", SIGNED | {"region": "a.test/"}, "region: expected letters, digits and"),
        ("vertex", {"project": "acme"}, "location: vertex needs one, or GOOGLE_CLOUD_LOCATION"),
        ("vertex", {"location": "us"}, "project: vertex needs one, or GOOGLE_CLOUD_PROJECT set"),
        (
            "vertex",
            VERTEX | {"api_key": KEY, "credentials": "f"},
            "credentials: there is an api_key already",
        ),
        ("foundry", {"api_key": KEY}, "base_url: foundry needs one"),
        ("anthropic", {}, "api_key: anthropic needs one, such as env:ANTHROPIC_API_KEY"),
        ("gemini", {}, "api_key: gemini needs one, such as env:GEMINI_API_KEY"),
    ],
)
def test_what_is_wrong_is_said(type: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(type, **options)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"providers.{type}.")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("own", "gateway", "strict"),
    [
        (None, False, False),
        (None, True, True),
        (False, True, False),
        (True, False, True),
        (True, True, True),
    ],
)
def test_a_provider_is_as_strict_as_the_gateway_unless_it_says_it(
    own: bool | None, gateway: bool, strict: bool
) -> None:
    provider = make("anthropic", api_key=KEY, strict=own, max_output_tokens=9)
    provider.destination("m", stream=False)
    target = provider.as_strict_as(gateway).destination("m", stream=False).target
    assert (target.strict, target.max_output_tokens) == (strict, 9)
    assert provider.destination("m", stream=False).target.strict == bool(own)


@pytest.mark.parametrize(
    ("variables", "type", "made"),
    [
        ({"ANTHROPIC_API_KEY": KEY}, "anthropic", True),
        ({"ANTHROPIC_API_KEY": ""}, "anthropic", False),
        ({"GOOGLE_API_KEY": KEY}, "gemini", True),
        ({"COHERE_API_KEY": KEY}, "cohere", True),
        ({"AWS_REGION": "eu-west-1"}, "bedrock", False),
        ({"AWS_BEARER_TOKEN_BEDROCK": KEY}, "bedrock", False),
        ({"AWS_REGION": "eu-west-1", "AWS_BEARER_TOKEN_BEDROCK": KEY}, "bedrock", True),
        ({"AWS_REGION": "eu-west-1", **AWS}, "bedrock", True),
        ({"GOOGLE_CLOUD_PROJECT": "a", "GOOGLE_CLOUD_LOCATION": "us"}, "vertex", False),
        ({}, "ollama", False),
        ({}, "echo", False),
    ],
)
def test_which_providers_the_environment_has(
    variables: dict[str, str], type: str, made: bool
) -> None:
    provider = provider_of(type, variables)
    assert (provider is not None) == made
    assert provider is None or provider.name == provider.type == type


def test_a_table_says_what_keywords_do() -> None:
    names = set(Options.__struct_fields__)
    assert set(get_type_hints(Keywords)) == names
    assert set(_ProviderTable.__struct_fields__) == names | {"type"}
    table = {"type": "bedrock", "strict": True, "max_output_tokens": 7, **SIGNED}
    target = read_provider("aws", table).destination(NOVA, stream=False).target
    assert (target.strict, target.max_output_tokens) == (True, 7)


def test_options_show_no_credential() -> None:
    assert KEY not in repr(Options(api_key=KEY, secret_access_key=KEY, session_token=KEY))


def test_an_option_that_there_is_not_is_no_option() -> None:
    with pytest.raises(TypeError, match="api_keys"):
        make("openai", api_keys=KEY)
