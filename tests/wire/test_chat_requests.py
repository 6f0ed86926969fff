"""Every rule of the contract's third section: what is taken, what is refused, and under which path.

A refusal never says what the body said: each refused value here holds the canary.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.exceptions import InvalidRequestError
from waystone_asgi.wire.messages import check
from waystone_asgi.wire.plain import PLAIN
from waystone_asgi.wire.requests import ChatRequest, decode_chat_request, decode_document

from .documents import pure, spelled

CANARY = "canary-7d1f"
USER = {"role": "user", "content": "hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,x"}}


def body_of(**members: object) -> bytes:
    return json.dumps({"model": "openai/m", "messages": [USER]} | members).encode()


def decode(**members: object) -> ChatRequest:
    return decode_chat_request(body_of(**members))


def refuse(body: bytes) -> InvalidRequestError:
    """The refusal of a body, which is a 400 and repeats nothing of it."""
    with pytest.raises(InvalidRequestError) as caught:
        decode_chat_request(body)
    error = caught.value
    assert (error.status, error.type, error.code) == (400, "invalid_request_error", None)
    assert CANARY not in f"{error!r}{error}{error.message}{error.param}"
    assert error.__cause__ is None
    return error


ROLES = ("developer", "system", "user", "assistant", "function", "tool")
PARTS: list[object] = [[IMAGE], ["look", IMAGE], [{"type": "something_new", "x": 1}]]


def message(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content} | ({"tool_call_id": "c1"} if role == "tool" else {})


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "content", ["text", "", ["a", "b"], [{"type": "text", "text": "a"}], ["a"]]
)
def test_text_in_every_role(role: str, content: object) -> None:
    request = decode(messages=[message(role, content)])
    assert json.loads(bytes(request.members["messages"])) == [message(role, content)]


@pytest.mark.parametrize("role", ["developer", "system", "user", "assistant", "function"])
@pytest.mark.parametrize("content", PARTS)
def test_parts_in_every_role_but_tool(role: str, content: object) -> None:
    decode(messages=[message(role, content)])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "assistant", "content": "x", "tool_calls": None, "function_call": None},
        {"role": "user", "content": "x", "name": None},
        {"role": "user", "content": "x", "name": "ann"},
        {"role": "user", "content": "x", "something_new": {"a": 1}},
    ],
)
def test_messages_that_are_taken(message: dict[str, object]) -> None:
    decode(messages=[message])


BAD_MESSAGES: list[tuple[str, object]] = [
    ("messages[1]", CANARY),
    ("messages[1]", None),
    ("messages[1]", [CANARY]),
    ("messages[1].role", {"content": CANARY}),
    ("messages[1].role", {"role": CANARY, "content": "x"}),
    ("messages[1].role", {"role": f"x - at `$.{CANARY}`", "content": "x"}),
    ("messages[1].role", {"role": f"\n{CANARY}'\"`", "content": "x"}),
    ("messages[1].role", {"role": 5, "content": CANARY}),
    ("messages[1].role", {"role": None, "content": CANARY}),
    ("messages[1].role", {"role": "User", "content": CANARY}),
    ("messages[1].name", {"role": "user", "content": "x", "name": [CANARY]}),
    ("messages[1].content", {"role": "user", "name": CANARY}),
    ("messages[1].content", {"role": "assistant", "name": CANARY}),
    ("messages[1].content", {"role": "assistant", "content": None, "name": CANARY}),
    ("messages[1].content", {"role": "assistant", "content": None, "tool_calls": []}),
    ("messages[1].content", {"role": "assistant", "content": None, "function_call": None}),
    ("messages[1].tool_calls", {"role": "assistant", "content": None, "tool_calls": CANARY}),
    ("messages[1].tool_call_id", {"role": "tool", "content": CANARY}),
    ("messages[1].tool_call_id", {"role": "tool", "content": CANARY, "tool_call_id": None}),
    ("messages[1].tool_call_id", {"role": "tool", "content": CANARY, "tool_call_id": 5}),
    ("messages[1].content", {"role": "tool", "content": None, "tool_call_id": CANARY}),
    (
        "messages[1].content[0].type",
        {"role": "tool", "content": [IMAGE | {"type": CANARY}], "tool_call_id": "c1"},
    ),
    (
        "messages[1].content[1].type",
        {"role": "tool", "content": ["x", IMAGE], "tool_call_id": CANARY},
    ),
    (
        "messages[1].content[0].text",
        {"role": "tool", "content": [{"type": "text"}], "tool_call_id": CANARY},
    ),
    *(
        ("messages[1].content", message(role, content))
        for role in ("developer", "system", "user", "function")
        for content in (None, 5, True, {"type": CANARY})
    ),
    *(
        (path, message(role, content))
        for role in ("developer", "system", "user", "assistant", "function")
        for path, content in [
            ("messages[1].content[0]", [5]),
            ("messages[1].content[1]", ["x", None]),
            ("messages[1].content[0]", [[CANARY]]),
            ("messages[1].content[0].type", [{"text": CANARY}]),
            ("messages[1].content[0].type", [{"type": 5, "text": CANARY}]),
            ("messages[1].content[1].type", ["x", {"type": None}]),
        ]
    ),
]


@pytest.mark.parametrize(("param", "message"), BAD_MESSAGES)
def test_messages_that_are_refused(param: str, message: object) -> None:
    error = refuse(body_of(messages=[USER, message]))
    assert error.param == param
    assert error.message.startswith(f"{param}: ")


def test_a_wrong_role_is_told_the_right_ones() -> None:
    error = refuse(body_of(messages=[message(CANARY, "x")]))
    assert all(role in error.message for role in ROLES)


GOOD: list[dict[str, Any]] = [
    *({"temperature": value} for value in (0, 2, 0.0, 2.0, 1e0, None)),
    *({"frequency_penalty": value} for value in (-2, 2, 0, -0.5, None)),
    *({"max_completion_tokens": value} for value in (1, 128, 128.0, None)),
    *({"n": value} for value in (1, 4, 4.0, None)),
    *({"stream": value} for value in (True, False, None)),
    *({"store": value} for value in (True, False, None)),
    *({"user": value} for value in ("ann", "", None)),
    *({"metadata": value} for value in ({}, {"a": "b"}, {"waystone": "not read here"}, None)),
    *({"stream_options": value} for value in ({}, {"include_usage": True}, {"x": 1}, None)),
    {"anything": {"else": [1, None, "x"]}},
    {"model": "m" * 1024},
]


@pytest.mark.parametrize("members", GOOD, ids=repr)
def test_members_that_are_taken(members: dict[str, Any]) -> None:
    request = decode(**members)
    for name, value in members.items():
        assert json.loads(bytes(request.members[name])) == value


BAD: list[tuple[str, dict[str, Any]]] = [
    *(("model", {"model": value}) for value in ("", None, 5, [CANARY], CANARY * 100)),
    *(("messages", {"messages": value}) for value in ([], None, CANARY, {"role": CANARY}, 5)),
    *(("temperature", {"temperature": value}) for value in (-0.1, 2.1, CANARY, True, [])),
    *(("frequency_penalty", {"frequency_penalty": v}) for v in (-2.1, 2.1, CANARY, False)),
    *(
        (name, {name: value})
        for name in ("max_completion_tokens", "n")
        for value in (0, -1, 0.5, 1.5, 0.0, CANARY, "1", True, [1], -(10**30))
    ),
    *(("stream", {"stream": value}) for value in (CANARY, 1, 0, "true", [])),
    *(("store", {"store": value}) for value in (CANARY, 1, 0)),
    *(("user", {"user": value}) for value in (5, [CANARY], {"id": CANARY})),
    *(("stream_options", {"stream_options": value}) for value in (CANARY, [], True)),
    ("stream_options.include_usage", {"stream_options": {"include_usage": CANARY}}),
    *(("metadata", {"metadata": value}) for value in (CANARY, [], 5)),
    *(("metadata", {"metadata": {CANARY: value}}) for value in (5, None, [CANARY], {"a": "b"})),
    *(("metadata.waystone", {"metadata": {"waystone": value}}) for value in (5, None, [CANARY])),
    ("metadata.waystone", {"metadata": {"a": "b", "waystone": {"user": CANARY}}}),
]


@pytest.mark.parametrize(("param", "members"), BAD)
def test_members_that_are_refused(param: str, members: dict[str, Any]) -> None:
    error = refuse(body_of(**members))
    assert error.param == param
    assert error.message.startswith(f"{param}: ")


@pytest.mark.parametrize("name", ["model", "messages"])
def test_members_that_are_required(name: str) -> None:
    body = {"model": CANARY, "messages": [USER]}
    del body[name]
    error = refuse(json.dumps(body).encode())
    assert (error.param, error.message) == (name, f"{name}: Required.")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no body"),
        (b" ", "not JSON"),
        (b"null", "JSON object"),
        (b"5", "JSON object"),
        (b'"canary-7d1f"', "JSON object"),
        (b'["canary-7d1f"]', "JSON object"),
        (b"canary-7d1f", "not JSON"),
        (b"model=canary-7d1f", "not JSON"),
        (b'{"model":"canary-7d1f"', "not JSON"),
        (b'{"model":"canary-7d1f', "not JSON"),
        (b'{"model":"canary-7d1f",}', "not JSON"),
        (b'{"model":"canary-7d1f"}}', "not JSON"),
        (b'{"model":"canary-7d1f"} {}', "not JSON"),
        (b"{'model':'canary-7d1f'}", "not JSON"),
        (b'\xef\xbb\xbf{"model":"canary-7d1f"}', "not JSON"),
        ('{"model":"canary-7d1f"}'.encode("utf-16"), "not JSON"),
        (b'{"model":"canary-7d1f\x00"}', "not JSON"),
        (b'{"model":"canary-7d1f\\x"}', "not JSON"),
        (b'{"model":01}', "not JSON"),
    ],
)
def test_what_is_not_a_json_object(body: bytes, words: str) -> None:
    error = refuse(body)
    assert words in error.message
    assert error.param is None


PLACES = [
    '"temperature":%s',
    '"something_new":%s',
    '"something_new":{"a":[%s]}',
    '"tools":[{"x":%s}]',
    '"metadata":{"waystone":%s}',
]
WRONG = [
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1" * 5000, b"1" * 400 + b"e4000"),
    *(b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\u0061"', b'"\\udc00\\ud800"', b'{"\\ud800":1}'),
    *(b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"', b'"\xe2\x82"', b'{"\xff":1}', b'"\xf5"'),
    *(b"[" * 200_000 + b"]" * 200_000, b"[" * 200_000, b'{"a":' * 200_000),
    *(b'{"a":[' * 100_000 + b"1" + b"]}" * 100_000,),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong[:16]))
def test_what_is_no_value_of_json_is_found_wherever_it_stands(place: str, wrong: bytes) -> None:
    member = place.encode().replace(b"%s", wrong)
    refuse(b'{"model":"canary-7d1f","messages":[{"role":"user","content":"x"}],%b}' % member)
    refuse(b'{"model":"m","messages":[{"role":"user","content":"canary-7d1f",%b}]}' % member)


@pytest.mark.parametrize("number", ["1" * 400, "9" * 4300])
def test_whole_numbers_beyond_all_bounds(number: str) -> None:
    assert refuse(body_of()[:-1] + b',"n":%b}' % number.encode()).param == "n"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_every_depth_is_taken_or_refused(opening: str, closing: str) -> None:
    """Where the stack ends depends on the caller's, so no depth may be a surprise."""
    for depth in range(1, sys.getrecursionlimit(), 7):
        value = opening * depth + "1" + closing * depth
        for body in (
            '{"model":"m","messages":[{"role":"user","content":["x"],"q":%s}]}',
            '{"model":"m","messages":[{"role":"user","content":[{"type":"t","q":%s}]}]}',
            '{"model":"m","m\\u0065ssages":[{"r\\u006fle":"user","content":"x"}],"q":%s}',
        ):
            try:
                decode_chat_request((body % value).encode())
            except InvalidRequestError as error:
                assert "too deep" in error.message  # noqa: PT017


