"""What is sent of the messages: the system prompt, turns, parts, calls and reasoning."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any

import pytest

from waystone_asgi.exceptions import InvalidRequestError
from waystone_asgi.providers.anthropic import VERTEX_DIALECT
from waystone_asgi.providers.dialects import Target

from .oracle import accept
from .written import HELLO, MODEL, built, request

JSON = dict[str, Any]

NEWEST = "claude-opus-4-8"
CACHE = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TOOLS = [{"type": "function", "function": {"name": "look"}}]
PNG = "data:image/png;base64,AAAA"


def text(said: str, **members: Any) -> JSON:
    return {"type": "text", "text": said, **members}


def system(said: Any, **members: Any) -> JSON:
    return {"role": "system", "content": said, **members}


def user(said: Any, **members: Any) -> JSON:
    return {"role": "user", "content": said, **members}


def assistant(said: Any, **members: Any) -> JSON:
    return {"role": "assistant", "content": said, **members}


def call(id: str, arguments: str = "{}", name: str = "look") -> JSON:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def use(id: str, name: str = "look", **members: Any) -> JSON:
    return {"type": "tool_use", "id": id, "name": name, "input": {}, **members}


def result(id: str, said: Any, **members: Any) -> JSON:
    return {"role": "tool", "tool_call_id": id, "content": said, **members}


def came(id: str, **members: Any) -> JSON:
    return {"type": "tool_result", "tool_use_id": id, **members}


def sent(*messages: JSON, to: str = MODEL) -> tuple[Any, list[JSON], tuple[str, ...]]:
    """The system prompt, the turns, and what was left out."""
    written = built(*messages, to=to, tools=TOOLS)
    document = json.loads(bytes(written.body))
    accept(document)
    return document.get("system"), document["messages"], written.dropped


def data(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode()}"


def base64(media_type: str, written: str = "AAAA") -> JSON:
    return {"type": "base64", "media_type": media_type, "data": written}


def image(url: str, **members: Any) -> JSON:
    return {"type": "image_url", "image_url": {"url": url, **members}}


def file(**members: Any) -> JSON:
    return {"type": "file", "file": members}


@pytest.mark.parametrize(
    ("messages", "prompt", "turns"),
    [
        ([system("s"), HELLO], "s", [HELLO]),
        ([{"role": "developer", "content": "d"}, HELLO], "d", [HELLO]),
        ([system(""), HELLO], None, [HELLO]),
        ([system([text("s", cache_control=CACHE)]), HELLO], [text("s", cache_control=CACHE)], None),
        ([system("s", cache_control=CACHE), HELLO], [text("s", cache_control=CACHE)], None),
        ([system("s"), system([text("t")]), HELLO], [text("s"), text("t")], None),
        ([user("a"), user("b")], None, [user([text("a"), text("b")])]),
        ([user(["a", text("")]), user("")], None, [user([text("a")])]),
        ([HELLO, assistant("a"), assistant("b")], None, [HELLO, assistant([text("a"), text("b")])]),
        ([HELLO, assistant("a", refusal=None)], None, [HELLO, assistant("a")]),
        # All that is blank is refused; beside other text it is as it was.
        ([user(" \n"), system("\t"), HELLO, assistant(" ")], None, [HELLO]),
        ([user([" ", "a", text(""), "\n"])], None, [user([text(" "), text("a"), text("\n")])]),
        (
            [HELLO, assistant("\n\n", tool_calls=[call("a")]), result("a", " ")],
            None,
            [HELLO, assistant([use("a")]), user([came("a")])],
        ),
        ([user("a", cache_control=CACHE)], None, [user([text("a", cache_control=CACHE)])]),
        ([HELLO, user("", cache_control=CACHE)], None, [HELLO]),
        (
            [HELLO, assistant("", refusal="No.")],
            None,
            [HELLO, assistant([text("No.")])],
        ),
        (
            [HELLO, assistant([{"type": "refusal", "refusal": "No."}])],
            None,
            [HELLO, assistant([text("No.")])],
        ),
    ],
)
def test_turns(messages: list[JSON], prompt: Any, turns: list[JSON] | None) -> None:
    assert sent(*messages) == (prompt, turns or [HELLO], ())


@pytest.mark.parametrize(
    ("model", "messages", "prompt", "turns", "dropped"),
    [
        # Behind the user's turn, wherever beside it they were.
        (
            NEWEST,
            [system("s"), HELLO, system("t"), system("u")],
            "s",
            [HELLO, system([text("t"), text("u")])],
            (),
        ),
        (
            NEWEST,
            [HELLO, assistant("a"), system("t"), user("b"), assistant("c")],
            None,
            [HELLO, assistant("a"), user("b"), system([text("t")]), assistant("c")],
            (),
        ),
        # Behind an answer there is no place.
        (
            NEWEST,
            [HELLO, assistant("a"), system("t")],
            [text("t")],
            [HELLO, assistant("a")],
            ("messages[].role",),
        ),
        (
            MODEL,
            [system("s"), HELLO, system([text("t")]), assistant("a")],
            [text("s"), text("t")],
            [HELLO, assistant("a")],
            ("messages[].role",),
        ),
        # An empty answer is none.
        (
            NEWEST,
            [HELLO, system("t"), assistant(""), user("b")],
            None,
            [user([text("Hello"), text("b")]), system([text("t")])],
            (),
        ),
    ],
)
def test_system_messages_in_the_middle(
    model: str, messages: list[JSON], prompt: Any, turns: list[JSON], dropped: tuple[str, ...]
) -> None:
    assert sent(*messages, to=model) == (prompt, turns, dropped)


@pytest.mark.parametrize(
    ("messages", "turns"),
    [
        (
            [
                assistant(None, tool_calls=[call("a", '{"x": 1.0}'), call("b", "")]),
                result("b", "two", is_error=True),
                result("a", [text("one")], cache_control=CACHE),
                user("And?"),
            ],
            [
                assistant([use("a", input={"x": 1.0}), use("b")]),
                user(
                    [
                        came("b", content="two", is_error=True),
                        came("a", content=[text("one")], cache_control=CACHE),
                        text("And?"),
                    ]
                ),
            ],
        ),
        # A result takes the mark of what is in it, or else the message's.
        (
            [
                assistant(None, tool_calls=[call("a"), call("b")]),
                result("a", [text("one", cache_control=CACHE), "two"]),
                result("b", [text("one", cache_control=CACHE)], cache_control=HOUR),
            ],
            [
                assistant([use("a"), use("b")]),
                user(
                    [
                        came("a", content=[text("one"), text("two")], cache_control=CACHE),
                        came("b", content=[text("one")], cache_control=HOUR),
                    ]
                ),
            ],
        ),
        (
            [assistant("Let me look.", tool_calls=[call("a")], cache_control=CACHE)],
            [assistant([text("Let me look."), use("a", cache_control=CACHE)])],
        ),
        (
            [assistant("a"), assistant(None, tool_calls=[call("b")]), result("b", "")],
            [assistant([text("a"), use("b")]), user([came("b")])],
        ),
        (
            [
                assistant(None, function_call={"name": "look", "arguments": "{}"}),
                {"role": "function", "name": "look", "content": "seen"},
            ],
            [assistant([use("look")]), user([came("look", content="seen")])],
        ),
    ],
)
def test_calls_and_results(messages: list[JSON], turns: list[JSON]) -> None:
    assert sent(HELLO, *messages) == (None, [HELLO, *turns], ())


def ids(*messages: JSON) -> tuple[list[str], list[str]]:
    """Those of the calls that are sent, and of what they came to."""
    _, turns, _ = sent(HELLO, *messages)
    blocks = [block for turn in turns[1:] for block in turn["content"]]
    uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
    return uses, [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]


def test_ids_that_the_provider_would_refuse_are_made_anew() -> None:
    strange = ["functions.look:0", "a b/é", ""]
    uses, results = ids(
        assistant(None, tool_calls=[call(id) for id in strange]),
        *[result(id, "seen") for id in reversed(strange)],
    )
    assert uses == [*reversed(results)]
    assert len(set(uses)) == 3
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", id) for id in uses)


def test_ids_that_stand_twice_are_numbered() -> None:
    """The provider refuses those, also in different turns; some others count anew in each."""
    again = [assistant(None, tool_calls=[call("call_0")]), result("call_0", "seen")]
    twice = assistant(None, tool_calls=[call("call_0"), call("call_0"), call("x" * 64)])
    uses, results = ids(
        *again, *again, twice, *[result("call_0", "seen")] * 2, result("x" * 64, "seen")
    )
    assert uses == results == ["call_0", "call_0_2", "call_0_3", "call_0_4", "x" * 64]


def test_functions_of_old_have_ids_of_their_own() -> None:
    again = [
        assistant(None, function_call={"name": "look", "arguments": "{}"}),
        {"role": "function", "name": "look", "content": "seen"},
    ]
    assert ids(*again, *again) == (["look", "look_2"],) * 2


def detail(kind: str, **members: Any) -> JSON:
    return {"type": kind, "format": "anthropic-claude-v1", "index": 0, **members}


THOUGHT = detail("reasoning.text", text="Hm.", signature="sig")
HIDDEN = detail("reasoning.encrypted", data="secret")


@pytest.mark.parametrize(
    ("members", "blocks", "dropped"),
    [
        (
            {"reasoning_content": "Hm.", "reasoning_details": [THOUGHT, HIDDEN]},
            [
                {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
                {"type": "redacted_thinking", "data": "secret"},
            ],
            (),
        ),
        (
            {"reasoning_details": [{"type": "reasoning.text", "signature": "sig"}]},
            [{"type": "thinking", "thinking": "", "signature": "sig"}],
            (),
        ),
        (
            {"reasoning_details": [THOUGHT | {"format": "google-gemini-v1"}, HIDDEN]},
            [{"type": "redacted_thinking", "data": "secret"}],
            ("messages[].reasoning_details",),
        ),
        (
            {"reasoning": "Hm.", "reasoning_details": [THOUGHT | {"signature": None}]},
            None,
            ("messages[].reasoning_details", "messages[].reasoning_content"),
        ),
        (
            {"reasoning_details": [detail("reasoning.summary", summary="Hm.")]},
            None,
            ("messages[].reasoning_details",),
        ),
        ({"reasoning_content": "Hm."}, None, ("messages[].reasoning_content",)),
        ({"audio": {"id": "a"}}, None, ("messages[].audio",)),
        # Pictures that another provider made come back with its answer.
        ({"images": [image(PNG)]}, None, ("messages[].images",)),
        ({"images": []}, None, ()),
        ({"name": "Bob"}, None, ("messages[].name",)),
        (
            {"extra_content": {"google": {"thought_signature": "s"}}},
            None,
            ("messages[].extra_content",),
        ),
        (
            {"content": [text("So.") | {"prompt_cache_breakpoint": {"mode": "explicit"}}]},
            [],
            ("messages[].content[].prompt_cache_breakpoint",),
        ),
        ({"extra_content": {"anthropic": {"stop_sequence": "s"}}}, None, ()),
    ],
)
def test_reasoning(members: JSON, blocks: list[JSON] | None, dropped: tuple[str, ...]) -> None:
    _, turns, left = sent(HELLO, assistant("So.") | members)
    said = "So." if blocks is None else [*blocks, text("So.")]
    assert (turns[1], left) == (assistant(said), dropped)


def test_reasoning_takes_no_cache_control() -> None:
    _, turns, dropped = sent(
        HELLO, assistant("", reasoning_details=[HIDDEN], cache_control=CACHE), user("Go on.")
    )
    assert turns[1] == assistant([{"type": "redacted_thinking", "data": "secret"}])
    assert dropped == ("messages[].cache_control",)


SEARCHED: list[JSON] = [
    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
    text("It "),
    text("is.", citations=[]),
    use("a"),
]


def test_a_mark_on_nothing_is_named() -> None:
    _, turns, dropped = sent(user(["a", text("", cache_control=CACHE)]))
    assert (turns, dropped) == ([user([text("a")])], ("messages[].content[].cache_control",))


def carried(blocks: Any) -> JSON:
    return {"anthropic": {"content": blocks}}


@pytest.mark.parametrize("said", ["It is.", ["It ", text("is.")]])
def test_blocks_that_an_answer_carries(said: Any) -> None:
    extra = carried(SEARCHED)
    again = assistant(said, tool_calls=[call("a")], extra_content=extra)
    _, turns, dropped = sent(HELLO, again, result("a", "seen"))
    assert turns == [HELLO, assistant(SEARCHED), user([came("a", content="seen")])]
    assert dropped == ()


def test_blank_texts_among_the_blocks_of_an_answer_are_left_out() -> None:
    blocks = [text("\n"), {"type": "thinking", "thinking": "", "signature": "s"}, use("a")]
    again = assistant("\n", tool_calls=[call("a")], extra_content=carried(blocks))
    _, turns, dropped = sent(HELLO, again)
    assert (turns[1], dropped) == (assistant(blocks[1:]), ())


@pytest.mark.parametrize("arguments", ["", " {}", '{"cut": '])
def test_calls_are_what_they_were_however_they_are_written(arguments: str) -> None:
    """Arguments that the bound has cut are an empty input in the block."""
    again = assistant("It is.", tool_calls=[call("a", arguments)], extra_content=carried(SEARCHED))
    _, turns, dropped = sent(HELLO, again)
    assert (turns[1], dropped) == (assistant(SEARCHED), ())


@pytest.mark.parametrize(
    "changed",
    [
        {"content": "It was."},
        {"tool_calls": [call("b")]},
        {"tool_calls": [call("a", name="find")]},
        {"tool_calls": [call("a", '{"x":1}')]},
        {"tool_calls": None},
    ],
)
def test_blocks_of_an_answer_that_was_changed_since(changed: JSON) -> None:
    message = assistant("It is.", tool_calls=[call("a")], extra_content=carried(SEARCHED))
    _, turns, dropped = sent(HELLO, message | changed)
    assert {block["type"] for block in turns[1]["content"] if isinstance(block, dict)} <= {
        "text",
        "tool_use",
    }
    assert dropped == ("messages[].extra_content",)


@pytest.mark.parametrize(
    ("part", "block", "dropped"),
    [
        (image(PNG), {"type": "image", "source": base64("image/png")}, ()),
        (
            image("https://a.example/b.png") | {"cache_control": CACHE},
            {
                "type": "image",
                "source": {"type": "url", "url": "https://a.example/b.png"},
                "cache_control": CACHE,
            },
            (),
        ),
        (
            image("DATA:image/JPG;charset=x; BASE64,AAAA"),
            {"type": "image", "source": base64("image/jpeg")},
            (),
        ),
        (
            image("data:application/pdf;base64,AAAA") | {"cache_control": CACHE},
            {"type": "document", "source": base64("application/pdf"), "cache_control": CACHE},
            (),
        ),
        (image(PNG, detail="auto"), {"type": "image", "source": base64("image/png")}, ()),
        (
            image(PNG, detail="low"),
            {"type": "image", "source": base64("image/png")},
            ("messages[].content[].image_url.detail",),
        ),
        (
            file(file_data="data:application/pdf;base64,AAAA", filename="a.pdf"),
            {"type": "document", "source": base64("application/pdf"), "title": "a.pdf"},
            (),
        ),
        (file(file_data="AAAA"), {"type": "document", "source": base64("application/pdf")}, ()),
        (
            file(file_data="AAAA", filename="a.JPG"),
            {"type": "image", "source": base64("image/jpeg")},
            (),
        ),
        (
            file(file_data=data("text/markdown", "# ä".encode()))
            | {"citations": {"enabled": True}},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "# ä"},
                "citations": {"enabled": True},
            },
            (),
        ),
        (
            file(file_data="https://a.example/a.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://a.example/a.pdf"}},
            (),
        ),
        (
            file(file_id="file_1"),
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            (),
        ),
        (
            file(file_id="file_1", filename="a.webp"),
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            (),
        ),
    ],
)
def test_parts(part: JSON, block: JSON, dropped: tuple[str, ...]) -> None:
    assert sent(user([part])) == (None, [user([block])], dropped)


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ([system("s")], "messages"),
        ([user("")], "messages"),
        ([system([image(PNG)]), HELLO], "messages[0].content"),
        ([user(["a", {"type": "smell"}])], "messages[0].content[1].type"),
        (
            [user([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}])],
            "messages[0].content[0].type",
        ),
        ([user([{"type": "image_url"}])], "messages[0].content[0].image_url"),
        ([user([{"type": "file"}])], "messages[0].content[0].file"),
        ([user([file(filename="a.pdf")])], "messages[0].content[0].file"),
        ([user([image("file:///etc/passwd")])], "messages[0].content[0].image_url.url"),
        ([user([image("data:image/png,raw")])], "messages[0].content[0].image_url.url"),
        ([user([image("data:;base64,AAAA")])], "messages[0].content[0].image_url.url"),
        (
            [user([file(file_data="data:text/plain;base64,?")])],
            "messages[0].content[0].file.file_data",
        ),
        (
            [user([file(file_data=data("text/plain", b"\xff"))])],
            "messages[0].content[0].file.file_data",
        ),
        ([user([image(5)])], "messages[0].content[0].image_url.url"),  # type: ignore[arg-type]
        (
            [HELLO, assistant(None, tool_calls=[call("a", "{")])],
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            [HELLO, assistant(None, tool_calls=[call("a"), call("b", "[]")])],
            "messages[1].tool_calls[1].function.arguments",
        ),
        (
            [HELLO, assistant(None, tool_calls=[{"id": "a", "type": "custom"}])],
            "messages[1].tool_calls[0].type",
        ),
        (
            [HELLO, assistant(None, function_call={"name": "look", "arguments": "x"})],
            "messages[1].function_call.arguments",
        ),
        ([HELLO, result("a", "seen")], "messages[1].tool_call_id"),
        (
            [HELLO, assistant(None, tool_calls=[call("a")]), user("x"), result("b", "seen")],
            "messages[3].tool_call_id",
        ),
        (
            [
                HELLO,
                assistant(None, tool_calls=[call("a")]),
                result("a", "seen"),
                assistant("So."),
                result("a", "seen"),
            ],
            "messages[4].tool_call_id",
        ),
        ([{"role": "function", "content": "seen"}], "messages[0].tool_call_id"),
        (
            [HELLO, assistant("a", extra_content=carried("b"))],
            "messages[1].extra_content.anthropic",
        ),
    ],
)
def test_messages_that_are_refused(messages: list[JSON], where: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        built(*messages)
    assert refused.value.param == where
    assert refused.value.status == 400


URL = "https://a.example/b"


@pytest.mark.parametrize(
    ("part", "where"),
    [
        (image(URL), "image_url.url"),
        (file(file_data=URL), "file.file_data"),
        (file(file_id="file_1"), "file.file_id"),
    ],
)
def test_vertex_takes_bytes_only(part: JSON, where: str) -> None:
    target = Target(model=MODEL)
    with pytest.raises(InvalidRequestError, match="fetches nothing; send the bytes") as refused:
        VERTEX_DIALECT.build_request(request(HELLO, user(["a", part])), target)
    assert refused.value.param == f"messages[1].content[1].{where}"
    whole = [image(PNG), file(file_data="data:application/pdf;base64,AAAA")]
    assert not VERTEX_DIALECT.build_request(request(user(whole)), target).dropped


def test_arguments_that_are_no_text() -> None:
    """JSON may have half of a character that takes two."""
    with pytest.raises(InvalidRequestError):
        built(HELLO, assistant(None, tool_calls=[call("a", '{"a": "\ud800"}')]))
