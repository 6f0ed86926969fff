"""Messages as Gemini takes them: turns, instructions, parts, calls and their results."""

from __future__ import annotations

from typing import Any

import pytest

from .requests import build, contents, refused

SKIP = "skip_thought_signature_validator"


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def part(**members: Any) -> dict[str, Any]:
    (content,) = contents(user([members]))
    (found,) = content["parts"]
    translated: dict[str, Any] = found
    return translated


def call(id: str, name: str = "f", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
        **more,
    }


def calling(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(id: str, content: Any = "{}") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def test_instructions_stand_beside_the_contents() -> None:
    sent, dropped = build(
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": ["Be", "short."]},
            user("hello"),
        ]
    )
    assert sent == {
        "contents": [{"parts": [{"text": "hello"}], "role": "user"}],
        "systemInstruction": {"parts": [{"text": "Be kind."}, {"text": "Be"}, {"text": "short."}]},
    }
    assert dropped == ()


def test_instructions_alone_are_what_the_user_says() -> None:
    sent, _ = build(messages=[{"role": "system", "content": "Say hello."}])
    assert sent == {"contents": [{"parts": [{"text": "Say hello."}], "role": "user"}]}


def test_turns_of_one_role_are_one() -> None:
    assert contents(
        user("a"),
        user("b"),
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": "", "refusal": "d"},
        {"role": "assistant", "content": ""},
        user(""),
        user("e"),
    ) == [
        {"parts": [{"text": "a"}, {"text": "b"}], "role": "user"},
        {"parts": [{"text": "c"}, {"text": "d"}], "role": "model"},
        {"parts": [{"text": "e"}], "role": "user"},
    ]


PNG = "data:image/png;base64,AAAA"
PARTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "text", "text": "a"}, {"text": "a"}),
    ({"type": "refusal", "refusal": "no"}, {"text": "no"}),
    (
        {"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    ),
    (
        {"type": "image_url", "image_url": {"url": "DATA:text/plain;charset=utf-8,a%20b"}},
        {"inlineData": {"mimeType": "text/plain", "data": "YSBi"}},
    ),
    (
        {"type": "image_url", "image_url": {"url": "data:,a"}},
        {"inlineData": {"mimeType": "text/plain", "data": "YQ=="}},
    ),
    (
        {"type": "image_url", "image_url": {"url": "https://x.test/a.JPG?b=c"}},
        {"fileData": {"fileUri": "https://x.test/a.JPG?b=c", "mimeType": "image/jpeg"}},
    ),
    (
        {"type": "image_url", "image_url": {"url": "gs://bucket/a"}},
        {"fileData": {"fileUri": "gs://bucket/a"}},
    ),
    (
        {"type": "video_url", "video_url": {"url": "gs://bucket/a.mp4"}},
        {"fileData": {"fileUri": "gs://bucket/a.mp4", "mimeType": "video/mp4"}},
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
    ),
    (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
    ),
    (
        {"type": "file", "file": {"file_data": "AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
    ),
    (
        {"type": "file", "file": {"file_data": "AA+/", "filename": "a.CSV"}},
        {"inlineData": {"mimeType": "text/csv", "data": "AA+/"}},
    ),
    (
        {"type": "file", "file": {"file_data": "gs://bucket/a.pdf"}},
        {"fileData": {"fileUri": "gs://bucket/a.pdf", "mimeType": "application/pdf"}},
    ),
    (
        {"type": "file", "file": {"file_id": "https://x.test/v1beta/files/a", "filename": "a.pdf"}},
        {"fileData": {"fileUri": "https://x.test/v1beta/files/a", "mimeType": "application/pdf"}},
    ),
]


@pytest.mark.parametrize(("said", "sent"), PARTS)
def test_a_part(said: dict[str, Any], sent: dict[str, Any]) -> None:
    assert part(**said) == sent


CONTENT = "messages[0].content"
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "hologram"}, f"{CONTENT}[0].type", "no part of this type"),
    ({"type": "file"}, f"{CONTENT}[0].type", "no part of this type"),
    ({"type": "input_audio"}, f"{CONTENT}[0].type", "no part of this type"),
    ({"type": "image_url"}, f"{CONTENT}[0].image_url", "is missing"),
    (
        {"type": "image_url", "image_url": {"url": "http://x.test/a.png"}},
        f"{CONTENT}[0].image_url.url",
        "takes bytes",
    ),
    (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64"}},
        f"{CONTENT}[0].image_url.url",
        "has no data",
    ),
    ({"type": "file", "file": {}}, f"{CONTENT}[0].file", "neither file_data nor file_id"),
    (
        {"type": "file", "file": {"file_data": "http://x.test/a.pdf"}},
        f"{CONTENT}[0].file.file_data",
        "takes bytes",
    ),
    (
        {"type": "file", "file": {"file_id": "file-1"}},
        f"{CONTENT}[0].file.file_id",
        "takes bytes",
    ),
]


