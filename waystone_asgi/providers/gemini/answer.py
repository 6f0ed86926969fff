"""A whole answer in OpenAI's form.

In: the provider's body, and what came before it. Out: an `Answer`, or the error in its place.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET

from ...records import BYTES_PER_TOKEN
from ...wire.answers import AnswerChoice, AnswerMessage, Delta, encode_completion
from ...wire.gemini.answers import RESPONSE, Candidate, GenerateContentResponse, PromptFeedback
from ...wire.members import MALFORMED
from ..dialects import Answer, Head
from .errors import parse_refusal
from .logprobs import write_logprobs
from .reasons import BLOCKED, finish_reason
from .tokens import count, service_tier
from .turns import Turn


def parse_response(body: bytes, head: Head) -> Answer:
    """The answer in OpenAI's form.

    Raises `GatewayError` when the answer is none, or is an error under status 200.
    """
    try:
        response = RESPONSE.decode(body)
        choices = [
            _choose(candidate, response.response_id or "")
            for candidate in response.candidates or ()
        ]
    except MALFORMED:
        raise parse_refusal(body) from None
    feedback = response.prompt_feedback
    if not choices and feedback is not None and feedback.block_reason is not None:
        choices = [_block(feedback)]
    if not choices:
        raise parse_refusal(body)
    usage = count(response.usage_metadata)
    id, model = response.response_id, response.model_version
    return Answer(
        encode_completion(
            id or "",
            created_at(response, head),
            model or head.model,
            choices,
            usage,
            service_tier=service_tier(response.usage_metadata),
        ),
        usage,
        id,
        model,
        tuple([choice.finish_reason for choice in choices if choice.finish_reason]),
        0 if usage is not None else _estimate(choices),
    )


def created_at(response: GenerateContentResponse, head: Head) -> int:
    """When the answer was made, in Unix seconds: Vertex says so."""
    try:
        return int(datetime.fromisoformat(response.create_time or "").timestamp())
    except ValueError:
        return head.received


def explain(feedback: PromptFeedback) -> dict[str, Any]:
    """What stands in `extra_content.google` where the prompt was refused."""
    return {"google": {"block_reason": feedback.block_reason}}


def _choose(candidate: Candidate, response_id: str) -> AnswerChoice:
    turn = Turn(response_id, candidate.index)
    said = turn.take(candidate) or Delta()
    told = turn.close() or Delta()
    message = AnswerMessage(
        content=None if said.content is UNSET else said.content,
        annotations=[] if told.annotations is UNSET else told.annotations,
        reasoning_content=said.reasoning_content,
        tool_calls=said.tool_calls,
        images=said.images,
        extra_content=told.extra_content,
    )
    for item in (*(said.tool_calls or ()), *(said.images or ())):
        item.index = UNSET
    reason = finish_reason(candidate.finish_reason, turn.calls)
    logprobs = write_logprobs(candidate.logprobs_result)
    return AnswerChoice(message, reason, candidate.index, logprobs=logprobs)


def _block(feedback: PromptFeedback) -> AnswerChoice:
    refusal = feedback.block_reason_message
    message = AnswerMessage(refusal=refusal, extra_content=explain(feedback))
    return AnswerChoice(message, BLOCKED)


def _estimate(choices: list[AnswerChoice]) -> int:
    return sum([len(choice.message.content or "") for choice in choices]) // BYTES_PER_TOKEN
