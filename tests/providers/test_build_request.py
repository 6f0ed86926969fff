"""The body that a provider gets: the caller's, but for the few members that must change."""

from __future__ import annotations

import json

import pytest

from waystone_asgi.providers import PRESETS
from waystone_asgi.providers.openai import build_request
from waystone_asgi.wire.requests import decode_chat_request

MODEL = b'"model":"x/gpt"'
SENT = b'"model":"gpt"'
MESSAGES = b'"messages":[{"role":"user","content":"hello"}]'
STREAM = b'"stream":true'
ASKED = b'"stream_options":{"include_usage":true}'
CLAIM = rb'"{\"user\": \"ann\"}"'


def build(body: bytes, type: str = "openai") -> tuple[bytes, tuple[str, ...]]:
    sent, dropped = build_request(decode_chat_request(body), "gpt", PRESETS[type])
    return bytes(sent), dropped


def members(*parts: bytes) -> bytes:
    return b"{" + b",".join(parts) + b"}"


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        pytest.param(members(MODEL, MESSAGES), members(SENT, MESSAGES), id="compact"),
        pytest.param(members(MESSAGES, MODEL), members(MESSAGES, SENT), id="the model last"),
        pytest.param(
            b' {\n\t"model" :\r\n "x/gpt" , "messages": [ {"role" : "user","content":"a"} ]\n} ',
            b' {\n\t"model" :\r\n "gpt" , "messages": [ {"role" : "user","content":"a"} ]\n} ',
            id="white space",
        ),
        pytest.param(
            rb'{"\u006dodel":"x\/gpt","messages":[{"role":"user","content":"\u0041\/\ud83d\ude00"}]}',
            rb'{"\u006dodel":"gpt","messages":[{"role":"user","content":"\u0041\/\ud83d\ude00"}]}',
            id="escapes",
        ),
        pytest.param(
            members(MODEL, MESSAGES, b'"temperature":1.0,"seed":-0,"top_p":1E0,"x":1e-7,"y":1.50'),
            members(SENT, MESSAGES, b'"temperature":1.0,"seed":-0,"top_p":1E0,"x":1e-7,"y":1.50'),
            id="number forms",
        ),
        pytest.param(
            members(MODEL, MESSAGES, b'"big":123456789012345678901234567890'),
            members(SENT, MESSAGES, b'"big":123456789012345678901234567890'),
            id="a number beyond 64 bits",
        ),
        pytest.param(
            members(MODEL, MESSAGES, b'"unknown":{"a":[null,{}]}', b'"user":"u-1"'),
            members(SENT, MESSAGES, b'"unknown":{"a":[null,{}]}', b'"user":"u-1"'),
            id="fields that are not ours",
        ),
        pytest.param(
            members(MODEL, MESSAGES, b'"stream":false', b'"stream_options":null'),
            members(SENT, MESSAGES, b'"stream":false', b'"stream_options":null'),
            id="no stream",
        ),
        pytest.param(
            '{"model":"x/gpt","messages":[{"role":"user","content":"é\u2028"}]}'.encode(),
            '{"model":"gpt","messages":[{"role":"user","content":"é\u2028"}]}'.encode(),
            id="not ASCII",
        ),
    ],
)
def test_every_byte_is_kept_but_the_model(body: bytes, sent: bytes) -> None:
    assert build(body) == (sent, ())


def test_the_model_is_what_the_provider_calls_it() -> None:
    request = decode_chat_request(members(MODEL, MESSAGES))
    body, _ = build_request(request, 'a "quoted" é', PRESETS["openai"])
    assert json.loads(bytes(body))["model"] == 'a "quoted" é'


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        pytest.param(b"", b"", id="none"),
        pytest.param(b'"metadata":null', b'"metadata":null', id="null"),
        pytest.param(b'"metadata":{}', b'"metadata":{}', id="empty"),
        pytest.param(b'"metadata":{"trace":"1"}', b'"metadata":{"trace":"1"}', id="not ours"),
        pytest.param(b'"metadata":{"waystone":%b}' % CLAIM, b"", id="ours alone"),
        pytest.param(
            b'"metadata":{"a":"1","waystone":%b,"b":"2"}' % CLAIM,
            b'"metadata":{"a":"1","b":"2"}',
            id="ours between others",
        ),
        pytest.param(
            b'"metadata":{"waystone":%b,"b":"2"}' % CLAIM, b'"metadata":{"b":"2"}', id="ours first"
        ),
        pytest.param(
            b'"metadata":{ "a" : "\\u0031", "w\\u0061ystone" : %b }' % CLAIM,
            b'"metadata":{ "a" : "\\u0031" }',
            id="ours in escapes",
        ),
    ],
)
@pytest.mark.parametrize("type", ["openai", "azure", "openrouter"])
def test_our_part_of_the_metadata_is_never_sent(given: bytes, sent: bytes, type: str) -> None:
    body, dropped = build(members(*filter(None, (MODEL, MESSAGES, given))), type)
    assert body == members(*filter(None, (SENT, MESSAGES, sent)))
    assert dropped == ()


