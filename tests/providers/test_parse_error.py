"""Refusals and failures, in every shape vendors give them."""

from __future__ import annotations

import json

import pytest

from waystone_asgi.exceptions import ProviderRefusedError, UpstreamCredentialError, UpstreamError
from waystone_asgi.providers.openai import parse_error

INVALID = "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "body", "type", "code", "param", "message"),
    [
        pytest.param(
            400,
            b'{"error":{"message":"no","type":"invalid_request_error","param":"n","code":"c"}}',
            INVALID,
            "c",
            "n",
            "no",
            id="OpenAI",
        ),
        pytest.param(
            404,
            b'{"error":{"message":"no","type":"x","param":null,"code":null}}',
            "x",
            None,
            None,
            "no",
            id="OpenAI, with nulls",
        ),
        pytest.param(
            400, b'{"error":{"message":"no","code":400}}', INVALID, "400", None, "no", id="numeric"
        ),
        pytest.param(
            422,
            b'{"error":{"code":"Invalid input","message":"no","status":422}}',
            INVALID,
            "Invalid input",
            None,
            "no",
            id="Azure",
        ),
        pytest.param(
            400,
            b'{"error":{"message":"long","type":"too_many_prompt_tokens","code":400}}',
            "too_many_prompt_tokens",
            "400",
            None,
            "long",
            id="Perplexity",
        ),
        pytest.param(
            400,
            b'{"code":"Client specified an invalid argument","error":"no"}',
            INVALID,
            "Client specified an invalid argument",
            None,
            "no",
            id="xAI: a string",
        ),
        pytest.param(
            422, b'{"error":"no","error_type":"validation"}', INVALID, None, None, "no", id="TGI"
        ),
        pytest.param(
            422, b'{"error":["no","nor"]}', INVALID, None, None, '["no","nor"]', id="a list of them"
        ),
        pytest.param(
            400,
            b'{"message":"no","type":"invalid_request_error","param":"n","code":"wrong_n"}',
            INVALID,
            "wrong_n",
            "n",
            "no",
            id="Cerebras: flat",
        ),
        pytest.param(
            400,
            b'{"object":"error","message":"no","type":"BadRequestError","param":null,"code":400}',
            "BadRequestError",
            "400",
            None,
            "no",
            id="vLLM: flat",
        ),
        pytest.param(
            422,
            b'{"object":"error","message":{"detail":[{"loc":["body"]}]},"type":"invalid"}',
            "invalid",
            None,
            None,
            '{"detail":[{"loc":["body"]}]}',
            id="Mistral: a message that is no string",
        ),
        pytest.param(
            422,
            b'{"detail":[{"loc":["body","n"],"msg":"no"}]}',
            INVALID,
            None,
            None,
            '[{"loc":["body","n"],"msg":"no"}]',
            id="FastAPI",
        ),
        pytest.param(404, b'{"detail":"Not Found"}', INVALID, None, None, "Not Found", id="detail"),
        pytest.param(
            429, b'{"error":{"message":"slow"}}', "rate_limit_error", None, None, "slow", id="429"
        ),
        pytest.param(
            402, b'{"error":{"message":"pay"}}', "insufficient_quota", None, None, "pay", id="402"
        ),
        pytest.param(
            400, b'[{"error":{"message":"no","code":400}}]', INVALID, "400", None, "no", id="Gemini"
        ),
        pytest.param(
            400,
            b'{"error":{"message":"no","type":7,"param":["n"]}}',
            INVALID,
            None,
            None,
            "no",
            id="a type that is no string",
        ),
        pytest.param(413, b"", INVALID, None, None, "The provider answered 413.", id="empty"),
        pytest.param(
            404, b"<html>", INVALID, None, None, "The provider answered 404.", id="not JSON"
        ),
        pytest.param(404, b"[]", INVALID, None, None, "The provider answered 404.", id="array"),
        pytest.param(404, b'"no"', INVALID, None, None, "The provider answered 404.", id="string"),
        pytest.param(404, b"{}", INVALID, None, None, "The provider answered 404.", id="object"),
        pytest.param(
            404,
            b'{"error":{"message":""}}',
            INVALID,
            None,
            None,
            "The provider answered 404.",
            id="no words",
        ),
        pytest.param(
            404, b'{"error":null}', INVALID, None, None, "The provider answered 404.", id="null"
        ),
        pytest.param(
            404, b"[" * 100_000, INVALID, None, None, "The provider answered 404.", id="nested"
        ),
        pytest.param(
            404,
            b'{"error":"\xff"}',
            INVALID,
            None,
            None,
            "The provider answered 404.",
            id="not UTF-8",
        ),
    ],
)
def test_a_refusal_is_passed_on(
    status: int, body: bytes, type: str, code: str | None, param: str | None, message: str
) -> None:
    error = parse_error(status, body)
    assert isinstance(error, ProviderRefusedError)
    assert (error.status, error.type, error.code) == (status, type, code)
    assert (error.param, error.message) == (param, message)


def test_what_else_it_said_stays() -> None:
    error = parse_error(
        400, b'{"error":{"message":"no","failed_generation":"[]","metadata":{"a":1}},"user_id":"u"}'
    )
    assert error.extra == {"failed_generation": "[]", "metadata": {"a": 1}}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body", [b"", b'{"error":{"message":"Bad key sk-canary","code":"sk-canary","x":"sk-canary"}}']
)
def test_a_refused_credential_shows_nothing(status: int, body: bytes) -> None:
    error = parse_error(status, body)
    assert isinstance(error, UpstreamCredentialError)
    assert (error.status, error.type, error.code) == (502, "api_error", "upstream_authentication")
    assert "sk-canary" not in f"{error.message}{error.param}{error.extra}{error!r}"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 599])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"down","type":"server_error"}}', "down"),
        (b"<html>", "The provider answered {status}."),
    ],
)
def test_a_failure_is_the_providers(status: int, body: bytes, message: str) -> None:
    error = parse_error(status, body)
    assert type(error) is UpstreamError
    assert (error.status, error.type, error.code) == (502, "api_error", "upstream_error")
    assert error.message == f"The provider failed ({status}): {message.format(status=status)}"


@pytest.mark.parametrize("status", [200, 301, 399, 600])
@pytest.mark.parametrize(
    ("said", "status_told"),
    [
        ({"status": 400}, 400),
        ({"status_code": 413}, 413),
        ({"code": 429}, 429),
        ({"status": "INVALID_ARGUMENT", "code": 400}, 400),
        ({"code": "429"}, 502),
        ({"code": 7}, 502),
        ({"code": 200}, 502),
        ({"code": 503}, 502),
        ({"code": 401}, 502),
        ({"code": None}, 502),
        ({}, 502),
    ],
)
def test_where_the_status_says_nothing_the_error_does(
    status: int, said: dict[str, object], status_told: int
) -> None:
    body = json.dumps({"error": {"message": "no", **said}}).encode()
    assert parse_error(status, body).status == status_told
