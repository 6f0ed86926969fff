"""Whatever a provider does wrong, its caller gets the whole answer, or an error that can be seen.

Never a part that looks whole. And the record says what happened, and counts what was used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import pytest
from openai import APIError, APIStatusError

from .bench import Bench, Seen
from .faults import FIRST_BYTE_SECONDS, SLOW_SECONDS, TEXT, WORDS, Script
from .processes import serving
from .provider import USAGE, scripted_provider


@dataclass(frozen=True)
class Whole:
    """The whole answer; `finish` is what the provider said of its end."""

    finish: str = "stop"


@dataclass(frozen=True)
class Refused:
    """An error with a status; `attempt` is the provider's own. `final` asks nobody else."""

    status: int
    error_type: str
    attempt: int | None
    final: bool = False


@dataclass(frozen=True)
class Broken:
    """So many words, and then an error event."""

    words: int
    error_type: str = "upstream_error"
    outcome: str = "upstream_cut"


Outcome: TypeAlias = Whole | Refused | Broken

LIMITED = Refused(429, "rate_limit_exceeded", 429)
FAILED = Refused(502, "upstream_error", 200)
LATE = Refused(504, "upstream_timeout", 200)

TABLE: dict[str, tuple[Outcome | None, Outcome]] = {
    "429": (LIMITED, LIMITED),
    "429 minute": (LIMITED, LIMITED),
    "429 ms": (LIMITED, LIMITED),
    "429 date": (LIMITED, LIMITED),
    "500": (Refused(502, "upstream_error", 500), Refused(502, "upstream_error", 500)),
    "503": (Refused(502, "upstream_error", 503), Refused(502, "upstream_error", 503)),
    "reset before": (Refused(502, "upstream_error", None), Refused(502, "upstream_error", None)),
    "reset during": (FAILED, Broken(3)),
    "silence": (Refused(504, "upstream_timeout", None), Refused(504, "upstream_timeout", None)),
    "silence after the head": (LATE, LATE),
    "slow": (Whole(), Whole()),
    "cut": (FAILED, Broken(40)),
    "ended": (FAILED, Broken(40)),
    "stall": (LATE, Broken(20, "upstream_timeout")),
    "malformed": (FAILED, Whole()),
    "without [DONE]": (None, Whole()),
    "without finish": (None, Broken(60)),
    "context": (
        Refused(400, "context_length_exceeded", 400, final=True),
        Refused(400, "context_length_exceeded", 400, final=True),
    ),
    "filter": (
        Refused(400, "content_filter", 400, final=True),
        Refused(400, "content_filter", 400, final=True),
    ),
    "filtered": (Whole("content_filter"), Whole("content_filter")),
    "error under 200": (FAILED, FAILED),
    "limit under 200": (Refused(429, "429", 200), Refused(429, "429", 200)),
    "error later": (FAILED, Broken(30, outcome="error")),
}
"""What comes of each fault, of a whole answer and of a stream, where nobody else can be asked."""

Case: TypeAlias = tuple[str, bool]

CASES: dict[Case, Outcome] = {
    (fault, stream): outcome
    for fault, outcomes in TABLE.items()
    for stream, outcome in zip((False, True), outcomes, strict=True)
    if outcome is not None
}
SCRIPTS = ("429 ms,plain", "429 seconds,plain", "429 date,plain", "429,plain", "503,503")
GATEWAYS = ("alone", "backed", "held")

cases = pytest.mark.parametrize(
    "case", CASES, ids=[f"{fault}-{('json', 'stream')[stream]}" for fault, stream in CASES]
)
kinds = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


@pytest.fixture(scope="module", params=["uvicorn-uvloop", "hypercorn-trio"])
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """The gateways, in a process, with a provider that knows all faults."""
    directory = tmp_path_factory.mktemp("faults")
    command = ["tests.servers.serve", request.param, "{fd}", "tests.servers.faulty"]
    with scripted_provider(Script()) as provider:
        environment = {"PROVIDER_URL": provider.url, "LEDGERS": str(directory)}
        with serving(command, directory / "server.log", environment) as served:
            bench = Bench(served, directory)
            try:
                yield bench
            finally:
                bench.close()


