"""ASGI's types, and the Protocols that a host may implement.

Nothing here does anything. Each seam has one or two methods, and the implementations that come with
the package use only that seam.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from .charges import Charge, Refused, Taken
    from .records import Entity, Identity, Principal, Source, UpstreamRequest, UsageRecord
    from .verdicts import GuardContext, Verdict

__all__ = (
    "ASGIApp",
    "Authenticate",
    "Counters",
    "Entities",
    "EntityStore",
    "Guard",
    "HTTPConnection",
    "Identify",
    "JSONObject",
    "Layers",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "Sink",
    "Upstream",
    "UpstreamResponse",
)

JSONObject: TypeAlias = dict[str, object]

Layers: TypeAlias = Mapping["Source", JSONObject]
"""The metadata of a user or group, by who said it. A field's value is that of the first layer of
host, key and claimed that has it. Nobody changes layers: they are shared."""

Authenticate: TypeAlias = Callable[[HTTPConnection], "Principal | Awaitable[Principal]"]
"""Proves who calls, from the head of the request; raises `AuthenticationError` or
`PermissionDeniedError`. It may be a plain function or a coroutine function, and runs before the
body is read."""

Identify: TypeAlias = Callable[
    [HTTPConnection, "Principal", Mapping[str, str]], "Identity | Awaitable[Identity]"
]
"""Names on whose behalf the call is made. The mapping is the request's `metadata`, empty when it
has none. An `Entity` that was returned once is not changed any more, nor is its metadata."""

Guard: TypeAlias = Callable[[str, "GuardContext"], "Verdict | Awaitable[Verdict]"]
"""Says what becomes of a text of an answer. It may be a plain function, which is quick, or a
coroutine function. When it raises, takes too long or returns anything else, the answer is refused;
it is called at the same time for other requests."""


class Sink(Protocol):
    """Takes finished usage records, in batches, in the order in which the requests ended."""

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Store the records; an exception is logged and counted, and fails no request."""


class Entities(Protocol):
    """Keeps users, groups and the links "user is part of group"."""

    async def merge(self, user: Entity | None, group: Entity | None) -> tuple[Layers, Layers]:
        """Merge the metadata of each into the layer of its source, and link the two.

        Given keys replace, None removes, the rest stays. Returns the layers of the user and of the
        group as they are then, empty for one that is not named; what was returned is never changed,
        as it is remembered. Raises `RequestTooLargeError` for a layer of 64 KiB or more.
        """

    async def metadata(self, kind: str, id: str) -> JSONObject | None:
        """The metadata of a `"user"` or `"group"` in effect, or None when it is unknown."""


class EntityStore(Protocol):
    """Where users, groups and links are kept for several processes; `CachedEntities` asks it.

    A kind is `"user"` or `"group"`; no two pairs of kind and id are taken for each other. Raises
    what its backend raises.
    """

    async def open(self) -> None:
        """Create what is missing. Raises `ConfigurationError` for what trying again cannot mend;
        after any other exception the calls that follow connect by themselves.
        """

    async def read(self, kind: str, id: str) -> Layers | None:
        """The layers of a user or group, or None when it is unknown."""

    async def merge(self, kind: str, id: str, source: Source, changes: JSONObject) -> Layers:
        """Merge the changes into a layer in one step, and return all layers as they are then.

        Merges of several processes at once all count. One that is unknown is created. Given keys
        replace, None removes, the rest stays. Raises `RequestTooLargeError`, and then changes
        nothing, for a layer of 64 KiB or more.
        """

    async def link(self, user: str, group: str) -> None:
        """Keep that the user is part of the group."""

    async def linked(self, user: str, group: str) -> bool:
        """Whether the user was ever linked to the group."""

    async def aclose(self) -> None:
        """Disconnect. What was opened once may be opened again."""


class Counters(Protocol):
    """Keeps what has been used and what is reserved."""

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        """Take all charges in one step, or none of them.

        `now` is a Unix time; what is not settled within `lease` seconds of it is free again. `id`
        names the reservation, for those who must know its name beforehand; it is used once.
        Raises what its backend raises.
        """

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """Count what was used, by charge, in the place of what was reserved; 0 gives it back.

        A second time it does nothing; after the lease has ended the usage still counts. What was
        taken `local`ly elsewhere is counted here, once.
        """


class UpstreamResponse(Protocol):
    """An answer whose head has arrived. `headers` have lower-case names, in the order received."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]

    async def receive(self) -> bytes:
        """The next bytes of the body as they arrived, or `b""` at its proper end.

        Raises `UpstreamTimeoutError` after the idle or total time, until the first of them have
        come after that of the first byte, and `UpstreamError` when the body breaks off.
        """

    async def aclose(self) -> None:
        """Give the connection back when the body has ended, close it otherwise. Never raises."""


class Upstream(Protocol):
    """Moves bytes to providers; looks into no body, follows no redirect, keeps no cookie."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send the request and return when the head of the answer is there.

        Raises `UpstreamTimeoutError` (connect, first byte, total) or `UpstreamError`. Cancelling it
        closes the connection.
        """

    async def aclose(self) -> None:
        """Close every connection."""
