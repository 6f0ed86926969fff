"""Cohere's streams: what its events say, in OpenAI's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ...exceptions import UpstreamError
from ...wire.answers import Call, Delta, Function
from ...wire.chat import ChatCompletionRequest
from ...wire.cohere import EVENT, Block, Event, EventDelta, EventMessage
from ...wire.cohere import Call as CohereCall
from ..dialects import Head
from ..streams import TranslatedStream
from .answer import (
    check_end,
    count,
    extra,
    finish_reason,
    plan_detail,
    read_citations,
    read_likelihoods,
)
from .errors import parse_error

_NOTHING = EventMessage()


class CohereStream(TranslatedStream):
    """Follows one streamed chat. Calls are counted here; one without arguments gets empty ones.

    What a client could not put together from pieces is told whole, at the end.
    """

    def __init__(self, request: ChatCompletionRequest, head: Head) -> None:
        super().__init__(request, head)
        self._calls = -1
        self._has_arguments = False
        self._plan: list[str] = []
        self._citations: list[Any] = []

    def read(self, payload: bytes) -> None:
        """Take one event; those of unknown types tell nothing."""
        if payload == b"[DONE]":
            return
        event = EVENT.decode(payload)
        if not event.type and event.message is not None:
            self.fail(parse_error(200, payload, ()))
            return
        read = self._READERS.get(event.type)
        if read is not None:
            read(self, event)

    def _message_start(self, event: Event) -> None:
        self.open(event.id, self.chunks.model)

    def _content(self, event: Event) -> None:
        block = _message(event).content
        if not isinstance(block, Block):
            return
        if block.thinking:
            self.write(Delta(reasoning_content=block.thinking))
        if block.text:
            likelihoods = (event.logprobs,) if event.logprobs is not None else ()
            self.write(Delta(content=block.text), logprobs=read_likelihoods(likelihoods))

    def _tool_plan(self, event: Event) -> None:
        if plan := _message(event).tool_plan:
            self._plan.append(plan)
            self.write(Delta(reasoning_content=plan))

    def _call_start(self, event: Event) -> None:
        call = _message(event).tool_calls
        if not isinstance(call, CohereCall):
            return
        self._calls += 1
        function = call.function or Function()
        self._has_arguments = bool(function.arguments)
        begun = Function(function.name, function.arguments or "")
        self.write(Delta(tool_calls=[Call(self._calls, call.id, "function", begun)]))

    def _call_delta(self, event: Event) -> None:
        call = _message(event).tool_calls
        if isinstance(call, CohereCall) and call.function:
            self._write_arguments(call.function.arguments)

    def _call_end(self, event: Event) -> None:
        if not self._has_arguments:
            self._write_arguments("{}")

    def _write_arguments(self, piece: str) -> None:
        self._has_arguments = True
        call = Call(self._calls, function=Function(arguments=piece))
        self.write(Delta(tool_calls=[call]))

    def _citation(self, event: Event) -> None:
        citation = _message(event).citations
        if isinstance(citation, dict):
            self._citations.append(citation)

    def _message_end(self, event: Event) -> None:
        delta = event.delta or EventDelta()
        self.usage = count(delta.usage) or self.usage
        try:
            check_end(delta.finish_reason, delta.error)
        except UpstreamError as error:
            self.fail(error)
            return
        self._write_whole()
        self.end(finish_reason(delta.finish_reason))
        self.close()

    def _write_whole(self) -> None:
        delta = Delta()
        if self._plan:
            delta.reasoning_details = [plan_detail("".join(self._plan))]
        annotations, others = read_citations(self._citations)
        if annotations:
            delta.annotations = annotations
        if others:
            delta.extra_content = extra(others)
        if delta != Delta():
            self.write(delta)

    _READERS: ClassVar[dict[str, Callable[[CohereStream, Event], None]]] = {
        "message-start": _message_start,
        "content-start": _content,
        "content-delta": _content,
        "tool-plan-delta": _tool_plan,
        "tool-call-start": _call_start,
        "tool-call-delta": _call_delta,
        "tool-call-end": _call_end,
        "citation-start": _citation,
        "message-end": _message_end,
    }


def _message(event: Event) -> EventMessage:
    delta = event.delta
    return (delta and delta.message) or _NOTHING
