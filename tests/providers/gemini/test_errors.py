"""What Gemini's refusals and failures are to the caller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.exceptions import ProviderRefusedError, UpstreamCredentialError, UpstreamError
from waystone_asgi.providers.gemini import DIALECT

INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY = "type.googleapis.com/google.rpc.RetryInfo"


def body(code: int, status: str, *details: Any, message: str = "No.") -> bytes:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    ("status", "name", "type"),
    [
        (400, "INVALID_ARGUMENT", "invalid_request_error"),
        (400, "FAILED_PRECONDITION", "invalid_request_error"),
        (404, "NOT_FOUND", "invalid_request_error"),
        (429, "RESOURCE_EXHAUSTED", "rate_limit_error"),
    ],
)
def test_a_refusal_is_passed_on(status: int, name: str, type: str, listed: bool) -> None:
    said = body(status, name)
    error = DIALECT.parse_error(status, b"[%b]" % said if listed else said, ())
    assert isinstance(error, ProviderRefusedError)
    assert (error.status, error.message, error.code, error.type) == (status, "No.", name, type)
    assert error.headers == ()


@pytest.mark.parametrize("status", [401, 403])
def test_our_credential_was_refused(status: int) -> None:
    error = DIALECT.parse_error(status, body(status, "UNAUTHENTICATED", message="sk-key"), ())
    assert isinstance(error, UpstreamCredentialError)
    assert "sk-key" not in error.message


@pytest.mark.parametrize("reason", ["API_KEY_INVALID", "API_KEY_EXPIRED"])
def test_a_bad_key_is_refused_with_400(reason: str) -> None:
    said = body(400, "INVALID_ARGUMENT", {"@type": INFO, "reason": reason})
    assert isinstance(DIALECT.parse_error(400, said, ()), UpstreamCredentialError)


@pytest.mark.parametrize(("status", "name"), [(500, "INTERNAL"), (503, "UNAVAILABLE"), (504, "D")])
def test_a_failure_is_the_providers(status: int, name: str) -> None:
    error = DIALECT.parse_error(status, body(status, name), ())
    assert type(error) is UpstreamError
    assert "No." in error.message


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("48s", b"48"),
        ("1.2s", b"2"),
        ("0s", None),
        ("-3s", None),
        ("soon", None),
        ("infs", None),
        (None, None),
        ({"seconds": 3}, None),
    ],
)
def test_how_long_to_wait(delay: Any, seconds: bytes | None) -> None:
    said = body(429, "RESOURCE_EXHAUSTED", {}, {"@type": RETRY, "retryDelay": delay})
    headers = DIALECT.parse_error(429, said, ()).headers
    assert headers == (() if seconds is None else ((b"retry-after", seconds),))


def test_a_header_says_it_better() -> None:
    said = body(503, "UNAVAILABLE", {"@type": RETRY, "retryDelay": "48s"})
    assert DIALECT.parse_error(503, said, ((b"retry-after", b"1"),)).headers == ()
    assert DIALECT.parse_error(503, said, ((b"other", b"1"),)).headers == ((b"retry-after", b"48"),)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"oops",
        b"{}",
        b'{"error":1}',
        b'{"error":{"details":3}}',
        b'{"error":{"status":1}}',
    ],
)
def test_an_error_in_no_known_form(said: bytes) -> None:
    error = DIALECT.parse_error(418, said, ())
    assert isinstance(error, ProviderRefusedError)
    assert error.status == 418


def test_a_context_that_is_too_long() -> None:
    message = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    error = DIALECT.parse_error(400, body(400, "INVALID_ARGUMENT", message=message), ())
    assert isinstance(error, ProviderRefusedError)
    assert error.too_long