DUPLICATES = [
    (None, '{"model":"m","model":"m","messages":[%s]}'),
    (None, '{"model":"m","messages":[%s],"messages":[%s]}'),
    (None, '{"model":"m","messages":[%s],"mod\\u0065l":"n"}'),
    (None, '{"model":"m","messages":[%s],"x":1,"x":1}'),
    (None, '{ "x": 1, "model": "m", "messages": [%s], "x": 1 }'),
    ("messages[0]", '{"model":"m","messages":[{"role":"user","role":"system","content":"x"}]}'),
    ("messages[0]", '{"model":"m","messages":[{"role":"user","content":"x","content":"y"}]}'),
    (
        "messages[0]",
        '{"model":"m","messages":[{"role":"user","content":"x","name":"a","name":"b"}]}',
    ),
    ("messages[0]", '{"model":"m","messages":[{"role":"user","content":"x","r\\u006fle":"user"}]}'),
    ("messages[0]", '{"model":"m","messages":[{"role":"user","content":"x","z":1,"z":1}]}'),
    (
        "messages[1]",
        '{"model":"m","messages":[%s,{"role":"assistant","content":"a","content":"b"},'
        '{"role":"assistant","tool_calls":[1]}]}',
    ),
    (
        "messages[0]",
        '{"model":"m","messages":[{"role":"tool","tool_call_id":"a","content":"x",'
        '"tool_call_id":"b"},{"role":"user","content":"tool_call_id"}]}',
    ),
    ("metadata", '{"model":"m","messages":[%s],"metadata":{"a":"1","a":"1"}}'),
    ("metadata", '{"model":"m","messages":[%s],"metadata":{"waystone":"{}","waystone":"{}"}}'),
    ("metadata", '{"model":"m","messages":[%s],"metadata":{"a":"1","\\u0061":"2"}}'),
    (
        "stream_options",
        '{"model":"m","messages":[%s],"stream_options":{"include_usage":true,"include_usage":null}}',
    ),
]


