"""The usage record while it is open: one writer, closed once.

In: what the corridor learns on the way. Out: a frozen `UsageRecord`. It awaits nothing, and emits
nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from os import urandom
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, defstruct

from .exceptions import CallerLeft, GatewayError, InternalError, UpstreamError
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
from .verdicts import GuardContext

if TYPE_CHECKING:
    from .pricing import Prices

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
    """A record in the making. Durations count from `started`, a monotonic time; `cost` is in
    nano-dollars.
    """

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
    cost: int | None = None
    price_version: str | None = None
    retain_days: int | None = None

    def failed(self, error: GatewayError) -> None:
        """The request ends with `error`."""
        self.status = error.status
        self.outcome = error.outcome
        self.error_type = error.error_type

    def raised(self, error: Exception, *, begun: bool) -> None:
        """The request ends with what was raised; an answer that has `begun` keeps its status."""
        if isinstance(error, CallerLeft):
            return
        status = self.status
        self.failed(error if isinstance(error, GatewayError) else InternalError("A bug."))
        if begun:
            self.status = status

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
            self.failed(failure)
            self.status = 200
            if cut and isinstance(failure, UpstreamError):
                self.outcome = "upstream_cut"

    def answered(self, answer: Answered, request_bytes: int) -> None:
        """Take what the answer says of itself, and estimate where it does not count tokens."""
        self.response_id = answer.response_id
        self.response_model = answer.response_model
        self.finish_reasons = answer.finish_reasons
        self.usage = None if answer.usage is None else answer.usage.bounded()
        self.usage_source = "provider"
        if self.usage is None:
            self.usage_source = "estimated"
            self.usage = Usage(
                input_tokens=max(1, request_bytes // BYTES_PER_TOKEN),
                output_tokens=answer.estimated_output_tokens,
            )

    def price(self, prices: Prices) -> None:
        """What the usage costs; a deployment's own name has no price, that of its model may."""
        target, usage = self.target, self.usage
        if target is None or usage is None:
            return
        now = time()
        self.cost = prices.cost(target.provider, target.model, usage, now)
        if self.cost is None and self.response_model is not None:
            self.cost = prices.cost(target.provider, self.response_model, usage, now)
        if self.cost is not None:
            self.price_version = prices.version

    def guarded(self, target: Target) -> GuardContext:
        """The answer of a target, as the guards are told of it."""
        return GuardContext(
            request_id=self.request_id,
            principal=self.principal,
            identity=self.identity or Identity(),
            operation=self.operation,
            request_model=self.request_model or "",
            provider=target.provider,
            model=target.model,
            stream=self.stream,
            tags=self.tags,
        )

    def close(self) -> UsageRecord:
        """The finished record."""
        id_, moment = stamp(time())
        identity, usage, target = self.identity, self.usage or _NO_USAGE, self.target
        user = (identity and identity.user) or _NOBODY
        group = (identity and identity.group) or _NOBODY
        record: Any = _Draft(
            id_,
            moment,
            self.request_id,
            self.operation,
            self.principal,
            user.id,
            group.id,
            user.source,
            group.source,
            self.tags,
            self.request_model,
            self.response_model,
            target and target.provider,
            self.response_id,
            self.stream,
            self.status,
            self.outcome,
            self.error_type,
            self.finish_reasons,
            self.attempts,
            usage.input_tokens,
            usage.cache_read_input_tokens,
            usage.cache_write_input_tokens,
            usage.output_tokens,
            usage.reasoning_output_tokens,
            self.usage_source,
            None if self.cost is None else self.cost * _NANO,
            self.price_version,
            monotonic() - self.started,
            self.time_to_first_chunk,
            self.upstream_duration,
            self.retain_days,
        )
        record.__class__ = UsageRecord
        closed: UsageRecord = record
        return closed


class _Nobody(Struct, frozen=True, gc=False):
    id: None = None
    source: None = None


_NOBODY = _Nobody()
_NO_USAGE = Usage()
_NANO = Decimal("1e-9")

# Thirty keywords take longer than all else that is done for a record: it is made of its values in
# their order, and then given its class.
_Draft = defstruct("_Draft", [(name, Any) for name in UsageRecord.__struct_fields__], gc=False)

_NUMBERS = tuple([f"{number:02x}" for number in range(256)])
_tick: tuple[int, datetime, str, Iterator[str], str] = (-1, datetime.min, "", iter(()), "")


def stamp(now: float) -> tuple[str, datetime]:
    """The id and the time of a record that is closed `now`, a Unix time in seconds.

    The id is a UUIDv7 (RFC 9562, section 5.7), and the time is that in the id, to the millisecond.
    The ids of a millisecond share 64 random bits and count up (section 6.2, method 1).
    """
    global _tick
    millisecond = int(now * 1000)
    begun, moment, head, numbers, tail = _tick
    number = next(numbers, None)
    if millisecond != begun or number is None:
        # Drawn anew each time: a process and what it forked have nothing in common for long.
        digits, bits = f"{millisecond:012x}", urandom(8).hex()
        moment = datetime.fromtimestamp(millisecond / 1000, UTC)
        head, tail = f"{digits[:8]}-{digits[8:]}-7{bits[0]}", f"-8{bits[1:4]}-{bits[4:]}"
        numbers = iter(_NUMBERS)
        number = next(numbers)
        _tick = millisecond, moment, head, numbers, tail
    return f"{head}{number}{tail}", moment
