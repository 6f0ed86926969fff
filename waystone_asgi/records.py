"""The nouns that travel between rooms: who calls, where to, what it used.

Frozen values without behaviour. Tokens are integers, money is `Decimal` US dollars, durations are
seconds, times are UTC. Names are those of the OpenTelemetry GenAI conventions.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import asdict

from .pieces import Body
from .types import JSONObject

MAX_TOKENS = 1_000_000_000  # More than any answer takes; what adds up many of them holds the sum.
BYTES_PER_TOKEN = 4
"""What an estimate takes a token to be: English prose has about four bytes a token."""

Source = Literal["host", "key", "claimed"]
Outcome = Literal["ok", "error", "blocked", "cancelled", "upstream_cut"]
UsageSource = Literal["provider", "estimated", "none"]
Choose = Literal["order", "least_latency", "weighted"]


class Secret:
    """A credential that shows itself only when asked to: `repr`, `str` and formatting are blank."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself, for a header that is about to be sent."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


class Principal(Struct, frozen=True, gc=False):
    """Who holds the credential, and what the credential pins and allows.

    `user` and `group` are ids that every call with this credential stands for. `models` are globs
    of full names (`openai/*`) and `endpoints` operations (`chat`); None allows all.
    """

    id: str
    user: str | None = None
    group: str | None = None
    models: tuple[str, ...] | None = None
    endpoints: tuple[str, ...] | None = None


class Entity(Struct, frozen=True, gc=False):
    """A user or a group. `source` says who named it: host, credential, or request body.

    `metadata_source` says who said the metadata, where that was somebody else: a credential may pin
    a user of whom the body says more.
    """

    id: str
    metadata: JSONObject | None = None
    source: Source = "host"
    metadata_source: Source | None = None

    @property
    def layer(self) -> Source:
        """Whose word the metadata is."""
        return self.metadata_source or self.source

    def __repr__(self) -> str:
        # The metadata is the caller's and may be anything.
        return f"Entity({self.id!r}, source={self.source!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("id", self.id), ("source", self.source)]


class Identity(Struct, frozen=True, gc=False):
    """On whose behalf a request is made; either may be missing."""

    user: Entity | None = None
    group: Entity | None = None


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds until a provider is given up: connecting, first byte, between bytes, in all."""

    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 30.0
    total: float = 600.0


class Endpoint(Struct, frozen=True, kw_only=True, eq=False):
    """One URL of one provider with the headers every request to it carries.

    Built once and compared by identity, so that a transport can keep what it derives from it;
    nothing is kept of one that is made for a single request and says so: `once`. `path` includes
    the query. The headers hold the credential and are not shown.
    """

    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    once: bool = False

    def __repr__(self) -> str:
        return f"Endpoint({self.scheme}://{self.host}:{self.port}{self.path})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("host", self.host), ("path", self.path)]


class UpstreamRequest(Struct, frozen=True, kw_only=True, gc=False):
    """What a transport sends: a POST of `body` to the endpoint.

    `content` is the same, and a long one may be in pieces, which a transport can send one by one.
    """

    endpoint: Endpoint
    content: Body
    timeouts: Timeouts

    @property
    def body(self) -> bytes:
        """The content as bytes."""
        content = self.content
        return content if isinstance(content, bytes) else bytes(content)

    def __repr__(self) -> str:
        return f"UpstreamRequest({self.endpoint!r}, {len(self.content)} bytes)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("endpoint", self.endpoint)]


class Target(Struct, frozen=True, kw_only=True, gc=False):
    """One concrete choice: a provider by name, and the model's name as that provider knows it."""

    provider: str
    model: str


class Choice(Struct, frozen=True, kw_only=True, gc=False):
    """Equals, each a target or a choice again, and how it is said which of them comes first.

    `weights` are those of the members, where the choice is a weighted one.
    """

    choose: Choose
    members: tuple[Target | Choice, ...]
    weights: tuple[float, ...] = ()


class Route(Struct, frozen=True, kw_only=True, gc=False):
    """The choices for one public model name, in their order unless a `choice` gives another."""

    request_model: str
    targets: tuple[Target, ...]
    choice: Choice | None = None


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """What one answer used: tokens, and the parts of them that have prices of their own.

    Cache reads, cache writes and audio are parts of input; reasoning and audio of output. Writes
    that the cache keeps for an hour are a part of all writes, and audio that it gave a part of both
    its reads and the audio. `audio_seconds` is for models that are paid by a recording's length.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_output_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cache_read_audio_tokens: int = 0
    cache_write_1h_input_tokens: int = 0
    audio_seconds: float = 0.0

    def bounded(self) -> Usage:
        """The same, of at most `MAX_TOKENS` each."""
        if self.input_tokens <= MAX_TOKENS and self.output_tokens <= MAX_TOKENS:
            return self
        return Usage(**{name: min(value, MAX_TOKENS) for name, value in asdict(self).items()})


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """What one try at one target came to; `status` is None when no head arrived."""

    provider: str
    model: str
    status: int | None = None
    seconds: float = 0.0
    error_type: str | None = None


class UsageRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One authenticated request, whatever became of it.

    `id` is a UUIDv7. `duration`, `time_to_first_chunk` and `upstream_duration` are seconds;
    `cost_usd` is None when the model has no price. `usage_source` says whether the tokens are the
    provider's own count, an estimate from the bytes, or missing. `retain_days` is how long it is to
    be kept; None says nothing.
    """

    id: str
    time: datetime
    request_id: str
    operation: str
    principal: str
    user: str | None = None
    group: str | None = None
    user_source: Source | None = None
    group_source: Source | None = None
    tags: tuple[str, ...] = ()
    request_model: str | None = None
    response_model: str | None = None
    provider: str | None = None
    response_id: str | None = None
    stream: bool = False
    status: int = 0
    outcome: Outcome = "error"
    error_type: str | None = None
    finish_reasons: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = field(default=())
    input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    usage_source: UsageSource = "none"
    cost_usd: Decimal | None = None
    price_version: str | None = None
    duration: float = 0.0
    time_to_first_chunk: float | None = None
    upstream_duration: float | None = None
    retain_days: int | None = None
