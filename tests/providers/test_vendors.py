"""Vendors of OpenAI's form: what each is sent, how it answers, and that what came out goes in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from mistralai.client.models import ChatCompletionRequest, ToolCall

from waystone_asgi.exceptions import ProviderRefusedError, UpstreamError
from waystone_asgi.providers import PRESETS
from waystone_asgi.providers.openai import (
    StreamDecoder,
    VendorStream,
    build_request,
    open_stream,
    parse_error,
    parse_response,
    restate_answer,
)
from waystone_asgi.sse import DONE, MAX_EVENT_BYTES
from waystone_asgi.wire.requests import decode_chat_request

USER = {"role": "user", "content": "hello"}
CALL = {"id": "callcall1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SIGNATURE = {"google": {"thought_signature": "s"}}
TOLD: dict[str, Any] = {"contents": "a", "refusal": None, "annotations": [], "audio": None}
ANSWERED = TOLD | {
    "images": [],
    "extra_content": SIGNATURE,
    "reasoning_details": [{"type": "reasoning.encrypted", "data": "d"}],
}


def sent(type: str, **members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = {"model": f"{type}/m", "messages": [USER], **members}
    asked = decode_chat_request(json.dumps(request).encode())
    body, dropped = build_request(asked, "m", PRESETS[type])
    return json.loads(bytes(body)), dropped


BOUND = {"max_completion_tokens": 9}
RENAMED = {"max_tokens": 9}


@pytest.mark.parametrize(
    ("types", "given", "written"),
    [
        ("openai azure groq xai openrouter cerebras vllm fireworks", BOUND, BOUND),
        (
            "mistral deepseek together perplexity huggingface zai ollama lmstudio",
            BOUND,
            RENAMED,
        ),
        ("mistral deepseek", BOUND | {"max_tokens": 5}, RENAMED),
        ("mistral", {"max_completion_tokens": 9.0}, RENAMED),
        ("mistral", {"max_completion_tokens": None, "max_tokens": 5}, {"max_tokens": 5}),
        ("mistral", RENAMED, RENAMED),
        ("mistral", {"seed": 7}, {"random_seed": 7}),
        (
            "mistral",
            {"random_seed": 7, "safe_prompt": True},
            {"random_seed": 7, "safe_prompt": True},
        ),
        ("mistral", {"tool_choice": "any"}, {"tool_choice": "any"}),
        (
            "groq openai",
            {"seed": 7, "reasoning_effort": "low"},
            {"seed": 7, "reasoning_effort": "low"},
        ),
    ],
    ids=str,
)
def test_a_member_has_the_name_that_the_vendor_knows(
    types: str, given: dict[str, Any], written: dict[str, Any]
) -> None:
    for type in types.split():
        assert sent(type, **given) == ({"model": "m", "messages": [USER], **written}, ())


@pytest.mark.parametrize(
    ("type", "given"),
    [
        ("groq", {"logprobs": True, "top_logprobs": 2, "logit_bias": {"1": 2}}),
        ("mistral", {"user": "u", "logit_bias": {"1": 2}, "web_search_options": {}}),
        ("cerebras", {"frequency_penalty": 0.5, "presence_penalty": 0.5}),
    ],
)
def test_a_member_that_the_vendor_refuses_is_named(type: str, given: dict[str, Any]) -> None:
    assert sent(type, **given) == ({"model": "m", "messages": [USER]}, tuple(given))


DEVELOPER = {"role": "developer", "content": "be brief"}
SYSTEM = {"role": "system", "content": "be brief"}
TRANSLATED = {"anthropic", "foundry", "gemini", "bedrock", "cohere"}
TAKES_DEVELOPER = {"openai", "azure", "groq", "xai", "fireworks", "openrouter", "vllm", "echo"}


@pytest.mark.parametrize("type", [type for type in PRESETS if type not in TRANSLATED])
def test_a_developer_is_the_system_where_there_is_no_such_role(type: str) -> None:
    body, dropped = sent(type, messages=[DEVELOPER, SYSTEM, USER])
    first = DEVELOPER if type in TAKES_DEVELOPER else SYSTEM
    assert (body["messages"], dropped) == ([first, SYSTEM, USER], ())


@pytest.mark.parametrize("type", ["groq", "cerebras", "mistral"])
def test_a_strict_vendor_gets_no_member_of_an_answer(type: str) -> None:
    said = {"role": "assistant", "content": "a"}
    body, dropped = sent(type, messages=[USER, said | TOLD, USER])
    assert (body["messages"], dropped) == ([USER, said, USER], ())
    body, dropped = sent(type, messages=[USER, said | ANSWERED, USER])
    assert body["messages"] == [USER, said, USER]
    assert dropped == ("messages[].extra_content", "messages[].reasoning_details")


@pytest.mark.parametrize("type", ["groq", "cerebras", "mistral"])
def test_a_strict_vendor_gets_no_signature_of_a_call(type: str) -> None:
    def said(*calls: dict[str, Any]) -> dict[str, Any]:
        return {"role": "assistant", "content": "a", "tool_calls": [*calls, CALL]}

    messages = [USER, said(CALL | {"extra_content": SIGNATURE})]
    body, dropped = sent(type, messages=messages)
    assert body["messages"] == [USER, said(CALL)]
    assert dropped == ("messages[].tool_calls[].extra_content",)
    assert sent("openai", messages=messages)[0]["messages"] == messages


@pytest.mark.parametrize("type", ["groq", "cerebras", "mistral"])
def test_an_image_that_a_strict_vendor_is_not_told_is_named(type: str) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAEC"}}
    said = {"role": "assistant", "content": "a"}
    body, dropped = sent(type, messages=[USER, said | {"images": [image]}])
    assert (body["messages"], dropped) == ([USER, said], ("messages[].images",))


@pytest.mark.parametrize("type", ["groq", "mistral"])
def test_a_name_that_is_refused_is_named(type: str) -> None:
    messages = [USER | {"name": "ann"}, USER | {"name": None}, USER]
    assert sent(type, messages=messages) == (
        {"model": "m", "messages": [USER] * 3},
        ("messages[].name",),
    )
    assert sent("openai", messages=messages)[0]["messages"] == messages


SAID = {"role": "assistant", "content": "a"}
THOUGHT = SAID | {"reasoning_content": "r"}
PART = {"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}
TEXT = {"type": "text", "text": "a"}
SIGNED = {"type": "reasoning.text", "text": "r", "signature": "s"}


@pytest.mark.parametrize(
    ("types", "given", "written"),
    [
        ("openai azure deepseek xai zai", THOUGHT, THOUGHT),
        ("groq cerebras openrouter ollama together vllm", THOUGHT, SAID | {"reasoning": "r"}),
        ("groq cerebras", THOUGHT | {"reasoning": "own"}, SAID | {"reasoning": "own"}),
        ("ollama openrouter", THOUGHT | {"reasoning": "own"}, THOUGHT | {"reasoning": "own"}),
        ("groq", SAID | {"reasoning_content": None}, SAID),
        (
            "openrouter",
            THOUGHT | {"reasoning_details": [SIGNED]},
            SAID | {"reasoning": "r"} | {"reasoning_details": [SIGNED]},
        ),
        ("mistral", THOUGHT, SAID | {"content": [PART, TEXT]}),
        ("mistral", THOUGHT | {"content": [TEXT]}, SAID | {"content": [PART, TEXT]}),
        ("mistral", THOUGHT | {"content": ""}, SAID | {"content": [PART]}),
        (
            "mistral",
            THOUGHT | {"content": None, "tool_calls": [CALL]},
            SAID | {"content": [PART], "tool_calls": [CALL]},
        ),
        (
            "mistral",
            {"role": "assistant", "tool_calls": [CALL], "reasoning_content": "r"},
            {"role": "assistant", "tool_calls": [CALL], "content": [PART]},
        ),
        (
            "mistral",
            THOUGHT | {"reasoning_details": [SIGNED]},
            SAID | {"content": [PART | {"signature": "s"}, TEXT]},
        ),
        (
            "mistral",
            THOUGHT | {"reasoning_details": [{"type": "reasoning.text", "text": "r"}]},
            SAID | {"content": [PART, TEXT]},
        ),
        ("mistral", SAID | {"prefix": True}, SAID | {"prefix": True}),
    ],
    ids=str,
)
def test_reasoning_goes_back_where_the_vendor_has_it(
    types: str, given: dict[str, Any], written: dict[str, Any]
) -> None:
    for type in types.split():
        assert sent(type, messages=[USER, given])[0]["messages"] == [USER, written]


def test_ids_of_calls_are_of_the_form_that_is_taken() -> None:
    ids = ["call_1", "123456789", "12345678é", "1234-6789", None]
    calls = [{**CALL, "id": id} if id else {"function": CALL["function"]} for id in ids]
    results = [{"role": "tool", "tool_call_id": id, "content": "4"} for id in ids if id]
    given = [USER, {"role": "assistant", "tool_calls": calls}, *results]
    written = sent("mistral", messages=given)[0]["messages"]
    called = [call.get("id") for call in written[1]["tool_calls"]]
    assert called[:-1] == [result["tool_call_id"] for result in written[2:]]
    assert called[1] == "123456789"
    assert called[-1] is None
    assert len(set(called)) == len(ids)
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", id) for id in called if id)
    assert sent("groq", messages=given)[0]["messages"] == given


def test_what_is_wrong_in_a_message_is_left_to_the_vendor() -> None:
    wrong = USER | {"tool_calls": 5, "tool_call_id": []}
    thought = THOUGHT | {"reasoning_details": "r"}
    written = sent("mistral", messages=[wrong, thought])[0]["messages"]
    assert written == [wrong, SAID | {"content": [PART, TEXT]}]


def test_only_what_must_change_does() -> None:
    said = '{ "role":"assistant","reasoning_content" : "\\u0072", "content": "\\u0061" }'
    body = '{"model":"groq/m", "messages" : [ {"role":"user","content":"a"} ,\n' + said + " ] }"
    built, _ = build_request(decode_chat_request(body.encode()), "m", PRESETS["groq"])
    assert bytes(built).decode() == (
        '{"model":"m", "messages" : [ {"role":"user","content":"a"} ,\n'
        '{ "role":"assistant", "content": "\\u0061","reasoning":"\\u0072" } ] }'
    )


def test_strings_in_content_become_parts_for_every_vendor() -> None:
    said = {"role": "user", "content": ["a", TEXT]}
    part = {"role": "user", "content": [TEXT, TEXT]}
    assert sent("mistral", messages=[said])[0]["messages"] == [part]


def accept(body: dict[str, Any]) -> None:
    """Mistral's own client takes the request, and knows each member of it and of its messages."""
    request = ChatCompletionRequest.model_validate(body)
    assert body.keys() <= ChatCompletionRequest.model_fields.keys()
    for message, taken in zip(body["messages"], request.messages, strict=True):
        assert message.keys() <= type(taken).model_fields.keys()
        for call in message.get("tool_calls", ()):
            assert call.keys() <= ToolCall.model_fields.keys()


