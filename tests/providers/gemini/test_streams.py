"""Streams: what each event adds, how they end, and what goes wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waystone_asgi.exceptions import ProviderRefusedError, UpstreamError
from waystone_asgi.providers.gemini.stream import GeminiStream
from waystone_asgi.wire.chat import ChatCompletionRequest

from .answers import HEAD, chunks, events, joined, stream

DONE = b"data: [DONE]\n\n"


def says(*parts: dict[str, Any], **members: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, **members}
    return {"responseId": "r", "modelVersion": "m", "candidates": [candidate]}


def text(said: str, **members: Any) -> dict[str, Any]:
    return says({"text": said}, **members)


END = text("", finishReason="STOP")
DOWN = {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}


def deltas(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    """What the events of a stream add, up to the end of the choice."""
    _, written = stream([events(*documents)])
    found = [chunk["choices"][0]["delta"] for chunk in chunks(written) if chunk["choices"]]
    assert found.pop(0 if len(found) == 1 else -1) in ({}, {"role": "assistant"})
    return found


def test_a_whole_stream() -> None:
    usage = {"promptTokenCount": 2, "candidatesTokenCount": 1, "thoughtsTokenCount": 1}
    last = {**text(" there", finishReason="STOP"), "usageMetadata": usage}
    decoder, written = stream([events(text("Hello"), last)])
    first, second, end, counted = chunks(written)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "Hello"}
    assert second["choices"][0]["delta"] == {"content": " there"}
    assert end["choices"][0] == {"delta": {}, "index": 0, "finish_reason": "stop", "logprobs": None}
    assert counted["choices"] == []
    assert counted["usage"]["completion_tokens"] == 2
    assert {(c["id"], c["model"], c["created"]) for c in chunks(written)} == {
        ("r", "m", HEAD.received)
    }
    assert written.endswith(DONE)
    assert (decoder.response_id, decoder.response_model) == ("r", "m")
    assert (decoder.started, decoder.done, decoder.complete) == (True, True, True)
    assert (decoder.events, decoder.malformed) == (3, 0)


def test_usage_is_told_to_who_asks() -> None:
    decoder = GeminiStream(ChatCompletionRequest("m", stream=True), HEAD)
    usage = {"usageMetadata": {"promptTokenCount": 2}}
    written = decoder.feed(events({**END, **usage}, {"usageMetadata": {"trafficType": "x"}}))
    written += decoder.finish()
    assert b"usage" not in written
    assert decoder.usage is not None
    assert decoder.usage.input_tokens == 2


def test_thoughts_images_and_calls() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    call = {"functionCall": {"name": "f", "args": {"a": 1}, "id": "x"}, "thoughtSignature": "s"}
    url = {"url": "data:image/png;base64,AAAA"}
    signature = {"google": {"thought_signature": "s"}}
    assert deltas(
        says({"text": "hm", "thought": True}),
        says({"text": "a"}, image),
        says(call, {**call, "functionCall": {"name": "g", "id": "y"}}),
        END,
    ) == [
        {"role": "assistant", "reasoning_content": "hm"},
        {"content": "a", "images": [{"type": "image_url", "image_url": url, "index": 0}]},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "x",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a":1}'},
                    "extra_content": signature,
                },
                {
                    "index": 1,
                    "id": "y",
                    "type": "function",
                    "function": {"name": "g", "arguments": "{}"},
                    "extra_content": signature,
                },
            ]
        },
    ]


def test_a_signature_is_told_once_in_the_end() -> None:
    *_, last = deltas(text("a"), text("b"), says({"text": "", "thoughtSignature": "s"}), END)
    assert last == {"extra_content": {"google": {"thought_signature": "s"}}}


def test_parts_out_of_order_are_told_in_the_end() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    *_, last = deltas(text("a"), text("b"), says(code), text("c"), END)
    parts = [{"text": "ab"}, code, {"text": "c"}]
    assert last == {"extra_content": {"google": {"parts": parts}}}


def piece(path: str, more: bool = True, **value: Any) -> dict[str, Any]:
    partial = {"partialArgs": [{"jsonPath": path, **value}]}
    return says({"functionCall": {**partial, **({"willContinue": True} if more else {})}})


def test_arguments_that_come_in_pieces() -> None:
    start, rest = deltas(
        says({"functionCall": {"name": "f", "id": "x", "willContinue": True}}),
        piece("$.a", stringValue="o"),
        piece("$.a", stringValue="ne"),
        piece("$['b c'][0].d", numberValue=2),
        piece('$["b c"][1]', boolValue=True),
        piece("$['b c'][0].f", numberValue=3),
        piece("$.e", nullValue="NULL_VALUE"),
        says({"functionCall": {}}),
        END,
    )
    assert start["tool_calls"] == [
        {"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}}
    ]
    arguments = '{"a":"one","b c":[{"d":2,"f":3},true],"e":null}'
    assert rest["tool_calls"] == [{"index": 0, "function": {"arguments": arguments}}]


def test_pieces_of_a_call_that_comes_at_once() -> None:
    call = {"name": "f", "id": "x", "partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}]}
    message = joined(stream([events(says({"functionCall": call}), END)])[1])
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":"b"}'}
    assert message["finish_reason"] == "tool_calls"


def test_a_call_that_does_not_say_its_end() -> None:
    first = says({"functionCall": {"name": "f", "id": "x", "willContinue": True}})
    second = says({"functionCall": {"name": "g", "id": "y", "willContinue": True}})
    pieces = (first, piece("$.a", numberValue=1), second, piece("$.b", numberValue=2), END)
    calls = joined(stream([events(*pieces)])[1])["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [
        ("x", '{"a":1}'),
        ("y", '{"b":2}'),
    ]


def test_pieces_of_no_call_say_nothing() -> None:
    assert deltas(piece("$.a", stringValue="b"), END) == []


@pytest.mark.parametrize("path", ["", "$", "a", "$.a b[", "$[0]", "$.a[3]", "$.a.b"])
def test_pieces_under_a_path_that_leads_nowhere_are_counted(path: str) -> None:
    decoder, _ = stream(
        [
            events(
                says({"functionCall": {"name": "f", "willContinue": True}}),
                piece("$.a[0]", numberValue=1),
                piece(path, stringValue="b"),
            )
        ]
    )
    assert decoder.malformed == 1


def test_log_probabilities_come_with_their_event() -> None:
    result = {"chosenCandidates": [{"token": "a", "logProbability": -1}]}
    _, written = stream(
        [events(text("a", logprobsResult=result), says(logprobsResult=result), END)]
    )
    first, second, end = chunks(written)
    for chunk in (first, second):
        assert chunk["choices"][0]["logprobs"]["content"][0]["token"] == "a"
    assert second["choices"][0]["delta"] == {}
    assert end["choices"][0]["logprobs"] is None


def test_several_candidates_end_each() -> None:
    second = text("b", index=1)
    decoder, written = stream([events(text("a", finishReason="STOP"), second)])
    assert not decoder.complete
    assert not written.endswith(DONE)
    ended = text("", index=1, finishReason="MAX_TOKENS")
    decoder, written = stream([events(text("a"), second, ended, END)])
    assert decoder.finish_reasons == ("stop", "length")
    assert written.endswith(DONE)
    roles = [c["choices"][0]["delta"].get("role") for c in chunks(written)]
    assert roles == ["assistant", "assistant", None, None]


def test_an_end_is_told_once() -> None:
    _, written = stream([events(text("a", finishReason="STOP"), END)])
    assert len(chunks(written)) == 2


def test_a_stream_that_is_cut_is_not_complete() -> None:
    decoder, written = stream([events(text("a"))])
    assert (decoder.started, decoder.complete, decoder.done) == (True, False, False)
    assert DONE not in written


@pytest.mark.parametrize("message", [None, "Not that."])
def test_a_prompt_that_was_blocked(message: str | None) -> None:
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": message}
    decoder, written = stream([events({"responseId": "r", "promptFeedback": feedback})])
    said = joined(written)
    assert said.get("refusal") == message
    assert said["extra_content"] == {"google": {"block_reason": "SAFETY"}}
    assert decoder.finish_reasons == ("content_filter",)
    assert written.endswith(DONE)


def test_feedback_beside_an_answer_is_no_block() -> None:
    documents = ({**text("a"), "promptFeedback": {}}, {**END, "promptFeedback": {"blockReason": 1}})
    decoder, _ = stream([events(*documents)])
    assert decoder.finish_reasons == ("stop",)


@pytest.mark.parametrize("ahead", [(), (text("a"),)])
@pytest.mark.parametrize(
    "error",
    [
        events(DOWN),
        json.dumps(DOWN).encode() + b"\r\n\r\n",
        json.dumps(DOWN).encode(),
        json.dumps([DOWN]).encode(),
        json.dumps([DOWN], indent=2).encode() + b"\n",
    ],
    ids=["framed", "bare", "cut", "listed", "indented"],
)
def test_an_error_ends_the_stream(ahead: tuple[dict[str, Any], ...], error: bytes) -> None:
    decoder, written = stream([events(*ahead), error])
    assert isinstance(decoder.error, UpstreamError)
    assert "Overloaded." in decoder.error.message
    assert decoder.error.status == 502
    assert decoder.started is bool(ahead)
    assert not decoder.complete
    assert DONE not in written


def test_nothing_is_relayed_after_an_error() -> None:
    refused = {"error": {"code": 429, "message": "Later.", "status": "RESOURCE_EXHAUSTED"}}
    decoder, written = stream([events(text("a"), refused, text("b"), END)])
    assert isinstance(decoder.error, ProviderRefusedError)
    assert decoder.error.code == "RESOURCE_EXHAUSTED"
    assert len(chunks(written)) == 1


@pytest.mark.parametrize("bad", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"candidates":1}\n\n'])
def test_what_cannot_be_read_is_counted(bad: bytes) -> None:
    decoder, written = stream([events(text("a")), bad, b": comment\n\n", events(END)])
    assert decoder.malformed == 1
    assert joined(written)["content"] == "a"
    assert written.endswith(DONE)


def test_an_event_without_its_end_counts() -> None:
    decoder, written = stream([events(END).rstrip()])
    assert decoder.complete
    assert written.endswith(DONE)
