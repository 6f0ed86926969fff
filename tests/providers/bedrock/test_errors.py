"""Refusals and failures of Bedrock, as answers and as frames of a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.exceptions import GatewayError, ProviderRefusedError, UpstreamCredentialError
from waystone_asgi.providers.bedrock import DIALECT
from waystone_asgi.rules.retries import Retry

from .answering import BEGIN, METADATA, delta, encode_frame, end, feed, joined, open_stream

PLACE = ":http://internal.amazon.com/coral/com.amazon.bedrock/"
LONG = "Input is too long for requested model."


def refused(status: int, name: str = "", **members: Any) -> GatewayError:
    headers = ((b"x-amzn-errortype", f"{name}{PLACE}".encode()),) if name else ()
    return DIALECT.parse_error(status, json.dumps(members).encode(), headers)


def is_retried(error: GatewayError) -> bool:
    status = error.status if isinstance(error, ProviderRefusedError) else None
    return Retry().covers(status, error.error_type)


@pytest.mark.parametrize(
    ("status", "name", "members", "expected"),
    [
        (400, "ValidationException", {"message": "m"}, (400, "invalid_request_error", "m", False)),
        (
            404,
            "ResourceNotFoundException",
            {"message": "m"},
            (404, "invalid_request_error", "m", False),
        ),
        (408, "ModelTimeoutException", {"message": "m"}, (408, "invalid_request_error", "m", True)),
        (429, "ThrottlingException", {"message": "m"}, (429, "rate_limit_error", "m", True)),
        (429, "ModelNotReadyException", {"Message": "m"}, (429, "rate_limit_error", "m", True)),
        (
            424,
            "ModelErrorException",
            {"message": "m", "originalStatusCode": 400},
            (400, "invalid_request_error", "m", False),
        ),
        (
            424,
            "ModelErrorException",
            {"message": "m"},
            (502, "api_error", "The provider failed (424): m", True),
        ),
        (
            424,
            "ModelErrorException",
            {"message": "m", "originalStatusCode": 500},
            (502, "api_error", "The provider failed (424): m", True),
        ),
        (
            500,
            "InternalServerException",
            {"message": "m"},
            (502, "api_error", "The provider failed (500): m", True),
        ),
        (
            503,
            "ServiceUnavailableException",
            {},
            (502, "api_error", "ServiceUnavailableException", True),
        ),
        (
            400,
            "",
            {"__type": "com.amazon#ThrottlingException", "message": "m"},
            (400, "invalid_request_error", "m", False),
        ),
        (302, "ValidationException", {"message": "m"}, (400, "invalid_request_error", "m", False)),
        (302, "", {}, (502, "api_error", "answered 502", True)),
    ],
)
def test_refusals(
    status: int, name: str, members: dict[str, Any], expected: tuple[int, str, str, bool]
) -> None:
    error = refused(status, name, **members)
    seen, type, message, retried = expected
    assert (error.status, error.type, is_retried(error)) == (seen, type, retried)
    assert message in error.message
    if isinstance(error, ProviderRefusedError):
        assert error.code == (name or "ThrottlingException")


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (403, "AccessDeniedException"),
        (403, "UnrecognizedClientException"),
        (403, ""),
        (401, ""),
        (400, "ExpiredTokenException"),
        (400, "IncompleteSignatureException"),
    ],
)
def test_our_credential_is_not_the_callers_matter(status: int, name: str) -> None:
    error = refused(status, name, message="The security token of AKIDEXAMPLE is invalid.")
    assert isinstance(error, UpstreamCredentialError)
    assert "AKIDEXAMPLE" not in error.message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message":1}', b"{" * 100_000])
def test_refusals_that_cannot_be_read(body: bytes) -> None:
    error = DIALECT.parse_error(400, body, ())
    assert isinstance(error, ProviderRefusedError)
    assert error.message == "The provider answered 400."
    assert error.code is None


def test_an_input_that_is_too_long_is_known() -> None:
    error = refused(400, "ValidationException", message=LONG)
    assert isinstance(error, ProviderRefusedError)
    assert error.too_long


def exception(name: str, **members: Any) -> bytes:
    return encode_frame(
        json.dumps(members).encode(),
        exception_type=name,
        content_type="application/json",
        message_type="exception",
    )


@pytest.mark.parametrize(
    ("frame", "status", "code", "message", "retried"),
    [
        (exception("throttlingException", message="m"), 429, "ThrottlingException", "m", True),
        (exception("validationException", message=LONG), 400, "ValidationException", LONG, False),
        (exception("modelTimeoutException", message="m"), 408, "ModelTimeoutException", "m", True),
        (
            exception("modelStreamErrorException", message="m", originalStatusCode=400),
            400,
            "ModelStreamErrorException",
            "m",
            False,
        ),
        (
            exception("modelStreamErrorException", message="m"),
            502,
            "upstream_error",
            "(424): m",
            True,
        ),
        (
            exception("internalServerException", message="m"),
            502,
            "upstream_error",
            "(500): m",
            True,
        ),
        (
            exception("serviceUnavailableException", message="m"),
            502,
            "upstream_error",
            "(503): m",
            True,
        ),
        (exception("somethingNewException"), 502, "upstream_error", "SomethingNewException", True),
        (encode_frame(b"", message_type="exception"), 502, "upstream_error", "answered 500", True),
        (
            encode_frame(
                b"", message_type="error", error_code="InternalFailure", error_message="m"
            ),
            502,
            "upstream_error",
            "(500): m",
            True,
        ),
        (
            encode_frame(b"", message_type="error", error_code="ThrottlingException"),
            429,
            "ThrottlingException",
            "answered ThrottlingException",
            True,
        ),
        (encode_frame(b"", message_type="error"), 502, "upstream_error", "answered 500", True),
    ],
)
@pytest.mark.parametrize("before", [[], [BEGIN], [BEGIN, delta(0, text="A")]])
def test_exceptions_in_a_stream(
    before: list[bytes], frame: bytes, status: int, code: str, message: str, retried: bool
) -> None:
    stream = open_stream()
    relayed = feed(stream, [*before, frame, delta(0, text="B"), end(), METADATA])
    error = stream.error
    assert error is not None
    assert (error.status, error.code, is_retried(error)) == (status, code, retried)
    assert message in error.message
    assert stream.started == (len(before) > 1)  # The start of a message says nothing yet.
    assert not stream.complete
    assert joined(relayed)["content"] == ("A" if len(before) == 2 else None)
    assert b"[DONE]" not in relayed


def test_an_exception_about_our_credential_shows_nothing() -> None:
    stream = open_stream()
    feed(stream, [exception("accessDeniedException", message="AKIDEXAMPLE")])
    assert isinstance(stream.error, UpstreamCredentialError)
    assert "AKIDEXAMPLE" not in stream.error.message
