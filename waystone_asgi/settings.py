"""What a host leaves out or writes short, made whole: hooks, stores, sinks, transports.

In: keyword arguments of `Gateway`. Out: one of each seam, or `ConfigurationError` that says what
would be right. It opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Annotated, Any, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from .allowances import Allowances
from .authentication import APIKey, BearerKeys, allow_anonymous
from .catalog import Catalog
from .entities import open_entities
from .exceptions import ConfigurationError
from .keepalive import KeepAlives
from .limits import MemoryCounters, open_counters
from .loops import on_asyncio
from .pricing import Prices
from .providers.access import AWSAccess, GoogleAccess
from .providers.echo import answer
from .providers.provider import Provider
from .records import Principal, Target, Timeouts
from .rules import Hold, Retry, Ruleset, compile_rules, read_policy, read_rulesets
from .sinks import open_sink
from .sinks.outbox import Overflow
from .tables import read_table
from .types import Authenticate, Counters, Entities, Sink, Upstream
from .upstream.httpx import HTTPXUpstream
from .upstream.local import LocalUpstream

LEASE_MARGIN = 5.0
"""Seconds after the last moment of a request for which its reservation is kept."""

Way: TypeAlias = Callable[[Upstream], Upstream]

_Opened = TypeVar("_Opened")


class State(Struct, frozen=True, kw_only=True):
    """Where users, groups and counters are kept, and how many seconds a request waits for it."""

    url: Annotated[str, Meta(min_length=1)] = "memory:"
    deadline: Annotated[float, Meta(gt=0, le=60)] = 0.05

    def opened(self, opens: Callable[..., _Opened]) -> _Opened:
        """What `opens` makes of it; raises `ConfigurationError` with the key's path."""
        try:
            return opens(self.url, deadline=self.deadline)
        except ConfigurationError as error:
            raise ConfigurationError(f"state.url: {error}") from error


def choose_state(state: Mapping[str, object] | None) -> State:
    """What the host says of it, or memory."""
    return read_table(dict(state or {}), State, "state")


def choose_authenticate(
    authenticate: Authenticate | None, api_keys: Iterable[str | APIKey], anonymous: bool
) -> Authenticate:
    """The one way in. There is no default: a gateway that forgot to ask who calls is refused."""
    keys = api_keys if isinstance(api_keys, str) else list(api_keys)
    chosen: list[Authenticate] = [] if authenticate is None else [authenticate]
    if keys:
        chosen.append(BearerKeys(keys))
    if anonymous:
        chosen.append(allow_anonymous)
    if len(chosen) != 1:
        raise ConfigurationError(
            "Say in one way who may call: authenticate=BearerKeys([...]) or a hook of your own; "
            "or, to let everyone in, authenticate=allow_anonymous."
        )
    if not callable(chosen[0]):
        raise ConfigurationError("authenticate: expected a function that takes a connection.")
    return chosen[0]


def choose_entities(entities: Entities | None, state: State) -> Entities:
    """The store of users and groups: the host's own, or that of the state's URL."""
    return state.opened(open_entities) if entities is None else entities


def choose_allowances(
    rulesets: Sequence[Ruleset | Mapping[str, Any]],
    *,
    guards: Collection[str],
    catalog: Catalog,
    prices: Prices,
    counters: Counters | None,
    state: State,
    lease: float,
) -> Allowances | None:
    """What applies the rulesets, or None where there are none."""
    if not rulesets:
        return None
    anyone = Principal(id="rules")

    def price(target: Target, input_tokens: int, output_tokens: int, now: float) -> int | None:
        return prices.estimate(target.provider, target.model, input_tokens, output_tokens, now)

    program = compile_rules(
        read_rulesets(rulesets),
        resolve=lambda model: catalog.resolve(model, anyone),
        guards=guards,
        price=price,
    )
    chosen = state.opened(open_counters) if counters is None else counters
    waits = not isinstance(chosen, MemoryCounters)
    return Allowances(program, chosen, lease=lease, waits=waits)


def choose_retry(retry: Retry | Mapping[str, Any] | None, hold: Hold = "first_event") -> Retry:
    """The policy of requests that no rule has another for: two attempts at each target."""
    if hold not in get_args(Hold):
        raise ConfigurationError(f"hold: expected one of {', '.join(get_args(Hold))}.")
    chosen = read_policy({} if retry is None else retry)
    return chosen if chosen.hold else msgspec.structs.replace(chosen, hold=hold)


def choose_keep_alive(seconds: float | None) -> KeepAlives | None:
    """What keeps silent streams alive, or None for false, 0 and None."""
    if not seconds:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e9:
        raise ConfigurationError("keep_alive: expected seconds, or false for none.")
    return KeepAlives(float(seconds))