@pytest.fixture(scope="module")
def asked(bench: Bench) -> dict[tuple[object, ...], Future[Any]]:
    """All that is asked here, which begins at the same time, since most of it only waits."""
    asked: dict[tuple[object, ...], Future[Any]] = {}
    for stream in (False, True):
        asked["flapping", stream] = bench.threads.submit(flap, bench, stream)
        asked["larger", "context", stream] = bench.later("larger", "context", stream)
        for script in SCRIPTS:
            asked["again", script, stream] = bench.later("again", script, stream)
    for case in CASES:
        for gateway in GATEWAYS:
            asked[gateway, *case] = bench.later(gateway, *case)
        asked["official", *case] = bench.threads.submit(bench.ask_officially, "alone", *case)
    return asked


def flap(bench: Bench, stream: bool) -> list[Seen]:
    """Four callers, one after the other, of a provider that fails every other request."""
    model = bench.model(",".join(["503", "plain"] * 4))
    return [bench.ask("flapping", model, stream=stream) for _ in range(4)]


@pytest.fixture(scope="module")
def seen(asked: dict[tuple[object, ...], Future[Any]]) -> Callable[[str, str, bool], Seen]:
    """What a gateway made of a fault."""

    def take(gateway: str, fault: str, stream: bool) -> Seen:
        result: Seen = asked[gateway, fault, stream].result()
        return result

    return take


def check_whole(seen: Seen, stream: bool, provider: str = "one", finish: str = "stop") -> None:
    """The caller has all of it, and pays the provider that answered."""
    assert (seen.status, seen.text, seen.finish, seen.error) == (200, TEXT, finish, None)
    assert seen.done is stream
    assert seen.headers["x-waystone-provider"] == provider
    record = seen.record
    assert (record["status"], record["outcome"], record["error_type"]) == (200, "ok", None)
    assert record["provider"] == provider
    assert record["usage_source"] == "provider"
    assert record["input_tokens"] == USAGE["prompt_tokens"]
    assert record["output_tokens"] == USAGE["completion_tokens"]
    assert record["finish_reasons"] == f'["{finish}"]'
    assert Decimal(record["cost_usd"]) == cost(provider, record)


def cost(provider: str, record: dict[str, Any]) -> Decimal:
    tokens: int = record["input_tokens"] + 2 * record["output_tokens"]
    return Decimal(tokens * {"one": 1, "two": 10}[provider]) / 10**6


def check_refused(seen: Seen, expected: Refused) -> None:
    """The caller has an error with a status, and pays nothing."""
    assert (seen.status, seen.text, seen.finish) == (expected.status, "", None)
    assert seen.error is not None
    assert seen.error["code"] == expected.error_type
    assert seen.headers["content-type"] == "application/json"
    record = seen.record
    assert (record["status"], record["outcome"]) == (expected.status, "error")
    assert record["error_type"] == expected.error_type
    assert (record["usage_source"], record["cost_usd"]) == ("none", None)
    assert (record["input_tokens"], record["output_tokens"]) == (0, 0)
    assert (record["finish_reasons"], record["response_id"]) == ("[]", None)


def check_broken(seen: Seen, expected: Broken) -> None:
    """The caller has a part and is told so, and pays what was said as far as it can be known."""
    assert (seen.status, seen.finish, seen.done) == (200, None, False)
    assert seen.text == "".join(WORDS[: expected.words])
    assert seen.error is not None
    assert seen.error["code"] == expected.error_type
    record = seen.record
    assert (record["status"], record["outcome"]) == (200, expected.outcome)
    assert record["error_type"] == expected.error_type
    assert record["finish_reasons"] == "[]"
    counted = expected.words == len(WORDS)  # The usage had come, and only the end was missing.
    assert record["usage_source"] == ("provider" if counted else "estimated")
    assert record["output_tokens"] == (USAGE["completion_tokens"] if counted else expected.words)
    assert record["input_tokens"] > 0
    assert Decimal(record["cost_usd"]) == cost("one", record)


def check_attempts(seen: Seen, *attempts: tuple[str, int | None, str | None]) -> None:
    assert seen.attempts == list(attempts)
    assert seen.headers["x-waystone-attempts"] == str(len(attempts))


