"""A whole answer in OpenAI's form.

In: the provider's body. Out: an `Answer`, or the error that stands in its place.
"""

from __future__ import annotations

from msgspec import UNSET, Raw

from ...records import BYTES_PER_TOKEN
from ...wire.answers import (
    Annotation,
    AnswerChoice,
    AnswerMessage,
    Call,
    Function,
    encode_completion,
)
from ...wire.anthropic import BLOCK, MESSAGE, Message, SaidText, SaidThinking, SaidToolUse
from ...wire.conversations import ReasoningDetail
from ...wire.members import MALFORMED
from ..dialects import Answer, Head
from .blocks import (
    Shape,
    annotate,
    extra_content,
    finish_reason,
    hidden,
    is_called_else,
    refusal,
    thought,
)
from .errors import parse_refusal
from .tokens import count, decode_counts, service_tier


def parse_response(body: bytes, head: Head) -> Answer:
    """The answer in OpenAI's form.

    Raises `GatewayError` when it is not a message, or is an error under status 200.
    """
    try:
        message = MESSAGE.decode(body)
        if not body.isascii():
            body.decode()  # What stays as it was written has not been looked at.
    except MALFORMED:
        raise parse_refusal(body) from None
    if message.content is None:
        raise parse_refusal(body)
    counts = decode_counts(message.usage)
    usage = None if counts is None else count(counts)
    reason = finish_reason(message.stop_reason)
    id = message.id or head.header(b"request-id") or ""
    written = encode_completion(
        id,
        head.received,
        message.model or head.model,
        [AnswerChoice(_Reading(message, message.content).message, reason)],
        usage,
        service_tier=service_tier(counts),
    )
    estimate = 0 if usage is not None else len(body) // BYTES_PER_TOKEN
    return Answer(written, usage, id or None, message.model, (reason,), estimate)


class _Reading:
    """The blocks of one answer, taken one by one, and the `message` that they come to."""

    __slots__ = ("_annotations", "_calls", "_details", "_shape", "_texts", "_thoughts", "message")

    def __init__(self, message: Message, blocks: list[Raw]) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._details: list[ReasoningDetail] = []
        self._calls: list[Call] = []
        self._annotations: list[Annotation] = []
        self._shape = Shape()
        for raw in blocks:
            self._take(raw)
        self.message = AnswerMessage(
            content="".join(self._texts) if self._texts else None,
            refusal=refusal(message),
            annotations=self._annotations,
            reasoning_content="".join(self._thoughts) or UNSET,
            reasoning_details=self._details or UNSET,
            tool_calls=self._calls or UNSET,
            extra_content=extra_content(() if self._shape.plain else blocks, message),
        )

    def _take(self, raw: Raw) -> None:
        try:
            block = BLOCK.decode(raw)
        except MALFORMED:
            self._shape.add("")  # A kind that is not known here.
            return
        if isinstance(block, SaidText):
            self._take_text(block)
        elif isinstance(block, SaidToolUse):
            self._shape.add("tool_use", more=is_called_else(block.caller))
            function = Function(block.name, bytes(block.input).decode())
            self._calls.append(Call(id=block.id, type="function", function=function))
        elif isinstance(block, SaidThinking):
            self._shape.add("thinking")
            self._thoughts.append(block.thinking)
            index = len(self._details)
            self._details.append(thought(index, block.thinking, block.signature))
        else:
            self._shape.add("redacted_thinking")
            self._details.append(hidden(len(self._details), block.data))

    def _take_text(self, block: SaidText) -> None:
        self._shape.add("text", more=bool(block.citations))
        if block.citations:
            start = sum(map(len, self._texts))
            end = start + len(block.text)
            self._annotations += annotate(block.citations, start, end)
        self._texts.append(block.text)
