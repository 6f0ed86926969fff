"""Every error class: what it looks like on the wire, to the official client, and in the docs."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import httpx2
import openai
import pytest

from waystone_asgi import exceptions
from waystone_asgi.exceptions import (
    AuthenticationError,
    GatewayError,
    MethodNotAllowedError,
    ProviderRefusedError,
    WaystoneError,
)
from waystone_asgi.responses import encode_error

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text()

CLASSES = [
    value
    for value in vars(exceptions).values()
    if inspect.isclass(value) and issubclass(value, WaystoneError)
]

MADE: dict[type[GatewayError], GatewayError] = {
    MethodNotAllowedError: MethodNotAllowedError("It takes GET.", allow="GET"),
    AuthenticationError: AuthenticationError(),
    ProviderRefusedError: ProviderRefusedError(
        "Slow down.", status=429, type="rate_limit_error", code="tokens", extra={"wait": 1}
    ),
}
ERRORS = [
    MADE.get(kind) or kind("It is so.")
    for kind in CLASSES
    if issubclass(kind, GatewayError) and kind is not GatewayError
]

RAISED: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    405: openai.APIStatusError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
}


def named(error: GatewayError) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", ERRORS, ids=named)
def test_it_is_an_error_object(error: GatewayError) -> None:
    assert json.loads(encode_error(error)) == {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
            **error.extra,
        }
    }


@pytest.mark.parametrize("error", ERRORS, ids=named)
def test_the_official_client_raises_what_its_users_expect(error: GatewayError) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        headers = [*error.headers, (b"content-type", b"application/json")]
        return httpx2.Response(error.status, headers=headers, content=encode_error(error))

    with (
        httpx2.Client(transport=httpx2.MockTransport(answer)) as http,
        openai.OpenAI(api_key="wk", base_url="http://gateway.test/v1", http_client=http) as client,
        pytest.raises(RAISED[error.status]) as raised,
    ):
        client.with_options(max_retries=0).models.list()
    seen = raised.value
    assert type(seen) is RAISED[error.status]
    assert (seen.status_code, seen.type, seen.code) == (error.status, error.type, error.code)
    assert error.message in seen.message


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_it_is_in_the_docs(kind: type[WaystoneError]) -> None:
    rows = [row for row in PAGE.splitlines() if row.endswith(f"| `{kind.__name__}` |")]
    if not issubclass(kind, GatewayError):
        assert f"`{kind.__name__}`" in PAGE
    elif kind is not GatewayError:
        assert rows
    if kind.__name__ in map(named, ERRORS) and kind is not ProviderRefusedError:
        [error] = [error for error in ERRORS if type(error) is kind]
        cells = f"| {error.status} | `{error.type}` | {f'`{error.code}`' if error.code else ''}"
        assert all(cells.rstrip() in row for row in rows)


def test_it_is_drawn_in_the_tree() -> None:
    tree = inspect.getdoc(exceptions) or ""
    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in tree] == []
