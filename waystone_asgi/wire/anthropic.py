"""Anthropic's Messages as its API reference writes them: what is sent, and what is read of answers.

Blocks, citations and tools that are not known here travel as they are written. Nothing is decided.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from .chat import ABSENT, Said

CacheControl: TypeAlias = dict[str, Any]


class Source(Said, Struct, omit_defaults=True, gc=False):
    """Where an image or a document is: in base64, as text, at a URL, or in a file."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None


class TextBlock(Said, Struct, tag_field="type", tag="text", omit_defaults=True):
    """Text."""

    text: str
    cache_control: CacheControl | None = None


class ImageBlock(Said, Struct, tag_field="type", tag="image", omit_defaults=True):
    """An image."""

    source: Source
    cache_control: CacheControl | None = None


class DocumentBlock(Said, Struct, tag_field="type", tag="document", omit_defaults=True):
    """A PDF, or a plain text that has a title."""

    source: Source
    title: str | None = None
    citations: dict[str, Any] | None = None
    cache_control: CacheControl | None = None


class ToolUseBlock(Said, Struct, tag_field="type", tag="tool_use", omit_defaults=True):
    """A call that the model asked for."""

    id: str
    name: str
    input: msgspec.Raw
    cache_control: CacheControl | None = None


class ToolResultBlock(Said, Struct, tag_field="type", tag="tool_result", omit_defaults=True):
    """What a call came to."""

    tool_use_id: str
    content: str | list[Block] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Said, Struct, tag_field="type", tag="thinking", gc=False):
    """Reasoning, with the signature without which it is not taken back."""

    thinking: str
    signature: str


class RedactedThinkingBlock(Said, Struct, tag_field="type", tag="redacted_thinking", gc=False):
    """Reasoning that only the provider can read."""

    data: str


Cacheable: TypeAlias = TextBlock | ImageBlock | DocumentBlock | ToolUseBlock | ToolResultBlock
Block: TypeAlias = Cacheable | ThinkingBlock | RedactedThinkingBlock | dict[str, Any]
"""A block to send; a dictionary is one that the provider made."""

Content: TypeAlias = str | list[Block]


class Turn(Said, Struct):
    """What one side says: `user`, `assistant`, or in the middle `system`."""

    role: str
    content: Content


class Carried(Said, Struct):
    """What a message of an earlier answer gives back: all of its blocks."""

    content: list[dict[str, Any]] = []


class ExtraContent(Said, Struct):
    """The member in which it travels."""

    anthropic: Carried | None = None


Count = Annotated[int, Meta(ge=0)] | None


class CacheCreation(Struct, gc=False):
    """What the cache took, by how long it keeps it."""

    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class OutputDetails(Struct, gc=False):
    """Parts of the output."""

    thinking_tokens: Count = None


class Counts(Struct, gc=False):
    """Tokens; the input is what neither came from the cache nor went into it."""

    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None


class SaidText(Said, Struct, tag_field="type", tag="text"):
    """Text of an answer, and what it cites."""

    text: str = ""
    citations: list[dict[str, Any]] | None = None


class SaidThinking(Said, Struct, tag_field="type", tag="thinking", gc=False):
    """Reasoning of an answer."""

    thinking: str = ""
    signature: str | None = None


class SaidToolUse(Said, Struct, tag_field="type", tag="tool_use"):
    """A call; `caller` says whether the model itself or one of its programs makes it."""

    id: str
    name: str
    input: msgspec.Raw = msgspec.Raw(b"{}")
    caller: dict[str, Any] | None = None


SaidBlock: TypeAlias = SaidText | SaidThinking | SaidToolUse | RedactedThinkingBlock


class StopDetails(Said, Struct, gc=False):
    """Why the model refused."""

    explanation: str | None = None


class Ending(Said, Struct):
    """How an answer ended: the members of a message, and of the delta of a stream's last event."""

    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: msgspec.Raw = ABSENT
    container: msgspec.Raw = ABSENT


class Message(Ending):
    """A whole answer, or in a stream the beginning of one."""

    id: str | None = None
    model: str | None = None
    content: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = ABSENT


class Change(Ending):
    """What a streamed event adds: to a block, or to the message."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: dict[str, Any] | None = None
    content: str | None = None
    encrypted_content: str | None = None


class Event(Said, Struct):
    """One streamed event: the members that `type` calls for."""

    type: str
    index: int = 0
    delta: Change | None = None
    content_block: msgspec.Raw = ABSENT
    message: Message | None = None
    usage: msgspec.Raw = ABSENT


class ErrorObject(Said, Struct, gc=False):
    """What kind of error it is."""

    type: str | None = None


class ErrorBody(Said, Struct):
    """An error."""

    error: ErrorObject


MESSAGE = msgspec.json.Decoder(Message)
BLOCK = msgspec.json.Decoder(SaidBlock)
COUNTS = msgspec.json.Decoder(Counts)
OPENED = msgspec.json.Decoder(dict[str, Any])
EVENT = msgspec.json.Decoder(Event)
ERROR = msgspec.json.Decoder(ErrorBody)
STOP_DETAILS = msgspec.json.Decoder(StopDetails)
