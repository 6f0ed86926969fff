"""Messages, parts and calls on their way to Bedrock."""

from __future__ import annotations

from typing import Any

import pytest

from waystone_asgi.exceptions import InvalidRequestError

from .asking import CLAUDE, NOVA, ask, build

PNG = "iVBORw0KGgo="
POINT = {"cachePoint": {"type": "default"}}
MARK = {"cache_control": {"type": "ephemeral"}}


def text(said: str) -> dict[str, str]:
    return {"text": said}


def user(content: Any, **members: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **members}


def call(id: str = "call_1", arguments: str = '{"a":1}', name: str = "look") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def called(*calls: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **members}


def result(content: Any, id: str = "call_1", **members: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content, **members}


@pytest.mark.parametrize(
    ("messages", "system", "turns"),
    [
        ([user("Hi")], None, [("user", [text("Hi")])]),
        (
            [
                {"role": "system", "content": "A"},
                {"role": "developer", "content": ["B", {"type": "text", "text": "C"}]},
                user("Hi"),
                {"role": "system", "content": "D"},
            ],
            [text("A"), text("B"), text("C"), text("D")],
            [("user", [text("Hi")])],
        ),
        (
            [user("A"), user("B"), {"role": "assistant", "content": "C"}, user(["D", "E"])],
            None,
            [
                ("user", [text("A"), text("B")]),
                ("assistant", [text("C")]),
                ("user", [text("D"), text("E")]),
            ],
        ),
        (
            [user(" \n"), user("A"), {"role": "assistant", "content": ""}, user("B")],
            None,
            [("user", [text("A"), text("B")])],
        ),
        (
            [
                user("A"),
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]},
                user("B"),
                {"role": "assistant", "content": "", "refusal": "Never"},
                user("C"),
            ],
            None,
            [
                ("user", [text("A")]),
                ("assistant", [text("No")]),
                ("user", [text("B")]),
                ("assistant", [text("Never")]),
                ("user", [text("C")]),
            ],
        ),
    ],
    ids=["one", "system", "joined", "blank", "refusals"],
)
def test_turns_alternate(messages: Any, system: Any, turns: Any) -> None:
    body, dropped = ask(messages)
    assert body.get("system") == system
    assert [(turn["role"], turn["content"]) for turn in body["messages"]] == turns
    assert not dropped


def test_what_is_marked_is_followed_by_a_cache_point() -> None:
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    long = {"cachePoint": {"type": "default", "ttl": "1h"}}
    tool = {"type": "function", "function": {"name": "look"}, **hour}
    body, dropped = ask(
        [
            {"role": "system", "content": [{"type": "text", "text": "A", **MARK}, "B"]},
            user([{"type": "text", "text": "C", **hour}, {"type": "text", "text": "D"}], **MARK),
            called(call(), **MARK),
            result([{"type": "text", "text": "E", **MARK}], **hour),
            {"role": "assistant", "content": "F", "cache_control": {"ttl": "2h"}},
            user("G"),
        ],
        tools=[tool],
    )
    assert body["system"] == [text("A"), POINT, text("B")]
    first, second, third, fourth, _ = (turn["content"] for turn in body["messages"])
    assert first == [text("C"), long, text("D"), POINT]
    assert second[1:] == [POINT]
    assert third[1:] == [POINT, long]
    assert fourth == [text("F"), POINT]
    assert body["toolConfig"]["tools"][1:] == [long]
    assert not dropped


def media(kind: str, format: str, **source: Any) -> dict[str, Any]:
    return {kind: {"format": format, "source": source}}


def document(format: str, name: str, **source: Any) -> dict[str, Any]:
    return {"document": {"format": format, "source": source, "name": name}}


def image_url(url: str, **members: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **members}}


