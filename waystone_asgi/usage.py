"""The usage record while it is open: one writer, closed once.

In: what the corridor learns on the way. Out: a frozen `UsageRecord`. It awaits nothing, and emits
nothing itself.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from random import getrandbits
from time import monotonic
from typing import Protocol

from msgspec import Struct

from .exceptions import GatewayError
from .records import (
    BYTES_PER_TOKEN,
    Attempt,
    Identity,
    Outcome,
    Target,
    Usage,
    UsageRecord,
    UsageSource,
)

CLIENT_CLOSED_REQUEST = 499
"""The status that stands in a record when the caller left before there was one (nginx's)."""


class Answered(Protocol):
    """What an answer, whole or streamed, says of itself."""

    @property
    def usage(self) -> Usage | None:
        """The provider's own count, where it gave one."""

    @property
    def response_id(self) -> str | None:
        """The provider's id of the answer."""

    @property
    def response_model(self) -> str | None:
        """The model that answered."""

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """Why each choice ended, by index."""

    @property
    def estimated_output_tokens(self) -> int:
        """A count from what was said, for where the provider gave none."""


class OpenRecord(Struct, kw_only=True, gc=False):
    """A record in the making. Durations count from `started`, a monotonic time."""

    operation: str
    principal: str
    request_id: str
    started: float
    identity: Identity | None = None
    tags: tuple[str, ...] = ()
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    target: Target | None = None
    stream: bool = False
    status: int = CLIENT_CLOSED_REQUEST
    outcome: Outcome = "cancelled"
    error_type: str | None = None
    finish_reasons: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    usage: Usage | None = None
    usage_source: UsageSource = "none"
    time_to_first_chunk: float | None = None
    upstream_duration: float | None = None

    def failed(self, error: GatewayError, outcome: Outcome = "error") -> None:
        """The request ends with `error`."""
        self.status = error.status
        self.outcome = outcome
        self.error_type = error.error_type

    def succeeded(self) -> None:
        """The whole answer has been handed to the caller."""
        self.status = 200
        self.outcome = "ok"

    def first_chunk(self) -> float:
        """The first event of a stream is about to be relayed; the seconds until it came."""
        self.status = 200
        self.time_to_first_chunk = seconds = monotonic() - self.started
        return seconds

    def streamed(self, failure: GatewayError | None, *, cut: bool) -> None:
        """The stream has ended, complete or with `failure`; `cut` if the provider gave none."""
        if failure is None:
            self.succeeded()
        else:
            self.failed(failure, "upstream_cut" if cut else "error")
            self.status = 200

    def answered(self, answer: Answered, request_bytes: int) -> None:
        """Take what the answer says of itself, and estimate where it does not count tokens."""
        self.response_id = answer.response_id
        self.response_model = answer.response_model
        self.finish_reasons = answer.finish_reasons
        self.usage = answer.usage
        self.usage_source = "provider"
        if answer.usage is None:
            self.usage_source = "estimated"
            self.usage = Usage(
                input_tokens=max(1, request_bytes // BYTES_PER_TOKEN),
                output_tokens=answer.estimated_output_tokens,
            )

    def close(self) -> UsageRecord:
        """The finished record."""
        now = time.time()
        identity = self.identity
        user = None if identity is None else identity.user
        group = None if identity is None else identity.group
        usage = self.usage or _NO_USAGE
        target = self.target
        return UsageRecord(
            id=uuid7(now),
            time=datetime.fromtimestamp(now, UTC),
            request_id=self.request_id,
            operation=self.operation,
            principal=self.principal,
            user=None if user is None else user.id,
            group=None if group is None else group.id,
            user_source=None if user is None else user.source,
            group_source=None if group is None else group.source,
            tags=self.tags,
            request_model=self.request_model,
            response_model=self.response_model,
            provider=None if target is None else target.provider,
            response_id=self.response_id,
            stream=self.stream,
            status=self.status,
            outcome=self.outcome,
            error_type=self.error_type,
            finish_reasons=self.finish_reasons,
            attempts=self.attempts,
            input_tokens=usage.input_tokens,
            cache_read_input_tokens=usage.cache_read_input_tokens,
            cache_write_input_tokens=usage.cache_write_input_tokens,
            output_tokens=usage.output_tokens,
            reasoning_output_tokens=usage.reasoning_output_tokens,
            usage_source=self.usage_source,
            duration=monotonic() - self.started,
            time_to_first_chunk=self.time_to_first_chunk,
            upstream_duration=self.upstream_duration,
        )


_NO_USAGE = Usage()


def uuid7(now: float) -> str:
    """A UUID that sorts by time (RFC 9562, section 5.7); `now` is a Unix time in seconds."""
    milliseconds, random = int(now * 1000), getrandbits(74)
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 (half the time of an f-string)
        milliseconds >> 16,
        milliseconds & 0xFFFF,
        random >> 62,
        0x8000 | random >> 48 & 0x3FFF,
        random & 0xFFFF_FFFF_FFFF,
    )
