"""The record while it is open, and the ids under which records sort."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from time import monotonic, time

import pytest
from msgspec import Struct

from waystone_asgi.exceptions import (
    GatewayError,
    InvalidRequestError,
    ModelNotFoundError,
    UpstreamError,
    UpstreamTimeoutError,
)
from waystone_asgi.records import Attempt, Entity, Identity, Target, Usage, UsageRecord
from waystone_asgi.usage import OpenRecord, uuid7


class Answer(Struct):
    usage: Usage | None = None
    response_id: str | None = "chatcmpl-1"
    response_model: str | None = "m-1"
    finish_reasons: tuple[str, ...] = ("stop",)
    estimated_output_tokens: int = 7


def opened() -> OpenRecord:
    return OpenRecord(operation="chat", principal="p", request_id="r", started=monotonic())


def test_a_record_that_nobody_wrote_is_of_a_caller_who_left() -> None:
    record = opened().close()
    assert isinstance(record, UsageRecord)
    assert (record.status, record.outcome, record.error_type) == (499, "cancelled", None)
    assert (record.usage_source, record.input_tokens, record.output_tokens) == ("none", 0, 0)
    assert (record.user, record.group, record.provider, record.attempts) == (None, None, None, ())
    assert (record.operation, record.principal, record.request_id) == ("chat", "p", "r")
    assert 0 <= record.duration < 1
    assert record.time.tzinfo is UTC
    assert abs(record.time.timestamp() - time()) < 1


def test_a_record_says_who_and_where() -> None:
    record = opened()
    record.identity = Identity(Entity("ann", {"a": 1}, "claimed"), Entity("acme", None, "key"))
    record.target = Target(provider="openai", model="m")
    record.attempts = (Attempt(provider="openai", model="m"),)
    record.tags = ("t",)
    record.request_model, record.stream, record.upstream_duration = "fast", True, 0.5
    closed = record.close()
    assert (closed.user, closed.user_source) == ("ann", "claimed")
    assert (closed.group, closed.group_source) == ("acme", "key")
    assert (closed.provider, closed.attempts, closed.tags) == ("openai", record.attempts, ("t",))
    assert (closed.request_model, closed.stream, closed.upstream_duration) == ("fast", True, 0.5)


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (InvalidRequestError("x"), 400, "invalid_request_error"),
        (ModelNotFoundError("x"), 404, "model_not_found"),
        (UpstreamError("x"), 502, "upstream_error"),
        (UpstreamTimeoutError("x"), 504, "upstream_timeout"),
        (InvalidRequestError("x", code="own"), 400, "own"),
    ],
)
def test_a_failure(error: GatewayError, status: int, error_type: str) -> None:
    record = opened()
    record.failed(error)
    closed = record.close()
    assert (closed.status, closed.outcome, closed.error_type) == (status, "error", error_type)


def test_a_success() -> None:
    record = opened()
    record.succeeded()
    assert (record.close().status, record.close().outcome) == (200, "ok")


def test_a_stream_has_its_status_with_the_first_event() -> None:
    record = opened()
    seconds = record.first_chunk()
    closed = record.close()
    assert closed.time_to_first_chunk == seconds
    assert (closed.status, closed.outcome) == (200, "cancelled")


@pytest.mark.parametrize(
    ("failure", "cut", "outcome", "error_type"),
    [
        (None, False, "ok", None),
        (None, True, "ok", None),
        (UpstreamError("x"), True, "upstream_cut", "upstream_error"),
        (UpstreamError("x"), False, "error", "upstream_error"),
    ],
)
def test_the_end_of_a_stream(
    failure: GatewayError | None, cut: bool, outcome: str, error_type: str | None
) -> None:
    record = opened()
    record.streamed(failure, cut=cut)
    closed = record.close()
    assert (closed.status, closed.outcome, closed.error_type) == (200, outcome, error_type)


def test_the_providers_own_count() -> None:
    record = opened()
    usage = Usage(
        input_tokens=5,
        output_tokens=4,
        cache_read_input_tokens=3,
        cache_write_input_tokens=2,
        reasoning_output_tokens=1,
    )
    record.answered(Answer(usage), 4000)
    closed = record.close()
    assert closed.usage_source == "provider"
    assert (closed.input_tokens, closed.output_tokens, closed.reasoning_output_tokens) == (5, 4, 1)
    assert (closed.cache_read_input_tokens, closed.cache_write_input_tokens) == (3, 2)
    assert (closed.response_id, closed.response_model) == ("chatcmpl-1", "m-1")
    assert closed.finish_reasons == ("stop",)


def test_a_count_of_zero_is_a_count() -> None:
    record = opened()
    record.answered(Answer(Usage()), 4000)
    assert (record.close().usage_source, record.close().input_tokens) == ("provider", 0)


@pytest.mark.parametrize(("size", "tokens"), [(0, 1), (3, 1), (4, 1), (400, 100), (403, 100)])
def test_an_estimate(size: int, tokens: int) -> None:
    record = opened()
    record.answered(Answer(), size)
    closed = record.close()
    assert closed.usage_source == "estimated"
    assert (closed.input_tokens, closed.output_tokens) == (tokens, 7)


def test_ids_are_uuids_of_version_7() -> None:
    for now in (0.0, 0.001, 1_700_000_000.123, 4_102_444_800.999, 2**47 / 1000):
        value = uuid.UUID(uuid7(now))
        assert str(value) == uuid7(now)[:14] + str(value)[14:]
        assert (value.version, value.variant) == (7, uuid.RFC_4122)
        assert value.int >> 80 == int(now * 1000)


def test_ids_sort_by_time_and_are_never_the_same() -> None:
    ids = [uuid7(1_700_000_000 + n / 1000) for n in range(1000)]
    assert ids == sorted(ids)
    assert len({uuid7(0.0) for _ in range(10_000)}) == 10_000


def test_the_random_bits_of_ids_are_all_used() -> None:
    seen = missing = (1 << 128) - 1
    for _ in range(200):
        value = uuid.UUID(uuid7(0.0)).int
        seen &= value
        missing &= ~value
    fixed = 0x7 << 76 | 0b10 << 62
    assert seen == fixed
    assert missing & ((1 << 80) - 1) == 0x8 << 76 | 0b01 << 62


def test_the_time_in_the_id_is_that_of_the_record() -> None:
    record = opened().close()
    moment = datetime.fromtimestamp((uuid.UUID(record.id).int >> 80) / 1000, UTC)
    assert abs((record.time - moment).total_seconds()) < 0.002
