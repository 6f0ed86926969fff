"""Every recorded answer says in OpenAI's form what it says in Google's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from waystone_asgi.exceptions import ProviderRefusedError, UpstreamCredentialError
from waystone_asgi.providers.gemini import DIALECT
from waystone_asgi.records import Usage

from .answers import HEAD, chunks, joined, stream
from .recordings import Exchange, Reading, cases, read


def assert_says(message: dict[str, Any], reading: Reading) -> None:
    assert (message["content"] or "") == reading.text
    assert message.get("reasoning_content", "") == reading.thoughts
    calls = message.get("tool_calls") or []
    said = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]
    assert said == [(name, args) for name, args, _ in reading.calls]
    for call, (_, _, id) in zip(calls, reading.calls, strict=True):
        assert call["id"] == id if id else call["id"].startswith("call_gemini_")
    assert len({call["id"] for call in calls}) == len(calls)
    signatures = [_signature(call.get("extra_content")) for call in calls]
    assert signatures == reading.call_signatures
    assert _signature(message.get("extra_content")) == reading.text_signature
    cited = [
        (remark["url_citation"]["url"], _cited(remark["url_citation"], message["content"]))
        for remark in message.get("annotations") or []
    ]
    assert cited == reading.grounded


def _signature(extra: dict[str, Any] | None) -> str | None:
    return extra["google"].get("thought_signature") if extra else None


def _cited(citation: dict[str, Any], content: str) -> str:
    return content[citation["start_index"] : citation["end_index"]]


def assert_counts(usage: Usage | None, counted: dict[str, Any]) -> None:
    assert usage is not None
    prompt = counted["promptTokenCount"] + counted.get("toolUsePromptTokenCount", 0)
    thoughts = counted.get("thoughtsTokenCount", 0)
    assert usage.input_tokens == prompt
    assert usage.output_tokens == counted.get("candidatesTokenCount", 0) + thoughts
    assert usage.input_tokens + usage.output_tokens == counted["totalTokenCount"]
    assert usage.reasoning_output_tokens == thoughts
    assert usage.cache_read_input_tokens == counted.get("cachedContentTokenCount", 0)
    heard = [d for d in counted["promptTokensDetails"] if d["modality"] == "AUDIO"]
    assert usage.input_audio_tokens == sum(detail["tokenCount"] for detail in heard)


@pytest.mark.parametrize("exchange", cases(lambda x: x.status == 200 and not x.stream))
def test_an_answer_says_the_same(exchange: Exchange) -> None:
    answer = DIALECT.parse_response(exchange.body, HEAD)
    reading = read(exchange)
    document = json.loads(answer.body)
    completion = ChatCompletion.model_validate_json(answer.body)
    (choice,) = document["choices"]
    assert_says(choice["message"], reading)
    assert choice["message"]["contents"] == choice["message"]["content"]
    assert choice["finish_reason"] == reading.finish_reason
    assert answer.finish_reasons == (reading.finish_reason,)
    assert_counts(answer.usage, reading.usage)
    assert completion.usage is not None
    assert completion.usage.total_tokens == reading.usage["totalTokenCount"]
    (sent,) = exchange.documents
    assert answer.response_id == completion.id == sent["responseId"]
    assert answer.response_model == completion.model == sent["modelVersion"]
    tier = {"standard": "default", None: None}[reading.usage.get("serviceTier")]
    assert completion.service_tier == tier
    assert completion.created == choice["created"]
    assert completion.created != HEAD.received or "createTime" not in sent


STREAMS = cases(lambda x: x.stream)


@pytest.mark.parametrize("exchange", STREAMS)
def test_a_stream_says_the_same(exchange: Exchange) -> None:
    decoder, written = stream(exchange.pieces)
    reading = read(exchange)
    message = joined(written)
    assert_says(message, reading)
    assert message["finish_reason"] == reading.finish_reason
    assert decoder.finish_reasons == (reading.finish_reason,)
    assert decoder.complete
    assert decoder.done
    assert not decoder.malformed
    assert written.endswith(b"data: [DONE]\n\n")
    assert_counts(decoder.usage, reading.usage)
    assert message["usage"]["total_tokens"] == reading.usage["totalTokenCount"]
    assert decoder.response_id == exchange.documents[-1]["responseId"]
    assert {chunk["model"] for chunk in chunks(written)} == {decoder.response_model}
    tier = {"standard": "default", None: None}[reading.usage.get("serviceTier")]
    assert {chunk.get("service_tier") for chunk in chunks(written)} == {tier}


@pytest.mark.parametrize("exchange", STREAMS)
def test_the_official_client_puts_a_stream_together(exchange: Exchange) -> None:
    _, written = stream([exchange.body])
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks(written):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    completion = state.get_final_completion()
    assert_says(completion.choices[0].message.model_dump(), read(exchange))


@pytest.mark.parametrize("exchange", STREAMS)
def test_a_stream_says_the_same_however_it_is_cut(exchange: Exchange) -> None:
    _, whole = stream([exchange.body])
    size = len(exchange.body)
    assert stream([exchange.body[at : at + 1] for at in range(size)])[1] == whole
    for at in range(0, size, max(1, size // 200)):
        assert stream([exchange.body[:at], exchange.body[at:]])[1] == whole


@pytest.mark.parametrize("exchange", STREAMS)
def test_a_stream_says_what_the_whole_answer_would(exchange: Exchange) -> None:
    documents = exchange.documents
    (ends,) = documents[-1]["candidates"]
    candidates = [candidate for item in documents for candidate in item["candidates"]]
    parts = [part for c in candidates for part in c["content"]["parts"]]
    ends["content"]["parts"] = parts
    whole = DIALECT.parse_response(json.dumps(documents[-1]).encode(), HEAD)
    (choice,) = json.loads(whole.body)["choices"]
    message = joined(stream([exchange.body])[1])
    for name in ("content", "reasoning_content", "annotations", "extra_content"):
        assert (message.get(name) or None) == (choice["message"].get(name) or None)
    if "partialArgs" not in json.dumps(parts):
        assert message["tool_calls"] == choice["message"].get("tool_calls", [])


@pytest.mark.parametrize("exchange", cases(lambda x: x.status >= 400))
def test_an_error_keeps_its_status_and_message(exchange: Exchange) -> None:
    error = DIALECT.parse_error(exchange.status, exchange.body, ())
    (document,) = exchange.documents
    said = document["error"]
    if exchange.status in (401, 403):
        assert isinstance(error, UpstreamCredentialError)
        assert said["message"] not in error.message
        return
    assert isinstance(error, ProviderRefusedError)
    assert (error.status, error.message) == (exchange.status, said["message"])
    assert error.code == said["status"]
    assert error.too_long == ("exceeds the maximum number of tokens" in said["message"])
    if exchange.status == 429:
        assert dict(error.headers)[b"retry-after"] == b"48"
