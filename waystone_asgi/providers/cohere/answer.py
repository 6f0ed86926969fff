"""A whole answer of Cohere's, in OpenAI's form.

In: the body. Out: an `Answer`, or the error that stands in its place. The thinking and the plan
become `reasoning_content`; the plan is a reasoning detail as well, which tells it apart when it
goes back. Citations of a URL become annotations, others `extra_content.cohere.citations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from ...exceptions import UpstreamError, UpstreamTimeoutError
from ...records import BYTES_PER_TOKEN
from ...records import Usage as Counted
from ...wire.answers import (
    Annotation,
    AnswerChoice,
    AnswerMessage,
    Call,
    Function,
    URLCitation,
    encode_completion,
)
from ...wire.cohere import ANSWER, Citation, Likelihood, Usage
from ...wire.cohere import AnswerMessage as Said
from ...wire.cohere import Call as CohereCall
from ...wire.conversations import ReasoningDetail
from ...wire.members import MALFORMED
from ..dialects import Answer, Head
from .errors import NOT_A_CHAT, parse_error
from .messages import PLAN

_REASONS = {"MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}
_TEXT = "TEXT_CONTENT"


def parse_response(body: bytes, head: Head) -> Answer:
    """The answer in OpenAI's form. Raises `GatewayError` for what is none."""
    try:
        answer = ANSWER.decode(body)
    except MALFORMED:
        raise UpstreamError(NOT_A_CHAT) from None
    said = answer.message
    if not isinstance(said, Said):
        raise parse_error(200, body, ())
    check_end(answer.finish_reason, answer.error)
    message = _message(said)
    reason = finish_reason(answer.finish_reason)
    usage = count(answer.usage)
    choice = AnswerChoice(message, reason, logprobs=read_likelihoods(answer.logprobs or ()))
    written = encode_completion(answer.id or "", head.received, head.model, [choice], usage)
    estimated = 0 if usage is not None else len(message.content or "") // BYTES_PER_TOKEN
    return Answer(written, usage, answer.id, head.model, (reason,), estimated)


def _message(said: Said) -> AnswerMessage:
    blocks = said.content or ()
    text = "".join([block.text for block in blocks if block.text])
    thinking = "".join([block.thinking for block in blocks if block.thinking])
    message = AnswerMessage(content=text or (None if said.tool_calls else ""))
    plan = said.tool_plan or ""
    if thinking or plan:
        message.reasoning_content = thinking + plan
    if plan:
        message.reasoning_details = [plan_detail(plan)]
    if said.tool_calls:
        message.tool_calls = [_call(call) for call in said.tool_calls]
    message.annotations, others = read_citations(said.citations or ())
    if others:
        message.extra_content = extra(others)
    return message


def _call(call: CohereCall) -> Call:
    function = call.function or Function()
    arguments = function.arguments or "{}"
    return Call(UNSET, call.id, "function", Function(function.name, arguments))


def check_end(reason: str | None, error: str | None) -> None:
    """Raise `UpstreamError` where the answer ends because it failed."""
    if reason == "TIMEOUT":
        raise UpstreamTimeoutError("The provider was too slow: it gave the answer up.")
    if reason is not None and reason.startswith("ERROR"):
        raise UpstreamError(f"The provider failed: {error or 'it does not say why'}")


def finish_reason(reason: str | None) -> str:
    """OpenAI's word for it: what ends by itself, or by a stop sequence, stops."""
    return _REASONS.get(reason or "", "stop")


def read_likelihoods(likelihoods: Sequence[Likelihood]) -> dict[str, Any] | None:
    """The log probabilities of an answer. Cohere tells the text of several tokens at once."""
    content = [
        {
            "token": each.text,
            "logprob": sum(each.logprobs),
            "bytes": list(each.text.encode()),
            "top_logprobs": [],
        }
        for each in likelihoods
        if each.logprobs
    ]
    return {"content": content, "refusal": None} if content else None


def plan_detail(plan: str) -> ReasoningDetail:
    """The plan, or a piece of it, as it is to go back."""
    return ReasoningDetail("reasoning.text", plan, format=PLAN, index=0)


def extra(citations: list[Any]) -> dict[str, Any]:
    """Where the citations go that OpenAI has no form for."""
    return {"cohere": {"citations": citations}}


def read_citations(citations: Sequence[Any]) -> tuple[list[Annotation], list[Any]]:
    """The citations of a URL as annotations, and those with a source that has none as they are."""
    annotations: list[Annotation] = []
    others: list[Any] = []
    for document in citations:
        try:
            citation = msgspec.convert(document, Citation)
        except msgspec.ValidationError:
            others.append(document)
            continue
        found = _annotations(citation)
        annotations += found
        if len(found) < len(citation.sources or ()) or not found:
            others.append(document)
    return annotations, others


def _annotations(citation: Citation) -> list[Annotation]:
    if citation.type != _TEXT:
        return []
    found: list[Annotation] = []
    for source in citation.sources or ():
        about = source.document or source.tool_output or {}
        url = about.get("url")
        if isinstance(url, str):
            title = about.get("title")
            title = title if isinstance(title, str) else url
            found.append(Annotation(URLCitation(url, title, citation.start, citation.end)))
    return found


def count(usage: Usage | None) -> Counted | None:
    """The tokens that went through the model; what is billed is counted only where they lack.

    Cohere bills no tokens of its own preamble, so the latter are fewer.
    """
    if usage is None:
        return None
    tokens = usage.tokens or usage.billed_units
    if tokens is None:
        return None
    read = int(tokens.input_tokens or 0)
    return Counted(
        input_tokens=read,
        output_tokens=int(tokens.output_tokens or 0),
        cache_read_input_tokens=min(int(usage.cached_tokens or 0), read),
        reasoning_output_tokens=int(tokens.reasoning_tokens or 0),
    )
