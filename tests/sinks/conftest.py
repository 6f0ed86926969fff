"""Records that look like those of real requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from waystone_asgi.records import Attempt, UsageRecord

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

MakeRecord = Callable[..., UsageRecord]


@pytest.fixture
def make_record() -> MakeRecord:
    """Makes the record of a priced, streamed answer; keywords replace its fields."""

    def make(number: int = 1, **fields: object) -> UsageRecord:
        return UsageRecord(
            **{
                "id": f"019abcde-0000-7000-8000-{number:012d}",
                "time": NOON + timedelta(seconds=number),
                "request_id": f"req-{number}",
                "operation": "chat",
                "principal": "acme-backend",
                "user": "ann",
                "group": "acme",
                "user_source": "claimed",
                "group_source": "key",
                "tags": ("reviewed", "über"),
                "request_model": "fast",
                "response_model": "gpt-4o-mini",
                "provider": "openai",
                "response_id": "chatcmpl-1",
                "stream": True,
                "status": 200,
                "outcome": "ok",
                "finish_reasons": ("stop",),
                "attempts": (
                    Attempt(provider="azure", model="m", seconds=0.5, error_type="upstream_error"),
                    Attempt(provider="openai", model="gpt-4o-mini", status=200, seconds=0.25),
                ),
                "input_tokens": 100,
                "cache_read_input_tokens": 40,
                "cache_write_input_tokens": 5,
                "output_tokens": 20,
                "reasoning_output_tokens": 10,
                "usage_source": "provider",
                "cost_usd": Decimal("0.000123450"),
                "price_version": "2026-11-01",
                "duration": 0.75,
                "time_to_first_chunk": 0.125,
                "upstream_duration": 0.7,
                "retain_days": 60,
            }
            | fields  # type: ignore[arg-type]
        )

    return make


@pytest.fixture
def least() -> UsageRecord:
    """The record of a request that was refused before anything was known about it."""
    return UsageRecord(
        id="019abcde-0000-7000-8000-ffffffffffff",
        time=NOON,
        request_id="req-least",
        operation="chat",
        principal="acme-backend",
    )
