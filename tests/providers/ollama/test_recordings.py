"""Ollama's recorded chats: answers, streams, errors and requests."""

from __future__ import annotations

import json
import re
from calendar import timegm
from time import strptime
from typing import Any

import pytest
from ollama._types import ChatRequest

from waystone_asgi.exceptions import ProviderRefusedError
from waystone_asgi.providers.dialects import Target
from waystone_asgi.providers.ollama import DIALECT
from waystone_asgi.wire.requests import decode_chat_request

from ..recorded import HEAD, Heard, Recorded, cases, cuts, hear, played, put_together, recordings

CHATS = recordings("ollama", "ollama_chat")
WHOLE = [chat for chat in CHATS if chat.status == 200 and b"\n{" not in chat.body]
STREAMED = [chat for chat in CHATS if chat.status == 200 and b"\n{" in chat.body]
REFUSED = [chat for chat in CHATS if chat.status >= 400]


def test_all_kinds_are_recorded() -> None:
    assert [len(kind) for kind in (WHOLE, STREAMED, REFUSED)] == [4, 5, 1]


def whole(chat: Recorded) -> dict[str, Any]:
    """The last line of a recording, with the whole message and the first one's time."""
    lines = [json.loads(line) for line in chat.body.decode().split("\n") if line.strip()]
    message = {
        name: "".join(line["message"].get(name, "") for line in lines)
        for name in ("content", "thinking")
    }
    calls = [call for line in lines for call in line["message"].get("tool_calls", ())]
    told = {"message": message | {"tool_calls": calls}, "created_at": lines[0]["created_at"]}
    return lines[-1] | told


def check(heard: Heard, answer: dict[str, Any]) -> None:
    """What was heard is what the provider said."""
    message = answer["message"]
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", heard.id)
    assert heard.model == answer["model"]
    assert heard.created == timegm(strptime(answer["created_at"][:19], "%Y-%m-%dT%H:%M:%S"))
    assert (heard.content, heard.reasoning) == (message["content"], message["thinking"])
    assert [(c["id"], c["name"], json.loads(c["arguments"])) for c in heard.calls] == [
        (c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]
    ]
    expected = "tool_calls" if message["tool_calls"] else answer["done_reason"]
    assert heard.finish_reason == expected
    assert heard.usage is not None
    assert heard.usage["prompt_tokens"] == answer["prompt_eval_count"]
    assert heard.usage["completion_tokens"] == answer["eval_count"]


@pytest.mark.parametrize("chat", cases(WHOLE))
def test_an_answer_says_what_was_recorded(chat: Recorded) -> None:
    answer = DIALECT.parse_response(chat.body, HEAD)
    heard = hear(answer.body)
    check(heard, whole(chat))
    assert (answer.response_id, answer.response_model) == (heard.id, heard.model)
    assert answer.finish_reasons == (heard.finish_reason,)


@pytest.mark.parametrize("chat", cases(WHOLE))
def test_an_answer_is_the_same_as_a_line(chat: Recorded) -> None:
    _, relayed = played(DIALECT, [chat.body])
    assert put_together(relayed) == hear(DIALECT.parse_response(chat.body, HEAD).body)


@pytest.mark.parametrize("chat", cases(STREAMED))
def test_a_stream_says_what_was_recorded(chat: Recorded) -> None:
    stream, relayed = played(DIALECT, chat.pieces)
    heard = put_together(relayed)
    check(heard, whole(chat))
    assert stream.complete
    assert stream.malformed == 0
    assert (stream.response_id, stream.response_model) == (heard.id, heard.model)


@pytest.mark.parametrize("chat", cases(STREAMED))
def test_a_stream_may_be_cut_anywhere(chat: Recorded) -> None:
    _, expected = played(DIALECT, [chat.body])
    for pieces in cuts(chat.body, 1000):
        _, relayed = played(DIALECT, pieces)
        assert relayed == expected
    _, relayed = played(DIALECT, [bytes([byte]) for byte in chat.body])
    assert relayed == expected


@pytest.mark.parametrize("chat", cases(STREAMED))
def test_a_stream_that_is_cut_short_is_not_complete(chat: Recorded) -> None:
    lines = chat.body.rstrip().splitlines(keepends=True)
    stream, relayed = played(DIALECT, [*lines[:-1], lines[-1][:-1]])
    assert (stream.complete, stream.malformed, stream.finish_reasons) == (False, 1, ())
    assert b"[DONE]" not in relayed


@pytest.mark.parametrize("chat", cases(REFUSED))
def test_an_error_keeps_its_status_and_message(chat: Recorded) -> None:
    error = DIALECT.parse_error(chat.status, chat.body, ())
    assert isinstance(error, ProviderRefusedError)
    assert (error.status, error.message) == (chat.status, json.loads(chat.body)["error"])


# Requests: the form that a caller of ours gives them, and back.


def openai_form(request: dict[str, Any]) -> dict[str, Any]:
    """The same request in OpenAI's format."""
    asked = dict(request)
    options = dict(asked.pop("options", {}))
    if "num_predict" in options:
        asked["max_tokens"] = options.pop("num_predict")
    for name in ("temperature", "seed"):
        if name in options:
            asked[name] = options.pop(name)
    return asked | ({"options": options} if options else {})


SAYS_NOTHING = ({"format": ""}, {"options": {}}, {"keep_alive": None}, {"tools": []})
"""Members of recorded requests that say nothing; those that are empty are left out."""


@pytest.mark.parametrize("chat", cases(chat for chat in CHATS if chat.request))
def test_a_recorded_request_is_written_again(chat: Recorded) -> None:
    request = {
        name: value
        for name, value in (chat.request or {}).items()
        if {name: value} not in SAYS_NOTHING or name == "format"
    }
    asked = decode_chat_request(json.dumps(openai_form(request)).encode())
    built = DIALECT.build_request(asked, Target(model=request["model"], strict=True))
    written = json.loads(bytes(built.body))
    # Ollama streams where it is not told; here it is the other way about.
    assert written == {"stream": False} | request
    assert built.dropped == ()
    ChatRequest.model_validate(written | ({"format": None} if not request.get("format") else {}))
