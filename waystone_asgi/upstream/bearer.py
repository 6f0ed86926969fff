"""Requests that carry a token which expires, and which is fetched before it does.

Takes an `UpstreamRequest`, adds the headers of a `Token`, and has another `Upstream` send it. What
fetches tokens may block: it is called in a thread, by one at a time however many requests wait, on
whichever event loops. A request that leaves changes nothing for the others. While a token is about
to expire it is used until the next one is there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import anyio
from msgspec import Struct
from msgspec.structs import replace

from ..exceptions import Headers, UpstreamCredentialError, UpstreamError, UpstreamTimeoutError
from ..loops import waker

if TYPE_CHECKING:
    from ..records import Endpoint, Timeouts, UpstreamRequest
    from ..types import Upstream, UpstreamResponse

STALE_SECONDS = 225.0
"""How long before its end a token is to be replaced: google-auth's own rule."""

REST_SECONDS = 10.0
"""How long after an attempt there is no other, unless it failed and requests wait for a token."""

_MAX_ENDPOINTS = 1024
_LEAST_SECONDS = 0.001


class Token(Struct, frozen=True, kw_only=True):
    """What proves who asks, until the Unix time `expires`. The headers are not shown."""

    headers: Headers
    expires: float = inf

    def __repr__(self) -> str:
        return f"Token(expires={self.expires})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("expires", self.expires)]


class _Waiter:
    """A request that cannot go on without a token, and what it is told in the end."""

    def __init__(self) -> None:
        self.token: Token | None = None
        self.failure: Callable[[], UpstreamError] | None = None
        self.wake = waker()
        self.told = anyio.Event()


class BearerUpstream:
    """An `Upstream` over `inner`, which it closes.

    `fetch` gets a new token; what it raises is `UpstreamCredentialError` where the credentials are
    refused. A header that an endpoint has already is not added to it. `now` tells the Unix time.
    """

    def __init__(
        self, inner: Upstream, fetch: Callable[[], Token], *, now: Callable[[], float] = time.time
    ) -> None:
        self._inner = inner
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._fresh_until = -inf
        self._rests_until = -inf
        self._refused: Callable[[], UpstreamError] | None = None
        self._fetching = False
        self._waiting: set[_Waiter] = set()
        self._endpoints: tuple[Token | None, dict[Endpoint, Endpoint]] = (None, {})

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See `types.Upstream`. Waiting for a token counts as connecting.

        Raises `UpstreamCredentialError` too, where the credentials are refused.
        """
        token, timeouts = self._claim(), request.timeouts
        if isinstance(token, _Waiter):
            began = anyio.current_time()
            token = await self._next(token, timeouts)
            left = timeouts.total - (anyio.current_time() - began)
            timeouts = replace(timeouts, total=max(_LEAST_SECONDS, left))
        endpoint = self._endpoint(request.endpoint, token)
        response = await self._inner.send(replace(request, endpoint=endpoint, timeouts=timeouts))
        if response.status == 401:
            self._doubt(token)
        return response

    async def aclose(self) -> None:
        """See `types.Upstream`. A token that is being fetched is for the next opening."""
        await self._inner.aclose()

    def _claim(self) -> Token | _Waiter:
        """The token, if it may be used, or a place among those who wait for the next one."""
        with self._lock:
            token, now = self._token, self._now()
            if token is not None and now < self._fresh_until:
                return token
            rests = now < self._rests_until
            if token is not None and now < token.expires:
                if not rests:
                    self._begin()
                return token
            if rests and self._refused is not None:
                raise self._refused()
            waiter = _Waiter()
            self._waiting.add(waiter)
            self._begin()
            return waiter

    async def _next(self, waiter: _Waiter, timeouts: Timeouts) -> Token:
        timer, seconds = min(
            ("connect", timeouts.connect), ("total", timeouts.total), key=lambda pair: pair[1]
        )
        try:
            with anyio.fail_after(seconds):
                await waiter.told.wait()
        except TimeoutError:
            raise UpstreamTimeoutError(
                f"No access token within {seconds:g} seconds ({timer})."
            ) from None
        finally:
            with self._lock:
                self._waiting.discard(waiter)
        if waiter.failure is not None:
            raise waiter.failure()
        assert waiter.token is not None
        return waiter.token

    def _begin(self) -> None:
        if not self._fetching:
            threading.Thread(target=self._run, name="waystone token", daemon=True).start()
            self._fetching = True

    def _run(self) -> None:
        token = failure = refused = None
        try:
            token = self._fetch()
        except UpstreamError as error:
            failure = partial(type(error), error.message)
            refused = failure if isinstance(error, UpstreamCredentialError) else None
        except Exception as error:
            name = type(error).__name__
            failure = partial(UpstreamError, f"The gateway got no access token ({name}).")
        with self._lock:
            if token is not None:
                self._token, self._fresh_until = token, token.expires - STALE_SECONDS
            self._refused = refused
            self._rests_until = self._now() + REST_SECONDS
            self._fetching = False
            waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            waiter.token, waiter.failure = token, failure
            # An event loop that has ended has nobody left who waits.
            with suppress(RuntimeError):
                waiter.wake(waiter.told.set)

    def _doubt(self, token: Token) -> None:
        """The provider takes the token no more, whatever was said of its end."""
        with self._lock:
            if self._token is token:
                self._fresh_until = -inf

    def _endpoint(self, endpoint: Endpoint, token: Token) -> Endpoint:
        """The endpoint with the token: the same value for the same two, for transports to know."""
        of, made = self._endpoints
        if of is not token:
            _, made = self._endpoints = (token, {})
        known = made.get(endpoint)
        if known is None:
            if len(made) >= _MAX_ENDPOINTS:
                made.clear()
            own = {name.lower() for name, _ in endpoint.headers}
            added = tuple(header for header in token.headers if header[0] not in own)
            known = made[endpoint] = replace(endpoint, headers=endpoint.headers + added)
        return known