def choose_sinks(sinks: Sequence[Sink], usage: Mapping[str, str] | None) -> tuple[Sink, ...]:
    """The host's sinks, then that of `usage["url"]`, behind a spool in `usage["spool"]`."""
    for sink in sinks:
        if isinstance(sink, type) or not callable(getattr(sink, "emit", None)):
            raise ConfigurationError(f"sinks: {sink!r} is no object with a method `emit`.")
    if not usage:
        return tuple(sinks)
    if "url" not in usage:
        raise ConfigurationError("usage: expected a url, such as sqlite:///waystone.db.")
    return (*sinks, open_sink(usage["url"], usage.get("spool")))


def choose_timeouts(timeouts: Timeouts | Mapping[str, float] | None) -> Timeouts:
    """Seconds, each above zero."""
    given = msgspec.structs.asdict(timeouts) if isinstance(timeouts, Timeouts) else timeouts or {}
    names = Timeouts.__struct_fields__
    for name in given:
        if name not in names:
            raise ConfigurationError(f"timeouts.{name}: expected one of {', '.join(names)}.")
    try:
        chosen = msgspec.convert(dict(given), Timeouts)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"timeouts: {error}.") from None
    for name in names:
        if not getattr(chosen, name) > 0:
            raise ConfigurationError(f"timeouts.{name}: expected seconds above zero.")
    return chosen


def check_bounds(overflow: Overflow, **counts: int) -> None:
    """What is counted begins at one, and a full queue has two ways out."""
    for name, count in counts.items():
        if type(count) is not int or count < 1:
            raise ConfigurationError(f"{name}: expected a whole number above zero.")
    if overflow not in get_args(Overflow):
        raise ConfigurationError(f"overflow: expected one of {', '.join(get_args(Overflow))}.")


def check_seconds(**seconds: float) -> None:
    """Seconds are numbers from zero on."""
    for name, value in seconds.items():
        if type(value) not in (int, float) or not 0 <= value < inf:
            raise ConfigurationError(f"{name}: expected seconds, zero or more.")


def choose_providers(providers: Iterable[Provider], *, strict: bool) -> dict[str, Provider]:
    """The providers by name, as strict as the gateway where they do not say it themselves."""
    named: dict[str, Provider] = {}
    for provider in providers:
        if not isinstance(provider, Provider):
            raise ConfigurationError("providers: expected Provider.openai(…) and the like.")
        if provider.name in named:
            raise ConfigurationError(
                f"providers.{provider.name}: two providers have this name; give one a `name`."
            )
        named[provider.name] = provider.as_strict_as(strict)
    if not named:
        raise ConfigurationError("providers: give at least one, such as Provider.openai(…).")
    return named


def choose_upstream(upstream: Any) -> Callable[[], Upstream]:
    """What makes the transport when the gateway opens: the host's own, or a fresh default.

    The default is `AsyncioUpstream` on asyncio, which costs a thirtieth, and `HTTPXUpstream` on
    trio. An httpx or httpx2 transport is taken as it is.
    """
    if upstream is None:
        return _default_upstream
    if hasattr(upstream, "handle_async_request"):
        upstream = HTTPXUpstream(upstream)
    if not hasattr(upstream, "send"):
        raise ConfigurationError(
            "upstream: expected an Upstream, or a transport of httpx or httpx2."
        )
    chosen: Upstream = upstream
    return lambda: chosen


def _default_upstream() -> Upstream:
    if not on_asyncio():
        return HTTPXUpstream()
    from .upstream.asyncio import AsyncioUpstream

    return AsyncioUpstream()


def choose_ways(providers: Mapping[str, Provider]) -> dict[str, Way]:
    """What makes of the network's transport the one that reaches a provider, by its name.

    Raises `ConfigurationError` for credentials that cannot be used.
    """
    return {name: _way(provider) for name, provider in providers.items()}


def _way(provider: Provider) -> Way:
    access = provider.access
    if provider.endpoint.scheme == "echo":
        return lambda network: LocalUpstream(answer)
    if isinstance(access, AWSAccess):
        from .upstream.aws import SignedUpstream

        return partial(SignedUpstream, signer=access.signer)
    if isinstance(access, GoogleAccess):
        from .upstream.google import GoogleUpstream, open_credentials

        try:
            open_credentials(access.file)
        except ConfigurationError as error:
            raise ConfigurationError(f"providers.{provider.name}.credentials: {error}") from error
        return partial(GoogleUpstream, credentials=access.file)
    return lambda network: network