@pytest.mark.parametrize("size", [1, 100_000], ids=["small", "large"])
@pytest.mark.parametrize(("param", "body"), DUPLICATES)
def test_a_key_that_stands_twice(param: str | None, body: str, size: int) -> None:
    message = json.dumps({"role": "user", "content": CANARY * size, "name": "x"})
    error = refuse(body.replace("%s", message).encode())
    assert error.param == param
    assert "more than once" in error.message


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": '"role" "content" {"role":"user","content":"x"}'}],
        [{"role": "user", "content": "role"}, {"role": "user", "content": "content"}],
        [{"content": "a", "role": "user"}, {"role": "assistant", "tool_calls": [CALL, CALL]}],
        [{"role": "user", "content": [{"type": "x", "role": "a", "content": "b", "name": "c"}]}],
        [{"role": "user", "content": "é\u0000\u2028"}],
        [{"role": "user", "content": "x", "name": "role", '"': 1, "content ": 2}],
    ],
)
def test_keys_that_only_look_as_if_they_stood_twice(messages: list[object]) -> None:
    for separators in [(",", ":"), (" , ", " : ")]:
        body = {"model": "m", "messages": messages}
        decode_chat_request(json.dumps(body, separators=separators).encode())


KEYS = ["role", "content", "name", "tool_calls", "refusal", "annotations", "z", "", '"role"']


