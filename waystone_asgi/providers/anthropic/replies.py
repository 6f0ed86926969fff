"""An earlier answer as the provider takes it back: reasoning, text, and calls.

In: a message of the assistant. Out: its blocks, in the order in which the model makes them, or all
of them as they were where the message carries them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ...wire.anthropic import (
    Block,
    Content,
    ExtraContent,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from ...wire.chat import DOCUMENT
from ...wire.conversations import FunctionCall, Message, ReasoningDetail, ToolCall
from ...wire.fields import Fields
from ...wire.members import MALFORMED
from .parts import refuse, write_parts

FORMAT = "anthropic-claude-v1"
"""The format of these models' reasoning, as OpenRouter names it."""

_NO_INPUT = msgspec.Raw(b"{}")


def write_reply(message: Message, path: str, fields: Fields) -> Content:
    """What an earlier answer said. Raises `InvalidRequestError`."""
    for name in ("audio", "images"):
        if getattr(message, name):
            fields.drop(f"messages[].{name}")
    if carried := _carried(message, path):
        if _still_says(carried, message):
            return [*carried]
        fields.drop("messages[].extra_content")
    reasoning = _write_reasoning(message, fields)
    calls = _write_calls(message, path)
    content = write_content(message, path, fields)
    if not (reasoning or calls or message.refusal):
        return content
    refusal = [TextBlock(message.refusal)] if message.refusal else []
    return [*reasoning, *blocks_of(content), *refusal, *calls]


def write_content(message: Message, path: str, fields: Fields) -> Content:
    """The content of any message; a string stays one."""
    if isinstance(message.content, str):
        return message.content
    return list(write_parts(message.parts, f"{path}.content", fields))


def without_blanks(content: Content, fields: Fields) -> Content:
    """The content without texts that are empty, or all blank: the provider refuses those."""
    if isinstance(content, str):
        return content if content.strip() else ""
    texts = [_text_of(block) for block in content]
    said = any(text.strip() for text in texts if text is not None)
    if all(text is None or (said and text) for text in texts):
        return content
    kept: list[Block] = []
    for block, text in zip(content, texts, strict=True):
        if text is None or (said and text):
            kept.append(block)
        elif isinstance(block, TextBlock) and block.cache_control is not None:
            fields.drop("messages[].content[].cache_control")
    return kept


def _text_of(block: Block) -> str | None:
    if isinstance(block, dict):
        return str(block.get("text")) if block.get("type") == "text" else None
    return block.text if isinstance(block, TextBlock) else None


def blocks_of(content: Content) -> list[Block]:
    """The content as blocks; an empty string is none."""
    if isinstance(content, str):
        return [TextBlock(content)] if content else []
    return content


def is_reasoning(block: Block) -> bool:
    """Whether it is reasoning, written here or carried."""
    if isinstance(block, dict):
        return block.get("type") in ("thinking", "redacted_thinking")
    return isinstance(block, ThinkingBlock | RedactedThinkingBlock)


def _carried(message: Message, path: str) -> Sequence[dict[str, Any]]:
    """The blocks that the message carries of the answer that it was."""
    try:
        extra = msgspec.convert(message.extra_content, ExtraContent | None)
    except MALFORMED:
        refuse(f"{path}.extra_content.anthropic", "is not what an answer carried")
    return () if extra is None or extra.anthropic is None else extra.anthropic.content


def _still_says(blocks: Sequence[dict[str, Any]], message: Message) -> bool:
    """Whether nobody has changed the message since."""
    text = [block.get("text") for block in blocks if block.get("type") == "text"]
    uses = [block for block in blocks if block.get("type") == "tool_use"]
    calls = message.tool_calls or ()
    if "".join(map(str, text)) != message.text or len(uses) != len(calls):
        return False
    return all(map(_is_call, uses, calls))


def _is_call(block: dict[str, Any], call: ToolCall) -> bool:
    """Whether a block is that call. Arguments that are no JSON were cut, and are no input."""
    if (block.get("id"), block.get("name")) != (call.id, call.function.name):
        return False
    try:
        return bool(block.get("input") == DOCUMENT.decode(call.function.arguments or "{}"))
    except MALFORMED:
        return block.get("input") == {}


def _write_reasoning(message: Message, fields: Fields) -> list[Block]:
    """The reasoning that the provider takes back: its own, with what proves it."""
    details = message.reasoning_details or ()
    blocks = [block for detail in details if (block := _write_detail(detail)) is not None]
    if len(blocks) < len(details):
        fields.drop("messages[].reasoning_details")
    if not blocks and (message.reasoning_content or message.reasoning):
        fields.drop("messages[].reasoning_content")
    return blocks


def _write_detail(detail: ReasoningDetail) -> Block | None:
    if detail.format not in (None, FORMAT):
        return None
    if detail.type == "reasoning.text" and detail.signature:
        return ThinkingBlock(detail.text or "", detail.signature)
    if detail.type == "reasoning.encrypted" and detail.data:
        return RedactedThinkingBlock(detail.data)
    return None


def _write_calls(message: Message, path: str) -> list[Block]:
    blocks: list[Block] = []
    for index, call in enumerate(message.tool_calls or ()):
        where = f"{path}.tool_calls[{index}]"
        if call.type != "function":
            refuse(f"{where}.type", "only calls of functions can be sent to the provider")
        blocks.append(_write_call(call.id, call.function, f"{where}.function"))
    if (function := message.function_call) is not None:
        blocks.append(_write_call(function.name, function, f"{path}.function_call"))
    return blocks


def _write_call(id: str, function: FunctionCall, where: str) -> Block:
    return ToolUseBlock(id, function.name, _write_input(function, f"{where}.arguments"))


def _write_input(function: FunctionCall, where: str) -> msgspec.Raw:
    """The arguments, which the provider takes as an object; an empty string is an empty one."""
    if not function.arguments.strip():
        return _NO_INPUT
    try:
        written = function.arguments.encode()
        value = DOCUMENT.decode(written)
    except (*MALFORMED, UnicodeEncodeError):
        value = None
    if not isinstance(value, dict):
        refuse(where, "expected a JSON object")
    return msgspec.Raw(written)
