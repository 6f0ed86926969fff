"""A block of a stream, from its first piece to the block that a whole answer would have had."""

from __future__ import annotations

from typing import Any

import msgspec

from ...wire.bedrock import (
    Citation,
    CitationsContent,
    CitedText,
    ContentBlock,
    ReasoningContent,
    ReasoningDelta,
    ReasoningText,
    ToolUse,
)
from ...wire.chat import DOCUMENT
from ...wire.members import MALFORMED, encode


class GrowingBlock:
    """A block of a stream that has begun; its text stands at `start` in that of the message.

    `call` is the index of a call that the caller is to make.
    """

    __slots__ = (
        "_pieces",
        "_proof",
        "_reasons",
        "_sealed",
        "call",
        "citations",
        "result",
        "start",
        "use",
    )

    def __init__(
        self, start: int, use: ToolUse | None = None, result: dict[str, Any] | None = None
    ) -> None:
        self.start = start
        self.use = use
        self.result = result
        self.call: int | None = None
        self.citations: list[Citation] = []
        self._pieces: list[str] = []
        self._reasons = False
        self._proof = ""
        self._sealed = b""
        if result is not None:
            result["content"] = []

    @property
    def text(self) -> str:
        """What was said, reasoned, or told to a tool."""
        return "".join(self._pieces)

    def add(self, piece: str) -> None:
        """More of its text."""
        self._pieces.append(piece)

    def reason(self, piece: ReasoningDelta) -> None:
        """More of its reasoning, or what proves it."""
        self._reasons = True
        self._pieces.append(piece.text or "")
        self._proof += piece.signature or ""
        self._sealed += piece.redacted_content or b""

    def block(self) -> ContentBlock:
        """The block, as a whole answer has it."""
        text = self.text
        if self.result is not None:
            return ContentBlock(tool_result=self.result)
        if self.use is not None:
            self.use.input = _input(text or "{}")
            return ContentBlock(tool_use=self.use)
        if self._reasons:
            shown = ReasoningText(text, self._proof) if self._proof else None
            reasoning = ReasoningContent(shown, self._sealed or None)
            return ContentBlock(reasoning_content=reasoning)
        if self.citations:
            cited = CitationsContent([CitedText(text)], self.citations)
            return ContentBlock(citations_content=cited)
        return ContentBlock(text=text) if text else ContentBlock()


def _input(text: str) -> msgspec.Raw:
    """The input of a call as a value; as a string, where it is no JSON."""
    try:
        DOCUMENT.decode(text)
    except MALFORMED:
        return msgspec.Raw(encode(text))
    return msgspec.Raw(text.encode())