@pytest.mark.parametrize(
    ("type", "given", "dropped"),
    [
        pytest.param("openai", b'"store":true', None, id="store, to OpenAI"),
        pytest.param("openai", b'"store":false', None, id="store false, to OpenAI"),
        pytest.param("groq", b'"store":true', ("store",), id="store"),
        pytest.param("azure", b'"store":true', ("store",), id="store, to Azure"),
        pytest.param("groq", b'"store":false', (), id="store false"),
        pytest.param("groq", b'"store":null', (), id="store null"),
        pytest.param("groq", b'"metadata":{"a":"1"}', ("metadata",), id="metadata"),
        pytest.param("groq", b'"metadata":{}', (), id="metadata empty"),
        pytest.param("groq", b'"metadata":null', (), id="metadata null"),
        pytest.param("groq", b'"metadata":{"waystone":"{}"}', (), id="metadata that is ours"),
        pytest.param(
            "groq",
            b'"metadata":{"waystone":"{}","a":"1"}',
            ("metadata",),
            id="metadata and ours",
        ),
        pytest.param("groq", b'"user":"u"', None, id="user"),
        pytest.param("mistral", b'"user":"u"', ("user",), id="user, to Mistral"),
        pytest.param("mistral", b'"logit_bias":{"1":2}', ("logit_bias",), id="a bias"),
        pytest.param("mistral", b'"logit_bias":{}', (), id="no bias"),
        pytest.param(
            "mistral",
            b'"user":"u","logit_bias":{"1":2},"store":true,"verbosity":"low"',
            ("user", "logit_bias", "store", "verbosity"),
            id="several, in the order of the request",
        ),
    ],
)
def test_what_a_provider_refuses_is_left_out_and_named(
    type: str, given: bytes, dropped: tuple[str, ...] | None
) -> None:
    body = build(members(MODEL, given, MESSAGES), type)
    if dropped is None:
        assert body == (members(SENT, given, MESSAGES), ())
    else:
        assert body == (members(SENT, MESSAGES), dropped)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        pytest.param(b"", ASKED, id="none"),
        pytest.param(b'"stream_options":null', ASKED, id="null"),
        pytest.param(b'"stream_options":{}', ASKED, id="empty"),
        pytest.param(ASKED, ASKED, id="asked already"),
        pytest.param(
            b'"stream_options": {"include_usage" : true}',
            b'"stream_options": {"include_usage" : true}',
            id="asked already, in its own spelling",
        ),
        pytest.param(b'"stream_options":{"include_usage":false}', ASKED, id="not wanted"),
        pytest.param(b'"stream_options":{"include_usage":null}', ASKED, id="null inside"),
        pytest.param(
            b'"stream_options":{ "include_obfuscation": false }',
            b'"stream_options":{ "include_obfuscation": false,"include_usage":true }',
            id="other options",
        ),
        pytest.param(
            b'"stream_options":{"include_usage": false, "x": 1.0}',
            b'"stream_options":{"include_usage": true, "x": 1.0}',
            id="other options beside it",
        ),
    ],
)
def test_streams_are_asked_for_usage(given: bytes, sent: bytes) -> None:
    body, dropped = build(members(*filter(None, (MODEL, MESSAGES, STREAM, given))))
    assert json.loads(body) == json.loads(members(SENT, MESSAGES, STREAM, sent))
    assert b" ".join(sent.split()) in b" ".join(body.split())
    assert dropped == ()


@pytest.mark.parametrize("given", [b"", ASKED, b'"stream_options":{"include_usage":false}'])
def test_mistral_tells_usage_unasked_and_takes_no_option(given: bytes) -> None:
    body = build(members(*filter(None, (MODEL, MESSAGES, STREAM, given))), "mistral")
    assert body == (members(SENT, MESSAGES, STREAM), ())


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b'"max_completion_tokens":128', b'"max_completion_tokens":128'),
        (b'"max_completion_tokens":128.0', b'"max_completion_tokens":128'),
        (b'"max_completion_tokens": 1.28e2', b'"max_completion_tokens": 128'),
        (b'"max_completion_tokens":null', b'"max_completion_tokens":null'),
        (b'"n":2', b'"n":2'),
        (b'"n":2.0', b'"n":2'),
        (b'"n":2.000', b'"n":2'),
        (b'"max_tokens":128.0', b'"max_tokens":128.0'),
    ],
)
def test_whole_numbers_are_sent_as_such(given: bytes, sent: bytes) -> None:
    assert build(members(MODEL, given, MESSAGES)) == (members(SENT, sent, MESSAGES), ())


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b'["a"]', b'[{"type":"text","text":"a"}]'),
        (rb'["\u0061\n", "\ud83d\ude00"]', None),
        (
            b'["a",{"type":"text", "text":"b"},"c"]',
            b'[{"type":"text","text":"a"},{"type":"text", "text":"b"},{"type":"text","text":"c"}]',
        ),
        (b'[{"type":"text", "text":"b"}]', b'[{"type":"text", "text":"b"}]'),
        (b"[]", b"[]"),
        (b'"a"', b'"a"'),
    ],
)
@pytest.mark.parametrize("role", ["developer", "system", "user", "assistant", "function", "tool"])
def test_strings_in_content_become_text_parts(given: bytes, sent: bytes | None, role: str) -> None:
    if sent is None:
        parts = [b'{"type":"text","text":%b}' % part for part in given[1:-1].split(b", ")]
        sent = b"[" + b",".join(parts) + b"]"
    rest = b'"role":"%b", "tool_call_id" : "c", "x":1.0' % role.encode()
    other = b'{"role":"user","content":"hello"}'
    body = b'{"model":"x/gpt","messages":[%b,{%b,"content":%b}]}' % (other, rest, given)
    expected = b'{"model":"gpt","messages":[%b,{%b,"content":%b}]}' % (other, rest, sent)
    assert build(body) == (expected, ())


