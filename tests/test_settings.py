"""What a host leaves out or writes short, and what it is told when it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import httpx
import httpx2
import pytest

from waystone_asgi import BearerKeys, Gateway, MemorySink, Provider, Timeouts
from waystone_asgi.authentication import APIKey, allow_anonymous
from waystone_asgi.config import load_config
from waystone_asgi.entities import CachedEntities, MemoryEntities, open_entities
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.limits import GuardedCounters, MemoryCounters, open_counters
from waystone_asgi.rules import Retry
from waystone_asgi.settings import (
    State,
    check_bounds,
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
from waystone_asgi.testing import FakeProvider, completion
from waystone_asgi.upstream.asyncio import AsyncioUpstream
from waystone_asgi.upstream.aws import SignedUpstream
from waystone_asgi.upstream.google import GoogleUpstream
from waystone_asgi.upstream.httpx import HTTPXUpstream
from waystone_asgi.upstream.local import LocalUpstream

KEYS = BearerKeys(["wk_test"])
OPENAI = Provider.openai(api_key="sk-canary")


def refuses(build: Callable[[], object], *words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "canary" not in str(caught.value)


def test_one_way_to_say_who_may_call() -> None:
    assert choose_authenticate(KEYS, (), False) is KEYS
    assert choose_authenticate(None, (), True) is allow_anonymous
    for keys in (["wk_a"], ("wk_a",), iter(["wk_a"]), [APIKey(key="wk_a")]):
        assert isinstance(choose_authenticate(None, keys, False), BearerKeys)


@pytest.mark.parametrize(
    "arguments",
    [(None, (), False), (KEYS, ["wk_a"], False), (KEYS, (), True), (None, ["wk_a"], True)],
)
def test_no_way_and_two_ways_are_refused(arguments: tuple[Any, Any, bool]) -> None:
    refuses(lambda: choose_authenticate(*arguments), "BearerKeys([...])", "allow_anonymous")


def test_ways_that_are_none() -> None:
    refuses(lambda: choose_authenticate(cast("Any", "wk_canary"), (), False), "takes a connection")
    refuses(lambda: choose_authenticate(None, "wk_canary", False), "a list of keys")
    refuses(lambda: Gateway(providers=[OPENAI]), "BearerKeys([...])", "allow_anonymous")


def test_entities() -> None:
    own = MemoryEntities()
    assert choose_entities(own, State(url="anything")) is own
    for state in (None, {}, {"url": "memory:"}, {"url": "memory"}):
        assert isinstance(choose_entities(None, choose_state(state)), MemoryEntities)
    cached = choose_entities(None, State(url="sqlite:///waystone.db"))
    assert isinstance(cached, CachedEntities)
    refuses(
        lambda: choose_entities(None, State(url="mysql://:canary@db")),
        "state.url",
        "memory:",
        "redis:",
    )


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:", MemoryCounters),
        ("memory", MemoryCounters),
        ("sqlite:///waystone.db", GuardedCounters),
        ("sqlite:////var/lib/waystone.db", GuardedCounters),
        ("postgresql://u:p%40%2F@db:5433,other/name?sslmode=require", GuardedCounters),
        ("postgres:///name", GuardedCounters),
        ("redis://user:p%40%2F%23@db:6380/2", GuardedCounters),
        ("rediss://:p@db/", GuardedCounters),
    ],
)
def test_counters_and_entities_are_kept_at_the_same_urls(url: str, kind: type[object]) -> None:
    state = choose_state({"url": url, "deadline": 2})
    assert isinstance(state.opened(open_counters), kind)
    assert isinstance(state.opened(open_entities), MemoryEntities | CachedEntities)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"uri": "memory:"}, "state.uri: unknown key; did you mean url?"),
        ({"url": ""}, "state.url"),
        ({"url": 1}, "state.url: expected `str`"),
        ({"deadline": 0}, "state.deadline: expected `float` > 0"),
        ({"deadline": 61}, "state.deadline: expected `float` <= 60"),
        ({"deadline": "canary"}, "state.deadline: expected `float`"),
        ({"url": "mysql://u:canary@db"}, "state.url: There is no state of this kind"),
    ],
)
def test_state_that_is_refused(state: dict[str, object], said: str) -> None:
    gateway = partial(Gateway, providers=[OPENAI], authenticate=allow_anonymous)
    refuses(lambda: gateway(state=state), said)


def test_sinks() -> None:
    own = MemorySink()
    assert choose_sinks([own], None) == (own,)
    assert choose_sinks((), {}) == ()
    first, second = choose_sinks([own], {"url": "memory:"})
    assert first is own
    assert isinstance(second, MemorySink)
    refuses(lambda: choose_sinks([cast("Any", print)], None), "emit")
    refuses(lambda: choose_sinks([cast("Any", MemorySink)], None), "emit", "MemorySink")
    refuses(lambda: choose_sinks((), {"uri": "canary"}), "usage", "sqlite:///waystone.db")
    refuses(lambda: choose_sinks((), {"url": "mysql://canary@db"}), "sqlite:///")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Timeouts()),
        ({}, Timeouts()),
        (Timeouts(idle=1.0), Timeouts(idle=1.0)),
        ({"idle": 1, "total": 2.5}, Timeouts(idle=1.0, total=2.5)),
    ],
)
def test_timeouts(given: Any, expected: Timeouts) -> None:
    assert choose_timeouts(given) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"idle": "canary"}, ["timeouts", "float", "idle"]),
        ({"idle": 0}, ["timeouts.idle: expected seconds above zero"]),
        ({"total": -1.0}, ["timeouts.total"]),
        ({"total": float("nan")}, ["timeouts.total"]),
        ({"conect": 1.0}, ["timeouts.conect", "connect, first_byte, idle, total"]),
        (Timeouts(first_byte=0.0), ["timeouts.first_byte"]),
        (Timeouts(connect=cast("float", "canary")), ["timeouts", "float", "connect"]),
    ],
)
def test_timeouts_that_are_refused(given: Any, words: list[str]) -> None:
    refuses(lambda: choose_timeouts(given), *words)


@pytest.mark.parametrize("name", ["max_wait", "max_drain"])
@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), "1", True])
def test_seconds_are_from_zero_on(name: str, value: object) -> None:
    settings = cast("Any", {"providers": [OPENAI], "authenticate": KEYS, name: value})
    refuses(lambda: Gateway(**settings), f"{name}: expected seconds, zero or more")


@pytest.mark.parametrize("name", ["max_body_bytes", "max_in_flight", "max_waiting", "queue_limit"])
@pytest.mark.parametrize("count", [0, -1, 1.5, True, "1", None])
def test_counts_that_are_refused(name: str, count: Any) -> None:
    settings = {"providers": [OPENAI], "authenticate": KEYS, name: count}
    refuses(lambda: Gateway(**settings), f"{name}: expected a whole number above zero")


@pytest.mark.parametrize("seconds", [None, False, 0, 0.0])
def test_streams_need_not_be_kept_alive(seconds: Any) -> None:
    assert choose_keep_alive(seconds) is None


@pytest.mark.parametrize("seconds", [-1, True, "15", float("nan"), float("inf"), [1]])
def test_seconds_after_which_no_stream_is_kept_alive(seconds: Any) -> None:
    refuses(lambda: choose_keep_alive(seconds), "keep_alive: expected seconds, or false")


@pytest.mark.parametrize(
    ("retry", "hold", "chosen"),
    [
        (None, "first_event", Retry(attempts=2, hold="first_event")),
        (None, "complete", Retry(attempts=2, hold="complete")),
        ({"attempts": 3}, "complete", Retry(attempts=3, hold="complete")),
        ({"hold": "first_event"}, "complete", Retry(attempts=2, hold="first_event")),
        (Retry(on=[429]), "first_event", Retry(on=[429], hold="first_event")),
    ],
)
def test_retries(retry: Any, hold: Any, chosen: Retry) -> None:
    assert choose_retry(retry, hold) == chosen


def test_retries_that_are_refused() -> None:
    refuses(lambda: choose_retry({"tries": 2}), "retry.tries: unknown key; known are attempts, ")
    refuses(lambda: choose_retry({"hold": "half"}), "hold: expected one of first_event, complete")
    refuses(lambda: choose_retry(None, cast("Any", "half")), "hold: expected one of first_event")


def test_overflow() -> None:
    check_bounds("wait")
    check_bounds("drop", queue_limit=1)
    refuses(lambda: check_bounds(cast("Any", "Wait")), "overflow", "wait, drop")


def test_providers() -> None:
    second = Provider.openai(api_key="sk-canary", name="second")
    assert choose_providers([OPENAI, second], strict=False) == {"openai": OPENAI, "second": second}
    strict = choose_providers([OPENAI], strict=True)["openai"]
    assert strict.destination("m", stream=False).target.strict
    refuses(lambda: choose_providers([], strict=False), "at least one", "Provider.openai")
    refuses(
        lambda: choose_providers([OPENAI, OPENAI], strict=False), "providers.openai", "a `name`"
    )
    refuses(lambda: choose_providers(cast("Any", ["sk-canary"]), strict=False), "Provider.openai")


def test_the_transport_may_be_ours_httpxs_or_the_hosts() -> None:
    for transport in (httpx.MockTransport(print), httpx2.MockTransport(print)):  # type: ignore[arg-type]
        assert isinstance(choose_upstream(transport)(), HTTPXUpstream)
    own = FakeProvider(completion("hi"))
    assert choose_upstream(own)() is own
    refuses(lambda: choose_upstream(object()), "upstream", "httpx")


def test_each_provider_is_reached_by_its_transport() -> None:
    own = FakeProvider(completion("hi"))
    signed = Provider.bedrock(region="eu-west-1", access_key_id="a", secret_access_key="b")
    keyed = Provider.bedrock(name="keyed", region="eu-west-1", api_key="k")
    own_header = Provider.bedrock(
        name="own", region="eu-west-1", headers={"Authorization": "Bearer k"}
    )
    google = Provider.vertex(project="a", location="global")
    providers = [OPENAI, Provider.echo(), signed, keyed, own_header, google]
    ways = choose_ways({provider.name: provider for provider in providers})
    reached = {name: way(own) for name, way in ways.items()}
    assert reached["openai"] is reached["keyed"] is reached["own"] is own
    assert isinstance(reached["echo"], LocalUpstream)
    assert isinstance(reached["bedrock"], SignedUpstream)
    assert isinstance(reached["vertex"], GoogleUpstream)


def test_credentials_that_cannot_be_used_are_named() -> None:
    provider = Provider.vertex(project="a", location="global", credentials="/no/such.json")
    refuses(
        lambda: choose_ways({"vertex": provider}),
        "providers.vertex.credentials",
        "/no/such.json cannot be used",
    )
    table = {"project": "a", "location": "global", "credentials": "/no/such.json"}
    refuses(
        lambda: load_config({"providers": {"vertex": table}}),
        "configuration: providers.vertex.credentials",
    )


@pytest.mark.anyio
async def test_the_transport_of_our_own_is_the_fastest_that_the_event_loop_has(
    anyio_backend_name: str,
) -> None:
    upstream = choose_upstream(None)()
    kind = AsyncioUpstream if anyio_backend_name == "asyncio" else HTTPXUpstream
    assert type(upstream) is kind
    await upstream.aclose()
