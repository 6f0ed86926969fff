"""Whole answers: what the contract adds, and every other byte as the provider wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.exceptions import GatewayError, ProviderRefusedError, UpstreamError
from waystone_asgi.providers.openai import parse_response
from waystone_asgi.records import Usage

from ..wire.documents import pure, spaces, spelled, values

ALL = b'"contents":"a","refusal":null,"annotations":[],"audio":null,'
CHOICE_HEAD = b'{"created":7,"logprobs":null,'


def answer(choice: bytes, head: bytes = b'"created":7,') -> bytes:
    return b'{%b"choices":[%b]}' % (head, choice)


@pytest.mark.parametrize(
    ("choice", "completed"),
    [
        pytest.param(
            b'{"message":{"content":"a"}}',
            CHOICE_HEAD + b'"message":{' + ALL + b'"content":"a"}}',
            id="nothing is there",
        ),
        pytest.param(
            b'{ "index" : 0, "message" : { "content" : "a" } }',
            CHOICE_HEAD + b' "index" : 0, "message" : {' + ALL + b'"content" : "a" } }',
            id="white space",
        ),
        pytest.param(
            b'{"message":{}}',
            CHOICE_HEAD
            + b'"message":{"contents":null,"refusal":null,"annotations":[],"audio":null}}',
            id="an empty message",
        ),
        pytest.param(
            b'{"message":{"content":null,"tool_calls":[]}}',
            CHOICE_HEAD
            + b'"message":{"contents":null,"refusal":null,"annotations":[],"audio":null,'
            b'"content":null,"tool_calls":[]}}',
            id="no content",
        ),
        pytest.param(
            b'{"message":{"content":"a","refusal":"no","annotations":[1],"audio":{"id":"b"}}}',
            CHOICE_HEAD + b'"message":{"contents":"a","content":"a","refusal":"no",'
            b'"annotations":[1],"audio":{"id":"b"}}}',
            id="what OpenAI has is there",
        ),
        pytest.param(
            b'{"created":8,"logprobs":{"content":[]},"message":{"content":"a","contents":"b",'
            b'"refusal":null,"annotations":[],"audio":null}}',
            b'{"created":8,"logprobs":{"content":[]},"message":{"content":"a","contents":"b",'
            b'"refusal":null,"annotations":[],"audio":null}}',
            id="everything is there",
        ),
        pytest.param(
            b'{"message":{"content":"a","annotations":null}}',
            CHOICE_HEAD + b'"message":{"contents":"a","refusal":null,"audio":null,'
            b'"content":"a","annotations":[]}}',
            id="annotations are null",
        ),
        pytest.param(
            rb'{"message":{"content":"\u0061\/\ud83d\ude00","x":1.50}}',
            CHOICE_HEAD
            + rb'"message":{"contents":"\u0061\/\ud83d\ude00","refusal":null,"annotations":[],'
            rb'"audio":null,"content":"\u0061\/\ud83d\ude00","x":1.50}}',
            id="escapes and number forms",
        ),
        pytest.param(
            b'{"delta":{"content":""},"message":{"content":""}}',
            CHOICE_HEAD + b'"delta":{"content":""},"message":{"contents":"","refusal":null,'
            b'"annotations":[],"audio":null,"content":""}}',
            id="a twin of the message before it",
        ),
        pytest.param(
            b'{"message": {"content":""}, "delta": {"content":""}}',
            CHOICE_HEAD + b'"message": {"contents":"","refusal":null,"annotations":[],'
            b'"audio":null,"content":""}, "delta": {"content":""}}',
            id="a twin of the message behind it",
        ),
        pytest.param(
            rb'{"m\u0065ssage":{"content":"a"}}',
            CHOICE_HEAD + rb'"m\u0065ssage":{' + ALL + b'"content":"a"}}',
            id="an escaped key",
        ),
        pytest.param(
            rb'{"type":"message","m\u0065ssage":{"content":"a"}}',
            CHOICE_HEAD + rb'"type":"message","m\u0065ssage":{' + ALL + b'"content":"a"}}',
            id="an escaped key and its twin as a value",
        ),
    ],
)
@pytest.mark.parametrize("role", [b"", b'"role":"assistant",'], ids=["no role", "role"])
def test_a_choice_is_completed(choice: bytes, completed: bytes, role: bytes) -> None:
    """What is added may stand anywhere; what was there keeps its spelling."""
    message = b'"content":"a"' if b'"content":"a"' in choice else b'"content"'
    given, wanted = (answer(text.replace(message, role + message)) for text in (choice, completed))
    body = parse_response(given).body
    assert read(body) == read(wanted)
    for number in (b"1.50", rb"\u0061\/\ud83d\ude00", b' "index" : 0'):
        assert body.count(number) >= given.count(number)


def read(document: bytes) -> object:
    """The document with numbers as they are written."""
    return json.loads(document, parse_float=str, parse_int=str)


@pytest.mark.parametrize(
    ("head", "created"),
    [(b'"created":7,', 7), (b'"created": 1.5e9 ,', 1.5e9), (b"", 0), (b'"created":null,', 0)],
)
def test_a_choice_is_created_when_the_answer_was(head: bytes, created: float) -> None:
    parsed = parse_response(answer(b'{"message":{}}', head))
    assert json.loads(parsed.body)["choices"][0]["created"] == created


def test_every_choice_is_completed_and_what_is_around_them_stays() -> None:
    one = b'{"index":0,"message":{"content":"a"},"finish_reason":"stop"}'
    two = b'{"index":0,"message":{"content":"a"},"finish_reason":"stop"}'
    three = b'{"index":2,"message":{"content":"c"},"finish_reason":null}'
    body = b' {"id" : "i", "choices":[ %b ,\n%b,%b ], "x": [1.0] } ' % (one, two, three)
    parsed = parse_response(body)
    completed = [_expected(json.loads(choice), 0) for choice in (one, two, three)]
    assert json.loads(parsed.body) == {"id": "i", "choices": completed, "x": [1.0]}
    assert parsed.body.startswith(b' {"id" : "i", "choices":[ {')
    assert parsed.body.endswith(b'} ], "x": [1.0] } ')
    assert parsed.finish_reasons == ("stop", "stop")


def _expected(choice: dict[str, Any], created: object) -> dict[str, Any]:
    message = choice["message"]
    added = {"contents": message.get("content"), "refusal": None, "annotations": [], "audio": None}
    return {
        "created": created,
        "logprobs": None,
        **choice,
        "message": added | {k: v for k, v in message.items() if (k, v) != ("annotations", None)},
    }


@st.composite
def completions(draw: st.DrawFn) -> str:
    """An answer with one choice, spelled in any way."""

    def spell(members: dict[str, str]) -> str:
        space = draw(spaces)
        pairs = [
            f"{draw(spelled(name))}{space}:{space}{value}"
            for name, value in draw(st.permutations(list(members.items())))
        ]
        return f"{{{space}{f'{space},{space}'.join(pairs)}{space}}}"

    some = st.dictionaries(
        st.sampled_from(["refusal", "audio", "logprobs", "x", "contents", "delta"]), values
    )
    message = spell({"content": draw(values), "role": '"assistant"', **draw(some)})
    twin = {"delta": message} if draw(st.booleans()) else {}
    choice = spell({**draw(some), **twin, "message": message, "index": "0"})
    return spell({"choices": f"[{choice}]", "created": "7", "x": draw(values)})


@pure
@given(completions())
def test_an_answer_means_the_same_in_any_spelling(body: str) -> None:
    parsed = parse_response(body.encode())
    document = json.loads(body)
    choices = [_expected(choice, 7) for choice in document["choices"]]
    assert json.loads(parsed.body) == {**document, "choices": choices}


LONG = b'"%b"' % (r"\"message\":{ é".encode() * 10_000)
TWIN = b'{"message":{"role":"x","content":"y"}}'


@pytest.mark.parametrize(
    ("head", "message", "tail"),
    [
        pytest.param(b"", b'"role":"assistant","content":%b', b"", id="mostly"),
        pytest.param(b"", b'"role":"assistant","content":%b,"audio":null', b"", id="not the last"),
        pytest.param(b"", b'"x":[{"content":"y"}],"role":"a","content":%b', b"", id="content in x"),
        pytest.param(b"", b'"role":"assistant","content" : %b', b"", id="white space"),
        pytest.param(b"", b'"role":"assistant","content":[%b,7]', b"", id="parts"),
        pytest.param(b"", b'"content":%b', b"", id="no role"),
        pytest.param(b"", b'"role":"assistant","x":%b', b"", id="no content"),
        pytest.param(b'"x":%b,' % TWIN, b'"role":"assistant","content":%b', b"", id="twin before"),
        pytest.param(b"", b'"role":"assistant","content":%b', b',"x":%b' % TWIN, id="twin behind"),
        pytest.param(
            b"", b'"role":"a","annotations":null,"content":%b', b"", id="annotations are null"
        ),
    ],
)
@pytest.mark.parametrize("key", [b'"message":', b'"message" : '])
def test_a_long_answer_is_completed(head: bytes, message: bytes, tail: bytes, key: bytes) -> None:
    choice = b"{%b%b{%b}%b}" % (head, key, message % LONG, tail)
    [completed] = json.loads(parse_response(answer(choice)).body)["choices"]
    assert completed == _expected(json.loads(choice), 7)


@pytest.mark.parametrize(
    ("members", "seen"),
    [
        pytest.param(b"", (None, None, ()), id="nothing"),
        pytest.param(b'"id":"i","model":"m",', ("i", "m", ()), id="id and model"),
        pytest.param(b'"id":null,"model":7,', (None, None, ()), id="no strings"),
        pytest.param(b'"id":"","model":"",', (None, None, ()), id="empty strings"),
        pytest.param(b'"i\\u0064":"\\u0069",', ("i", None, ()), id="escapes"),
    ],
)
def test_what_the_record_takes(members: bytes, seen: tuple[object, ...]) -> None:
    parsed = parse_response(answer(b'{"message":{},"finish_reason":null}', members))
    assert (parsed.response_id, parsed.response_model, parsed.finish_reasons) == seen


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (b"", None),
        (b'"usage":null,', None),
        (b'"usage":"much",', None),
        (b'"usage":{"prompt_tokens":"many"},', None),
        (b'"usage":{},', Usage()),
        (
            b'"usage":{"prompt_tokens":5,"completion_tokens":3},',
            Usage(input_tokens=5, output_tokens=3),
        ),
    ],
)
def test_usage_is_counted_where_there_is_one(usage: bytes, counted: Usage | None) -> None:
    assert parse_response(answer(b'{"message":{}}', usage)).usage == counted


def test_output_is_estimated_from_its_size() -> None:
    short, long = (
        parse_response(answer(b'{"message":{"content":"%b"}}' % (b"x" * size))) for size in (0, 400)
    )
    assert short.estimated_output_tokens < 60
    assert long.estimated_output_tokens - short.estimated_output_tokens in (100, 200)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>\r\n502 Bad Gateway</html>", id="HTML"),
        pytest.param(b'{"choices":[{"message":{"content":"a"}}]', id="cut short"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"choices"', id="string"),
        pytest.param(b"{}", id="no choices"),
        pytest.param(b'{"choices":null}', id="choices are null"),
        pytest.param(b'{"choices":{}}', id="choices are an object"),
        pytest.param(b'{"choices":["a"]}', id="a choice is a string"),
        pytest.param(b'{"choices":[{}]}', id="no message"),
        pytest.param(b'{"choices":[{"message":null}]}', id="message is null"),
        pytest.param(b'{"choices":[{"message":"a"}]}', id="message is a string"),
        pytest.param(b'{"choices":[{"text":"a"}]}', id="a legacy completion"),
        pytest.param(b'{"choices":[]}', id="no choice"),
        pytest.param(b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="nested deeply"),
        pytest.param(b'{"error":null}', id="no error either"),
    ],
)
def test_what_is_no_completion_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        parse_response(body)
    error = caught.value
    assert (error.status, error.type, error.code) == (502, "api_error", "upstream_error")
    assert error.message == "The provider's answer is not a chat completion."


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        pytest.param(
            b'{"error":{"message":"no","code":"content_filter","status":400}}',
            400,
            "content_filter",
            "no",
            id="Azure",
        ),
        pytest.param(
            b'{"error":{"message":"busy","code":502}}',
            502,
            "upstream_error",
            "The provider failed (502): busy",
            id="OpenRouter",
        ),
        pytest.param(
            b'{"error":{"message":"busy","code":429},"choices":[]}',
            429,
            "429",
            "busy",
            id="no choices beside it",
        ),
        pytest.param(
            b'{"error":{"message":"busy","code":429},"choices":null}',
            429,
            "429",
            "busy",
            id="null beside it",
        ),
        pytest.param(
            b'{"choices":[{"error":{"message":"busy","code":429},"message":{"content":""}}]}',
            429,
            "429",
            "busy",
            id="in a choice",
        ),
        pytest.param(
            b'{"choices":[{"message":{}},{"error":{"message":"x","code":502},"message":{}}]}',
            502,
            "upstream_error",
            "The provider failed (502): x",
            id="in the second choice",
        ),
    ],
)
def test_an_error_under_status_200_is_one(
    body: bytes, status: int, code: str, message: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_response(body)
    error = caught.value
    assert (error.status, error.code, error.message) == (status, code, message)
    assert isinstance(error, ProviderRefusedError if status < 500 else UpstreamError)


@pytest.mark.parametrize("body", [b'"error":null,', b'"error":{"message":"once"},'])
def test_an_error_beside_an_answer_stays_there(body: bytes) -> None:
    parsed = parse_response(answer(b'{"message":{"content":"a"},"error":null}', body))
    assert parsed.body.startswith(b"{" + body)
