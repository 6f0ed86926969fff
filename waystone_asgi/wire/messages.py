"""The messages of a request, and the numbers beside them, by the rules of the contract's third
section.

In: a decoded document. Out: its `CheckedRequest`, or an error with the path of what is wrong.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from .chat import Model, Said, StreamOptions

Name = str | None


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


Positive = Annotated[float, Meta(gt=0)]


class CheckedRequest(Said, Struct):
    """All that a request is checked for."""

    model: Model
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


PARTS = msgspec.json.Decoder(list[str | ContentPart])
TOOL_PARTS = msgspec.json.Decoder(list[str | TextPart])


def check(document: object) -> CheckedRequest:
    """The checked request; raises `msgspec.ValidationError` with a path."""
    return msgspec.convert(document, CheckedRequest)