def test_a_message_without_content_is_left_as_it_is() -> None:
    call = b'{"role":"assistant","tool_calls":[{"id":"c"}]}'
    strings = b'{"role":"user","content":["a"]}'
    body, _ = build(b'{"model":"x/gpt","messages":[%b,%b]}' % (call, strings))
    assert call in body
    assert json.loads(body)["messages"][1]["content"] == [{"type": "text", "text": "a"}]


OURS = b'"metadata":{"waystone":%b}' % CLAIM
TWIN = b'"response_format":{"model":"x/gpt",%b}' % OURS
TOOLS = b'"tools":[{"messages":[],"model":"x/gpt"}]'
PLAIN_STREAM = b'"stream":true'


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        pytest.param((MODEL, MESSAGES, OURS), (SENT, MESSAGES), id="mostly"),
        pytest.param((MESSAGES, MODEL, OURS), (MESSAGES, SENT), id="the messages first"),
        pytest.param((OURS, MODEL, MESSAGES), (SENT, MESSAGES), id="the metadata first"),
        pytest.param((MODEL, OURS, MESSAGES), (SENT, MESSAGES), id="the metadata between"),
        pytest.param((TWIN, MODEL, MESSAGES, OURS), (TWIN, SENT, MESSAGES), id="a twin before"),
        pytest.param((MODEL, OURS, MESSAGES, TWIN), (SENT, MESSAGES, TWIN), id="a twin behind"),
        pytest.param((MODEL, MESSAGES, OURS, TWIN), (SENT, MESSAGES, TWIN), id="a twin last"),
        pytest.param((TOOLS, MESSAGES, MODEL, OURS), (TOOLS, MESSAGES, SENT), id="in the tools"),
        pytest.param(
            (b'"user":"{\\"model\\":"', MESSAGES, OURS, MODEL),
            (b'"user":"{\\"model\\":"', MESSAGES, SENT),
            id="in a string",
        ),
        pytest.param(
            (MODEL, MESSAGES, OURS, PLAIN_STREAM),
            (SENT, MESSAGES, PLAIN_STREAM, ASKED),
            id="a stream",
        ),
    ],
)
@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize(
    ("comma", "colon"),
    [(b",", b":"), (b", ", b": "), (b" , ", b" : "), (b",\n", b": ")],
    ids=["compact", "spaced", "wide", "in lines"],
)
def test_only_what_must_change_is_changed_however_it_is_written(
    given: tuple[bytes, ...], sent: tuple[bytes, ...], long: bool, comma: bytes, colon: bytes
) -> None:
    def written(parts: tuple[bytes, ...]) -> bytes:
        spaced = (part.replace(b'":', b'"' + colon).replace(b',"', comma + b'"') for part in parts)
        body = b"{" + comma.join(spaced) + b"}"
        return body.replace(b"hello", b"hello, " * (10_000 if long else 1))

    body, dropped = build(written(given))
    asked = comma + ASKED.replace(b'":', b'"' + colon)
    assert body == written(sent).replace(asked, b"," + ASKED)
    assert dropped == ()


def test_a_stream_in_a_body_that_ends_in_a_line() -> None:
    body, _ = build(members(MODEL, MESSAGES, PLAIN_STREAM) + b"\n")
    assert body == members(SENT, MESSAGES, PLAIN_STREAM, ASKED) + b"\n"


@pytest.mark.parametrize("type", PRESETS)
def test_what_is_refused_is_refused_in_every_spelling(type: str) -> None:
    given = b'"metadata":{"a":"1"},"store":true,"user":"u","logit_bias":{"1":2},"stream":true'
    plain = members(MODEL, MESSAGES, given)
    spelled = plain.replace(b'"user"', b'"us\\u0065r"')
    (body, dropped), (other, again) = build(plain, type), build(spelled, type)
    assert (json.loads(body), dropped) == (json.loads(other), again)
    assert (
        json.loads(body).keys()
        == {
            *("model", "messages", "metadata", "store", "user", "logit_bias", "stream"),
            *(["stream_options"] if PRESETS[type].asks_for_usage else []),
        }
        - PRESETS[type].refuses
    )
