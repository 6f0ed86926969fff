"""Recorded exchanges in dialects of the providers' own, as the official client sees them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any
from urllib.parse import unquote

import pytest

from waystone_asgi import Provider, UsageRecord
from waystone_asgi.testing import FakeProvider

from ..conftest import SHARED
from ..replay.published import schema_faults
from .exchanges import EXCHANGES, OPERATIONS, Native, Said, cases
from .through import ABANDONED, CREDENTIAL, JSON, URL, Got, Through, played, provider

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(ABANDONED)]

AUTHORIZED = {
    "anthropic": {"x-api-key": CREDENTIAL},
    "foundry": {"x-api-key": CREDENTIAL},
    "gemini": {"x-goog-api-key": CREDENTIAL},
    "vertex": {"x-goog-api-key": CREDENTIAL},
    "bedrock": {"authorization": f"Bearer {CREDENTIAL}"},
    "cohere": {"authorization": f"Bearer {CREDENTIAL}"},
    "ollama": {"authorization": f"Bearer {CREDENTIAL}"},
}
CLAIM = {"waystone": '{"user": "ann-7f3a"}'}


SHORTEST = {(x.type, x.kind): x for x in sorted(EXCHANGES, key=lambda x: -len(x.body))}
"""An exchange of each type of provider, and of each kind."""


def version_apart(path: str) -> str:
    """A path without its version: Vertex AI has the same below two of them."""
    return re.sub("^/v1(beta1)?/projects/", "/projects/", path)


def recorded_provider(exchange: Native, url: str = URL, **options: Any) -> Provider:
    """The provider as it was when the exchange was recorded."""
    if exchange.type == "vertex":
        options["location"] = exchange.path.partition("/locations/")[2].partition("/")[0]
    return provider(exchange.type, url, **options)


def replay(exchange: Native, pieces: Sequence[bytes] | None = None, **settings: Any) -> Through:
    """A gateway before the recorded provider."""
    answer = played(
        exchange.pieces if pieces is None else pieces, exchange.headers, exchange.status
    )
    return Through(FakeProvider(answer), recorded_provider(exchange), **settings)


def retry_after(exchange: Native) -> str | None:
    """When to come back; Google says it in the body."""
    found = re.search(rb'"retryDelay": ?"([0-9]+)s"', exchange.body)
    return exchange.headers.get("retry-after") or (found and found[1].decode())


def heard(got: Got) -> Said:
    """What the client got."""
    answer, message = got.answer, got.message
    details, more = got.usage["completion_tokens_details"], got.usage["prompt_tokens_details"]
    return Said(
        id=answer.id,
        model=answer.model,
        text=message.get("content", ""),
        reasoning=message.get("reasoning_content", ""),
        calls=[
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls", ())
        ],
        finish_reason=got.finish_reason,
        usage=(
            got.usage["prompt_tokens"],
            more["cached_tokens"],
            more.get("cache_write_tokens") or 0,
            got.usage["completion_tokens"],
            details["reasoning_tokens"] or 0,
        ),
    )


def check(got: Got, exchange: Native) -> None:
    """The client heard what was recorded; ids and models of their own where there were none."""
    said, told = exchange.read(), heard(got)
    assert told == Said(
        id=said.id or told.id,
        model=said.model or exchange.model,
        text=said.text,
        reasoning=said.reasoning,
        calls=[
            (mine or given, name, arguments)
            for (mine, name, arguments), (given, _, _) in zip(said.calls, told.calls, strict=True)
        ],
        finish_reason=said.finish_reason,
        usage=said.usage,
    )
    assert len({id for id, _, _ in told.calls}) == len(told.calls)


def check_record(record: UsageRecord, exchange: Native, got: Got) -> None:
    said = exchange.read()
    assert (record.status, record.outcome, record.error_type) == (200, "ok", None)
    assert (
        record.input_tokens,
        record.cache_read_input_tokens,
        record.cache_write_input_tokens,
        record.output_tokens,
        record.reasoning_output_tokens,
    ) == said.usage
    assert record.usage_source == "provider"
    assert record.finish_reasons == (said.finish_reason,)
    assert (record.provider, record.stream) == (exchange.type, exchange.stream)
    assert record.request_model == f"{exchange.type}/{exchange.model}"
    assert record.response_model == got.answer.model
    assert record.response_id == (got.answer.id or None)
    [attempt] = record.attempts
    assert (attempt.provider, attempt.model) == (exchange.type, exchange.model)
    assert (attempt.status, attempt.error_type) == (200, None)


def check_sent(through: Through, exchange: Native, got: Got) -> None:
    """The provider was asked as it was when the exchange was recorded."""
    [request] = through.requests
    assert len(dict(request.endpoint.headers)) == len(request.endpoint.headers)
    headers = {name.decode(): value.decode() for name, value in request.endpoint.headers}
    check_asked(request.endpoint.path, headers, through.sent, exchange)
    if exchange.asked is not None:
        assert got.dropped == []
    assert (through.record.user, through.record.user_source) == ("ann-7f3a", "claimed")


def check_asked(path: str, headers: Mapping[str, str], body: JSON, exchange: Native) -> None:
    path, _, query = path.partition("?")
    assert version_apart(unquote(path)) == version_apart(exchange.path)
    assert query == ("alt=sse" if "streamGenerateContent" in path else "")
    proofs = {name: value for name, value in headers.items() if CREDENTIAL in value}
    assert proofs == AUTHORIZED[exchange.type]
    if exchange.asked is not None:
        assert exchange.normal(body) == exchange.normal(deepcopy(exchange.recorded or {}))
    assert "ann-7f3a" not in json.dumps(body)


def test_none_is_left_out() -> None:
    recorded = [
        op
        for file in (SHARED / "exchanges").glob("*.jsonl")
        for op in OPERATIONS
        for _ in range(file.read_bytes().count(b'"op":"%b"' % op.encode()))
    ]
    kinds = ("answer", "stream", "error", "failure")
    assert len(recorded) == sum(len(cases(kind)) for kind in kinds) == len(EXCHANGES)


@pytest.mark.parametrize("exchange", cases("answer", "stream"))
async def test_it_says_what_was_recorded(exchange: Native) -> None:
    through = replay(exchange)
    got = await through.ask(exchange.asking(metadata=CLAIM))
    check(got, exchange)
    check_record(through.record, exchange, got)
    check_sent(through, exchange, got)
    assert not got.raw or schema_faults(got.raw) == set()
    assert got.headers["x-waystone-provider"] == exchange.type
    assert got.headers["x-waystone-attempts"] == "1"
    for name, value in exchange.headers.items():
        if name.startswith(("x-ratelimit-", "retry-after")):
            assert got.headers[name] == value


def small(body: bytes) -> list[bytes]:
    """A body in small pieces, of single bytes where it is short."""
    size = 1 if len(body) < 2000 else 61
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize("exchange", cases("stream"))
async def test_a_stream_may_be_cut_in_any_way(exchange: Native) -> None:
    through = replay(exchange, small(exchange.body))
    got = await through.ask(exchange.asking())
    check(got, exchange)
    check_record(through.record, exchange, got)


@pytest.mark.parametrize("shown", [True, False, None])
@pytest.mark.parametrize("exchange", cases("stream", wanted=lambda x: x in SHORTEST.values()))
async def test_usage_is_shown_to_who_asks_for_it(exchange: Native, shown: bool | None) -> None:
    through = replay(exchange)
    options = None if shown is None else {"include_usage": shown}
    got = await through.ask(exchange.asking(stream_options=options))
    assert ("usage" in got.chunks[-1]) == bool(shown)
    assert sum("usage" in chunk for chunk in got.chunks) == bool(shown)
    assert through.record.usage_source == "provider"
    assert through.record.output_tokens == exchange.read().usage[3]
    assert "stream_options" not in through.sent


@pytest.mark.parametrize("exchange", cases("error"))
async def test_an_error_is_the_recorded_one(exchange: Native) -> None:
    through = replay(exchange)
    got = await through.ask(exchange.asking(metadata=CLAIM))
    said = json.loads(exchange.body)
    message = said["message"] if "message" in said else said["error"]
    if not isinstance(message, str):
        message = message["message"]
    if exchange.status in (401, 403):
        assert (got.status, got.fault["code"]) == (502, "upstream_authentication")
        assert message not in got.fault["message"]
    else:
        assert (got.status, got.fault["message"]) == (exchange.status, message)
    assert got.headers["content-type"] == "application/json"
    assert got.headers.get("retry-after") == retry_after(exchange)
    record = through.record
    check_sent(through, exchange, got)
    assert (record.outcome, record.status) == ("error", got.status)
    assert record.error_type == (got.fault["code"] or got.fault["type"])
    assert (record.usage_source, record.input_tokens, record.output_tokens) == ("none", 0, 0)
    [attempt] = record.attempts
    assert (attempt.status, attempt.error_type) == (exchange.status, record.error_type)


@pytest.mark.parametrize("exchange", cases("failure"))
async def test_a_failure_ends_a_stream(exchange: Native) -> None:
    through = replay(exchange)
    got = await through.ask(exchange.asking(metadata=CLAIM))
    assert got.chunks
    assert got.fault["code"] == "upstream_error"
    assert not [True for chunk in got.chunks if chunk["choices"][0]["finish_reason"]]
    check_sent(through, exchange, got)
    record = through.record
    assert (record.outcome, record.error_type) == ("error", "upstream_error")
    assert record.finish_reasons == ()
