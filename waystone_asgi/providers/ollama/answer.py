"""A whole answer of Ollama's, in OpenAI's form.

In: the body. Out: an `Answer`, or the error that stands in its place. It has no id: one is made of
its model and its time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import UNSET

from ...exceptions import UpstreamError
from ...records import BYTES_PER_TOKEN, Usage
from ...wire.answers import AnswerChoice, AnswerMessage, Call, Function, encode_completion
from ...wire.members import MALFORMED
from ...wire.ollama import ANSWER
from ...wire.ollama import Answer as Said
from ...wire.ollama import Call as OllamaCall
from ..dialects import Answer, Head
from ..openai.errors import parse_error

NOT_A_CHAT = "The provider's answer is not a chat."
_REASONS = {"length": "length"}


def parse_response(body: bytes, head: Head) -> Answer:
    """The answer in OpenAI's form. Raises `GatewayError` for what is none."""
    try:
        said = ANSWER.decode(body)
    except MALFORMED:
        raise UpstreamError(NOT_A_CHAT) from None
    if said.error is not None:
        raise parse_error(200, body)
    if said.message is None:
        raise UpstreamError(NOT_A_CHAT)
    called = list(read_calls(said.message.tool_calls or (), 0))
    text = said.message.content or ""
    message = AnswerMessage(content=text or (None if called else ""))
    if said.message.thinking:
        message.reasoning_content = said.message.thinking
    for call in called:
        call.index = UNSET  # Only pieces of a stream are counted.
    if called:
        message.tool_calls = called
    reason = finish_reason(said.done_reason, bool(called))
    choice = AnswerChoice(message, reason, logprobs=read_logprobs(said.logprobs))
    usage = count(said)
    id, created, model = identify(said, head)
    return Answer(
        encode_completion(id, created, model, [choice], usage),
        usage,
        id,
        said.model,
        (reason,),
        0 if usage is not None else len(text) // BYTES_PER_TOKEN,
    )


def identify(said: Said, head: Head) -> tuple[str, int, str]:
    """The id, the Unix time and the model of an answer, or of the first line of one."""
    model = said.model or head.model
    try:
        created = int(datetime.fromisoformat(said.created_at or "").timestamp())
    except ValueError:
        created = head.received
    return f"chatcmpl-{_digest(model, said.created_at or str(created))}", created, model


def read_calls(calls: Iterable[OllamaCall], start: int) -> Iterable[Call]:
    """The calls as whole pieces, counted from `start`. What has no id gets one of what it says."""
    for index, call in enumerate(calls, start):
        name = call.function.name
        arguments = bytes(call.function.arguments).decode()
        if arguments in ("", "null"):
            arguments = "{}"
        id = call.id or f"call_{_digest(str(index), name, arguments)}"
        yield Call(index, id, "function", Function(name, arguments))


def finish_reason(reason: str | None, called: bool) -> str:
    """OpenAI's word for it: Ollama has none for calls."""
    return _REASONS.get(reason or "") or ("tool_calls" if called else "stop")


def read_logprobs(logprobs: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """The same with the members that OpenAI has, too."""
    if not logprobs:
        return None
    lacking: dict[str, Any] = {"bytes": None, "top_logprobs": []}
    return {"content": [lacking | logprob for logprob in logprobs], "refusal": None}


def count(said: Said) -> Usage | None:
    """The tokens, where they are told; a prompt that was cached is not always counted."""
    if said.prompt_eval_count is None and said.eval_count is None:
        return None
    return Usage(
        input_tokens=max(said.prompt_eval_count or 0, 0),
        output_tokens=max(said.eval_count or 0, 0),
    )


def _digest(*said: str) -> str:
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:24]