def file(**members: Any) -> dict[str, Any]:
    return {"type": "file", "file": members}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (image_url(f"data:image/png;base64,{PNG}"), media("image", "png", bytes=PNG)),
        (image_url(f"DATA:image/JPG;charset=x;BASE64,{PNG}"), media("image", "jpeg", bytes=PNG)),
        (image_url(f"data:image/webp;base64,{PNG}"), media("image", "webp", bytes=PNG)),
        (image_url(f"data:image/gif;base64,{PNG}"), media("image", "gif", bytes=PNG)),
        (image_url("data:image/png,%00%01"), media("image", "png", bytes="AAE=")),
        (
            image_url("s3://bucket/a/b.JPG"),
            media("image", "jpeg", s3Location={"uri": "s3://bucket/a/b.JPG"}),
        ),
        (
            {"type": "video_url", "video_url": {"url": "s3://bucket/a.3gp"}},
            media("video", "three_gp", s3Location={"uri": "s3://bucket/a.3gp"}),
        ),
        (
            {"type": "video_url", "video_url": {"url": "data:video/quicktime;base64,AAA="}},
            media("video", "mov", bytes="AAA="),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAA=", "format": "mp3"}},
            media("audio", "mp3", bytes="AAA="),
        ),
        (
            file(file_data="data:application/pdf;base64,AAA=", filename="A_b.c.pdf"),
            document("pdf", "A-b-c", bytes="AAA="),
        ),
        (file(file_data="data:text/plain,Hi"), document("txt", "document", bytes="SGk=")),
        (file(file_data="AAA=", filename="t.MD"), document("md", "t", bytes="AAA=")),
        (
            file(file_data="data:application/octet-stream;base64,AAA=", filename="t.docx"),
            document("docx", "t", bytes="AAA="),
        ),
        (
            file(
                file_data="data:application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
                ";base64,AAA=",
                filename="[1]  (2)",
            ),
            document("xlsx", "[1] (2)", bytes="AAA="),
        ),
        (
            file(file_id="s3://bucket/d/report%201.pdf"),
            document("pdf", "report-201", s3Location={"uri": "s3://bucket/d/report%201.pdf"}),
        ),
        (
            file(file_id="s3://bucket/x.html", filename="ignored name.htm"),
            document("html", "ignored name", s3Location={"uri": "s3://bucket/x.html"}),
        ),
        (
            file(file_data="data:audio/mpeg;base64,AAA=", filename="a.mp3"),
            media("audio", "mp3", bytes="AAA="),
        ),
        (
            {
                **file(file_data="data:text/csv,a", filename="é" * 300),
                "citations": {"enabled": True},
            },
            {
                "document": {
                    **document("csv", "document", bytes="YQ==")["document"],
                    "citations": {"enabled": True},
                }
            },
        ),
        (
            file(file_data="data:text/csv,a", filename="n" * 300),
            document("csv", "n" * 200, bytes="YQ=="),
        ),
        (
            {
                "type": "guardContent",
                "guardContent": {"text": {"text": "A", "qualifiers": ["query"]}},
            },
            {"guardContent": {"text": {"text": "A", "qualifiers": ["query"]}}},
        ),
        (
            {
                "type": "searchResult",
                "searchResult": {"source": "s", "title": "t", "content": [{"text": "c"}]},
            },
            {"searchResult": {"source": "s", "title": "t", "content": [{"text": "c"}]}},
        ),
        (
            {
                "type": "document",
                "document": {"format": "txt", "name": "n", "source": {"text": "A"}},
            },
            {"document": {"format": "txt", "name": "n", "source": {"text": "A"}}},
        ),
        ({"type": "cachePoint", "cachePoint": {"type": "default"}}, POINT),
    ],
    ids=lambda value: "",
)
def test_parts_become_blocks(part: dict[str, Any], block: dict[str, Any]) -> None:
    body, dropped = ask([user(["A"]), {"role": "assistant", "content": "B"}, user([part, "C"])])
    assert body["messages"][2]["content"] == [block, text("C")]
    assert not dropped


def test_documents_have_names_of_their_own() -> None:
    same = file(file_data="data:text/plain,Hi", filename="x.txt")
    long = file(file_data="data:text/plain,Hi", filename="y" * 300)
    body, _ = ask(
        [user([same, same, long, "A"]), user([same, long, image_url("data:image/png,A")])]
    )
    blocks = body["messages"][0]["content"]
    names = [block["document"]["name"] for block in blocks if "document" in block]
    assert names == ["x", "x (2)", "y" * 200, "x (3)", "y" * 190 + " (2)"]


def test_documents_may_be_named_as_if_they_were_numbered() -> None:
    names = ["x (2)", "x", "x", "x", "x (2)"]
    files = [file(file_data="data:text/plain,Hi", filename=f"{name}.txt") for name in names]
    body, _ = ask([user([*files, "A"])])
    written = [block["document"]["name"] for block in body["messages"][0]["content"][:-1]]
    assert written == ["x (2)", "x", "x (3)", "x (4)", "x (2) (2)"]


