"""A request that is read in one pass comes to what a closer look comes to, in every spelling."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.exceptions import InvalidRequestError
from waystone_asgi.providers import PRESETS
from waystone_asgi.providers.openai import build_request
from waystone_asgi.wire.plain import LONG
from waystone_asgi.wire.requests import ChatRequest, decode_chat_request

from .documents import pure

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PARTS: list[object] = [[{"type": "text", "text": "a"}], [{"type": "x", "y": {"model": "m"}}]]
MESSAGES: list[dict[str, Any]] = [
    *({"role": role, "content": "a"} for role in ("developer", "system", "user", "function")),
    {"content": "é\\n😀", "role": "user", "name": "ann"},
    {"role": "user", "content": "x", "name": None},
    {"role": "tool", "content": "a", "tool_call_id": "c1"},
    {"role": "tool", "content": [{"type": "text", "text": "a"}], "tool_call_id": "c1"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "tool_calls": [CALL], "refusal": None, "annotations": []},
    {"role": "assistant", "function_call": {"name": "f", "arguments": ""}},
    {"role": "assistant", "content": "a", "contents": "a", "audio": None, "tool_calls": None},
    *({"role": "user", "content": parts} for parts in PARTS),
]
ODD: list[dict[str, Any]] = [
    {"role": "user", "content": "x", "something_new": 1.5},
    {"role": "user", "content": ["a", {"type": "x"}]},
    {"role": "user", "content": "x", "tool_calls": 5, "tool_call_id": 5},
]
BAD: list[dict[str, Any]] = [
    {"role": "user"},
    {"role": "user", "content": None},
    {"role": "user", "content": 5},
    {"role": "user", "content": {"type": "text"}},
    {"role": "user", "content": [{"text": "a"}]},
    {"role": "user", "content": "x", "name": 5},
    {"role": "nobody", "content": "x"},
    {"content": "x"},
    {"role": "tool", "content": "a"},
    {"role": "tool", "content": "a", "tool_call_id": None},
    {"role": "tool", "content": None, "tool_call_id": "c1"},
    {"role": "tool", "content": [{"type": "x"}], "tool_call_id": "c1"},
    {"role": "assistant"},
    {"role": "assistant", "content": None, "tool_calls": [], "function_call": None},
    {"role": "assistant", "content": "a", "tool_calls": 5},
]
MEMBERS: list[tuple[str, Any]] = [
    *(("temperature", value) for value in (0, 2, 0.7, 1e-7, None)),
    *(("frequency_penalty", value) for value in (-2, 0.5)),
    *(("n", value) for value in (1, 2)),
    *(("max_completion_tokens", value) for value in (128, 1 << 60)),
    *(("stream", value) for value in (True, False, None)),
    *(("stream_options", value) for value in ({}, {"include_usage": True}, {"x": 1})),
    *(("metadata", value) for value in ({}, {"waystone": "{}"}, {"a": "b", "waystone": "{}"})),
    *(("store", value) for value in (True, False)),
    ("user", 'ann "model"'),
    ("top_p", 1.5),
    ("stop", ["a", "é"]),
    ("tools", [{"type": "function", "function": {"parameters": {"model": "m", "minimum": 0.5}}}]),
    ("response_format", {"metadata": {"waystone": "{}"}, "messages": []}),
    ("something_new", {"model": "m", "x": [1.5]}),
]
BAD_MEMBERS: list[tuple[str, Any]] = [
    *(("temperature", value) for value in (-0.1, 3, "0.5", True, [])),
    *(("frequency_penalty", value) for value in (-3, 2.5, {})),
    *(("n", value) for value in (0, -1, 1.5, "1", True)),
    *(("model", value) for value in ("", 5, None)),
    *(("messages", value) for value in ([], None, {})),
    ("metadata", {"a": 5}),
    ("metadata", {"waystone": None}),
    ("stream_options", {"include_usage": 1}),
    ("stream", 1),
    ("user", 5),
]
SPELLINGS: list[dict[str, Any]] = [
    {"separators": (",", ":"), "ensure_ascii": False},
    {"separators": (",", ":")},
    {"ensure_ascii": False},
    {},
    {"indent": 1},
]


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request's members in any order, mostly right."""
    messages = draw(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=4))
    messages += draw(st.lists(st.sampled_from(ODD), max_size=1))
    members: list[tuple[str, Any]] = draw(st.lists(st.sampled_from(MEMBERS), max_size=5))
    if draw(st.booleans()):
        wrong = st.sampled_from(BAD).map(lambda message: ("messages", [*messages, message]))
        members.append(draw(st.sampled_from(BAD_MEMBERS) | wrong))
    members = [("model", "openai/m"), ("messages", messages), *members]
    return dict(draw(st.permutations(list(dict(members).items()))))


def outcome(body: bytes) -> object:
    """What the gateway reads in a request and what providers get of it, or what it refuses."""
    try:
        request = decode_chat_request(body)
    except InvalidRequestError as error:
        return error.param, error.message
    view = request.view
    read = (view.model, view.stream, view.stream_options, view.metadata, view.n, view.user)
    return read, [_built(request, type) for type in ("openai", "groq", "mistral")]


def _built(request: ChatRequest, type: str) -> object:
    body, dropped = build_request(request, "m", PRESETS[type])
    return json.loads(bytes(body), object_pairs_hook=list), sorted(dropped)


def closely(members: dict[str, Any]) -> bytes:
    """The request with a key in a spelling that has it looked at closely."""
    placed = {"<>" if name == "model" else name: value for name, value in members.items()}
    return json.dumps(placed).replace('"<>"', '"mod\\u0065l"').encode()


@pure
@given(requests())
def test_a_request_means_the_same_in_every_spelling(members: dict[str, Any]) -> None:
    expected = outcome(closely(members))
    for spelling in SPELLINGS:
        assert outcome(json.dumps(members, **spelling).encode()) == expected


@pure
@given(requests(), st.integers(0, 4))
def test_a_long_request_means_the_same_in_every_spelling(
    members: dict[str, Any], place: int
) -> None:
    if members["messages"] and isinstance(members["messages"], list):
        messages = members["messages"].copy()
        messages.insert(place, {"role": "user", "content": '\n"model" ' * (LONG // 8)})
        members["messages"] = messages
    expected = outcome(closely(members))
    for spelling in SPELLINGS:
        assert outcome(json.dumps(members, **spelling).encode()) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b'[{"type":"x","y":1e400}]', id="a number beyond all bounds"),
    ],
)
def test_what_a_long_request_says_is_left_to_the_provider(text: bytes) -> None:
    """It reads every byte anyway; here they would only be looked at to be carried on."""
    body = b'{"model":"openai/m","messages":[{"role":"user","content":%b},%b]}'
    short, long = (body % (text, b'{"role":"user","content":"%b"}' % (b"x" * n)) for n in (1, LONG))
    with pytest.raises(InvalidRequestError):
        decode_chat_request(short)
    sent, _ = build_request(decode_chat_request(long), "m", PRESETS["openai"])
    assert bytes(sent) == long.replace(b"openai/m", b"m")


@pytest.mark.parametrize("wrong", [b'"\\ud800"', b'"\\x"', b'"\n"', b'"a', b'["a"', b"01", b"nul"])
def test_a_long_request_is_json_all_the_same(wrong: bytes) -> None:
    body = b'{"model":"openai/m","messages":[{"role":"user","content":"%b"}],"x":%b}'
    with pytest.raises(InvalidRequestError, match="not JSON"):
        decode_chat_request(body % (b"x" * LONG, wrong))