def test_mistrals_own_client_takes_what_is_sent() -> None:
    call = CALL | {"extra_content": SIGNATURE}
    said = THOUGHT | ANSWERED | {"tool_calls": [call], "reasoning_details": [SIGNED]}
    result = {"role": "tool", "tool_call_id": "callcall1", "content": "4", "name": "f"}
    body, dropped = sent(
        "mistral",
        messages=[DEVELOPER, USER | {"name": "ann"}, said, result, SAID | {"prefix": True}],
        max_completion_tokens=9,
        seed=7,
        user="u",
        store=True,
        safety_identifier="s",
        verbosity="low",
        modalities=["text"],
        metadata={"a": "b"},
        logprobs=True,
        service_tier="auto",
        reasoning_effort="high",
        response_format={"type": "json_object"},
        tool_choice="any",
        tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
    )
    accept(body)
    assert body["metadata"] == {"a": "b"}
    lost = ("user", "store", "safety_identifier", "verbosity", "modalities")
    signatures = ("messages[].extra_content", "messages[].tool_calls[].extra_content")
    assert dropped == (*lost, "messages[].name", *signatures)


# Answers.


def answer(message: dict[str, Any], reason: Any = "stop", *more: dict[str, Any]) -> bytes:
    choices = [{"index": 0, "message": {"role": "assistant"} | message, "finish_reason": reason}]
    document = {"id": "a", "created": 1, "model": "m", "choices": [*choices, *more]}
    return json.dumps(document, separators=(",", ":")).encode()


