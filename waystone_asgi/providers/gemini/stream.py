"""A streamed answer: Gemini's events, each with a piece of every candidate, to OpenAI's.

In: bytes in any cut. Out: OpenAI's events. The provider has no closing event: the answer is over
when each candidate has told why it ended.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...sse import event_data
from ...wire.answers import Delta
from ...wire.chat import ChatCompletionRequest
from ...wire.gemini.answers import RESPONSE, Candidate, PromptFeedback
from ..dialects import Head
from ..streams import TranslatedStream
from .answer import created_at, explain
from .errors import parse_error
from .logprobs import write_logprobs
from .reasons import BLOCKED, finish_reason
from .tokens import count, service_tier
from .turns import Turn


class GeminiStream(TranslatedStream):
    """Follows one streamed answer."""

    def __init__(self, request: ChatCompletionRequest, head: Head) -> None:
        super().__init__(request, head)
        self._head = head
        self._turns: dict[int, Turn] = {}

    @property
    def complete(self) -> bool:
        """Whether every candidate that began has come to its end."""
        ended = bool(self._reasons) and len(self._reasons) >= len(self._turns)
        return self.error is None and (self.done or ended)

    def read(self, payload: bytes) -> None:
        """Take one event: a piece of an answer, or an error."""
        response = RESPONSE.decode(payload)
        if response.error is not None:
            self.fail(parse_error(200, payload, ()))
            return
        if self.response_id is None:
            created = created_at(response, self._head)
            self.open(response.response_id, response.model_version, created)
            self.chunks.service_tier = service_tier(response.usage_metadata)
        self.usage = count(response.usage_metadata) or self.usage
        for candidate in response.candidates or ():
            self._follow(candidate)
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason is not None and not self._turns:
            self._block(feedback)

    def payloads(self, data: bytes) -> Iterable[bytes]:
        """The payloads that `data` completes. Raises `EventTooLongError`."""
        return filter(None, map(_payload, self._splitter.feed(data)))

    def last_payloads(self) -> Iterable[bytes]:
        """Those that only the end completes."""
        return filter(None, (_payload(self._splitter.flush() + b"\n\n"),))

    def _follow(self, candidate: Candidate) -> None:
        index = candidate.index
        turn = self._turns.get(index)
        if turn is None:
            turn = self._turns[index] = Turn(self.response_id or "", index)
        said = turn.take(candidate)
        logprobs = write_logprobs(candidate.logprobs_result)
        if said is not None or logprobs is not None:
            self.write(said or Delta(), None, index, logprobs)
        reason = finish_reason(candidate.finish_reason, turn.calls)
        if reason is not None and index not in self._reasons:
            told = turn.close()
            if told is not None:
                self.write(told, None, index)
            self.end(reason, index)

    def _block(self, feedback: PromptFeedback) -> None:
        """The prompt was refused: an answer that says nothing."""
        delta = Delta(extra_content=explain(feedback))
        if feedback.block_reason_message is not None:
            delta.refusal = feedback.block_reason_message
        self.write(delta)
        self.end(BLOCKED)


def _payload(event: bytes) -> bytes | None:
    """What an event says. Errors come as a document without a frame, too, or as a list of one."""
    data = event_data(event)
    if data is None and event.startswith((b"{", b"[")):
        return event.strip().removeprefix(b"[").removesuffix(b"]")
    return data
