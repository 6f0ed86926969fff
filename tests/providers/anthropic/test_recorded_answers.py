from __future__ import annotations

import json
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from waystone_asgi.exceptions import ProviderRefusedError, UpstreamCredentialError
from waystone_asgi.providers.dialects import Head, Stream
from waystone_asgi.records import Usage

from ..heads import raw
from .recordings import (
    ANSWERS,
    ERRORS,
    EXCHANGES,
    STREAMS,
    Exchange,
    Reading,
    read_events,
    read_message,
)
from .written import added, chunks, request


def head(exchange: Exchange) -> Head:
    return Head(model=exchange.model, received=1_700_000_000, headers=raw(exchange.headers))


def opened(exchange: Exchange) -> Stream:
    view = request(stream=True, stream_options={"include_usage": True}).view
    return exchange.dialect.open_stream(view, head(exchange))


def check_message(message: dict[str, Any], reading: Reading) -> None:
    assert message.get("content") == reading.text
    assert message.get("reasoning_content", "") == reading.reasoning
    details = message.get("reasoning_details", [])
    assert [detail["signature"] for detail in details] == reading.signatures
    assert [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls", ())
    ] == reading.calls
    cited = [a["url_citation"] for a in message.get("annotations", ())]
    assert [citation["url"] for citation in cited] == reading.citations
    assert all(citation["start_index"] < citation["end_index"] for citation in cited)
    extra = message.get("extra_content", {}).get("anthropic", {})
    assert extra.get("content", reading.content) == reading.content


def check_usage(usage: Usage | None, reading: Reading) -> None:
    assert usage is not None
    assert (
        usage.input_tokens,
        usage.cache_read_input_tokens,
        usage.cache_write_input_tokens,
        usage.output_tokens,
        usage.reasoning_output_tokens,
    ) == (
        reading.input_tokens,
        reading.cached,
        reading.written,
        reading.output_tokens,
        reading.thought,
    )


def test_there_are_recordings() -> None:
    assert len(EXCHANGES) == 32
    assert len(ANSWERS) + len(STREAMS) + len(ERRORS) == len(EXCHANGES)


@pytest.mark.parametrize("exchange", ANSWERS)
def test_an_answer(exchange: Exchange) -> None:
    reading = read_message(json.loads(exchange.body))
    answer = exchange.dialect.parse_response(exchange.body, head(exchange))
    completion = ChatCompletion.model_validate_json(answer.body, strict=True)
    document = json.loads(answer.body)
    choice = document["choices"][0]
    check_message(choice["message"], reading)
    check_usage(answer.usage, reading)
    assert choice["message"]["contents"] == choice["message"]["content"]
    assert choice["finish_reason"] == reading.finish_reason
    assert answer.finish_reasons == (reading.finish_reason,)
    assert (completion.id, completion.model) == (reading.id, reading.model)
    assert (answer.response_id, answer.response_model) == (reading.id, reading.model)
    assert completion.created == 1_700_000_000
    assert document["usage"]["prompt_tokens"] == reading.input_tokens
    assert document["usage"]["completion_tokens"] == reading.output_tokens


@pytest.mark.parametrize("exchange", STREAMS)
def test_a_stream(exchange: Exchange) -> None:
    reading = read_events(exchange.events)
    stream = opened(exchange)
    data = b"".join([stream.feed(piece) for piece in exchange.pieces]) + stream.finish()
    assert data.endswith(b"data: [DONE]\n\n")
    assert (stream.done, stream.complete, stream.malformed) == (True, True, 0)
    documents = chunks(data)
    for document in documents:
        ChatCompletionChunk.model_validate(document, strict=True)
    usage = documents[-1]["usage"]
    assert usage["prompt_tokens"] == reading.input_tokens
    assert usage["completion_tokens"] == reading.output_tokens
    assert {(chunk["id"], chunk["model"]) for chunk in documents} == {(reading.id, reading.model)}
    message = added(documents)
    assert message["role"] == "assistant"
    assert message["finish_reason"] == reading.finish_reason
    check_message(message, reading)
    check_usage(stream.usage, reading)
    assert (stream.response_id, stream.response_model) == (reading.id, reading.model)
    assert stream.finish_reasons == (reading.finish_reason,)


@pytest.mark.parametrize("exchange", STREAMS)
def test_a_stream_that_the_official_client_puts_together(exchange: Exchange) -> None:
    reading = read_events(exchange.events)
    stream = opened(exchange)
    state = ChatCompletionStreamState()
    for chunk in chunks(stream.feed(exchange.body) + stream.finish()):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    if reading.finish_reason == "length":
        snapshot: Any = state.current_completion_snapshot
    else:
        snapshot = state.get_final_completion()
    message = json.loads(snapshot.choices[0].message.model_dump_json())
    assert message["content"] == reading.text
    assert message.get("reasoning_content", "") == reading.reasoning
    details = message.get("reasoning_details", [])
    assert [detail["signature"] for detail in details] == reading.signatures


@pytest.mark.parametrize("exchange", STREAMS)
def test_a_stream_that_is_cut_anywhere(exchange: Exchange) -> None:
    """At every byte; of long ones a sample, and wherever a line ends."""
    body = exchange.body
    whole = opened(exchange).feed(body)
    cuts = range(1, len(body), 1 + len(body) // 2000)
    ends = [end for end in range(1, len(body)) if b"\n" in body[end - 1 : end + 1]]
    for cut in sorted({*cuts, *ends[:: 1 + len(ends) // 500]}):
        stream = opened(exchange)
        assert stream.feed(body[:cut]) + stream.feed(body[cut:]) == whole
    stream = opened(exchange)
    step = 1 if len(body) < 20_000 else 7
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    assert b"".join(map(stream.feed, pieces)) == whole


@pytest.mark.parametrize("exchange", STREAMS)
def test_a_stream_that_stops_early(exchange: Exchange) -> None:
    body = exchange.body
    end = body.index(b'"message_delta"')
    for cut in range(0, end, 1 + end // 50):
        stream = opened(exchange)
        data = stream.feed(body[:cut]) + stream.finish()
        assert not stream.complete
        assert stream.usage is None
        assert b"[DONE]" not in data
        assert b'"finish_reason":"' not in data


@pytest.mark.parametrize("exchange", ERRORS)
def test_an_error(exchange: Exchange) -> None:
    recorded = json.loads(exchange.body)["error"]
    error = exchange.dialect.parse_error(exchange.status, exchange.body, ())
    if exchange.status == 401:
        assert isinstance(error, UpstreamCredentialError)
        return
    assert isinstance(error, ProviderRefusedError)
    assert error.status == exchange.status
    assert (error.message, error.type) == (recorded["message"], recorded["type"])
