"""Chat completions as OpenAI's API reference writes them: the fields that are read, not all there
are.

A request is a view Struct for the fields we read beside the raw members it carries. Nothing is
decided here.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct


class Said:
    """A part of what is said. Its `repr` shows none of it, since that may end up in a log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class StreamOptions(Struct, omit_defaults=True, gc=False):
    """How a stream is to be sent."""

    include_usage: bool | None = None


Model = Annotated[str, Meta(min_length=1, max_length=1024)]
Positive = Annotated[int, Meta(gt=0)] | Annotated[float, Meta(gt=0)]


class ChatCompletionRequest(Said, Struct, omit_defaults=True, gc=False):
    """The view of a request. `max_completion_tokens` and `n` are whole, whatever their spelling.

    `max_tokens` may be anything: it is not checked.
    """

    model: Model
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    max_completion_tokens: Positive | None = None
    max_tokens: Any = UNSET
    n: Positive | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None


class MetadataMember(Struct, gc=False):
    """One member of a request as it is written."""

    metadata: msgspec.Raw


class MessagesMember(Struct, gc=False):
    """Another one."""

    messages: msgspec.Raw


ABSENT = msgspec.Raw(b"")
"""The raw value of a member that is not there."""


class ChatCompletionMessage(Struct, gc=False):
    """Which of the members that the contract promises a message has."""

    role: Any = None
    content: msgspec.Raw = msgspec.Raw(b"null")
    contents: msgspec.Raw = ABSENT
    refusal: msgspec.Raw = ABSENT
    annotations: msgspec.Raw = ABSENT
    audio: msgspec.Raw = ABSENT


class Choice(Struct, gc=False):
    """The view of one choice of a whole answer."""

    message: ChatCompletionMessage
    finish_reason: Any = None
    logprobs: msgspec.Raw = ABSENT
    created: msgspec.Raw = ABSENT
    error: Any = None


Count = Annotated[int, Meta(ge=0)] | None


class CachedTokensDetails(Struct, gc=False):
    """The part of `cached_tokens` that was heard."""

    audio_tokens: Count = None


class PromptTokensDetails(Struct, gc=False):
    """The parts of `prompt_tokens` that a cache gave or took, or that were heard."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    audio_tokens: Count = None
    cached_tokens_details: CachedTokensDetails | None = None


class CompletionTokensDetails(Struct, gc=False):
    """The parts of `completion_tokens` that were not shown, or were said."""

    reasoning_tokens: Count = None
    audio_tokens: Count = None


class CompletionUsage(Struct, gc=False):
    """Token counts, in OpenAI's members and in those of vendors that put them elsewhere."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
    prompt_cache_hit_tokens: Count = None
    num_cached_tokens: Count = None
    cached_tokens: Count = None
    cache_creation_input_tokens: Count = None


class ChatCompletion(Struct, gc=False):
    """The view of a whole answer."""

    choices: list[Choice] | None = None
    id: str | None = None
    model: str | None = None
    created: msgspec.Raw = msgspec.Raw(b"0")
    usage: CompletionUsage | None = None


class UncountedCompletion(Struct, gc=False):
    """The same, with whatever stands for id, model and usage."""

    choices: list[Choice] | None = None
    id: Any = None
    model: Any = None
    created: msgspec.Raw = msgspec.Raw(b"0")
    usage: msgspec.Raw = ABSENT


class GroqExtension(Struct):
    """Where Groq puts the usage of a stream, or why it was stopped early."""

    usage: msgspec.Raw = ABSENT
    error: Any = None


class ChatCompletionChunk(Said, Struct):
    """The view of one streamed event."""

    id: Any = None
    model: Any = None
    choices: list[ChunkChoice] | None = None
    usage: msgspec.Raw = ABSENT
    x_groq: GroqExtension | None = None
    error: Any = None


class ChunkChoice(Said, Struct):
    """One choice in an event: its end, or the error some vendors put there."""

    index: int = 0
    finish_reason: Any = None
    error: Any = None


class DeltaChunk(Said, Struct, gc=False):
    """A streamed event that only goes on: one that tells usage, an error or an end is refused."""

    id: str | None = None
    model: str | None = None
    choices: list[DeltaChoice] | None = None
    usage: None = None
    x_groq: None = None
    error: None = None


class DeltaChoice(Said, Struct, gc=False):
    """One choice in such an event."""

    index: int = 0
    finish_reason: None = None
    error: None = None


DOCUMENT = msgspec.json.Decoder()
"""Decodes a whole document, so that every string, number and nesting in it has been looked at."""

REQUEST = msgspec.json.Decoder(ChatCompletionRequest)
METADATA = msgspec.json.Decoder(MetadataMember)
MESSAGES = msgspec.json.Decoder(MessagesMember)
ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
CHUNK = msgspec.json.Decoder(ChatCompletionChunk)
DELTA = msgspec.json.Decoder(DeltaChunk)
COMPLETION = msgspec.json.Decoder(ChatCompletion)
UNCOUNTED = msgspec.json.Decoder(UncountedCompletion)
USAGE = msgspec.json.Decoder(CompletionUsage)
