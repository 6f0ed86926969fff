"""Blocks as they are, for the answers whose message could not give them back by itself.

Such are those with citations, tools of the provider's own, pictures, and those in which reasoning
or text follows a call. They are in `extra_content.bedrock.content`, and what a caller sends back
there is taken while it says what the message says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...wire.answers import Annotation, URLCitation
from ...wire.bedrock import (
    BLOCKS,
    Citation,
    ContentBlock,
    ToolUse,
)
from ...wire.chat import DOCUMENT
from ...wire.conversations import Message
from ...wire.members import MALFORMED, encode

_SERVER_TOOL = "server_tool_use"
_EMPTY = ContentBlock()
_REASONING, _TEXT, _CALL, _OTHER = range(4)


def is_served(use: ToolUse) -> bool:
    """Whether a call is the provider's own matter."""
    return use.type == _SERVER_TOOL


def beside_message(blocks: Iterable[ContentBlock]) -> list[ContentBlock]:
    """The blocks, or none where reasoning, text and calls follow each other in this order."""
    said = [block for block in blocks if _is_worth_keeping(block)]
    ranks = [_rank(block) for block in said]
    return said if _OTHER in ranks or ranks != sorted(ranks) else []


def _is_worth_keeping(block: ContentBlock) -> bool:
    """Reasoning without a proof does not go back, and what came after this was written cannot."""
    reasoning = block.reasoning_content
    if reasoning is None:
        return block != _EMPTY
    shown = reasoning.reasoning_text
    return bool(reasoning.redacted_content) or (shown is not None and bool(shown.signature))


def _rank(block: ContentBlock) -> int:
    if block.reasoning_content is not None:
        return _REASONING
    if block.text is not None:
        return _TEXT
    if block.tool_use is not None and not is_served(block.tool_use):
        return _CALL
    return _OTHER


def read_extra(message: Message, name: str) -> Any:
    """A member of `extra_content.bedrock`, or None."""
    extra = message.extra_content
    extra = extra.get("bedrock") if isinstance(extra, dict) else None
    return extra.get(name) if isinstance(extra, dict) else None


def read_blocks(message: Message, reasoning: Sequence[ContentBlock]) -> list[ContentBlock]:
    """The blocks that a message was made of, or none where it was not, or has been changed.

    `reasoning` is that of the message, as far as the model takes it.
    """
    content = read_extra(message, "content")
    if not isinstance(content, list):
        return []
    try:
        blocks = [block for block in BLOCKS.decode(encode(content)) if _is_worth_keeping(block)]
        same = _said(blocks) == (message.text, _calls(message))
    except MALFORMED:
        return []
    kept = [block for block in blocks if block.reasoning_content is not None]
    if not same or kept != reasoning:
        return []
    return [block for block in blocks if block.text is None or block.text.strip()]


def _said(blocks: Iterable[ContentBlock]) -> tuple[str, list[Any]]:
    """The text and the calls in blocks."""
    texts: list[str] = []
    calls: list[Any] = []
    for block in blocks:
        use, cited = block.tool_use, block.citations_content
        if block.text is not None:
            texts.append(block.text)
        elif cited is not None:
            texts += [piece.text for piece in cited.content]
        elif use is not None and not is_served(use):
            calls.append((use.tool_use_id, use.name, DOCUMENT.decode(use.input)))
    return "".join(texts), calls


def _calls(message: Message) -> list[Any]:
    return [
        (call.id, call.function.name, DOCUMENT.decode(call.function.arguments or "{}"))
        for call in message.tool_calls or ()
    ]


def annotation(citation: Citation, start: int, end: int) -> Annotation | None:
    """A citation of a page, for the characters from `start` to `end`; None for other sources."""
    location = citation.location
    if location is None or location.web is None or not location.web.url:
        return None
    url = location.web.url
    return Annotation(URLCitation(url, citation.title or url, start, end))