@pytest.mark.parametrize(("said", "param", "message"), REFUSED)
def test_a_part_that_cannot_be_said(said: dict[str, Any], param: str, message: str) -> None:
    error = refused(messages=[user([said])])
    assert error.param == param
    assert message in error.message


def test_a_text_that_says_nothing_is_left_out() -> None:
    nothing = {"type": "text", "text": ""}
    text = {"type": "text", "text": "a"}
    sent, dropped = build(
        messages=[
            {"role": "system", "content": [nothing]},
            user([nothing, text]),
            {"role": "assistant", "content": [nothing, text, nothing]},
            user([nothing]),
            user([text]),
        ]
    )
    assert sent == {
        "contents": [{"parts": [{"text": "a"}], "role": role} for role in ("user", "model", "user")]
    }
    assert dropped == ()


def test_instructions_are_text() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG}}
    error = refused(messages=[{"role": "system", "content": [image]}, user("a")])
    assert error.param == CONTENT


def test_what_is_lost_of_messages_is_named() -> None:
    text = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    image = {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}
    named = [
        {"type": "file", "file": {"file_data": PNG, "filename": "a.png"}},
        {"type": "file", "file": {"file_id": "gs://bucket/a.pdf", "filename": "a"}},
    ]
    assert {build(messages=[user([file])])[1] for file in named} == {
        ("messages[].content[].file.filename",)
    }
    messages = [
        {"role": "user", "name": "me", "content": [text, image]},
        {"role": "assistant", "content": "b", "audio": {"id": "c"}, "cache_control": {}},
    ]
    assert build(messages=messages)[1] == (
        "messages[].name",
        "messages[].content[].cache_control",
        "messages[].content[].image_url.detail",
        "messages[].cache_control",
        "messages[].audio",
    )
    assert refused(strict=True, messages=messages).param == "messages[].name"


def test_calls_and_their_results() -> None:
    assert contents(
        user("a"),
        calling(call("x", "f", '{"b": 1}'), call("call_gemini_1", "g", "")),
        result("call_gemini_1", "fine"),
        {**result("x", '{"c": 2}'), "name": "f"},
        user("d"),
    ) == [
        {"parts": [{"text": "a"}], "role": "user"},
        {
            "parts": [
                {"functionCall": {"name": "f", "args": {"b": 1}, "id": "x"}},
                {"functionCall": {"name": "g", "args": {}}},
            ],
            "role": "model",
        },
        {
            "parts": [
                {"functionResponse": {"name": "f", "response": {"c": 2}, "id": "x"}},
                {"functionResponse": {"name": "g", "response": {"output": "fine"}}},
            ],
            "role": "user",
        },
        {"parts": [{"text": "d"}], "role": "user"},
    ]


@pytest.mark.parametrize("text", ["", "[1]", "3", "null", "not JSON", "{"])
def test_a_result_that_is_no_object_is_an_output(text: str) -> None:
    *_, last = contents(user("a"), calling(call("x")), result("x", text))
    assert last["parts"][0]["functionResponse"]["response"] == {"output": text}