def test_documents_of_bedrocks_own_form_pass_as_they_are() -> None:
    own = {"format": "txt", "name": "n_1", "source": {"text": "A"}, "context": "C"}
    parts = [
        {"type": "document", "document": own},
        {"type": "document", "document": own | {"name": "m"}},
    ]
    body, _ = ask([user([*parts, "A"])])
    assert body["messages"][0]["content"][0] == {"document": own}


@pytest.mark.parametrize(
    ("part", "where", "says"),
    [
        (image_url("https://example.com/a.png"), "image_url.url", "fetches no URLs"),
        (image_url("http://example.com/a.png"), "image_url.url", "send the bytes"),
        (image_url("gs://bucket/a.png"), "image_url.url", "fetches no URLs"),
        (image_url("s3://bucket/a.bmp"), "image_url.url", "no format"),
        (image_url("data:image/bmp;base64,AAA="), "image_url.url", "no format"),
        (image_url("data:image/png;base64"), "image_url.url", "no data: URL"),
        (image_url("data:image/png;base64,"), "image_url.url", "no data: URL"),
        ({"type": "image_url"}, "image_url", "is missing"),
        ({"type": "video_url"}, "video_url", "is missing"),
        ({"type": "input_audio"}, "input_audio", "is missing"),
        ({"type": "file"}, "file", "needs file_data"),
        (file(filename="a.pdf"), "file", "needs file_data"),
        (file(file_id="file-123", filename="a.pdf"), "file.file_id", "fetches no URLs"),
        (file(file_data="AAA=", filename="a.exe"), "file.file_data", "no format"),
        (file(file_data="AAA="), "file.file_data", "no format"),
        ({"type": "guardContent"}, "guardContent", "expected an object"),
        ({"type": "video", "video": "x"}, "video", "expected an object"),
        ({"type": "hologram"}, "type", "'hologram' is no type"),
        ({"type": ""}, "type", "'' is no type"),
    ],
)
def test_parts_that_bedrock_has_not_are_refused(
    part: dict[str, Any], where: str, says: str
) -> None:
    with pytest.raises(InvalidRequestError, match=says) as caught:
        build({"messages": [user("A"), user(["B", part])]})
    assert caught.value.param == f"messages[1].content[1].{where}"
    assert caught.value.message.startswith(f"{caught.value.param}: ")


def test_calls_and_their_results_go_back() -> None:
    body, dropped = ask(
        [
            user("A"),
            called(call("call_1"), call("call_2", "", "find"), content="Let me look."),
            result("B"),
            result(["C", {"type": "text", "text": "D"}], "call_2", is_error=True),
            user("E"),
            called(call("call_3", ' { "n" : 1.50, "big": 12345678901234567890 } ')),
            result("", "call_3"),
        ]
    )
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                text("Let me look."),
                {"toolUse": {"toolUseId": "call_1", "name": "look", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "call_2", "name": "find", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "call_1", "content": [text("B")]}},
                {
                    "toolResult": {
                        "toolUseId": "call_2",
                        "content": [text("C"), text("D")],
                        "status": "error",
                    }
                },
                text("E"),
            ],
        },
        {
            "role": "assistant",
            "content": [
                {
                    "toolUse": {
                        "toolUseId": "call_3",
                        "name": "look",
                        "input": {"n": 1.5, "big": 12345678901234567890},
                    }
                }
            ],
        },
        {"role": "user", "content": [{"toolResult": {"toolUseId": "call_3", "content": []}}]},
    ]
    assert not dropped


def test_arguments_keep_every_byte() -> None:
    arguments = '{ "n" : 1.50, "e": 1e3, "s": "\\u00e9" }'
    built = build({"messages": [user("A"), called(call("c", arguments)), result("B", "c")]})
    assert arguments.encode() in bytes(built.body)


def test_ids_that_bedrock_could_not_take_are_made_anew_on_both_sides() -> None:
    long, strange = "x" * 65, "a b/é"
    body, _ = ask(
        [user("A"), called(call(long), call(strange)), result("B", long), result("C", strange)]
    )
    uses = [block["toolUse"]["toolUseId"] for block in body["messages"][1]["content"]]
    results = [block["toolResult"]["toolUseId"] for block in body["messages"][2]["content"]]
    assert uses == results
    assert len(set(uses)) == 2


