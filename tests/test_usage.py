"""The record while it is open, and the ids under which records sort."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from itertools import pairwise
from time import monotonic, time

import msgspec
import pytest
from msgspec import Struct

from waystone_asgi.exceptions import (
    GatewayError,
    InvalidRequestError,
    ModelNotFoundError,
    UpstreamError,
    UpstreamTimeoutError,
)
from waystone_asgi.records import MAX_TOKENS, Attempt, Entity, Identity, Target, Usage, UsageRecord
from waystone_asgi.usage import OpenRecord, stamp


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


def test_a_count_that_cannot_be_is_cut() -> None:
    """No ledger and no counter has room for it, and none of them shall refuse a batch for it."""
    record = opened()
    most = MAX_TOKENS
    usage = Usage(input_tokens=10**25, output_tokens=2, cache_read_input_tokens=10**24)
    record.answered(Answer(usage), 4000)
    closed = record.close()
    counts = (closed.input_tokens, closed.output_tokens, closed.cache_read_input_tokens)
    assert (counts, closed.usage_source) == ((most, 2, most), "provider")
    assert Usage(input_tokens=most).bounded() == Usage(input_tokens=most)
    assert Usage(output_tokens=most + 1).bounded() == Usage(output_tokens=most)


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


def test_every_field_is_in_its_place() -> None:
    """Records are made of their values in order: what each is called is said here once more."""
    record = OpenRecord(
        operation="operation",
        principal="principal",
        request_id="request_id",
        started=monotonic() - 7,
        identity=Identity(Entity("user", source="key"), Entity("group", source="claimed")),
        tags=("tags",),
        request_model="request_model",
        response_model="response_model",
        response_id="response_id",
        target=Target(provider="provider", model="m"),
        stream=True,
        status=418,
        outcome="blocked",
        error_type="error_type",
        finish_reasons=("finish_reasons",),
        attempts=(Attempt(provider="attempts", model="m"),),
        usage=Usage(
            input_tokens=5,
            output_tokens=4,
            cache_read_input_tokens=3,
            cache_write_input_tokens=2,
            reasoning_output_tokens=1,
        ),
        usage_source="estimated",
        time_to_first_chunk=2.5,
        upstream_duration=3.5,
        retain_days=60,
    ).close()
    expected = UsageRecord(
        id=record.id,
        time=record.time,
        request_id="request_id",
        operation="operation",
        principal="principal",
        user="user",
        group="group",
        user_source="key",
        group_source="claimed",
        tags=("tags",),
        request_model="request_model",
        response_model="response_model",
        provider="provider",
        response_id="response_id",
        stream=True,
        status=418,
        outcome="blocked",
        error_type="error_type",
        finish_reasons=("finish_reasons",),
        attempts=(Attempt(provider="attempts", model="m"),),
        input_tokens=5,
        cache_read_input_tokens=3,
        cache_write_input_tokens=2,
        output_tokens=4,
        reasoning_output_tokens=1,
        usage_source="estimated",
        cost_usd=None,
        price_version=None,
        duration=record.duration,
        time_to_first_chunk=2.5,
        upstream_duration=3.5,
        retain_days=60,
    )
    assert record == expected
    assert 7 <= record.duration < 8
    assert isinstance(record.time, datetime)


def test_a_closed_record_is_like_any_other() -> None:
    closed = opened().close()
    assert type(closed) is UsageRecord
    with pytest.raises(AttributeError):
        closed.status = 200  # type: ignore[misc]
    assert closed == UsageRecord(**msgspec.structs.asdict(closed))
    assert hash(closed) == hash(msgspec.structs.replace(closed))
    assert msgspec.json.decode(msgspec.json.encode(closed), type=UsageRecord) == closed


def test_ids_are_uuids_of_version_7() -> None:
    for now in (0.0, 0.001, 1_700_000_000.123, 4_102_444_800.999, 2**47 / 1000):
        id_, moment = stamp(now)
        value = uuid.UUID(id_)
        assert str(value) == id_
        assert (value.version, value.variant) == (7, uuid.RFC_4122)
        assert value.int >> 80 == int(now * 1000)
        assert abs(moment.timestamp() - int(now * 1000) / 1000) < 1e-6


def test_ids_sort_by_time_and_are_never_the_same() -> None:
    ids = [stamp(1_700_000_000 + n / 1000)[0] for n in range(1000)]
    assert ids == sorted(ids)
    assert len({stamp(0.0)[0] for _ in range(10_000)}) == 10_000


def test_ids_of_one_millisecond_sort_as_they_were_made() -> None:
    ids = [stamp(1_800_000_000.5)[0] for _ in range(200)]
    assert ids == sorted(ids)
    assert len({id_[-18:] for id_ in ids}) == 1


def test_what_is_random_in_ids_is_so_each_millisecond() -> None:
    seen = missing = (1 << 128) - 1
    values = [uuid.UUID(stamp(n / 1000)[0]).int & (1 << 80) - 1 for n in range(200)]
    for value in values:
        seen &= value
        missing &= ~value
    assert all(one != other for one, other in pairwise(sorted(values)))
    counted = 0xFF << 64
    assert seen == 0x7 << 76 | 0b1000 << 60
    assert missing & (1 << 80) - 1 == 0x8 << 76 | counted | 0b0111 << 60


def test_the_time_of_a_record_is_that_in_its_id() -> None:
    record = opened().close()
    assert record.time == datetime.fromtimestamp((uuid.UUID(record.id).int >> 80) / 1000, UTC)
    assert record.time.microsecond % 1000 == 0
