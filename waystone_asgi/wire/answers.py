"""Chat completions as they are written here, for dialects that answer in another form.

In: what an answer said. Out: the bytes of OpenAI's object or of its chunks, with the members that
the contract adds. Members that are `UNSET` are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ..records import Usage
from .chat import Said
from .conversations import ReasoningDetail
from .members import encode


class Function(Said, Struct, omit_defaults=True, gc=False):
    """What the model wants called; `arguments` are JSON as a string, or a piece of it."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class Call(Said, Struct, omit_defaults=True):
    """A tool call, whole or a piece of one; only pieces have an `index`."""

    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    function: Function | UnsetType = UNSET
    extra_content: Any = UNSET


class URLCitation(Struct, gc=False):
    """Where something is said to come from."""

    url: str
    title: str
    start_index: int = 0
    end_index: int = 0


class Annotation(Struct):
    """A remark on a part of the text."""

    url_citation: URLCitation
    type: str = "url_citation"


class ImageURL(Said, Struct, gc=False):
    """An image in a `data:` URL."""

    url: str


class Image(Said, Struct, omit_defaults=True):
    """An image that the model made, as OpenRouter has them; only in events it has an `index`."""

    image_url: ImageURL
    type: str | UnsetType = UNSET
    index: int | UnsetType = UNSET
    extra_content: Any = UNSET


class Delta(Said, Struct, omit_defaults=True):
    """What an event adds to a message."""

    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning_details: list[ReasoningDetail] | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET
    annotations: list[Annotation] | UnsetType = UNSET
    images: list[Image] | UnsetType = UNSET
    extra_content: Any = UNSET


class AnswerMessage(Said, Struct):
    """A whole message. `contents` equals `content`."""

    role: str = "assistant"
    content: str | None = None
    contents: str | None = None
    refusal: str | None = None
    annotations: list[Annotation] = []
    audio: None = None
    reasoning_content: str | UnsetType = UNSET
    reasoning_details: list[ReasoningDetail] | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET
    images: list[Image] | UnsetType = UNSET
    extra_content: Any = UNSET


class AnswerChoice(Said, Struct):
    """One of the answers; `created` equals the completion's."""

    message: AnswerMessage
    finish_reason: str | None
    index: int = 0
    created: int = 0
    logprobs: Any = None


class PromptDetails(Struct, omit_defaults=True, gc=False):
    """Parts of the prompt's tokens."""

    cached_tokens: int | UnsetType = UNSET
    cache_write_tokens: int | UnsetType = UNSET
    audio_tokens: int | UnsetType = UNSET


class CompletionDetails(Struct, omit_defaults=True, gc=False):
    """Parts of the completion's tokens."""

    reasoning_tokens: int | UnsetType = UNSET
    audio_tokens: int | UnsetType = UNSET


class WrittenUsage(Struct, gc=False):
    """Tokens in OpenAI's members."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Completion(Said, Struct):
    """A whole answer."""

    id: str
    created: int
    model: str
    choices: list[AnswerChoice]
    usage: WrittenUsage | None = None
    object: str = "chat.completion"
    service_tier: str | UnsetType = UNSET


class DeltaChoice(Said, Struct):
    """One choice in an event."""

    delta: Delta
    index: int = 0
    finish_reason: str | None = None
    logprobs: Any = None


class Chunk(Said, Struct, omit_defaults=True):
    """One event of a stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[DeltaChoice]
    usage: WrittenUsage | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET


def write_usage(usage: Usage) -> WrittenUsage:
    """A usage as the caller is told it."""
    return WrittenUsage(
        usage.input_tokens,
        usage.output_tokens,
        usage.input_tokens + usage.output_tokens,
        PromptDetails(
            usage.cache_read_input_tokens,
            usage.cache_write_input_tokens or UNSET,
            usage.input_audio_tokens or UNSET,
        ),
        CompletionDetails(usage.reasoning_output_tokens, usage.output_audio_tokens or UNSET),
    )


def encode_completion(
    id: str,
    created: int,
    model: str,
    choices: Sequence[AnswerChoice],
    usage: Usage | None,
    *,
    service_tier: str | UnsetType = UNSET,
) -> bytes:
    """A whole answer, completed as the contract says."""
    for choice in choices:
        choice.created = created
        choice.message.contents = choice.message.content
    written = None if usage is None else write_usage(usage)
    answer = Completion(id, created, model, list(choices), written, service_tier=service_tier)
    return encode(answer)


class ChunkEncoder:
    """Writes the events of one stream: OpenAI's chunks, all of the same id, time and model.

    `service_tier` is in each of them once the provider has told it.
    """

    __slots__ = ("created", "id", "model", "service_tier")

    def __init__(self, id: str, created: int, model: str) -> None:
        self.id = id
        self.created = created
        self.model = model
        self.service_tier: str | UnsetType = UNSET

    def encode(
        self,
        delta: Delta,
        finish_reason: str | None = None,
        index: int = 0,
        logprobs: object = None,
    ) -> bytes:
        """An event that adds to a choice, or ends it."""
        choice = DeltaChoice(delta, index, finish_reason, logprobs)
        return self._event(Chunk(self.id, _CHUNK, self.created, self.model, [choice]))

    def encode_usage(self, usage: Usage) -> bytes:
        """The event with the usage, which has no choices."""
        written = write_usage(usage)
        return self._event(Chunk(self.id, _CHUNK, self.created, self.model, [], written))

    def _event(self, chunk: Chunk) -> bytes:
        chunk.service_tier = self.service_tier
        return b"data: %b\n\n" % encode(chunk)


_CHUNK = "chat.completion.chunk"
