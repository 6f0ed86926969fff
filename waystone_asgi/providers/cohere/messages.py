"""Messages as Cohere's chat API takes them.

In: messages in OpenAI's form. Out: Cohere's. What came out of an answer goes back as it was: the
thinking as a block, the plan as `tool_plan`, the citations as such.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from ...wire.cohere import Block, Call, Function, Image
from ...wire.cohere import Message as Written
from ...wire.conversations import Message, Part, ToolCall
from ...wire.fields import Fields
from ..histories import called, modernise, note_foreign, note_lost, refuse, refuse_part

PLAN = "cohere-tool-plan-v2"
"""The `format` of a reasoning detail that is a plan."""

_ROLES = {"developer": "system", "assistant": "assistant", "tool": "tool", "user": "user"}


def write_messages(messages: list[Message], fields: Fields) -> list[Written]:
    """All messages. Raises `InvalidRequestError` with the path of what cannot be said."""
    modernise(messages)
    note_lost(messages, fields, PLAN)
    note_foreign(messages, fields, "cohere")
    names = called(messages)
    written: list[Written] = []
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        if message.role == "assistant":
            written.append(_assistant(message, path))
            continue
        role = _ROLES.get(message.role, "system")
        answered: str | UnsetType = UNSET
        if role == "tool":
            answered = message.tool_call_id
            if answered not in names:
                refuse(f"{path}.tool_call_id", "there is no such call before it")
        content = _content(message, path)
        written.append(Written(role, content, tool_call_id=answered))
    return written


def _content(message: Message, path: str) -> str | list[Block]:
    if isinstance(message.content, str):
        return message.content
    return [
        _block(part, message.role, f"{path}.content[{index}]")
        for index, part in enumerate(message.parts)
    ]


def _block(part: Part, role: str, path: str) -> Block:
    if part.type in ("text", "refusal"):
        return Block("text", part.text or part.refusal)
    if part.type == "image_url" and part.image_url is not None and role == "user":
        image = part.image_url
        return Block("image_url", image_url=Image(image.url, image.detail or UNSET))
    return refuse_part(part, path, "text and, from users, images")


def _assistant(message: Message, path: str) -> Written:
    plan = "".join([d.text or "" for d in message.reasoning_details or () if d.format == PLAN])
    thinking = (message.reasoning_content or message.reasoning or "").removesuffix(plan)
    content = _content(message, path)
    if message.refusal:
        refusal = Block("text", message.refusal)
        content = [*_blocks(content), refusal] if content else message.refusal
    if thinking:
        content = [Block("thinking", thinking=thinking), *_blocks(content)]
    calls = [_call(call) for call in message.tool_calls or ()]
    return Written(
        "assistant",
        content or UNSET,
        plan or UNSET,
        calls or UNSET,
        citations=_citations(message.extra_content) or UNSET,
    )


def _blocks(content: str | list[Block]) -> list[Block]:
    """The content as blocks; an empty string is none."""
    if isinstance(content, str):
        return [Block("text", content)] if content else []
    return content


def _call(call: ToolCall) -> Call:
    function = Function(call.function.name, call.function.arguments or "{}")
    return Call(call.id, "function", function)


def _citations(extra: Any) -> list[Any]:
    """Those that went out in `extra_content.cohere.citations`."""
    cohere = extra.get("cohere") if isinstance(extra, dict) else None
    citations = cohere.get("citations") if isinstance(cohere, dict) else None
    return citations if isinstance(citations, list) else []
