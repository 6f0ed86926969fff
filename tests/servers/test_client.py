"""The official client drives the mount, over real sockets, under each server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from openai import (
    APIError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from openai.types.chat import ChatCompletionToolParam
from pydantic import BaseModel

from .conftest import Mount
from .keys import IDENTIFY_KEY, KEY, MAX_BODY_BYTES, UPSTREAM_KEY
from .provider import ScriptedProvider

ASK: Any = [{"role": "user", "content": "Guten Tag"}]

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture(scope="session")
def schema(shared: Path) -> Any:
    """The published schema of an answer."""
    [page] = (shared / "seed").glob("000_*.txt")
    document = yaml.safe_load(page.read_text().split("````yaml", 1)[1].split("\n", 1)[1][:-4])
    [path] = document["paths"].values()
    return path["post"]["responses"]["200"]["content"]["application/json"]["schema"]


@pytest.mark.parametrize("model", ["openai/plain", "plain", "echo/echo"])
def test_a_completion(client: OpenAI, schema: Any, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK)
    answer = raw.parse()
    assert answer.choices[0].message.content == "Guten Tag"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert raw.headers["x-waystone-attempts"] == "1"
    assert raw.headers["x-waystone-provider"] == ("echo" if "echo" in model else "openai")
    jsonschema.validate(raw.http_response.json(), schema)


def test_what_is_sent_upstream(client: OpenAI, provider: ScriptedProvider) -> None:
    provider.forget()
    client.chat.completions.create(
        model="openai/plain",
        messages=ASK,
        metadata={"waystone": '{"user": "ann"}', "trace": "1"},
        extra_body={"unheard_of": {"kept": [1.0, 2]}},
    )
    exchange = provider.take("plain")
    assert exchange.body == {
        "model": "plain",
        "messages": ASK,
        "metadata": {"trace": "1"},
        "unheard_of": {"kept": [1.0, 2]},
    }
    assert exchange.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert not {name for name in exchange.headers if name.startswith("x-stainless")}


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream(client: OpenAI, mount: Mount, include_usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if include_usage else {}
    stream = client.chat.completions.create(
        model="openai/plain", messages=ASK, stream=True, **options
    )
    chunks = list(stream)
    said = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(said) == "Guten Tag"
    assert chunks[-1 - include_usage].choices[0].finish_reason == "stop"
    assert [chunk.usage is not None for chunk in chunks[-1:]] == [include_usage]
    record = mount.ledger.wait(stream.response.headers["x-request-id"])
    assert (record["outcome"], record["stream"]) == ("ok", 1)
    assert (record["input_tokens"], record["output_tokens"]) == (11, 7)


def test_the_stream_helper(client: OpenAI) -> None:
    with client.chat.completions.stream(model="openai/plain", messages=ASK) as stream:
        said = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(said) == final.choices[0].message.content == "Guten Tag"


def test_a_tool(client: OpenAI, schema: Any) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="openai/tools", messages=ASK, tools=[WEATHER]
    )
    [call] = answer.parse().choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Zürich"}')
    jsonschema.validate(answer.http_response.json(), schema)


def test_a_streamed_tool(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="openai/tools", messages=ASK, tools=[WEATHER]
    ) as stream:
        kinds = {event.type for event in stream}
        [choice] = stream.get_final_completion().choices
    assert "tool_calls.function.arguments.done" in kinds
    [call] = choice.message.tool_calls or ()
    assert (call.id, call.function.arguments) == ("call_1", '{"city": "Zürich"}')
    assert choice.finish_reason == "tool_calls"


def test_a_parsed_answer(client: OpenAI, provider: ScriptedProvider) -> None:
    provider.forget()
    answer = client.chat.completions.parse(
        model="openai/structured", messages=ASK, response_format=Weather
    )
    assert answer.choices[0].message.parsed == Weather(city="Zürich", degrees=21)
    sent = provider.take("structured").body["response_format"]
    assert sent["json_schema"]["schema"]["required"] == ["city", "degrees"]


def test_a_parsed_stream(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="openai/structured", messages=ASK, response_format=Weather
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Weather(city="Zürich", degrees=21)


def test_models(client: OpenAI) -> None:
    listed = {model.id: model.owned_by for model in client.models.list()}
    assert listed["openai/plain"] == "openai"
    assert listed["echo/echo"] == "echo"
    for name in ("echo/echo", "openai/plain", "echo"):
        assert client.models.retrieve(name).id == name


# Every class of error, as the exception that the client's users expect.

Ask = Callable[[Mount, OpenAI], object]


def ask(model: str, content: str = "Guten Tag", **more: Any) -> Ask:
    def ask(mount: Mount, client: OpenAI) -> object:
        messages: Any = [{"role": "user", "content": content}]
        return client.chat.completions.create(model=model, messages=messages, **more)

    return ask


def ask_with(key: str) -> Ask:
    def ask(mount: Mount, client: OpenAI) -> object:
        with mount.client(key=key) as other:
            return other.chat.completions.create(model="openai/plain", messages=ASK)

    return ask


def ask_when_it_is_full(mount: Mount, client: OpenAI) -> object:
    with mount.client(path="/narrow") as narrow:
        opened = threading.Event()

        def occupy() -> None:
            stream = narrow.chat.completions.create(
                model="openai/ticking", messages=ASK, stream=True
            )
            opened.set()
            list(stream)

        thread = threading.Thread(target=occupy)
        thread.start()
        opened.wait(10)
        try:
            return narrow.chat.completions.create(model="openai/plain", messages=ASK)
        finally:
            thread.join()


def request(method: str, path: str) -> Ask:
    return lambda mount, client: getattr(client, method)(path, cast_to=object)


INVALID = "invalid_request_error"
SCRIPTED = "scripted_error"

# What is asked, the exception it raises, its status, type and code.
ERRORS: dict[str, tuple[Ask, type[APIStatusError], int, str, str | None]] = {
    "out of range": (ask("plain", temperature=5), BadRequestError, 400, INVALID, None),
    "bad claim": (ask("plain", metadata={"waystone": "{"}), BadRequestError, 400, INVALID, None),
    "ambiguous": (ask("twin"), BadRequestError, 400, INVALID, "ambiguous_model"),
    "bad key": (
        ask_with("wk_wrong"),
        AuthenticationError,
        401,
        "authentication_error",
        "invalid_api_key",
    ),
    "not allowed": (ask_with(IDENTIFY_KEY), PermissionDeniedError, 403, "permission_error", None),
    "unknown model": (ask("nobody/x"), NotFoundError, 404, INVALID, "model_not_found"),
    "unknown path": (request("post", "/nothing"), NotFoundError, 404, INVALID, None),
    "wrong method": (request("get", "/chat/completions"), APIStatusError, 405, INVALID, None),
    "too large": (
        ask("plain", content="x" * MAX_BODY_BYTES),
        APIStatusError,
        413,
        INVALID,
        "request_too_large",
    ),
    "provider's 400": (ask("openai/status-400"), BadRequestError, 400, SCRIPTED, "scripted_400"),
    "provider's 404": (ask("openai/status-404"), NotFoundError, 404, SCRIPTED, "scripted_404"),
    "provider's 409": (ask("openai/status-409"), ConflictError, 409, SCRIPTED, "scripted_409"),
    "provider's 422": (
        ask("openai/status-422"),
        UnprocessableEntityError,
        422,
        SCRIPTED,
        "scripted_422",
    ),
    "provider's 429": (ask("openai/status-429"), RateLimitError, 429, SCRIPTED, "scripted_429"),
}

# What is asked, the status and the code; the type is `api_error`, the exception the one for 5xx.
FAILURES: dict[str, tuple[Ask, int, str]] = {
    "too much in flight": (ask_when_it_is_full, 503, "overloaded"),
    "our credential": (ask("openai/status-401"), 502, "upstream_authentication"),
    "our rights": (ask("openai/status-403"), 502, "upstream_authentication"),
    "provider fails": (ask("openai/status-500"), 502, "upstream_error"),
    "provider resets": (ask("openai/reset"), 502, "upstream_error"),
    "provider resets a stream": (ask("openai/reset", stream=True), 502, "upstream_error"),
    "provider is not there": (ask("closed/x"), 502, "upstream_error"),
    "no completion": (ask("openai/garbage"), 502, "upstream_error"),
    "no completion in a stream": (ask("openai/garbage", stream=True), 502, "upstream_error"),
    "provider is slow": (ask("openai/silent"), 504, "upstream_timeout"),
}
ERRORS |= {
    name: (ask, InternalServerError, status, "api_error", code)
    for name, (ask, status, code) in FAILURES.items()
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error(mount: Mount, client: OpenAI, case: str) -> None:
    ask, exception, *expected = ERRORS[case]
    with pytest.raises(APIStatusError) as raised:
        ask(mount, client)
    error = raised.value
    assert error.__class__ is exception
    assert [error.status_code, error.type, error.code] == expected
    assert error.response.headers["x-request-id"] == error.request_id
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    assert UPSTREAM_KEY not in str(error)
    assert KEY not in str(error)


def test_the_headers_of_a_refusal(mount: Mount, client: OpenAI) -> None:
    with pytest.raises(RateLimitError) as limited:
        client.chat.completions.create(model="openai/status-429", messages=ASK)
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    with mount.client(key="wk_wrong") as other, pytest.raises(AuthenticationError) as denied:
        other.models.list()
    assert denied.value.response.headers["www-authenticate"] == "Bearer"
    with pytest.raises(APIStatusError) as wrong:
        client.get("/chat/completions", cast_to=object)
    assert wrong.value.response.headers["allow"] == "POST"


def test_a_stream_that_is_cut_is_an_error(client: OpenAI, mount: Mount) -> None:
    stream = client.chat.completions.create(model="openai/cut", messages=ASK, stream=True)
    said = []
    with pytest.raises(APIError) as raised:
        said += [chunk.choices[0].delta.content for chunk in stream]
    assert raised.value.code == "upstream_error"
    record = mount.ledger.wait(stream.response.headers["x-request-id"])
    assert (record["outcome"], record["status"]) == ("upstream_cut", 200)


def test_a_head_request_has_no_body(mount: Mount, client: OpenAI) -> None:
    response = client._client.head(f"{mount.url}/health")
    assert (response.status_code, response.content) == (200, b"")
    assert client._client.get(f"{mount.url}/health").json() == {"status": "ok"}


def test_nobody_elses_mistake_is_a_line_in_the_log(mount: Mount) -> None:
    """Runs last: all of the above, and the server has nothing to complain about."""
    for canary in (UPSTREAM_KEY, KEY, "Guten Tag", "Traceback"):
        assert canary not in mount.served.log
