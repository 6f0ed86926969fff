"""The gateway: what it is made of, how it opens and closes, and which operation a call is for.

In: ASGI. Out: answers. A completion's way through the rooms is in `completions`; the smaller
operations are here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

import anyio

from .admission import STOPPING, Places
from .allowances import opened_counters
from .authentication import APIKey, check_endpoint, prove
from .calls import Call, Table
from .catalog import Alias, Catalog
from .completions import Completions
from .departures import Departures
from .entities import kept
from .exceptions import (
    CallerLeft,
    GatewayError,
    InternalError,
    OverloadedError,
)
from .forwarding import Forwarding
from .guards import Guards
from .identity import Naming, claimed, merge
from .identity import identify as read_metadata
from .lifespan import Lifespan, serve_lifespan
from .pricing import Prices
from .providers.provider import Provider
from .records import Timeouts
from .requests import read_body
from .routing import Routing
from .rules import Hold, Retry, Ruleset
from .settings import (
    LEASE_MARGIN,
    check_bounds,
    check_seconds,
    choose_allowances,
    choose_authenticate,
    choose_entities,
    choose_keep_alive,
    choose_providers,
    choose_retry,
    choose_sinks,
    choose_state,
    choose_timeouts,
    choose_upstream,
    choose_ways,
)
from .sinks.outbox import Outbox, Overflow
from .tracebacks import outline
from .types import (
    Authenticate,
    Counters,
    Entities,
    Guard,
    Identify,
    Receive,
    Scope,
    Send,
    Sink,
)
from .wire.models import encode_identified, encode_model, encode_models

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


logger = logging.getLogger("waystone_asgi")


class Gateway:
    """An ASGI application to mount in yours, or to serve by itself.

    `authenticate` says who may call; `api_keys` is short for `BearerKeys`. `identify` names on
    whose behalf; the default reads `metadata.waystone`. `sinks` get the usage records, and so does
    the ledger at `usage["url"]`. `rulesets` say what callers may do, counted by `counters` or at
    `state["url"]`, in money by `prices`; `retry` is for requests that no rule has another for;
    `hold="complete"` holds streams back until they are complete; on others
    that are silent for `keep_alive` seconds the caller gets a comment. `guards` look at answers
    where a rule says so. `strict` refuses requests of which a provider cannot take all. `upstream`
    replaces the transport to providers: an `Upstream`, or a transport of httpx. `path` is where the
    standalone server mounts it. `max_body_bytes` bounds requests, `max_in_flight` how many run at
    once; of the others `max_waiting` wait, each `max_wait` seconds. At the end those under way have
    `max_drain` seconds. `overflow` says whether a request waits or its record is dropped when
    `queue_limit` records are waiting for the sinks.

    Raises `ConfigurationError`. Constructing opens nothing: `lifespan` or `running` does, or the
    first request.
    """

    def __init__(
        self,
        *,
        providers: Sequence[Provider],
        authenticate: Authenticate | None = None,
        api_keys: Sequence[str | APIKey] = (),
        allow_anonymous: bool = False,
        identify: Identify = read_metadata,
        entities: Entities | None = None,
        sinks: Sequence[Sink] = (),
        usage: Mapping[str, str] | None = None,
        state: Mapping[str, object] | None = None,
        upstream: object = None,
        aliases: Mapping[str, str | Sequence[str] | Alias | Mapping[str, Any]] | None = None,
        timeouts: Timeouts | Mapping[str, float] | None = None,
        path: str = "/api/gateway",
        strict: bool = False,
        max_body_bytes: int = 32 * 1024 * 1024,
        max_in_flight: int = 1000,
        max_waiting: int = 1000,
        max_wait: float = 1.0,
        max_drain: float = 30.0,
        queue_limit: int = 10_000,
        overflow: Overflow = "wait",
        rulesets: Sequence[Ruleset | Mapping[str, Any]] = (),
        counters: Counters | None = None,
        prices: Mapping[str, object] | None = None,
        retry: Retry | Mapping[str, Any] | None = None,
        hold: Hold = "first_event",
        keep_alive: float | None = 15.0,
        guards: Mapping[str, Guard] | None = None,
        guard_window: int = 500,
        guard_deadline: float = 10.0,
    ) -> None:
        check_bounds(
            overflow,
            max_body_bytes=max_body_bytes,
            max_in_flight=max_in_flight,
            max_waiting=max_waiting,
            queue_limit=queue_limit,
        )
        check_seconds(max_wait=max_wait, max_drain=max_drain)
        self.path = "/" + path.strip("/") if path.strip("/") else ""
        self.providers = choose_providers(providers, strict=strict)
        self.catalog = Catalog({p.name: p.models for p in self.providers.values()}, aliases)
        kept_at = choose_state(state)
        self.entities = choose_entities(entities, kept_at)
        self.prices = Prices(prices, types={p.name: p.type for p in self.providers.values()})
        self.outbox = Outbox(choose_sinks(sinks, usage), limit=queue_limit, overflow=overflow)
        self._authenticate = choose_authenticate(authenticate, api_keys, allow_anonymous)
        chosen_timeouts = choose_timeouts(timeouts)
        chosen_guards = Guards(guards, window=guard_window, deadline=guard_deadline)
        self._allowances = choose_allowances(
            rulesets,
            guards=chosen_guards.names,
            catalog=self.catalog,
            prices=self.prices,
            counters=counters,
            state=kept_at,
            lease=chosen_timeouts.total + LEASE_MARGIN,
        )
        self._max_body_bytes = max_body_bytes
        self._make_upstream = choose_upstream(upstream)
        self._owns_upstream = upstream is None
        self._ways = choose_ways(self.providers)
        self._departures = Departures()
        self._keep_alives = choose_keep_alive(keep_alive)
        self._forwarding = Forwarding(
            routing=Routing(self.providers, chosen_timeouts, choose_retry(retry, hold)),
            guards=chosen_guards,
            keep_alives=self._keep_alives,
        )
        self._places = Places(max_in_flight, max_waiting=max_waiting, max_wait=max_wait)
        self._completions = Completions(
            authenticate=self._authenticate,
            naming=Naming(identify),
            entities=self.entities,
            catalog=self.catalog,
            allowances=self._allowances,
            prices=self.prices,
            forwarding=self._forwarding,
            outbox=self.outbox,
            departures=self._departures,
            places=self._places,
            max_body_bytes=max_body_bytes,
        )
        self._life = Lifespan(
            self._serve,
            refuse=self._places.close,
            cut=self._departures.dismiss,
            max_drain=max_drain,
        )
        self._table = Table(
            {
                "/v1/chat/completions": {"POST": self._chat},
                "/v1/models": {"GET": self._list_models},
                "/v1/models/": {"GET": self._show_model},
                "/identify": {"POST": self._merge_entities},
                "/health": {"GET": self._health},
                "/ready": {"GET": self._ready},
            }
        )

    @classmethod
    def from_config(cls, source: str | PathLike[str] | Mapping[str, Any], **overrides: Any) -> Self:
        """A gateway from `waystone.toml` or a mapping of the same form; keywords come first.

        An `authenticate` of the host's takes the place of the file's keys.

        Raises `ConfigurationError` with the file, the key's path and what would be right.
        """
        from .config import gateway_settings

        settings = gateway_settings(source)
        if "authenticate" in overrides:
            settings.pop("api_keys", None)  # The host asks who calls, in its own way.
        return cls(**{**settings, **overrides})

    # Life: see `lifespan.py`.

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Open on entering; on leaving finish what is in flight, and hand over all records."""
        async with self._life.running():
            yield self

    def lifespan(self, app: object) -> AbstractAsyncContextManager[None]:
        """`running`, in the form that Starlette, FastAPI and Litestar take as `lifespan`."""
        return self._life.running()

    async def drain(self, within: float | None = None) -> None:
        """Be ready no more and refuse what comes; return when nothing is in flight.

        What is not over `within` seconds, by default `max_drain`, is cut: a stream ends in an error
        event. Leaving the lifespan drains too; this is for a host that knows of its end earlier.
        """
        await self._life.drain(within)

    async def _serve(self, opened: Callable[[], None], closing: anyio.Event) -> None:
        network = self._make_upstream()
        self._forwarding.upstreams = {name: way(network) for name, way in self._ways.items()}
        self.prices.open()
        try:
            await self.outbox.open()
            async with (
                kept(self.entities),
                opened_counters(self._allowances),
                anyio.create_task_group() as tasks,
            ):
                self._places.open()
                tasks.start_soon(self.outbox.run)
                tasks.start_soon(self._departures.run, tasks)
                if self._keep_alives is not None:
                    tasks.start_soon(self._keep_alives.run, tasks)
                opened()
                await closing.wait()
                tasks.cancel_scope.cancel()
        finally:
            await self.outbox.aclose()
            if self._owns_upstream:
                with anyio.move_on_after(1, shield=True):
                    await network.aclose()

    # Accept.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await serve_lifespan(self.running, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
        else:
            call = Call(scope, receive, send)
            self._life.enter()
            try:
                await self._table.accept(call)(call)
            except CallerLeft:
                pass
            except Exception as error:
                await self._refuse(call, error)
            except BaseException as error:
                # The server or the host ends the call; of a stream its caller shall know that.
                if not isinstance(error, GeneratorExit):
                    await call.reply.cut(OverloadedError(STOPPING))
                raise
            finally:
                self._life.leave()
            if self._life.is_alone:
                # Servers wait for calls and not for us: the call lasts until its record is safe.
                await self.outbox.settled()

    async def _refuse(self, call: Call, error: Exception) -> None:
        """Answer with the error, or end with it a stream that has begun. A bug is logged too."""
        if not isinstance(error, GatewayError):
            where = outline(error)
            logger.error("A bug in the gateway, at request %s.\n%s", call.head.request_id, where)
            error = InternalError("The gateway failed.")
        if call.reply.started:
            await call.reply.cut(error)
        else:
            await call.reply.error(error)

    async def _admit(self) -> None:
        """Open if need be; refuse when draining."""
        if not self._life.is_open:
            if self._life.state in ("draining", "closed"):
                raise OverloadedError(STOPPING)
            try:
                await self._life.ensure()
            except Exception:
                raise InternalError("The gateway could not be opened.") from None

    # The operations.

    async def _chat(self, call: Call) -> None:
        await self._admit()
        await self._completions.serve(call)

    async def _list_models(self, call: Call) -> None:
        principal = await prove(self._authenticate, call.connection)
        await call.reply.json(200, encode_models(self.catalog.models(principal)))

    async def _show_model(self, call: Call) -> None:
        principal = await prove(self._authenticate, call.connection)
        target = self.catalog.resolve(call.argument, principal).targets[0]
        await call.reply.json(200, encode_model(call.argument, target.provider))

    async def _merge_entities(self, call: Call) -> None:
        await self._admit()
        principal = await prove(self._authenticate, call.connection)
        check_endpoint(principal, "identify")
        call.head.check(self._max_body_bytes)
        await self._places.take(principal.id, call.ahead)
        try:
            identity = claimed(principal, await read_body(call.receive, self._max_body_bytes))
            await merge(self.entities, identity)
            await call.reply.json(200, encode_identified(identity))
        finally:
            self._places.leave()

    async def _health(self, call: Call) -> None:
        await call.reply.json(200, b'{"status":"ok"}')

    async def _ready(self, call: Call) -> None:
        if self._life.is_open:
            await call.reply.json(200, b'{"status":"ready"}')
            return
        state = self._life.state
        # Where no lifespan reaches us, the first probe opens the gateway and the next one finds it.
        self._life.begin()
        raise OverloadedError(f"Not ready: {state}.")