@cases
def test_without_anybody_else(seen: Callable[[str, str, bool], Seen], case: Case) -> None:
    result, expected = seen("alone", *case), CASES[case]
    if isinstance(expected, Whole):
        check_whole(result, case[1], finish=expected.finish)
        check_attempts(result, ("one", 200, None))
    elif isinstance(expected, Refused):
        check_refused(result, expected)
        check_attempts(result, ("one", expected.attempt, expected.error_type))
    else:
        check_broken(result, expected)
        check_attempts(result, ("one", 200, expected.error_type))


@cases
def test_with_a_fallback(seen: Callable[[str, str, bool], Seen], case: Case) -> None:
    """The target that answered is the one that is paid; one that failed costs nothing."""
    result, expected = seen("backed", *case), CASES[case]
    if isinstance(expected, Refused) and not expected.final:
        check_whole(result, case[1], "two")
        failed = ("one", expected.attempt, expected.error_type)
        check_attempts(result, failed, ("two", 200, None))
        assert not {"retry-after", "retry-after-ms"} & result.headers.keys()
        return
    # An answer, a refusal that is one, or a stream that has begun: nobody else is asked.
    test_without_anybody_else(lambda _, *case: seen("backed", *case), case)


@cases
def test_held_until_it_is_complete(seen: Callable[[str, str, bool], Seen], case: Case) -> None:
    result, expected = seen("held", *case), CASES[case]
    if isinstance(expected, Broken):
        check_whole(result, case[1], "two")
        check_attempts(result, ("one", 200, expected.error_type), ("two", 200, None))
        return
    test_with_a_fallback(lambda _, *case: seen("held", *case), case)


@kinds
def test_a_larger_model(seen: Callable[[str, str, bool], Seen], stream: bool) -> None:
    result = seen("larger", "context", stream)
    check_whole(result, stream, "two")
    check_attempts(result, ("one", 400, "context_length_exceeded"), ("two", 200, None))


@kinds
@pytest.mark.parametrize(
    ("fault", "seconds"), [("429 ms", 0.08), ("429 seconds", 1.0), ("429 date", 0.5), ("429", 0.0)]
)
def test_a_provider_that_says_when_to_come_back(
    seen: Callable[[str, str, bool], Seen], fault: str, seconds: float, stream: bool
) -> None:
    result = seen("again", f"{fault},plain", stream)
    check_whole(result, stream)
    check_attempts(result, ("one", 429, "rate_limit_exceeded"), ("one", 200, None))
    assert result.seconds >= seconds


@kinds
def test_a_provider_that_fails_again(seen: Callable[[str, str, bool], Seen], stream: bool) -> None:
    result = seen("again", "503,503", stream)
    check_refused(result, Refused(502, "upstream_error", 503))
    check_attempts(result, *[("one", 503, "upstream_error")] * 2)


@pytest.mark.parametrize("fault", ["429 minute", "429 ms", "429 date"])
@kinds
def test_the_caller_is_told_when_to_come_back(
    seen: Callable[[str, str, bool], Seen], fault: str, stream: bool
) -> None:
    headers = seen("alone", fault, stream).headers
    assert headers["retry-after"].endswith("GMT" if fault == "429 date" else "60")
    assert headers.get("retry-after-ms") == ("80" if fault == "429 ms" else None)


@kinds
def test_slow_is_not_silent(seen: Callable[[str, str, bool], Seen], stream: bool) -> None:
    assert seen("alone", "slow", stream).seconds >= SLOW_SECONDS
    assert seen("alone", "silence", stream).seconds >= FIRST_BYTE_SECONDS


@kinds
def test_a_provider_that_flaps(
    asked: dict[tuple[object, ...], Future[list[Seen]]], stream: bool
) -> None:
    """No caller sees one of its failures."""
    for result in asked["flapping", stream].result():
        check_whole(result, stream)
        check_attempts(result, ("one", 503, "upstream_error"), ("one", 200, None))


@cases
def test_the_official_client_returns_all_or_raises(
    asked: dict[tuple[object, ...], Future[str | APIError]], case: Case
) -> None:
    result, expected = asked["official", *case].result(), CASES[case]
    if isinstance(expected, Whole):
        assert result == TEXT
        return
    assert isinstance(result, APIError)
    if isinstance(expected, Refused):
        assert isinstance(result, APIStatusError)
        assert result.status_code == expected.status
