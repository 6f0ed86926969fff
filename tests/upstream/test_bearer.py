"""Tokens that expire: who fetches them when, and what those get who wait."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from waystone_asgi.exceptions import (
    UpstreamCredentialError,
    UpstreamError,
    UpstreamTimeoutError,
)
from waystone_asgi.records import Endpoint, Timeouts
from waystone_asgi.upstream import bearer
from waystone_asgi.upstream.bearer import REST_SECONDS, STALE_SECONDS, BearerUpstream, Token

from .calls import LONG, post
from .conftest import ASYNCIO, TRIO, UVLOOP, Backend
from .fakes import Clock, Inner, Source, fetched

pytestmark = pytest.mark.anyio

ONE, TWO, THREE = b"Bearer one", b"Bearer two", b"Bearer three"


def endpoint(*headers: tuple[bytes, bytes]) -> Endpoint:
    return Endpoint(scheme="https", host="h", port=443, path="/p", headers=headers)


PLAIN = endpoint((b"content-type", b"application/json"))


@pytest.fixture(params=[ASYNCIO, UVLOOP, TRIO], ids=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    backend: Backend = request.param
    return backend


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def source(clock: Clock) -> Source:
    return Source(clock)


@pytest.fixture
def upstream(inner: Inner, source: Source, clock: Clock) -> BearerUpstream:
    return BearerUpstream(inner, source, now=clock)


async def test_the_token_is_added(upstream: BearerUpstream, inner: Inner) -> None:
    response = await upstream.send(post(PLAIN, b"body"))
    assert response.status == 200
    assert inner.last.endpoint.headers == (
        *PLAIN.headers,
        (b"authorization", ONE),
        (b"x-goog-user-project", b"p"),
    )
    assert (inner.last.endpoint.path, inner.last.body) == ("/p", b"body")


async def test_what_the_endpoint_says_itself_stays(upstream: BearerUpstream, inner: Inner) -> None:
    own = (b"X-Goog-User-Project", b"mine")
    await upstream.send(post(endpoint(own)))
    assert inner.last.endpoint.headers == (own, (b"authorization", ONE))


async def test_transports_are_given_the_same_endpoint_again(
    upstream: BearerUpstream, inner: Inner, clock: Clock
) -> None:
    """As long as the token is the same one."""
    other = endpoint()
    for target in (PLAIN, other, PLAIN, other):
        await upstream.send(post(target))
    clock.now += 3600
    await upstream.send(post(PLAIN))
    first, second, third, fourth, fifth = (sent.endpoint for sent in inner.sent)
    assert first is third
    assert second is fourth
    assert len({first, second, fifth}) == 3


async def test_few_endpoints_are_remembered(upstream: BearerUpstream) -> None:
    for _ in range(1100):
        await upstream.send(post(endpoint()))
    assert len(upstream._endpoints[1]) == 1100 - 1024


async def test_many_wait_for_one(upstream: BearerUpstream, inner: Inner, source: Source) -> None:
    source.gate.clear()
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(upstream.send, post(PLAIN))
        await anyio.wait_all_tasks_blocked()
        assert inner.sent == []
        source.gate.set()
    assert inner.tokens == [ONE] * 100
    assert source.calls == 1


async def test_a_token_is_used_until_the_next_one_is_there(
    upstream: BearerUpstream, inner: Inner, source: Source, clock: Clock
) -> None:
    await upstream.send(post(PLAIN))
    clock.now += 3600 - STALE_SECONDS - 1
    await upstream.send(post(PLAIN))
    assert source.calls == 1
    source.gate.clear()
    clock.now += 1
    for _ in range(3):
        await upstream.send(post(PLAIN))
    source.gate.set()
    await fetched()
    await upstream.send(post(PLAIN))
    assert inner.tokens == [ONE] * 5 + [TWO]
    assert (source.calls, source.most) == (2, 1)


async def test_an_expired_token_is_not_used(
    upstream: BearerUpstream, inner: Inner, clock: Clock
) -> None:
    for _ in range(3):
        await upstream.send(post(PLAIN))
        clock.now += 3600
    assert inner.tokens == [ONE, TWO, THREE]


async def test_a_token_without_an_end(inner: Inner, clock: Clock) -> None:
    upstream = BearerUpstream(inner, lambda: Token(headers=((b"authorization", ONE),)), now=clock)
    for _ in range(3):
        await upstream.send(post(PLAIN))
        clock.now += 1e9
    assert inner.tokens == [ONE] * 3


async def test_short_lives(inner: Inner, clock: Clock) -> None:
    """A token that is to be replaced as soon as it is there is not replaced all the time."""
    source = Source(clock, lifetime=100)
    upstream = BearerUpstream(inner, source, now=clock)
    for _ in range(5):
        await upstream.send(post(PLAIN))
        await fetched()
    assert source.calls == 1
    clock.now += REST_SECONDS
    await upstream.send(post(PLAIN))
    await fetched()
    assert source.calls == 2


FAILURES: list[tuple[Exception, type[UpstreamError], str]] = [
    (UpstreamError("They are away."), UpstreamError, "They are away."),
    (UpstreamTimeoutError("They are slow."), UpstreamTimeoutError, "They are slow."),
    (UpstreamCredentialError("Refused."), UpstreamCredentialError, "Refused."),
    (KeyError("canary"), UpstreamError, "The gateway got no access token (KeyError)."),
]


@pytest.mark.parametrize(("raised", "kind", "message"), FAILURES)
async def test_everyone_is_told_of_a_failure(
    upstream: BearerUpstream,
    inner: Inner,
    source: Source,
    raised: Exception,
    kind: type[UpstreamError],
    message: str,
) -> None:
    """Each by an exception of its own, as the corridor changes them."""
    source.error = raised
    source.gate.clear()
    errors: list[UpstreamError] = []

    async def call() -> None:
        with pytest.raises(UpstreamError) as caught:
            await upstream.send(post(PLAIN))
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        source.gate.set()
    assert [(type(error), error.message) for error in errors] == [(kind, message)] * 3
    assert len({id(error) for error in errors}) == 3
    assert {error.__context__ for error in errors} == {None}
    assert (source.calls, inner.sent) == (1, [])


async def test_a_failure_may_be_tried_again(
    upstream: BearerUpstream, inner: Inner, source: Source
) -> None:
    source.error = UpstreamError("They are away.")
    for _ in range(2):
        with pytest.raises(UpstreamError, match="away"):
            await upstream.send(post(PLAIN))
    source.error = None
    await upstream.send(post(PLAIN))
    assert inner.tokens == [THREE]


async def test_refused_credentials_are_not_tried_all_the_time(
    upstream: BearerUpstream, inner: Inner, source: Source, clock: Clock
) -> None:
    source.error = UpstreamCredentialError("Refused.")
    for _ in range(5):
        with pytest.raises(UpstreamCredentialError, match="Refused"):
            await upstream.send(post(PLAIN))
    assert source.calls == 1
    clock.now += REST_SECONDS
    source.error = None
    await upstream.send(post(PLAIN))
    assert inner.tokens == [TWO]


async def test_a_failure_is_none_while_the_token_lasts(
    upstream: BearerUpstream, inner: Inner, source: Source, clock: Clock
) -> None:
    await upstream.send(post(PLAIN))
    source.error = UpstreamError("They are away.")
    clock.now += 3600 - STALE_SECONDS
    for seconds in (0, 0, REST_SECONDS, 0):
        clock.now += seconds
        await upstream.send(post(PLAIN))
        await fetched()
    assert (inner.tokens, source.calls) == ([ONE] * 5, 3)
    clock.now += STALE_SECONDS
    with pytest.raises(UpstreamError, match="away"):
        await upstream.send(post(PLAIN))


@pytest.mark.parametrize(
    ("timeouts", "message"),
    [
        (Timeouts(connect=0.05), "No access token within 0.05 seconds (connect)."),
        (Timeouts(connect=5, total=0.05), "No access token within 0.05 seconds (total)."),
    ],
)
async def test_waiting_has_an_end(
    upstream: BearerUpstream, source: Source, timeouts: Timeouts, message: str
) -> None:
    source.gate.clear()
    with pytest.raises(UpstreamTimeoutError) as caught:
        await upstream.send(post(PLAIN, timeouts=timeouts))
    assert caught.value.message == message
    source.gate.set()


async def test_what_is_left_of_the_time(
    upstream: BearerUpstream, inner: Inner, source: Source
) -> None:
    source.gate.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upstream.send, post(PLAIN))
        await anyio.sleep(0.02)
        source.gate.set()
    await upstream.send(post(PLAIN))
    waited, had = (sent.timeouts for sent in inner.sent)
    assert LONG.total - 5 < waited.total < LONG.total - 0.01
    assert (replace(waited, total=LONG.total), had) == (LONG, LONG)


async def test_who_leaves_changes_nothing_for_the_others(
    upstream: BearerUpstream, inner: Inner, source: Source
) -> None:
    source.gate.clear()
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(upstream.send, post(PLAIN))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(upstream.send, post(PLAIN))
            await anyio.wait_all_tasks_blocked()
            leaving.cancel_scope.cancel()
        assert len(upstream._waiting) == 1
        source.gate.set()
    assert (inner.tokens, source.calls, upstream._waiting) == ([ONE], 1, set())


async def test_a_token_that_the_provider_does_not_take(
    upstream: BearerUpstream, inner: Inner, source: Source, clock: Clock
) -> None:
    """Another is fetched, at most every few seconds."""
    inner.status = 401
    for _ in range(3):
        response = await upstream.send(post(PLAIN))
        assert response.status == 401
        await fetched()
    assert source.calls == 1
    clock.now += REST_SECONDS
    await upstream.send(post(PLAIN))
    await fetched()
    inner.status = 200
    clock.now += REST_SECONDS
    await upstream.send(post(PLAIN))
    await upstream.send(post(PLAIN))
    assert inner.tokens == [ONE] * 4 + [TWO] * 2
    assert source.calls == 2


async def test_an_old_answer_does_not_cast_doubt_on_a_new_token(
    inner: Inner, source: Source, clock: Clock
) -> None:
    class Slow(Inner):
        async def send(self, request: Any) -> Any:
            if not self.sent:
                self.sent.append(request)
                clock.now += 3600
                await over.send(post(PLAIN))
                self.status = 401
            answer = await super().send(request)
            self.status = 200
            return answer

    over = BearerUpstream(Slow(), source, now=clock)
    await over.send(post(PLAIN))
    clock.now += REST_SECONDS
    await over.send(post(PLAIN))
    await fetched()
    assert source.calls == 2


async def test_it_closes_what_it_is_over(upstream: BearerUpstream, inner: Inner) -> None:
    await upstream.aclose()
    assert inner.closed


@pytest.mark.parametrize("backend", [ASYNCIO, UVLOOP, TRIO], ids=["asyncio", "uvloop", "trio"])
def test_an_event_loop_that_ends_meanwhile(
    backend: Backend, upstream: BearerUpstream, inner: Inner, source: Source
) -> None:
    """The next one has the token that the first one waited for."""

    async def leave() -> None:
        with anyio.move_on_after(0.01):
            await upstream.send(post(PLAIN))

    async def come() -> None:
        source.gate.set()
        await upstream.send(post(PLAIN))

    name, options = backend
    source.gate.clear()
    anyio.run(leave, backend=name, backend_options=options)
    anyio.run(come, backend=name, backend_options=options)
    assert (inner.tokens, source.calls) == ([ONE], 1)


def test_a_token_is_not_shown() -> None:
    token = Token(headers=((b"authorization", b"Bearer canary"),), expires=5)
    assert repr(token) == "Token(expires=5)"
    assert "canary" not in repr(token.__rich_repr__())


def test_the_rule_is_that_of_google_auth() -> None:
    from google.auth import _helpers

    assert _helpers.REFRESH_THRESHOLD.total_seconds() == bearer.STALE_SECONDS