@st.composite
def message_texts(draw: st.DrawFn) -> str:
    """A message in which keys may stand twice, and which talks of keys."""
    keys = draw(st.permutations(["role", "content", *draw(st.lists(st.sampled_from(KEYS)))]))
    texts = [json.dumps(text) for text in ("x", "role", '"role"', "content", '"name":', "\0")]
    members = [
        f"{draw(spelled(key))}:{draw(VALUES.get(key, st.sampled_from(texts)))}" for key in keys
    ]
    return "{" + ",".join(members) + "}"


VALUES = {"role": st.just('"user"'), "tool_calls": st.just('["role"]')}


@pure
@given(st.lists(message_texts(), min_size=1, max_size=3))
def test_keys_are_told_apart_however_they_are_written(messages: list[str]) -> None:
    unique = True

    def look(pairs: list[tuple[str, object]]) -> None:
        nonlocal unique
        unique = unique and len(pairs) == len({key for key, _ in pairs})

    document = f"[{','.join(messages)}]"
    json.loads(document, object_pairs_hook=look)
    body = f'{{"model":"m","messages":{document}}}'.encode()
    if unique:
        decode_chat_request(body)
    else:
        assert "more than once" in refuse(body).message


@pytest.mark.parametrize("name", ["max_completion_tokens", "n"])
@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("128.0", b"128"),
        ("1.28e2", b"128"),
        ("1E2", b"100"),
        ("1e21", b"1000000000000000000000"),
        ("128", None),
        ("9007199254740993", None),
    ],
)
def test_whole_numbers_are_sent_in_digits(name: str, written: str, sent: bytes | None) -> None:
    body = body_of()[:-1] + f', "{name}": {written}}}'.encode()
    request = decode_chat_request(body)
    assert request.respelled == ({} if sent is None else {name: sent})
    assert request.document is body


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        (
            '[{"role":"user","content":["a","b"]}]',
            '[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]',
        ),
        (
            '[ {"role": "user" , "content" : [ "a\\n" , {"type":"x", "y" : 1.0} ] , "z":1e0} , '
            '{"role":"user","content":"b"},{"role":"assistant","tool_calls":[ 1 ]} ]',
            '[{"role": "user" , "content" : [{"type":"text","text":"a\\n"},{"type":"x", "y" : 1.0}]'
            ' , "z":1e0},{"role":"user","content":"b"},{"role":"assistant","tool_calls":[ 1 ]}]',
        ),
        ('[{"role":"user","content":[{"type":"text","text":"a"}]}]', None),
        ('[{"role":"user","content":[]}]', None),
    ],
)
def test_strings_in_arrays_become_text_parts(messages: str, sent: str | None) -> None:
    request = decode_chat_request(f'{{"model":"m","messages":{messages}}}'.encode())
    assert request.respelled == ({} if sent is None else {"messages": sent.encode()})


def test_a_document_is_looked_at_to_its_end() -> None:
    assert decode_document(b'{"a":[1,"x"]}') == {"a": [1, "x"]}


def test_nothing_shows_what_was_said() -> None:
    content = [CANARY, {"type": "text", "text": CANARY}]
    messages = [
        {"role": "user", "content": content, "name": CANARY},
        {"role": "tool", "content": content, "tool_call_id": CANARY},
    ]
    request = decode(messages=messages)
    checked = check({"model": "m", "messages": messages})
    plain = PLAIN.decode(body_of(messages=messages))
    spoken = (*checked.messages, checked.messages[1].content[1], *plain.messages)
    for value in (request, request.view, checked, plain, *spoken):
        assert CANARY not in repr(value)
        assert CANARY not in repr(getattr(value, "__rich_repr__", list)())
