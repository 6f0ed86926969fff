"""One attempt at a provider: what is an answer, what is a refusal, and what may be shown of it."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest

from waystone_asgi import Provider
from waystone_asgi.exceptions import (
    GatewayError,
    Headers,
    ProviderRefusedError,
    UpstreamCredentialError,
    UpstreamError,
    UpstreamTimeoutError,
)
from waystone_asgi.providers.dialects import Built
from waystone_asgi.records import Attempt, Target, Timeouts
from waystone_asgi.responses import encode_error
from waystone_asgi.routing import Try, passed_on, read_all
from waystone_asgi.routing.attempt import _MAX_NAMES, _passing
from waystone_asgi.testing import FakeAnswer, FakeProvider

KEY = "sk-canary'\\-5f"
TARGET = Target(provider="openai", model="gpt-test")
ERROR = b'{"error":{"message":"No.","type":"t","param":"p","code":"c","more":1}}'


def attempt(key: str | None = KEY, model: str = "gpt-test") -> Try:
    provider = Provider.vllm(name="openai", api_key=key, base_url="http://provider.test/v1")
    return Try(Target(provider="openai", model=model), provider, Timeouts(idle=7.0))


def ended(tried: Try, error_type: str | None = None) -> Attempt:
    tried.end(error_type)
    assert tried.outcome is not None
    return tried.outcome


async def send(
    answer: FakeAnswer | UpstreamError, headers: Headers = ()
) -> tuple[Try, FakeProvider, object]:
    """What an attempt comes to: the answer, or the error it raised."""
    tried, provider = attempt(), FakeProvider(answer)
    destination = tried.provider.destination(tried.target.model, stream=False)
    try:
        return (
            tried,
            provider,
            await tried.send(provider, destination, Built(body=b"body", headers=headers)),
        )
    except GatewayError as error:
        return tried, provider, error


@pytest.mark.anyio
async def test_what_a_dialect_adds_goes_with_this_request_alone() -> None:
    added = ((b"anthropic-beta", b"files"),)
    tried, provider, _ = await send(FakeAnswer([b"{}"]), added)
    [request] = provider.requests
    endpoint = tried.provider.endpoint
    assert request.endpoint.headers == endpoint.headers + added
    assert request.endpoint.path == endpoint.path


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 201, 299])
async def test_an_answer(status: int) -> None:
    answer = FakeAnswer([b"{}"], status=status)
    tried, provider, result = await send(answer)
    assert isinstance(result, FakeAnswer)
    assert (result.status, await result.receive()) == (status, b"{}")
    assert answer.closed == 0
    [request] = provider.requests
    assert (request.body, request.timeouts.idle) == (b"body", 7.0)
    assert (request.endpoint.host, request.endpoint.path) == (
        "provider.test",
        "/v1/chat/completions",
    )
    finished = ended(tried)
    assert (finished.provider, finished.model, finished.status) == ("openai", "gpt-test", status)
    assert finished.error_type is None
    assert 0 <= finished.seconds <= tried.elapsed


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "kind", "shown", "error_type"),
    [
        (400, ProviderRefusedError, 400, "c"),
        (404, ProviderRefusedError, 404, "c"),
        (429, ProviderRefusedError, 429, "c"),
        (499, ProviderRefusedError, 499, "c"),
        (401, UpstreamCredentialError, 502, "upstream_authentication"),
        (403, UpstreamCredentialError, 502, "upstream_authentication"),
        (500, UpstreamError, 502, "upstream_error"),
        (503, UpstreamError, 502, "upstream_error"),
        (302, UpstreamError, 502, "upstream_error"),
        (100, UpstreamError, 502, "upstream_error"),
    ],
)
async def test_a_refusal(
    status: int, kind: type[GatewayError], shown: int, error_type: str
) -> None:
    headers = [(b"retry-after", b"7"), (b"set-cookie", b"a=b")]
    answer = FakeAnswer([ERROR[:9], ERROR[9:]], status=status, headers=headers)
    tried, _, error = await send(answer)
    assert type(error) is kind
    assert isinstance(error, GatewayError)
    assert (error.status, error.error_type) == (shown, error_type)
    assert error.headers == ((b"retry-after", b"7"),)
    assert answer.closed == 1
    assert ended(tried, error.error_type).status == status


@pytest.mark.anyio
@pytest.mark.parametrize("error", [UpstreamError("x"), UpstreamTimeoutError("x")])
async def test_a_failure(error: UpstreamError) -> None:
    tried, _, raised = await send(error)
    assert raised is error
    assert ended(tried, error.error_type).status is None
    for pieces in ([error], [b"{", error]):
        answer = FakeAnswer(pieces, status=500)
        tried, _, raised = await send(answer)
        assert raised is error
        assert answer.closed == 1
        assert ended(tried, error.error_type).status == 500


@pytest.mark.anyio
async def test_a_refusal_without_end() -> None:
    answer = FakeAnswer([b"x" * 100_000] * 20, status=400)
    _, _, error = await send(answer)
    assert type(error) is UpstreamError
    assert answer.received == 11
    assert answer.closed == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("pieces", "expected"),
    [([], b""), ([b"a"], b"a"), ([b"ab", b"cd"], b"abcd"), ([b"abcd", b"e"], b"abcde")],
)
async def test_a_whole_body(pieces: list[bytes], expected: bytes) -> None:
    assert await read_all(FakeAnswer(pieces), 5) == expected


@pytest.mark.anyio
async def test_a_body_that_is_too_long() -> None:
    answer = FakeAnswer([b"abc", b"def", b"g"])
    with pytest.raises(UpstreamError, match="longer than 5 bytes"):
        await read_all(answer, 5)
    assert answer.received == 2


def test_headers_that_are_passed_on() -> None:
    kept = [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-reset", b"1s"),
        (b"retry-after", b"7"),
        (b"retry-after-ms", b"7000"),
    ]
    others = [
        (b"set-cookie", b"a=b"),
        (b"x-request-id", b"theirs"),
        (b"authorization", b"x"),
        (b"content-length", b"2"),
        (b"openai-organization", b"acme"),
        (b"x-rate", b"1"),
        (b"my-retry-after", b"1"),
    ]
    assert passed_on(FakeAnswer([], headers=[*kept, *others])) == tuple(kept)


def test_names_of_headers_are_remembered_within_a_bound() -> None:
    for number in range(_MAX_NAMES + 10):
        name = b"x-ratelimit-%d" % number
        assert passed_on(FakeAnswer([], headers=[(name, b"1"), (name[2:], b"1")])) == (
            (name, b"1"),
        )
    assert len(_passing) == _MAX_NAMES


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-test", b"gpt-test"),
        ("org/tuned:1@v2", b"org/tuned:1@v2"),
        ("a b", b"a b"),
        (" a", b"%20a"),
        ("a ", b"a%20"),
        ("a\nx-evil: 1", b"a%0Ax-evil:%201"),
        ("a\r\n\r\nb", b"a%0D%0A%0D%0Ab"),
        ("a\x00b", b"a%00b"),
        ("a\x7fb", b"a%7Fb"),
        ("größe", b"gr%C3%B6%C3%9Fe"),
        ("😀/x", b"%F0%9F%98%80/x"),
    ],
)
def test_model_names_in_headers(model: str, expected: bytes) -> None:
    headers = dict(attempt(model=model).headers([]))
    assert headers == {
        b"x-waystone-provider": b"openai",
        b"x-waystone-model": expected,
        b"x-waystone-attempts": b"1",
    }
    assert unquote(expected.decode()) == model


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["store", "metadata"], "store, metadata"),
        (
            ["messages[].name", "tools[].function.strict"],
            "messages[].name, tools[].function.strict",
        ),
        (["a, b", "c%", " d e "], "a%2C%20b, c%25, %20d%20e%20"),
        (["größe", "a\r\nx: y", "\x00\x7f"], "gr%C3%B6%C3%9Fe, a%0D%0Ax:%20y, %00%7F"),
        (["a" * 60, "b" * 61], f"{'a' * 60}, {'b' * 60}..."),
    ],
)
def test_dropped_fields_in_headers(names: list[str], expected: str) -> None:
    headers = dict(attempt().headers(names))
    assert headers[b"x-waystone-dropped"] == expected.encode()


@pytest.mark.parametrize("name", ["a", "name_{}", "名{}", "😀" * 100, "x" * 1000])
@pytest.mark.parametrize("count", [1, 16, 17, 500, 5000])
def test_the_list_of_dropped_fields_is_bounded(name: str, count: int) -> None:
    names = [name.format(number) for number in range(count)]
    listed = dict(attempt().headers(names))[b"x-waystone-dropped"].decode()
    assert listed.isascii()
    assert len(listed) <= 1000
    *shown, last = listed.split(", ")
    more = last.removeprefix("and ").removesuffix(" more") if last.startswith("and ") else None
    shown += [last] * (more is None)
    assert len(shown) + int(more or 0) == count
    assert shown
    for given, told in zip(names, shown, strict=False):
        assert unquote(told.removesuffix("...")) == given[:60]


def refusal(text: str) -> ProviderRefusedError:
    return ProviderRefusedError(
        f"Before {text} after.", status=400, type=text, param=text, code=text, extra={"a": [text]}
    )


@pytest.mark.parametrize("text", [KEY, f"x{KEY}", f"{KEY}{KEY}"])
def test_our_key_is_never_shown(text: str) -> None:
    error = attempt().redact(refusal(text))
    assert (error.param, error.code, error.extra) == (None, None, {})
    assert error.error_type == "api_error"
    shown = encode_error(error).decode() + str(json.loads(encode_error(error))) + str(error)
    assert "canary" not in shown + repr(error)
    assert "***" in error.message


@pytest.mark.parametrize("key", [KEY, None])
def test_what_has_no_key_in_it_is_shown(key: str | None) -> None:
    error = attempt(key).redact(refusal("text"))
    assert error.message == "Before text after."
    assert (error.type, error.param, error.code) == ("text", "text", "text")
    assert error.extra == {"a": ["text"]}
    plain = attempt(key).redact(UpstreamError("x"))
    assert (plain.message, plain.code) == ("x", "upstream_error")


@pytest.mark.parametrize(
    ("status", "message", "code", "too_long"),
    [
        (400, "No.", "context_length_exceeded", True),
        (400, "This model's maximum context length is 8192 tokens.", None, True),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", None, True),
        (400, "input length and `max_tokens` exceed context limit: 199 + 9 > 200", None, True),
        (400, "The input token count exceeds the maximum number of tokens allowed", None, True),
        (413, "Input is too long for requested model.", None, True),
        (400, "max_tokens must be positive", "invalid_value", False),
        (429, "Too many tokens per minute in this context window", None, False),
    ],
)
def test_which_refusals_are_about_length(
    status: int, message: str, code: str | None, too_long: bool
) -> None:
    refusal = ProviderRefusedError(message, status=status, type="t", code=code)
    assert refusal.too_long is too_long
