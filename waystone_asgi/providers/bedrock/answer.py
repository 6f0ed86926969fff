"""A whole answer of Converse in OpenAI's form."""

from __future__ import annotations

from msgspec import UNSET

from ...exceptions import UpstreamError
from ...records import BYTES_PER_TOKEN
from ...wire.answers import (
    Annotation,
    AnswerChoice,
    AnswerMessage,
    Call,
    Function,
    encode_completion,
)
from ...wire.bedrock import RESPONSE, CitationsContent, ContentBlock, ReasoningContent
from ...wire.conversations import ReasoningDetail
from ...wire.members import MALFORMED
from ..dialects import Answer, Head
from ..openai.errors import NOT_A_COMPLETION
from .blocks import annotation, is_served
from .families import Family, family_of
from .reasoning import read_reasoning
from .tokens import parse_usage
from .trailers import (
    ID_HEADER,
    extra_content,
    finish_reason,
    invoked_model,
    service_tier,
)


def parse_response(body: bytes, head: Head) -> Answer:
    """The answer in OpenAI's form. Raises `UpstreamError` for what is none."""
    try:
        told = RESPONSE.decode(body)
    except MALFORMED:
        raise UpstreamError(NOT_A_COMPLETION) from None
    spoken = _Spoken(family_of(head.model))
    for block in told.output.message.content:
        spoken.read(block)
    message = spoken.message()
    message.extra_content = extra_content(
        told.stop_reason,
        told.additional_model_response_fields,
        told,
        told.output.message.content,
    )
    usage = parse_usage(told.usage)
    reason = finish_reason(told.stop_reason)
    response_id = head.header(ID_HEADER)
    model = invoked_model(told) or head.model
    written = encode_completion(
        response_id or "",
        head.received,
        model,
        [AnswerChoice(message, reason)],
        usage,
        service_tier=service_tier(told),
    )
    estimated = 0 if usage is not None else spoken.length // BYTES_PER_TOKEN
    return Answer(written, usage, response_id, model, (reason,), estimated)


class _Spoken:
    """What the blocks of a message say, one after the other."""

    def __init__(self, family: Family) -> None:
        self.length = 0
        self._family = family
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._details: list[ReasoningDetail] = []
        self._calls: list[Call] = []
        self._annotations: list[Annotation] = []

    def read(self, block: ContentBlock) -> None:
        if block.text is not None:
            self._say(block.text)
        elif block.reasoning_content is not None:
            self._reason(block.reasoning_content)
        elif (use := block.tool_use) is not None and not is_served(use):
            function = Function(use.name, bytes(use.input).decode() or "{}")
            self._calls.append(Call(id=use.tool_use_id, type="function", function=function))
        elif block.citations_content is not None:
            self._cite(block.citations_content)

    def message(self) -> AnswerMessage:
        return AnswerMessage(
            content="".join(self._text) or (None if self._calls else ""),
            annotations=self._annotations,
            reasoning_content="".join(self._reasoning) or UNSET,
            reasoning_details=self._details or UNSET,
            tool_calls=self._calls or UNSET,
        )

    def _say(self, text: str) -> None:
        self._text.append(text)
        self.length += len(text)

    def _reason(self, content: ReasoningContent) -> None:
        if content.reasoning_text is not None:
            self._reasoning.append(content.reasoning_text.text)
        detail = read_reasoning(content, self._family, len(self._details))
        if detail is not None:
            self._details.append(detail)

    def _cite(self, cited: CitationsContent) -> None:
        start = self.length
        for piece in cited.content:
            self._say(piece.text)
        for citation in cited.citations:
            remark = annotation(citation, start, self.length)
            if remark is not None:
                self._annotations.append(remark)