def told(type: str, body: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(parse_response(restate_answer(body, PRESETS[type])).body)
    message: dict[str, Any] = document["choices"][0]["message"]
    assert message["contents"] == message["content"]
    return message | {"finish_reason": document["choices"][0]["finish_reason"]}


@pytest.mark.parametrize("spell", [bytes, lambda body: body.replace(b":", b" : ")])
@pytest.mark.parametrize(
    ("type", "message", "reason", "expected"),
    [
        ("groq", {"content": "a", "reasoning": "r"}, "stop", {"reasoning_content": "r"}),
        ("groq", {"content": "a", "reasoning": "r"}, "stop", {"reasoning": "r"}),
        ("groq", {"content": '"reasoning"', "reasoning": "r"}, "stop", {"reasoning_content": "r"}),
        ("groq", {"content": "a", "reasoning": None}, "stop", {"content": "a"}),
        (
            "vllm",
            {"content": "a", "reasoning": "r", "reasoning_content": "own"},
            "stop",
            {"reasoning_content": "own"},
        ),
        ("mistral", {"content": [PART, TEXT]}, "stop", {"content": "a", "reasoning_content": "r"}),
        ("mistral", {"content": [PART]}, "stop", {"content": None, "reasoning_content": "r"}),
        ("mistral", {"content": [TEXT, TEXT]}, "stop", {"content": "aa"}),
        ("mistral", {"content": []}, [{"type": 1}], {"content": ""}),
        (
            "mistral",
            {"content": [{"type": "thinking", "thinking": "r"}, TEXT]},
            "stop",
            {"reasoning_content": "r"},
        ),
        (
            "mistral",
            {"content": [PART | {"signature": "s"}, TEXT]},
            "stop",
            {"reasoning_details": [SIGNED | {"format": "mistral-v1", "index": 0}]},
        ),
        (
            "mistral",
            {"content": [TEXT, {"type": "reference", "reference_ids": [1]}]},
            "stop",
            {
                "content": "a",
                "extra_content": {
                    "mistral": {"content": [{"type": "reference", "reference_ids": [1]}]}
                },
            },
        ),
        ("mistral", {"content": "a"}, "model_length", {"finish_reason": "length"}),
        ("zai", {"content": "a"}, "sensitive", {"finish_reason": "content_filter"}),
        ("together", {"content": "a", "reasoning": "r"}, "eos", {"finish_reason": "stop"}),
        ("together", {"content": "a", "reasoning": "r"}, "eos", {"reasoning_content": "r"}),
        (
            "deepseek",
            {"content": "a"},
            "insufficient_system_resource",
            {"finish_reason": "length"},
        ),
        ("openai", {"content": "a", "reasoning": "r"}, "stop", {"reasoning": "r"}),
    ],
    ids=str,
)
def test_an_answer_is_told_in_openais_words(
    type: str, message: dict[str, Any], reason: Any, expected: dict[str, Any], spell: Any
) -> None:
    found = told(type, spell(answer(message, reason)))
    assert expected.items() <= found.items()


def test_an_answer_without_quirks_stays() -> None:
    body = answer({"content": "a", "reasoning": "r"})
    assert restate_answer(body, PRESETS["openai"]) is body
    assert restate_answer(answer({"content": "a", "reasoning": None}), PRESETS["groq"]) == answer(
        {"content": "a", "reasoning": None}
    )


def test_a_member_that_is_null_is_replaced() -> None:
    body = answer({"content": "a", "reasoning_content": None, "reasoning": "r"})
    restated = restate_answer(body, PRESETS["vllm"])
    assert restated.count(b'"reasoning_content":') == 1
    assert told("vllm", body)["reasoning_content"] == "r"


def test_the_member_is_found_where_its_name_stands_twice() -> None:
    body = answer({"content": "a", "reasoning": "r"}).replace(b'"m"', b'"reasoning"')
    assert told("groq", body)["reasoning_content"] == "r"


def test_each_choice_of_an_answer_is_restated() -> None:
    more = {"index": 1, "message": {"role": "assistant", "reasoning": "s"}, "finish_reason": "eos"}
    body = answer({"content": "a", "reasoning": "r"}, "stop", more)
    choices = json.loads(restate_answer(body, PRESETS["together"]))["choices"]
    assert [choice["message"]["reasoning_content"] for choice in choices] == ["r", "s"]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "stop"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"\\"reasoning\\""},"reasoning":1}',
        b'{"choices":"reasoning","reasoning":1}',
        b'no JSON "reasoning"',
        b'{"choices":[{"index":0,"reasoning":1}]}',
        b"{}",
    ],
)
def test_what_is_no_answer_stays(body: bytes) -> None:
    assert restate_answer(body, PRESETS["groq"]) == body


