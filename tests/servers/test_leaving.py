"""A caller who leaves cancels the request upstream, at whatever moment, and is recorded once."""

from __future__ import annotations

import time
from statistics import median

import pytest

from .conftest import Mount
from .provider import ScriptedProvider
from .wire import Caller

TIMES = 3
WITHIN_SECONDS = 0.100


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("model", ["silent", "half"], ids=["before", "after"])
def test_leaving_cancels_upstream(
    mount: Mount, provider: ScriptedProvider, model: str, stream: bool
) -> None:
    provider.forget()
    took: list[float] = []
    for _ in range(TIMES):
        with Caller(mount.served, f"openai/{model}", stream=stream) as caller:
            caller.send()
            exchange = provider.take(model)
            assert exchange.held.wait(5)
            if model == "half" and stream:
                assert b"first" in caller.read_until(b"first")
            left = caller.leave()
            assert exchange.closed.wait(5), "the provider was never told"
            took.append(exchange.closed_at - left)
        record = mount.ledger.wait(caller.request_id)
        assert record["outcome"] == "cancelled"
        assert record["status"] == (200 if model == "half" and stream else 499)
        assert [attempt["error_type"] for attempt in record["attempts"]] == ["cancelled"]
    print(f"{model}, {stream=}: {[f'{seconds * 1000:.0f} ms' for seconds in took]}")  # noqa: T201
    assert median(took) < WITHIN_SECONDS


def test_leaving_later_cancels_as_well(mount: Mount, provider: ScriptedProvider) -> None:
    """The caller has been watched for a while by then."""
    provider.forget()
    with Caller(mount.served, "openai/ticking", stream=True) as caller:
        caller.send()
        exchange = provider.take("ticking")
        assert b'"2 "' in caller.read_until(b'"2 "')
        left = caller.leave()
        assert exchange.closed.wait(5)
        assert exchange.closed_at - left < 0.5
    assert mount.ledger.wait(caller.request_id)["outcome"] == "cancelled"


def test_leaving_amid_the_body_asks_nobody(mount: Mount, provider: ScriptedProvider) -> None:
    provider.forget()
    with Caller(mount.served, "openai/plain", stream=False) as caller:
        caller.send(bytes_of_body=10)
    record = mount.ledger.wait(caller.request_id)
    assert (record["outcome"], record["attempts"]) == ("cancelled", [])


def test_the_official_client_leaves(mount: Mount, provider: ScriptedProvider) -> None:
    provider.forget()
    with mount.client() as client:
        stream = client.chat.completions.create(
            model="openai/half", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        exchange = provider.take("half")
        assert next(stream).choices[0].delta.content == "first"
        left = time.monotonic()
        stream.close()
        assert exchange.closed.wait(5)
        assert exchange.closed_at - left < 0.5
    record = mount.ledger.wait(stream.response.headers["x-request-id"])
    assert (record["outcome"], record["usage_source"]) == ("cancelled", "estimated")
