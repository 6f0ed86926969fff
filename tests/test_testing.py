"""The helpers that users' own tests stand on."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from waystone_asgi import BearerKeys, Gateway, Provider
from waystone_asgi.exceptions import UpstreamError
from waystone_asgi.records import Endpoint, Timeouts, UpstreamRequest
from waystone_asgi.sse import event_data
from waystone_asgi.testing import FakeAnswer, FakeProvider, MemorySink, chunks, completion

from .asgi import Answer, chat

pytestmark = pytest.mark.anyio

ENDPOINT = Endpoint(scheme="http", host="provider.test", port=80, path="/v1/chat/completions")
REQUEST = UpstreamRequest(endpoint=ENDPOINT, content=b"{}", timeouts=Timeouts())


async def pieces_of(answer: FakeAnswer) -> list[bytes]:
    pieces = []
    while piece := await answer.receive():
        pieces.append(piece)
    return pieces


async def test_a_completion_has_openais_form() -> None:
    [piece] = await pieces_of(completion("Hello!", prompt_tokens=7, completion_tokens=2))
    document = json.loads(piece)
    [choice] = document["choices"]
    assert choice["message"]["content"] == "Hello!"
    assert choice["finish_reason"] == "stop"
    assert document["object"] == "chat.completion"
    assert document["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


async def test_chunks_have_openais_form() -> None:
    answer = chunks("Hel", "lo!", prompt_tokens=7, completion_tokens=2)
    assert answer.headers == ((b"content-type", b"text/event-stream"),)
    *events, done = [event_data(piece) or b"" for piece in await pieces_of(answer)]
    assert done == b"[DONE]"
    *documents, usage = [json.loads(event) for event in events]
    deltas: list[dict[str, Any]] = [document["choices"][0] for document in documents]
    assert [delta["delta"].get("content") for delta in deltas] == ["Hel", "lo!", None]
    assert [delta["finish_reason"] for delta in deltas] == [None, None, "stop"]
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 9)


async def test_answers_come_in_turn_and_the_last_one_again() -> None:
    first, second = FakeAnswer([b"1"]), FakeAnswer([b"2", b"3"], status=500)
    provider = FakeProvider(first, UpstreamError("x"), second)
    assert await pieces_of(await provider.send(REQUEST)) == [b"1"]
    with pytest.raises(UpstreamError):
        await provider.send(REQUEST)
    for _ in range(2):
        again = await provider.send(REQUEST)
        assert again.status == 500
        assert await pieces_of(again) == [b"2", b"3"]
        await again.aclose()
    assert (first.received, first.closed) == (1, 0)
    assert (second.received, second.closed) == (4, 2)
    assert provider.requests == [REQUEST] * 4


async def test_an_answer_may_wait_and_fail() -> None:
    waited = []

    async def wait() -> None:
        waited.append(True)

    provider = FakeProvider(wait, FakeAnswer([b"1", wait, b"2", UpstreamError("x")]))
    answer = await provider.send(REQUEST)
    assert waited == [True]
    assert [await answer.receive(), await answer.receive()] == [b"1", b"2"]
    assert waited == [True, True]
    with pytest.raises(UpstreamError):
        await answer.receive()
    assert await answer.receive() == b""


async def test_requests_that_run_at_once_do_not_share_their_place() -> None:
    half, go = anyio.Event(), anyio.Event()
    text = json.dumps(json.loads((completion("Hi").pieces)[0])).encode()  # type: ignore[arg-type]

    async def wait() -> None:
        half.set()
        await go.wait()

    provider = FakeProvider(FakeAnswer([text[:9], wait, text[9:]]))
    sink = MemorySink()
    gateway = Gateway(
        retry={"attempts": 1},
        providers=[Provider.openai(api_key="sk-test")],
        upstream=provider,
        authenticate=BearerKeys(["wk_test"]),
        sinks=[sink],
    )
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await chat(gateway))

    async with gateway.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await half.wait()
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        go.set()
    assert [answer.status for answer in answers] == [200, 200]
    assert [record.outcome for record in sink.records] == ["ok", "ok"]


async def test_closing() -> None:
    provider = FakeProvider(completion("Hi"))
    assert provider.open
    await provider.aclose()
    assert not provider.open