def test_ids_that_stand_twice_are_numbered() -> None:
    turn = [called(call("call_0")), result("B", "call_0")]
    body, _ = ask([user("A"), *turn, *turn, called(call("call_0"), call("call_0"))])
    uses = [
        block["toolUse"]["toolUseId"]
        for turn in body["messages"][1::2]
        for block in turn["content"]
    ]
    assert uses == ["call_0", "call_0_2", "call_0_3", "call_0_4"]
    results = [turn["content"][0]["toolResult"]["toolUseId"] for turn in body["messages"][2::2]]
    assert results == uses[:2]


def test_functions_of_old_are_calls_too() -> None:
    function = {"name": "look", "arguments": '{"a":1}'}
    body, dropped = ask(
        [
            user("A"),
            {"role": "assistant", "content": None, "function_call": function},
            {"role": "function", "name": "look", "content": "B"},
        ]
    )
    (use,) = body["messages"][1]["content"]
    (found,) = body["messages"][2]["content"]
    assert use["toolUse"]["input"] == {"a": 1}
    assert use["toolUse"]["toolUseId"] == found["toolResult"]["toolUseId"]
    assert not dropped


@pytest.mark.parametrize(
    ("extra", "block"),
    [
        (
            {"bedrock": {"toolResult": {"status": "success", "content": [{"json": {"a": [1]}}]}}},
            {"toolUseId": "call_1", "status": "success", "content": [{"json": {"a": [1]}}]},
        ),
        ({"bedrock": {"toolResult": 1}}, {"toolUseId": "call_1", "content": [text("B")]}),
        ({"google": {}}, {"toolUseId": "call_1", "content": [text("B")]}),
        ([], {"toolUseId": "call_1", "content": [text("B")]}),
        ("x", {"toolUseId": "call_1", "content": [text("B")]}),
    ],
)
def test_results_may_say_what_openai_has_no_word_for(extra: Any, block: dict[str, Any]) -> None:
    body, _ = ask([user("A"), called(call()), result("B", extra_content=extra)])
    assert body["messages"][2]["content"] == [{"toolResult": block}]


@pytest.mark.parametrize(
    ("messages", "where", "says"),
    [
        ([called(call(arguments="{"))], "[0].tool_calls[0].function.arguments", "a JSON object"),
        ([called(call(arguments="[1]"))], "[0].tool_calls[0].function.arguments", "a JSON object"),
        ([called(call(arguments="null"))], "[0].tool_calls[0].function.arguments", "JSON object"),
        (
            [called(call(), call(arguments='{"a":"\\ud800"}'))],
            "[0].tool_calls[1].function.arguments",
            "a JSON object",
        ),
        ([called(call(arguments="{" * 5000))], "[0].tool_calls[0].function.arguments", "JSON"),
        (
            [
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "f", "arguments": "x"},
                }
            ],
            "[0].function_call.arguments",
            "a JSON object",
        ),
        (
            [called({"id": "c", "type": "custom", "custom": {"name": "n", "input": "i"}})],
            "[0].tool_calls[0].type",
            "functions only",
        ),
        ([user("A"), result("B")], "[1].tool_call_id", "no such call"),
        ([result("B"), called(call())], "[0].tool_call_id", "no such call"),
        (
            [called(call()), result("B"), {"role": "assistant", "content": "C"}, result("D")],
            "[3].tool_call_id",
            "no such call",
        ),
        ([{"role": "system", "content": "A"}], "", "one of the user's"),
        ([user(" "), {"role": "assistant", "content": ""}], "", "one of the user's"),
        ([called(call()), result("B", "call_2")], "[1].tool_call_id", "no such call"),
        ([{"role": "function", "name": "f", "content": "B"}], "[0].tool_call_id", "no such call"),
        (
            [{"role": "system", "content": [image_url("data:image/png,A")]}, user("A")],
            "[0].content",
            "text only",
        ),
        ([user([{"type": "image_url", "image_url": {}}])], "[0].content[0].image_url", "url"),
    ],
    ids=lambda value: "",
)
def test_messages_that_cannot_be_said_are_refused(messages: Any, where: str, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says) as caught:
        build({"messages": messages})
    assert caught.value.param == f"messages{where}"


