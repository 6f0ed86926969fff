"""Providers as a host configures them, and what is said when that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from waystone_asgi import ConfigurationError, Provider
from waystone_asgi.providers import PRESETS
from waystone_asgi.records import Endpoint

KEY = "sk-canary-7f3a"
PLACES = {
    "azure": "https://acme.openai.azure.com",
    "foundry": "https://acme.services.ai.azure.com/anthropic",
}
NEEDED: dict[str, dict[str, Any]] = {
    "bedrock": {"region": "eu-west-1"},
    "vertex": {"project": "acme", "location": "europe-west1"},
}


def make(type: str = "openai", **settings: Any) -> Provider:
    needed = NEEDED.get(type, {})
    return Provider(**{"name": type, "type": type, "api_key": KEY, **needed, **settings})


def url(provider: Provider) -> str:
    endpoint = provider.endpoint
    return f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}{endpoint.path}"


def headers(provider: Provider) -> dict[bytes, bytes]:
    return dict(provider.endpoint.headers)


@pytest.mark.parametrize("type", PRESETS)
def test_each_type_has_a_constructor(type: str) -> None:
    provider = getattr(Provider, type)(
        api_key=KEY, base_url=PLACES.get(type), **NEEDED.get(type, {})
    )
    assert (provider.name, provider.type, provider.preset) == (type, type, PRESETS[type])
    assert provider.models == PRESETS[type].models
    other = getattr(Provider, type)(
        api_key=KEY,
        base_url="http://host.test/base",
        name="other",
        models=["m"],
        headers={"X": "1"},
        **NEEDED.get(type, {}),
    )
    assert (other.name, other.type, other.models) == ("other", type, ("m",))
    assert other.endpoint.host == "host.test"
    assert headers(other)[b"x"] == b"1"


@pytest.mark.parametrize(
    ("type", "base_url", "where"),
    [
        ("openai", None, "https://api.openai.com:443/v1/chat/completions"),
        ("deepseek", None, "https://api.deepseek.com:443/chat/completions"),
        ("zai", None, "https://api.z.ai:443/api/paas/v4/chat/completions"),
        ("ollama", None, "http://127.0.0.1:11434/api/chat"),
        ("openai", "http://host.test", "http://host.test:80/chat/completions"),
        ("openai", "https://host.test/", "https://host.test:443/chat/completions"),
        ("openai", "https://host.test:8443/a/b/", "https://host.test:8443/a/b/chat/completions"),
        ("openai", "HTTPS://Host.Test/V1", "https://host.test:443/V1/chat/completions"),
        ("openai", "http://[::1]:8000/v1", "http://::1:8000/v1/chat/completions"),
        (
            "openai",
            "https://bücher.test/v1",
            "https://xn--bcher-kva.test:443/v1/chat/completions",
        ),
        ("openai", "https://host.test/é v1", "https://host.test:443/%C3%A9%20v1/chat/completions"),
        ("openai", "https://host.test/a%20b", "https://host.test:443/a%20b/chat/completions"),
        (
            "azure",
            "https://acme.openai.azure.com",
            "https://acme.openai.azure.com:443/openai/v1/chat/completions",
        ),
        (
            "azure",
            "https://acme.openai.azure.com/openai/v1/",
            "https://acme.openai.azure.com:443/openai/v1/chat/completions",
        ),
    ],
)
def test_where_requests_go(type: str, base_url: str | None, where: str) -> None:
    assert url(make(type, base_url=base_url)) == where


def azure(api_version: str, base_url: str = "https://acme.openai.azure.com") -> Provider:
    return Provider.azure(api_key=KEY, base_url=base_url, api_version=api_version)


def test_azure_takes_the_version_of_its_api() -> None:
    provider = azure("preview&latest")
    path = "/openai/v1/chat/completions?api-version=preview%26latest"
    assert provider.endpoint.path == path
    assert provider.destination("gpt", stream=False).endpoint is provider.endpoint


@pytest.mark.parametrize("base", ["", "/", "/openai/v1", "/proxy"])
def test_a_version_that_is_a_date_leads_to_the_deployment(base: str) -> None:
    provider = azure("2025-04-01&preview", f"https://acme.openai.azure.com{base}")
    before = base if base == "/proxy" else ""
    path = f"{before}/openai/deployments/%s/chat/completions?api-version=2025-04-01%%26preview"
    for model, segment in (("gpt-4", "gpt-4"), ("a/b?{model}", "a%2Fb%3F%7Bmodel%7D")):
        endpoint = provider.destination(model, stream=False).endpoint
        assert endpoint.path == path % segment
        assert endpoint.headers == provider.endpoint.headers


def test_a_destination_is_kept_but_not_any_number_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waystone_asgi.providers.provider.MODELS", 2)
    provider = azure("2025-04-01")
    first = provider.destination("gpt-0", stream=True)
    assert provider.destination("gpt-0", stream=True) is first
    for number in range(1, 5):
        provider.destination(f"gpt-{number}", stream=True)
    again = provider.destination("gpt-0", stream=True)
    assert again is not first
    assert (again.target, again.endpoint.path) == (first.target, first.endpoint.path)


@pytest.mark.parametrize(
    ("type", "name", "value"),
    [
        ("openai", b"authorization", b"Bearer " + KEY.encode()),
        ("groq", b"authorization", b"Bearer " + KEY.encode()),
        ("azure", b"api-key", KEY.encode()),
    ],
)
def test_the_key_is_sent_as_the_provider_wants_it(type: str, name: bytes, value: bytes) -> None:
    provider = make(type, base_url="https://host.test")
    assert {n: v for n, v in headers(provider).items() if KEY.encode() in v} == {name: value}


NEED_NOTHING = [type for type, preset in PRESETS.items() if not (preset.key_env or preset.defaults)]


@pytest.mark.parametrize("type", NEED_NOTHING)
def test_some_need_no_key(type: str) -> None:
    provider = make(type, api_key=None)
    assert provider.api_key is None
    assert not {b"authorization", b"api-key"} & set(headers(provider))


def test_headers_are_added_and_come_first() -> None:
    provider = make(headers={"X-Team": "a b", "Authorization": "Basic c2s=", "USER-AGENT": "mine"})
    sent = headers(provider)
    assert len(sent) == len(provider.endpoint.headers)
    assert (sent[b"x-team"], sent[b"authorization"]) == (b"a b", b"Basic c2s=")
    assert (sent[b"user-agent"], sent[b"content-type"]) == (b"mine", b"application/json")


@pytest.mark.parametrize(
    ("models", "known"),
    [
        (None, ("*",)),
        ("*", ("*",)),
        ("gpt", ("gpt",)),
        (["gpt", "o3", "gpt"], ("gpt", "o3")),
        (("a/b",), ("a/b",)),
        (iter(["gpt"]), ("gpt",)),
    ],
)
def test_models(models: Any, known: tuple[str, ...]) -> None:
    assert make(models=models).models == known


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param(
            {"type": "opnai"},
            "providers.openai.type: unknown type 'opnai'; known are openai, azure",
            id="type",
        ),
        pytest.param({"name": ""}, "a name is not empty and has no slash", id="no name"),
        pytest.param({"name": "a/b"}, "a name is not empty and has no slash", id="a slash"),
        pytest.param({"name": " a"}, "a name is not empty and has no slash", id="a space"),
        pytest.param({"api_key": None}, "such as env:OPENAI_API_KEY", id="no key"),
        pytest.param({"models": []}, "providers.openai.models: expected names", id="no models"),
        pytest.param({"models": ""}, "providers.openai.models: expected names", id="empty"),
        pytest.param({"models": ["a", ""]}, "providers.openai.models", id="an empty model"),
        pytest.param({"models": [7]}, "providers.openai.models", id="a model that is a number"),
        pytest.param(
            {"type": "azure"}, "providers.openai.base_url: azure needs one", id="no base URL"
        ),
        *[
            pytest.param(
                {"base_url": base_url},
                "providers.openai.base_url: expected http:// or https://",
                id=base_url,
            )
            for base_url in (
                "host.test/v1",
                "//host.test",
                "ftp://host.test",
                "http://",
                "http:///v1",
                "http://host.test:port",
                "http://host.test:99999",
                "http://host.test/v1?x=1",
                "http://host.test/v1#x",
                f"http://user:{KEY}@host.test",
                "http://[::1",
                "http://" + "a" * 64 + ".test",
            )
        ],
        pytest.param({"api_key": KEY + "\n"}, "HTTP headers cannot carry", id="a key of lines"),
        pytest.param({"api_key": KEY + "é"}, "HTTP headers cannot carry", id="a key in French"),
        pytest.param({"headers": {"x": "a\r\nb"}}, "header 'x'", id="a header of lines"),
        pytest.param({"headers": {"": "a"}}, "header ''", id="a header without name"),
        pytest.param({"headers": {"é": "a"}}, "header 'é'", id="a header in French"),
        pytest.param({"headers": {"a b": "a"}}, "header 'a b'", id="a header with a space"),
        pytest.param({"headers": {"a\n": "a"}}, "header 'a", id="a header with a line"),
        pytest.param({"headers": {"a:": "a"}}, "header 'a:'", id="a header with a colon"),
        pytest.param({"headers": {"host\0": "a"}}, "header 'host", id="a header with a NUL"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Provider(**{"name": "openai", "type": "openai", "api_key": KEY, **settings})
    assert said in str(caught.value)
    assert KEY not in str(caught.value)
    assert str(caught.value).startswith("providers.")


@pytest.mark.parametrize("type", PRESETS)
def test_nothing_shows_the_key(type: str) -> None:
    provider = make(type, base_url=PLACES.get(type), headers={"x-secret": KEY})
    shown = [provider, provider.endpoint, provider.api_key, provider.secrets, vars(provider)]
    for value in shown:
        assert KEY not in f"{value!r} {value!s}"
    assert KEY not in str(provider.endpoint.__rich_repr__())
    assert repr(provider) == f"Provider({type!r}, type={type!r}, endpoint={provider.endpoint!r})"


def test_endpoints_are_compared_by_identity() -> None:
    one, two = make().endpoint, make().endpoint
    assert one != two
    assert isinstance(one, Endpoint)
    assert len({one, two}) == 2


@pytest.mark.parametrize(
    ("api_key", "extra", "secrets"),
    [
        (KEY, {}, [KEY]),
        (KEY, {"x-key": "Bearer 12345678"}, [KEY, "12345678"]),
        (KEY, {"x-team": "a"}, [KEY]),
        (None, {}, []),
        ("", {}, []),
    ],
)
def test_what_errors_must_not_repeat(
    api_key: str | None, extra: dict[str, str], secrets: list[str]
) -> None:
    provider = make("ollama", api_key=api_key, headers=extra)
    assert [secret.reveal() for secret in provider.secrets] == secrets
