"""Attempts: what is tried again, where, after how long, and what that does to later requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from waystone_asgi import Provider
from waystone_asgi.exceptions import (
    ProviderRefusedError,
    UpstreamCredentialError,
    UpstreamError,
    UpstreamTimeoutError,
)
from waystone_asgi.records import Route, Target, Timeouts
from waystone_asgi.routing import Attempts, Budget, Health, Routing, retry_after
from waystone_asgi.rules import Retry

ONE = Target(provider="one", model="m")
TWO = Target(provider="two", model="m")
PROVIDERS = {
    name: Provider.vllm(name=name, base_url=f"http://{name}.test/v1") for name in ("one", "two")
}
GONE = UpstreamError("gone")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def routing(clock: Clock | None = None, *, attempts: int = 2, total: float = 600.0) -> Routing:
    return Routing(
        PROVIDERS,
        Timeouts(total=total),
        Retry(attempts=attempts),
        health=Health(now=clock or Clock()),
        random=lambda: 0.5,
    )


def to(*targets: Target) -> Route:
    return Route(request_model="m", targets=targets)


def refused(status: int, headers: Sequence[tuple[bytes, bytes]] = ()) -> ProviderRefusedError:
    error = ProviderRefusedError("No.", status=status, type="t", code="c")
    error.headers = tuple(headers)
    return error


def fail(attempts: Attempts, error: UpstreamError, status: int | None = None) -> float | None:
    tried = attempts.begin()
    tried.status = status
    tried.end(error.error_type)
    return attempts.failed(error)


def followed(attempts: Attempts, error: UpstreamError, status: int | None = None) -> list[Target]:
    """The targets asked when every attempt ends so."""
    asked = []
    while True:
        tried = attempts.begin()
        asked.append(tried.target)
        tried.status = status
        tried.end(error.error_type)
        if attempts.failed(error) is None:
            return asked


@pytest.mark.parametrize(
    ("error", "status", "asked"),
    [
        (GONE, None, [ONE, ONE, TWO, TWO]),
        (GONE, 503, [ONE, ONE, TWO, TWO]),
        (UpstreamTimeoutError("slow"), None, [ONE, ONE, TWO, TWO]),
        (refused(429), 429, [ONE, ONE, TWO, TWO]),
        (refused(408), 408, [ONE, ONE, TWO, TWO]),
        (refused(409), 409, [ONE, ONE, TWO, TWO]),
        (UpstreamCredentialError("No."), 401, [ONE, TWO]),
        (refused(400), 400, [ONE]),
        (refused(404), 404, [ONE]),
        (refused(422), 422, [ONE]),
    ],
)
def test_what_is_tried_again(error: UpstreamError, status: int | None, asked: list[Target]) -> None:
    assert followed(routing().attempts(to(ONE, TWO)), error, status) == asked


def test_attempts_are_numbered_and_kept() -> None:
    attempts = routing().attempts(to(ONE, TWO))
    followed(attempts, GONE)
    assert [(made.provider, made.error_type) for made in attempts.made] == [
        ("one", "upstream_error"),
        ("one", "upstream_error"),
        ("two", "upstream_error"),
        ("two", "upstream_error"),
    ]
    assert attempts.elapsed >= 0


def test_a_rule_may_say_on_what() -> None:
    attempts = routing().attempts(to(ONE, TWO), Retry(attempts=3, on=[503]))
    assert followed(attempts, GONE, 500) == [ONE]
    attempts = routing().attempts(to(ONE), Retry(attempts=3, on=[503]))
    assert followed(attempts, GONE, 503) == [ONE, ONE, ONE]


def test_the_wait_is_jittered_and_grows() -> None:
    attempts = routing(attempts=6).attempts(to(ONE))
    assert [fail(attempts, GONE) for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 4.0, None]


@pytest.mark.parametrize(
    ("headers", "wait", "following"),
    [
        ([(b"retry-after", b"3")], 3.0, ONE),
        ([(b"retry-after-ms", b"1500"), (b"retry-after", b"9")], 1.5, ONE),
        ([(b"retry-after", b"60")], 0.0, TWO),
        ([(b"retry-after", b"soon")], 0.25, ONE),
    ],
)
def test_a_provider_may_say_when_to_come_back(
    headers: Sequence[tuple[bytes, bytes]], wait: float, following: Target
) -> None:
    attempts = routing().attempts(to(ONE, TWO))
    assert fail(attempts, refused(429, headers), 429) == wait
    assert attempts.begin().target == following


def test_without_another_target_a_long_wait_is_the_callers() -> None:
    attempts = routing().attempts(to(ONE))
    assert fail(attempts, refused(429, [(b"retry-after", b"60")]), 429) is None


def test_attempts_share_the_time_of_the_request() -> None:
    attempts = routing(total=0.1).attempts(to(ONE, TWO))
    assert fail(attempts, GONE) == 0.0
    tried = attempts.begin()
    assert tried.target == TWO
    assert 0 < tried.timeouts.total < 0.1
    attempts._started -= 1
    assert attempts.failed(GONE) is None


NOW = 1_700_000_000.0
DATE = format_datetime(datetime.fromtimestamp(NOW + 5, UTC), usegmt=True).encode()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([(b"retry-after", b"7")], 7.0),
        ([(b"retry-after", b"0")], 0.0),
        ([(b"retry-after", b"1.5")], 1.5),
        ([(b"retry-after", b"-3")], None),
        ([(b"retry-after", b"")], None),
        ([(b"retry-after", b"1e400")], None),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", DATE)], 5.0),
        ([(b"retry-after", b"Tue, 01 Jan 1980 00:00:00 GMT")], 0.0),
        ([(b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after-ms", b"x")], None),
        # Where one is of no use, the other one counts; of several the longest.
        ([(b"retry-after-ms", b"x"), (b"retry-after", b"7")], 7.0),
        ([(b"retry-after", b"soon"), (b"retry-after", b"7")], 7.0),
        ([(b"retry-after", b"7"), (b"retry-after", b"3")], 7.0),
        ([(b"retry-after", b"7"), (b"retry-after", b"x")], 7.0),
        ([(b"retry-after-ms", b"50"), (b"retry-after-ms", b"2500"), (b"retry-after", b"9")], 2.5),
        ([(b"retry-after", b"3, 7")], None),
        # Numbers that are none of seconds.
        ([(b"retry-after-ms", b"-5")], None),
        ([(b"retry-after-ms", b"-inf")], None),
        ([(b"retry-after-ms", b"nan")], None),
        ([(b"retry-after-ms", b"inf")], None),
        ([(b"retry-after-ms", b"")], None),
        ([(b"retry-after", b"-0")], None),
        ([(b"retry-after", b"inf")], None),
        ([(b"retry-after", b"1_0")], None),
        ([(b"retry-after", b"0x10")], None),
        ([(b"retry-after", b"9" * 5000)], None),
        ([(b"retry-after", "٣".encode())], None),
        ([(b"retry-after", b" 7 ")], 7.0),
        ([(b"retry-after", b"31536000")], 31536000.0),
        ([(b"retry-after", b"99999999")], None),
        # Dates: those of RFC 9110, and what is as good as one.
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:13:30 GMT")], 10.0),
        ([(b"retry-after", b"Tuesday, 14-Nov-23 22:13:30 GMT")], 10.0),
        ([(b"retry-after", b"Tue Nov 14 22:13:30 2023")], 10.0),
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:13:30 -0000")], 10.0),
        ([(b"retry-after", b"Tue, 14 Nov 2023 23:13:30 +0100")], 10.0),
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:13:30")], 10.0),
        ([(b"retry-after", b"Tue, 99 Nov 2023 22:13:30 GMT")], None),
        ([(b"retry-after", b"Tue, 14 Nov 9999 22:13:30 GMT")], None),
        ([(b"retry-after", b"Mon, 01 Jan 0001 00:00:00 +2359")], 0.0),
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:13:30 +999999999999")], None),
        ([(b"retry-after", b"\xff\xfe, \x00")], None),
        ([(b"retry-after", b"," * 10_000)], None),
    ],
)
def test_retry_after(headers: Sequence[tuple[bytes, bytes]], seconds: float | None) -> None:
    assert retry_after(tuple(headers), NOW) == seconds


def test_a_target_that_keeps_failing_rests() -> None:
    clock = Clock()
    shared = routing(clock, attempts=1)
    for _ in range(5):
        assert followed(shared.attempts(to(ONE)), GONE) == [ONE]
    assert shared.attempts(to(ONE, TWO)).begin().target == TWO
    # Where there is no other one it is asked all the same.
    assert shared.attempts(to(ONE)).begin().target == ONE
    clock.now += 6
    # One request tries it, and others do not wait for that.
    probe = shared.attempts(to(ONE, TWO))
    assert probe.begin().target == ONE
    assert shared.attempts(to(ONE, TWO)).begin().target == TWO
    probe.succeeded()
    assert shared.attempts(to(ONE, TWO)).begin().target == ONE


def test_a_target_whose_answers_break_off_rests() -> None:
    shared = routing(attempts=1)
    for _ in range(5):
        attempts = shared.attempts(to(ONE))
        attempts.begin().status = 200
        attempts.cut(GONE)
    assert shared.health.rests(ONE)


def test_a_probe_that_fails_lets_it_rest_for_longer() -> None:
    clock = Clock()
    shared = routing(clock, attempts=1)
    for _ in range(5):
        followed(shared.attempts(to(ONE)), GONE)
    clock.now += 6
    assert followed(shared.attempts(to(ONE)), GONE) == [ONE]
    clock.now += 6
    assert shared.health.rests(ONE)
    clock.now += 5
    assert not shared.health.rests(ONE)


def test_a_probe_that_says_nothing_leaves_it_to_the_next() -> None:
    clock = Clock()
    shared = routing(clock, attempts=1)
    for _ in range(5):
        followed(shared.attempts(to(ONE)), GONE)
    clock.now += 6
    probe = shared.attempts(to(ONE, TWO))
    probe.begin()
    probe.abandoned()
    assert shared.attempts(to(ONE, TWO)).begin().target == ONE


def test_a_target_rests_for_as_long_as_it_asks() -> None:
    clock = Clock()
    shared = routing(clock)
    fail(shared.attempts(to(ONE)), refused(429, [(b"retry-after", b"30")]), 429)
    clock.now += 29
    assert shared.health.rests(ONE)
    clock.now += 2
    assert not shared.health.rests(ONE)


def test_a_refusal_of_the_request_says_nothing_of_the_target() -> None:
    shared = routing()
    for _ in range(20):
        fail(shared.attempts(to(ONE)), refused(400), 400)
    assert not shared.health.rests(ONE)


def test_many_failures_at_once_are_one_rest() -> None:
    clock = Clock()
    health = Health(now=clock)
    for _ in range(100):
        health.failed(ONE)
    clock.now += 6
    assert not health.rests(ONE)
    # The one that tries it fails, and so do those that were under way when the rest began.
    health.begin(ONE)
    for _ in range(100):
        health.failed(ONE)
    clock.now += 9
    assert health.rests(ONE)
    clock.now += 2
    assert not health.rests(ONE)


def test_the_rest_is_no_longer_than_five_minutes() -> None:
    clock = Clock()
    health = Health(now=clock)
    for _ in range(5):
        health.failed(ONE, 1e6)
    clock.now += 301
    for _ in range(40):
        assert not health.rests(ONE)
        health.begin(ONE)
        health.failed(ONE)
        assert health.rests(ONE)
        clock.now += 301


def test_a_clock_that_stands_still_or_goes_back_keeps_a_rest() -> None:
    clock = Clock()
    health = Health(now=clock)
    for _ in range(5):
        health.failed(ONE)
    clock.now -= 500
    assert health.rests(ONE)
    clock.now += 506
    assert not health.rests(ONE)


def test_one_that_tries_and_is_never_heard_of_is_followed_by_another() -> None:
    clock = Clock()
    health = Health(now=clock)
    for _ in range(5):
        health.failed(ONE)
    clock.now += 6
    health.begin(ONE)
    clock.now += 59
    assert health.rests(ONE)
    clock.now += 2
    assert not health.rests(ONE)


def test_names_without_number_do_not_end_a_rest() -> None:
    health = Health(failures=1, limit=10, now=Clock())
    health.failed(ONE)
    for number in range(100):
        health.succeeded(Target(provider="two", model=str(number)), 0.1)
    assert health.rests(ONE)


def test_a_wait_that_is_over_is_a_pause_all_the_same() -> None:
    """A provider whose clock is behind says dates that have passed."""
    for value in (b"0", b"Tue, 01 Jan 1980 00:00:00 GMT"):
        attempts = routing().attempts(to(ONE, TWO))
        assert fail(attempts, refused(429, [(b"retry-after", value)]), 429) == 0.25


def test_an_attempt_that_is_not_made_costs_nothing() -> None:
    shared = routing()
    shared.budget = Budget(ratio=0.0, least=1.0)
    patience = [(b"retry-after", b"60")]
    assert fail(shared.attempts(to(ONE, TWO)), refused(429, patience), 429) == 0.0
    assert shared.budget.spend()


def test_health_is_bounded() -> None:
    health = Health(failures=1, limit=10, now=Clock())
    targets = [Target(provider="one", model=str(number)) for number in range(20)]
    for target in targets:
        health.failed(target)
    assert [health.rests(target) for target in targets] == [False] * 10 + [True] * 10


def test_latency_is_smoothed() -> None:
    health = Health(now=Clock())
    assert health.latency(ONE) == 0.0
    health.succeeded(ONE, 1.0)
    health.succeeded(ONE, 2.0)
    assert health.latency(ONE) == pytest.approx(1.2)
    health.begin(ONE)
    health.given_up(TWO)


def test_attempts_again_have_a_budget() -> None:
    budget = Budget(ratio=0.5, least=2, most=3)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
    for _ in range(20):
        budget.earn()
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]


def test_without_budget_the_next_target_is_asked() -> None:
    shared = routing()
    while shared.budget.spend():
        pass
    assert followed(shared.attempts(to(ONE, TWO)), GONE) == [ONE, TWO]