@pytest.mark.parametrize(
    ("message", "dropped"),
    [
        (user("A", name="Ann"), "messages[].name"),
        (user("A", extra_content={"google": {"x": 1}}), "messages[].extra_content"),
        ({"role": "system", "content": "A", "name": "Ann"}, "messages[].name"),
        (
            user([image_url("data:image/png,A", detail="high")]),
            "messages[].content[].image_url.detail",
        ),
        ({"role": "assistant", "content": "A", "audio": {"id": "a"}}, "messages[].audio"),
        (
            {"role": "assistant", "content": "A", "images": [image_url("data:image/png,A")]},
            "messages[].images",
        ),
        (
            {"role": "assistant", "content": "A", "reasoning_content": "r"},
            "messages[].reasoning_content",
        ),
        ({"role": "assistant", "content": "A", "reasoning": "r"}, "messages[].reasoning_content"),
    ],
)
def test_what_is_lost_inside_of_messages_is_named(message: dict[str, Any], dropped: str) -> None:
    assert ask([message, user("B")])[1] == (dropped,)
    with pytest.raises(InvalidRequestError) as caught:
        build({"messages": [message, user("B")]}, strict=True)
    assert caught.value.param == dropped


def test_a_detail_that_says_nothing_is_not_lost() -> None:
    assert not ask([user([image_url("data:image/png,A", detail="auto")])])[1]


SIGNED = {"type": "reasoning.text", "text": "r", "signature": "s"}
SEALED = {"type": "reasoning.encrypted", "data": "AAEC"}
OF_CLAUDE, OURS = "anthropic-claude-v1", "amazon-bedrock-v1"


def shown(signature: str = "s", said: str = "r") -> dict[str, Any]:
    return {"reasoningContent": {"reasoningText": {"text": said, "signature": signature}}}


def sealed(data: str) -> dict[str, Any]:
    return {"reasoningContent": {"redactedContent": data}}


@pytest.mark.parametrize(
    ("model", "details", "blocks", "dropped"),
    [
        (CLAUDE, [SIGNED | {"format": OF_CLAUDE, "index": 0}], [shown()], ()),
        (CLAUDE, [SIGNED], [shown()], ()),
        (CLAUDE, [{"type": "reasoning.text", "signature": "s"}], [shown(said="")], ()),
        (CLAUDE, [SIGNED, SEALED | {"format": OF_CLAUDE}], [shown(), sealed("QUFFQw==")], ()),
        (CLAUDE, [SEALED], [sealed("QUFFQw==")], ()),
        (CLAUDE, [SEALED | {"format": OURS}], [sealed("AAEC")], ()),
        (NOVA, [SIGNED | {"format": OURS}, SEALED], [shown(), sealed("AAEC")], ()),
        (NOVA, [SEALED | {"format": OF_CLAUDE}], [], ("messages[].reasoning_details",)),
        (NOVA, [SIGNED | {"format": OF_CLAUDE}], [], ("messages[].reasoning_details",)),
        (CLAUDE, [SIGNED | {"format": OURS}], [], ("messages[].reasoning_details",)),
        (CLAUDE, [{"type": "reasoning.text", "text": "r"}], [], ("messages[].reasoning_details",)),
        (CLAUDE, [{"type": "reasoning.encrypted"}], [], ("messages[].reasoning_details",)),
        (
            CLAUDE,
            [{"type": "reasoning.summary", "summary": "r"}],
            [],
            ("messages[].reasoning_details",),
        ),
        (CLAUDE, [], [], ()),
    ],
)
def test_reasoning_goes_back_where_it_can_be_read(
    model: str, details: list[Any], blocks: list[Any], dropped: tuple[str, ...]
) -> None:
    message = {"role": "assistant", "content": "B", "reasoning_details": details}
    body, lost = ask([user("A"), message, user("C")], model=model)
    assert body["messages"][1]["content"] == [*blocks, text("B")]
    assert lost == dropped


def test_reasoning_that_is_no_base64_is_refused() -> None:
    details = [SIGNED, SEALED | {"format": OURS, "data": "é!"}]
    with pytest.raises(InvalidRequestError, match="expected base64") as caught:
        build(
            {"messages": [{"role": "assistant", "content": "B", "reasoning_details": details}]},
        )
    assert caught.value.param == "messages[0].reasoning_details[1].data"
