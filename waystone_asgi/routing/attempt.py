"""One attempt at a provider: what was sent, its time, and what came of it.

In: a target's endpoint and body. Out: the answer whose head has arrived, with its status checked.
Knows no caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from time import monotonic
from urllib.parse import quote

from msgspec.structs import replace

from ..exceptions import GatewayError, Headers, ProviderRefusedError, UpstreamError
from ..providers.dialects import Built
from ..providers.provider import Destination, Provider
from ..recent import MODELS
from ..records import Attempt, Target, Timeouts, UpstreamRequest
from ..types import Upstream, UpstreamResponse
from ..wire.members import encode

_PASSED_ON = (b"x-ratelimit-", b"retry-after")
_MAX_NAMES = 1024
_MAX_NAME = 60
_MAX_LISTED = 960
_IN_NAMES = "/:[]$@!*()"
_MAX_MESSAGE = 2000
_MAX_ERROR_BYTES = 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class Try:
    """One attempt at one target: send once, and say what became of it.

    `number` counts the request's attempts. `outcome` is None until it has ended, `latency` is the
    seconds until its answer began, and `timeouts` are what is left of the request's own. `holds`
    says whether a stream is held back until it is complete.
    """

    __slots__ = (
        "_started",
        "holds",
        "latency",
        "number",
        "outcome",
        "provider",
        "status",
        "target",
        "timeouts",
    )

    def __init__(
        self, target: Target, provider: Provider, timeouts: Timeouts, number: int = 1
    ) -> None:
        self.target = target
        self.provider = provider
        self.timeouts = timeouts
        self.holds = False
        self.outcome: Attempt | None = None
        self.number = number
        self._started = monotonic()
        self.status: int | None = None
        self.latency = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the attempt began."""
        return monotonic() - self._started

    def left(self) -> float:
        """Seconds until its first byte is late."""
        return self.timeouts.first_byte - self.elapsed

    def begun(self) -> None:
        """The answer begins only now: its head alone says nothing."""
        self.latency = monotonic() - self._started

    async def send(
        self, upstream: Upstream, destination: Destination, built: Built
    ) -> UpstreamResponse:
        """Send, and return the answer when it is one.

        Raises `UpstreamError` and its kinds; a refusal carries the headers that are passed on.
        """
        endpoint = destination.endpoint
        if built.headers:
            endpoint = replace(endpoint, headers=endpoint.headers + built.headers, once=True)
        response = await upstream.send(
            UpstreamRequest(endpoint=endpoint, content=built.body, timeouts=self.timeouts)
        )
        self.status = response.status
        self.latency = monotonic() - self._started
        if 200 <= response.status < 300:
            return response
        try:
            refusal = destination.dialect.parse_error(
                response.status,
                await read_all(response, _MAX_ERROR_BYTES),
                tuple(response.headers),
            )
        finally:
            await response.aclose()
        refusal.headers += passed_on(response)
        raise refusal

    def headers(self, dropped: Sequence[str]) -> Headers:
        """Where the request went, and what did not, for the caller."""
        headers = _named(self.target, self.number)
        if not dropped:
            return headers
        return *headers, (b"x-waystone-dropped", _listed(dropped))

    def kind(self, error: UpstreamError) -> tuple[int | None, str]:
        """The status and the error type by which a policy covers its failure."""
        if isinstance(error, ProviderRefusedError):
            return error.status, "context_length" if error.too_long else error.error_type
        return self.status, error.error_type

    def end(self, error_type: str | None) -> None:
        """The attempt is over."""
        self.outcome = Attempt(
            provider=self.target.provider,
            model=self.target.model,
            status=self.status,
            seconds=self.elapsed,
            error_type=error_type,
        )

    def redact(self, error: GatewayError) -> GatewayError:
        """The error fit to be shown: without our credentials, should the provider have repeated
        one, and of bounded length.
        """
        for secret in self.provider.secrets:
            key = secret.reveal()
            error.message = error.message.replace(key, "***")
            for name in ("type", "param", "code"):
                if key in (getattr(error, name) or ""):
                    setattr(error, name, getattr(type(error), name, None))
            if encode(key)[1:-1] in encode(error.extra):
                error.extra = {}
        # Cut off last: a part of a credential would not be found.
        error.message = error.message[:_MAX_MESSAGE]
        error.args = (error.message,)
        return error


def fault_of(error: GatewayError | None) -> str | None:
    """What an attempt is recorded with: an error of the provider's; a guard's is not."""
    return error.error_type if isinstance(error, UpstreamError) else None


async def read_all(response: UpstreamResponse, limit: int) -> bytes:
    """The whole body of an answer, of at most `limit` bytes. Raises `UpstreamError`."""
    chunks: list[bytes] = []
    size = 0
    while data := await response.receive():
        chunks.append(data)
        size += len(data)
        if size > limit:
            raise UpstreamError(f"The provider's answer is longer than {limit} bytes.")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class _Passing(dict[bytes, bool]):
    """Whether a header of that name is passed on: providers send the same names every time."""

    def __missing__(self, name: bytes) -> bool:
        passes = name.startswith(_PASSED_ON)
        if len(self) < _MAX_NAMES:
            self[name] = passes
        return passes


_passing = _Passing()


def passed_on(response: UpstreamResponse, ours: Headers = ()) -> Headers:
    """The provider's headers that reach the caller: its rate limits and when to come back.

    What is in `ours` already is left out.
    """
    passed = tuple([header for header in response.headers if _passing[header[0]]])
    if not ours or not passed:
        return passed
    names = {name for name, _ in ours}
    return tuple([header for header in passed if header[0] not in names])


@lru_cache(maxsize=MODELS)
def _named(target: Target, number: int) -> Headers:
    return (
        (b"x-waystone-provider", _header(target.provider)),
        (b"x-waystone-model", _header(target.model)),
        (b"x-waystone-attempts", b"%d" % number),
    )


def _header(value: str) -> bytes:
    """A name as a header value: as it is, or percent-encoded where a header could not carry it."""
    if value.isascii() and value.isprintable() and value == value.strip():
        return value.encode()
    return quote(value, safe="/:,").encode()


def _listed(names: Sequence[str]) -> bytes:
    """The names, or the first of them and how many more there are, in a thousand bytes.

    What separates names, and what a header could not carry, is percent-encoded in them; what is
    too long ends in an ellipsis.
    """
    listed = ""
    for count, name in enumerate(names):
        shown = quote(name[:_MAX_NAME], safe=_IN_NAMES) + "..." * (len(name) > _MAX_NAME)
        if len(listed) + len(shown) > _MAX_LISTED:
            return f"{listed}, and {len(names) - count} more".encode()
        listed = f"{listed}, {shown}" if count else shown
    return listed.encode()