# Streams.


def event(delta: dict[str, Any], reason: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    document = {"id": "a", "created": 1, "model": "m", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(document, separators=(",", ":")).encode()


def opened(type: str) -> StreamDecoder:
    request = b'{"model":"x/m","messages":[{"role":"user","content":"a"}],"stream":true}'
    return open_stream(decode_chat_request(request).view, PRESETS[type])


def relayed(type: str, pieces: Iterable[bytes]) -> tuple[StreamDecoder, bytes]:
    stream = opened(type)
    return stream, b"".join([stream.feed(piece) for piece in pieces]) + stream.finish()


def deltas(body: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in body.split(b"\n") if line[:6] == b"data: " and line[6:7] == b"{"]
    return [json.loads(line)["choices"][0]["delta"] for line in lines]


@pytest.mark.parametrize("type", ["openai", "azure", "xai", "perplexity", "fireworks", "echo"])
def test_a_vendor_without_quirks_in_answers_is_followed_as_before(type: str) -> None:
    assert type_of(type) is StreamDecoder


@pytest.mark.parametrize("type", ["groq", "mistral", "zai", "deepseek"])
def test_others_are_restated(type: str) -> None:
    assert type_of(type) is VendorStream


def type_of(type: str) -> object:
    return opened(type).__class__


def test_reasoning_in_a_stream_is_told() -> None:
    pieces = [
        event({"role": "assistant", "reasoning": "r"}),
        event({"content": "a"}),
        event({}, "stop"),
        DONE,
    ]
    stream, body = relayed("groq", pieces)
    added = pieces[0].replace(b'"reasoning":"r"', b'"reasoning":"r","reasoning_content":"r"')
    assert body == b"".join([added, *pieces[1:]])
    assert (stream.complete, stream.malformed, stream.events) == (True, 0, 3)


def test_parts_in_a_stream_become_text_and_reasoning() -> None:
    pieces = [
        event({"content": [PART]}),
        event({"content": [TEXT]}),
        event({"content": "b"}, "stop"),
    ]
    _, body = relayed("mistral", pieces)
    assert deltas(body) == [
        {"content": None, "reasoning_content": "r"},
        {"content": "a"},
        {"content": "b"},
    ]


def test_calls_get_their_places() -> None:
    call = {"id": "123456789", "function": {"name": "f", "arguments": "{}"}}
    pieces = [
        event({"tool_calls": [call, call]}),
        event({"tool_calls": [call]}),
        event({"tool_calls": [call]}, index=1),
        event({"tool_calls": [call | {"index": 5}]}),
        event({"tool_calls": [call]}, "tool_calls"),
        event({"tool_calls": None, "content": "a"}),
    ]
    _, body = relayed("mistral", pieces)
    places = [[call["index"] for call in d.get("tool_calls") or ()] for d in deltas(body)]
    assert places == [[0, 1], [2], [0], [5], [6], []]


def test_the_reasons_of_a_stream_are_openais() -> None:
    stream, body = relayed("zai", [event({"content": "a"}), event({}, "sensitive")])
    assert stream.finish_reasons == ("content_filter",)
    assert b"sensitive" not in body


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_a_stream_may_be_cut_anywhere(end: bytes) -> None:
    pieces = [
        b": waiting\n\n",
        event({"reasoning": '"'}),
        b'data: {"choices":[{"index":0,\ndata: "delta":{"reasoning":"r"}}]}\n\n',
        b'data: no JSON "reasoning"\n\n',
        event({"content": "a"}, "stop"),
    ]
    body = b"".join(pieces).replace(b"\n", end[: len(end) // 2])
    _, expected = relayed("groq", [body])
    assert deltas(expected)[1] == {"reasoning": "r", "reasoning_content": "r"}
    for at in range(1, len(body)):
        assert relayed("groq", [body[:at], body[at:]])[1] == expected


def test_the_last_event_may_have_no_end() -> None:
    last = event({"reasoning": "r"}, "stop").rstrip()
    stream, body = relayed("groq", [event({"content": "a"}), last])
    assert deltas(body)[1] == {"reasoning": "r", "reasoning_content": "r"}
    assert (stream.complete, body.endswith(DONE)) == (True, True)


def test_what_is_no_stream_is_an_error() -> None:
    stream, body = relayed("groq", [b'{"error":{"message":"m","code":400}}'])
    assert body == b""
    assert isinstance(stream.error, ProviderRefusedError)


def test_an_event_without_end_is_given_up() -> None:
    stream = opened("groq")
    assert stream.feed(b"data: " + b"x" * MAX_EVENT_BYTES) == b""
    assert isinstance(stream.error, UpstreamError)
    assert stream.finish() == b""


# What came out goes back in.


@pytest.mark.parametrize(
    ("type", "said"),
    [
        ("groq", {"content": "a", "reasoning": "r"}),
        ("cerebras", {"content": None, "reasoning": "r", "tool_calls": [CALL]}),
        ("openrouter", {"content": "a", "reasoning": "r", "reasoning_details": [SIGNED]}),
        ("deepseek", {"content": "", "reasoning_content": "r", "tool_calls": [CALL]}),
        ("mistral", {"content": [PART | {"signature": "s"}, TEXT], "tool_calls": [CALL]}),
        ("mistral", {"content": [PART], "tool_calls": [CALL]}),
        ("mistral", {"content": "a"}),
    ],
    ids=str,
)
def test_what_came_out_goes_back_in(type: str, said: dict[str, Any]) -> None:
    found = told(type, answer(said))
    del found["finish_reason"]
    result = {"role": "tool", "tool_call_id": "callcall1", "content": "4"}
    body, _ = sent(type, messages=[USER, found, result, found, USER])
    first, second = body["messages"][1], body["messages"][3]
    assert first == second
    strict = type in ("groq", "cerebras", "mistral")
    kept = {} if strict else {**TOLD, "contents": found["contents"]}
    if type == "openrouter":
        kept["reasoning_content"] = "r"
    assert first == {"role": "assistant"} | said | kept


# Azure.


def test_a_filtered_prompt_is_an_answer_of_the_providers() -> None:
    results = {"hate": {"filtered": True, "severity": "high"}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results}
    error = {"message": "m", "type": None, "param": "prompt", "code": "content_filter"}
    body = json.dumps({"error": error | {"status": 400, "innererror": inner}}).encode()
    for status in (400, 200):
        refusal = parse_error(status, body)
        assert isinstance(refusal, ProviderRefusedError)
        assert (refusal.status, refusal.message, refusal.code) == (400, "m", "content_filter")
        assert (refusal.type, refusal.param) == ("invalid_request_error", "prompt")
        assert refusal.extra["innererror"] == inner


def test_filter_results_stay() -> None:
    first = {"choices": [], "id": "", "model": "", "object": "", "prompt_filter_results": [{}]}
    results = {"hate": {"filtered": False}}
    choice = {"index": 0, "delta": {"content": "a"}, "content_filter_results": results}
    pieces = [b"data: %b\n\n" % json.dumps(d).encode() for d in (first, {"choices": [choice]})]
    stream, body = relayed("azure", [*pieces, event({}, "content_filter"), DONE])
    assert body.startswith(b"".join(pieces))
    assert (stream.complete, stream.finish_reasons) == (True, ("content_filter",))
