"""Ollama's streams: lines of JSON, in OpenAI's events."""

from __future__ import annotations

from collections.abc import Iterable

from ...sse import MAX_EVENT_BYTES, EventTooLongError
from ...wire.answers import Delta
from ...wire.chat import ChatCompletionRequest
from ...wire.ollama import ANSWER, Answer
from ..dialects import Head
from ..openai.errors import parse_error
from ..streams import TranslatedStream
from .answer import count, finish_reason, identify, read_calls, read_logprobs


class OllamaStream(TranslatedStream):
    """Follows one streamed chat. The last line says that it is `done`; without it there is no end.

    What is held is the beginning of a line.
    """

    def __init__(self, request: ChatCompletionRequest, head: Head) -> None:
        super().__init__(request, head)
        self._head = head
        self._held: list[bytes] = []
        self._size = 0
        self._calls = 0

    def payloads(self, data: bytes) -> Iterable[bytes]:
        """The lines that `data` completes. Raises `EventTooLongError`."""
        *lines, rest = data.split(b"\n")
        if lines and self._held:
            lines[0] = b"".join((*self._held, lines[0]))
            self._held, self._size = [], 0
        if rest:
            self._held.append(rest)
            self._size += len(rest)
            if self._size > MAX_EVENT_BYTES:
                self._held, self._size = [], 0
                raise EventTooLongError(f"a line is longer than {MAX_EVENT_BYTES} bytes")
        return filter(bytes.strip, lines)

    def last_payloads(self) -> Iterable[bytes]:
        """The last line, which may have no end."""
        rest = b"".join(self._held)
        self._held, self._size = [], 0
        return filter(bytes.strip, (rest,))

    def read(self, payload: bytes) -> None:
        """Take one line."""
        said = ANSWER.decode(payload)
        if said.error is not None:
            self.fail(parse_error(200, payload))
            return
        if self.response_id is None:
            id, created, model = identify(said, self._head)
            self.open(id, model, created)
        self._read_message(said)
        if said.done:
            self.usage = count(said) or self.usage
            self.end(finish_reason(said.done_reason, self._calls > 0))
            self.close()

    def _read_message(self, said: Answer) -> None:
        message = said.message
        if message is None:
            return
        if message.thinking:
            self.write(Delta(reasoning_content=message.thinking))
        logprobs = read_logprobs(said.logprobs)
        if message.content or logprobs:
            self.write(Delta(content=message.content or ""), logprobs=logprobs)
        if message.tool_calls:
            calls = list(read_calls(message.tool_calls, self._calls))
            self._calls += len(calls)
            self.write(Delta(tool_calls=calls))