@pytest.mark.parametrize(("text", "error"), [("no", "no"), ('{"code": 1}', {"code": 1})])
def test_a_result_that_failed_is_an_error(text: str, error: object) -> None:
    *_, last = contents(user("a"), calling(call("x")), {**result("x", text), "is_error": True})
    assert last["parts"][0]["functionResponse"]["response"] == {"error": error}


def test_calls_as_they_were_made_before_tools() -> None:
    _, called, answered = contents(
        user("a"),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "b"},
    )
    assert called["parts"] == [{"functionCall": {"name": "f", "args": {}}}]
    response = {"name": "f", "response": {"output": "b"}}
    assert answered["parts"] == [{"functionResponse": response}]


BAD_CALLS: list[tuple[dict[str, Any], str]] = [
    (calling(call("x", arguments="{")), "messages[1].tool_calls[0].function.arguments"),
    (calling(call("x", arguments="[]")), "messages[1].tool_calls[0].function.arguments"),
    (calling({**call("x"), "type": "custom"}), "messages[1].tool_calls[0].type"),
    (result("y"), "messages[1].tool_call_id"),
    (calling(call("x", extra_content={"google": 1})), "messages[1].tool_calls[0].extra_content"),
    (
        {"role": "assistant", "content": "b", "extra_content": {"google": {"parts": 1}}},
        "messages[1].extra_content",
    ),
]


@pytest.mark.parametrize(("message", "param"), BAD_CALLS)
def test_calls_that_cannot_be_said(message: dict[str, Any], param: str) -> None:
    assert refused(messages=[user("a"), message]).param == param


def signed(signature: str) -> dict[str, Any]:
    return {"google": {"thought_signature": signature}}


def test_a_turn_goes_back_in_order_with_its_signatures() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG}, "extra_content": signed("iiii")}
    _, turn = contents(
        user("a"),
        {
            **calling(call("x", extra_content=signed("cccc")), call("y")),
            "content": "b",
            "reasoning_content": "hm",
            "images": [image],
            "extra_content": signed("tttt"),
        },
        model="gemini-3-pro-preview",
    )
    assert turn["parts"] == [
        {"text": "hm", "thought": True},
        {"text": "b", "thoughtSignature": "tttt"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "iiii"},
        {"functionCall": {"name": "f", "args": {}, "id": "x"}, "thoughtSignature": "cccc"},
        {"functionCall": {"name": "f", "args": {}, "id": "y"}},
    ]


def test_a_signature_without_text_goes_back() -> None:
    message = {"role": "assistant", "content": "", "extra_content": signed("tttt")}
    _, turn = contents(user("a"), message)
    assert turn["parts"] == [{"text": "", "thoughtSignature": "tttt"}]


def test_reasoning_of_another_provider_stays_out() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s"}]
    message = {"content": "b", "reasoning_content": "hm", "reasoning_details": details}
    other = {"anthropic": {"x": 1}}
    sent, dropped = build(
        messages=[user("a"), {"role": "assistant", "extra_content": other, **message}]
    )
    assert sent["contents"][1]["parts"] == [{"text": "b"}]
    assert dropped == ("messages[].extra_content", "messages[].reasoning_details")


@pytest.mark.parametrize(("model", "signature"), [("gemini-2.5-pro", None), ("gemini-3-pro", SKIP)])
def test_calls_of_another_model_are_not_checked(model: str, signature: str | None) -> None:
    _, turn = contents(user("a"), calling(call("x"), call("y")), model=model)
    assert [one.get("thoughtSignature") for one in turn["parts"]] == [signature, None]


SPOKEN = [{"text": "a", "thoughtSignature": "1111"}, {"text": "b", "thoughtSignature": "2222"}]


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ({"content": "ab"}, SPOKEN),
        ({"content": "changed"}, [{"text": "changed"}]),
    ],
)
def test_whole_parts_go_back_if_they_are_what_is_said(
    message: dict[str, Any], sent: list[dict[str, Any]]
) -> None:
    extra = {"google": {"parts": SPOKEN}}
    _, turn = contents(user("c"), {"role": "assistant", "extra_content": extra, **message})
    assert turn["parts"] == sent
