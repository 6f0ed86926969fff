"""Chat completions as OpenAI's API reference writes them: the fields that are read, not all there
are.

A request is a view Struct for the fields we read beside the raw members it carries. Nothing is
decided here.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

Name = str | None


class Said:
    """A part of what is said. Its `repr` shows none of it, since that may end up in a log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class ContentPart(Said, Struct):
    """A part of a message: text, image, audio, file, or one that came after this was written."""

    type: str


class TextPart(Said, Struct, tag_field="type", tag="text"):
    """The one kind of part a tool message takes."""

    text: str


Content = str | list[str | ContentPart]


class DeveloperMessage(Said, Struct, tag_field="role", tag="developer"):
    """What the developer of the calling application says."""

    content: Content
    name: Name = None


class SystemMessage(Said, Struct, tag_field="role", tag="system"):
    """The same, as models before `developer` know it."""

    content: Content
    name: Name = None


class UserMessage(Said, Struct, tag_field="role", tag="user"):
    """What the end user says."""

    content: Content
    name: Name = None


class FunctionMessage(Said, Struct, tag_field="role", tag="function"):
    """What a function came to; deprecated in favour of `ToolMessage`."""

    content: Content
    name: Name = None


class ToolMessage(Said, Struct, tag_field="role", tag="tool"):
    """What a tool call came to."""

    content: str | list[str | TextPart]
    tool_call_id: str
    name: Name = None


class AssistantMessage(Said, Struct, tag_field="role", tag="assistant"):
    """What the model said before."""

    content: Content | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None
    name: Name = None

    def __post_init__(self) -> None:
        if self.content is None and not self.tool_calls and self.function_call is None:
            raise ValueError("`content` may be null only beside `tool_calls` or `function_call`")


ChatMessage = (
    DeveloperMessage
    | SystemMessage
    | UserMessage
    | AssistantMessage
    | FunctionMessage
    | ToolMessage
)


class StreamOptions(Struct):
    """How a stream is to be sent."""

    include_usage: bool | None = None


Positive = Annotated[float, Meta(gt=0)]


class ChatCompletionRequest(Said, Struct):
    """The view of a request. `max_completion_tokens` and `n` are whole, whatever their spelling."""

    model: Annotated[str, Meta(min_length=1, max_length=1024)]
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    max_completion_tokens: Positive | None = None
    n: Positive | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None


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


class ChatCompletion(Struct, gc=False):
    """The view of a whole answer."""

    choices: list[Choice] | None = None
    id: Any = None
    model: Any = None
    created: msgspec.Raw = msgspec.Raw(b"0")
    usage: msgspec.Raw = ABSENT


Count = int | float | None


class CachedTokensDetails(Struct):
    """The part of `cached_tokens` that was heard."""

    audio_tokens: Count = None


class PromptTokensDetails(Struct):
    """The parts of `prompt_tokens` that a cache gave or took, or that were heard."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    audio_tokens: Count = None
    cached_tokens_details: CachedTokensDetails | None = None


class CompletionTokensDetails(Struct):
    """The parts of `completion_tokens` that were not shown, or were said."""

    reasoning_tokens: Count = None
    audio_tokens: Count = None


class CompletionUsage(Struct):
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


class GroqExtension(Struct):
    """Where Groq puts the usage of a stream."""

    usage: msgspec.Raw = ABSENT


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


DOCUMENT = msgspec.json.Decoder()
"""Decodes a whole document, so that every string, number and nesting in it has been looked at."""

ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
CHUNK = msgspec.json.Decoder(ChatCompletionChunk)
COMPLETION = msgspec.json.Decoder(ChatCompletion)
USAGE = msgspec.json.Decoder(CompletionUsage)


def view(document: object) -> ChatCompletionRequest:
    """The view of a decoded document; raises `msgspec.ValidationError` with a path."""
    return msgspec.convert(document, ChatCompletionRequest)
