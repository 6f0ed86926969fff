"""Messages as Ollama's chat API takes them.

In: messages in OpenAI's form. Out: Ollama's: text in one string, images as bytes, arguments as
objects, results with the name of what was called. The thinking goes back as it came.
"""

from __future__ import annotations

from msgspec import UNSET, Raw

from ...wire.conversations import Message, ToolCall
from ...wire.fields import Fields
from ...wire.members import MALFORMED
from ...wire.ollama import OBJECT, Call, Function
from ...wire.ollama import Message as Written
from ..histories import called, modernise, note_foreign, note_lost, refuse, refuse_part

_NOTHING = Raw(b"{}")


def write_messages(messages: list[Message], fields: Fields) -> list[Written]:
    """All messages. Raises `InvalidRequestError` with the path of what cannot be said."""
    modernise(messages)
    note_lost(messages, fields)
    note_foreign(messages, fields)
    _note_details(messages, fields)
    names = called(messages)
    return [_write(m, f"messages[{index}]", names) for index, m in enumerate(messages)]


def _write(message: Message, path: str, names: dict[str, str]) -> Written:
    text, images = _content(message, path)
    if message.role == "assistant":
        calls = [
            _call(call, f"{path}.tool_calls[{index}]")
            for index, call in enumerate(message.tool_calls or ())
        ]
        thinking = message.reasoning_content or message.reasoning or UNSET
        return Written(
            "assistant",
            "\n".join(said for said in (text, message.refusal) if said),
            thinking,
            tool_calls=calls or UNSET,
        )
    if message.role == "tool":
        name = names.get(message.tool_call_id)
        if name is None:
            refuse(f"{path}.tool_call_id", "there is no such call before it")
        return Written("tool", text, tool_name=name, tool_call_id=message.tool_call_id)
    role = "user" if message.role == "user" else "system"
    return Written(role, text, images=images or UNSET)


def _note_details(messages: list[Message], fields: Fields) -> None:
    for message in messages:
        for part in message.parts:
            if part.image_url is not None and part.image_url.detail not in (None, "auto"):
                fields.drop("messages[].content[].image_url.detail")


def _content(message: Message, path: str) -> tuple[str, list[str]]:
    """The text, and the images in base64."""
    texts: list[str] = []
    images: list[str] = []
    for index, part in enumerate(message.parts):
        where = f"{path}.content[{index}]"
        if part.type in ("text", "refusal"):
            texts.append(part.text or part.refusal)
        elif part.type == "image_url" and part.image_url is not None and message.role == "user":
            images.append(_image(part.image_url.url, f"{where}.image_url.url"))
        else:
            refuse_part(part, where, "text and, from users, images")
    return "".join(texts), images


def _image(url: str, path: str) -> str:
    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not comma:
        refuse(path, "the provider takes images as bytes, in a data: URL; none is fetched for it")
    if not head.endswith(";base64"):
        refuse(path, "expected base64 in the data: URL")
    return data


def _call(call: ToolCall, path: str) -> Call:
    return Call(Function(call.function.name, _arguments(call, path)), call.id or UNSET)


def _arguments(call: ToolCall, path: str) -> Raw:
    arguments = call.function.arguments.encode()
    if not arguments:
        return _NOTHING
    try:
        OBJECT.decode(arguments)
    except MALFORMED:
        refuse(f"{path}.function.arguments", "expected a JSON object")
    return Raw(arguments)
