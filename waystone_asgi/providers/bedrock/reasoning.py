"""Reasoning between Converse's blocks and `reasoning_details`, both ways and unchanged.

Claude's signatures are valid on every platform that has Claude, so that a conversation may go on
at another one: its blocks are written as Anthropic's own API has them.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from ...exceptions import InvalidRequestError
from ...wire.bedrock import ContentBlock, ReasoningContent, ReasoningText
from ...wire.conversations import Message, ReasoningDetail
from ...wire.fields import Fields
from .families import CLAUDE, OURS, Family


def read_reasoning(content: ReasoningContent, family: Family, index: int) -> ReasoningDetail | None:
    """What the provider needs to continue; None where it proves nothing."""
    if (text := content.reasoning_text) is not None and text.signature:
        return ReasoningDetail(
            "reasoning.text",
            text=text.text,
            signature=text.signature,
            format=family.proves,
            index=index,
        )
    if not (redacted := content.redacted_content):
        return None
    claude = family.proves == CLAUDE and redacted.isascii()
    data = redacted if claude else b64encode(redacted)
    format = CLAUDE if claude else OURS
    return ReasoningDetail("reasoning.encrypted", data=data.decode(), format=format, index=index)


def write_reasoning(
    message: Message, family: Family, fields: Fields, where: str
) -> list[ContentBlock]:
    """The blocks that the provider made, of which a message tells. Others are dropped."""
    contents: list[ReasoningContent] = []
    for index, detail in enumerate(message.reasoning_details or ()):
        content = _content(detail, family, f"{where}.reasoning_details[{index}]")
        if content is None:
            fields.drop("messages[].reasoning_details")
        else:
            contents.append(content)
    if not contents and (message.reasoning_content or message.reasoning):
        fields.drop("messages[].reasoning_content")
    return [ContentBlock(reasoning_content=content) for content in contents]


def _content(detail: ReasoningDetail, family: Family, where: str) -> ReasoningContent | None:
    format = detail.format or family.proves
    if detail.type == "reasoning.text" and detail.signature and format == family.proves:
        return ReasoningContent(ReasoningText(detail.text or "", detail.signature))
    if detail.type != "reasoning.encrypted" or not detail.data:
        return None
    if format == OURS:
        return ReasoningContent(redacted_content=_decode(detail.data, f"{where}.data"))
    if format == family.proves:
        return ReasoningContent(redacted_content=detail.data.encode())
    return None


def _decode(data: str, where: str) -> bytes:
    try:
        return b64decode(data, validate=True)
    except ValueError:
        raise InvalidRequestError(f"{where}: expected base64.", param=where) from None
