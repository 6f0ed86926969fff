"""Answers as ASGI messages: JSON, errors, streams, and callers who are gone."""

from __future__ import annotations

import json

import anyio
import pytest

from waystone_asgi.exceptions import (
    AuthenticationError,
    CallerLeft,
    GatewayError,
    InvalidRequestError,
    MethodNotAllowedError,
    OverloadedError,
    ProviderRefusedError,
)
from waystone_asgi.responses import Reply, encode_error
from waystone_asgi.types import Message

pytestmark = pytest.mark.anyio

ID = (b"x-request-id", b"req_1")


class Sent:
    """A `send` that keeps what it is given, or raises as a server does whose caller is gone."""

    def __init__(self, gone: Exception | None = None) -> None:
        self.messages: list[Message] = []
        self.gone = gone

    async def __call__(self, message: Message) -> None:
        if self.gone is not None:
            raise self.gone
        self.messages.append(message)


async def test_json_is_one_start_and_one_body() -> None:
    sent = Sent()
    reply = Reply(sent, "req_1")
    assert not reply.started
    await reply.json(201, b'{"a":1}')
    assert reply.started
    assert sent.messages == [
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"7"), ID],
        },
        {"type": "http.response.body", "body": b'{"a":1}'},
    ]


async def test_a_stream_is_not_to_be_buffered_and_has_no_length() -> None:
    sent = Sent()
    reply = Reply(sent, "req_1")
    reply.route_headers = ((b"x-waystone-provider", b"openai"),)
    await reply.start_stream()
    await reply.write(b"data: 1\n\n")
    await reply.end_stream(b"data: [DONE]\n\n")
    start, first, last = sent.messages
    assert start["status"] == 200
    assert start["headers"] == [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        ID,
        (b"x-waystone-provider", b"openai"),
    ]
    assert first == {"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True}
    assert last == {"type": "http.response.body", "body": b"data: [DONE]\n\n"}


async def test_a_stream_may_end_without_a_last_event() -> None:
    sent = Sent()
    await Reply(sent, "req_1").end_stream()
    assert sent.messages == [{"type": "http.response.body", "body": b""}]


async def test_the_time_at_the_provider_and_here_is_told_once_it_is_known() -> None:
    sent = Sent()
    reply = Reply(sent, "req_1")
    reply.started_at -= 2.0
    reply.upstream_seconds = 1.5
    await reply.json(200, b"{}")
    timing = dict(sent.messages[0]["headers"])[b"server-timing"].decode()
    upstream, gateway = (part.partition(";dur=")[2] for part in timing.split(", "))
    assert timing.startswith("upstream;dur=1500.000, gateway;dur=")
    assert upstream == "1500.000"
    assert 500.0 <= float(gateway) < 1000.0


async def test_the_time_here_is_never_negative() -> None:
    sent = Sent()
    reply = Reply(sent, "req_1")
    reply.upstream_seconds = 1000.0
    await reply.json(200, b"{}")
    assert b"gateway;dur=0.000" in dict(sent.messages[0]["headers"])[b"server-timing"]


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (AuthenticationError(), (b"www-authenticate", b"Bearer")),
        (OverloadedError("Draining.", retry_after=3), (b"retry-after", b"3")),
        (MethodNotAllowedError("This path takes POST.", allow="POST"), (b"allow", b"POST")),
    ],
)
async def test_an_error_brings_its_own_headers(
    error: GatewayError, header: tuple[bytes, bytes]
) -> None:
    sent = Sent()
    await Reply(sent, "req_1").error(error)
    start, body = sent.messages
    assert start["status"] == error.status
    assert header in start["headers"]
    assert json.loads(body["body"]) == {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": None,
            "code": error.code,
        }
    }


def test_an_error_says_what_the_provider_said_besides() -> None:
    error = ProviderRefusedError(
        "Too long.", status=400, type="invalid_request_error", extra={"metadata": {"raw": "x"}}
    )
    assert json.loads(encode_error(error))["error"]["metadata"] == {"raw": "x"}
    wrong = InvalidRequestError("No.", param="messages[0].role")
    assert json.loads(encode_error(wrong))["error"]["param"] == "messages[0].role"


GONE = [
    pytest.param(OSError("closed"), id="ASGI 2.4"),
    pytest.param(ConnectionResetError(), id="a socket"),
    pytest.param(anyio.ClosedResourceError(), id="closed"),
    pytest.param(anyio.BrokenResourceError(), id="Starlette's middleware"),
]


@pytest.mark.parametrize("gone", GONE)
async def test_a_send_that_fails_means_that_the_caller_left(gone: Exception) -> None:
    reply = Reply(Sent(gone), "req_1")
    with pytest.raises(CallerLeft):
        await reply.json(200, b"{}")
    with pytest.raises(CallerLeft):
        await reply.start_stream()
    with pytest.raises(CallerLeft):
        await reply.write(b"data: 1\n\n")
    with pytest.raises(CallerLeft):
        await reply.end_stream()


@pytest.mark.parametrize("gone", GONE)
async def test_an_error_for_nobody_is_not_an_error(gone: Exception) -> None:
    await Reply(Sent(gone), "req_1").error(AuthenticationError())


async def test_any_other_failure_of_send_is_somebodys_bug() -> None:
    with pytest.raises(RuntimeError, match="unexpected"):
        await Reply(Sent(RuntimeError("unexpected")), "req_1").json(200, b"{}")
