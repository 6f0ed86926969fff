"""Converse and ConverseStream as the API reference of AWS Bedrock's runtime writes them.

What is said both ways is one Struct. What stands only in requests is written where it is made, and
blobs are bytes here and base64 on the wire. Members that are no member here are ignored. Nothing
is decided.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from .chat import ABSENT, Count, Said


class ReasoningText(Said, Struct, rename="camel", omit_defaults=True, gc=False):
    """Reasoning, and the signature that proves whose it is."""

    text: str
    signature: str | None = None


class ReasoningContent(Said, Struct, rename="camel", omit_defaults=True, gc=False):
    """Reasoning that is shown, or that only the provider can read."""

    reasoning_text: ReasoningText | None = None
    redacted_content: bytes | None = None


class ToolUse(Said, Struct, rename="camel", omit_defaults=True, gc=False):
    """A call. `type` is `server_tool_use` where the provider carries it out itself."""

    tool_use_id: str
    name: str
    input: msgspec.Raw = ABSENT
    type: str | None = None


class WebLocation(Said, Struct, rename="camel", omit_defaults=True, gc=False):
    """A page."""

    url: str | None = None
    domain: str | None = None


class CitationLocation(Said, Struct, rename="camel", omit_defaults=True):
    """Where in a source something stands; one of these."""

    web: WebLocation | None = None
    document_char: Any = None
    document_page: Any = None
    document_chunk: Any = None
    search_result_location: Any = None


class Citation(Said, Struct, rename="camel", omit_defaults=True):
    """What a piece of the answer rests on."""

    title: str | None = None
    source: str | None = None
    source_content: Any = None
    location: CitationLocation | None = None


class CitedText(Said, Struct, gc=False):
    """A piece of an answer that rests on something."""

    text: str = ""


class CitationsContent(Said, Struct, rename="camel", omit_defaults=True):
    """A piece of an answer, and what it rests on."""

    content: list[CitedText] = []
    citations: list[Citation] = []


class ContentBlock(Said, Struct, rename="camel", omit_defaults=True):
    """A block of content: one of these."""

    text: str | None = None
    tool_use: ToolUse | None = None
    tool_result: Any = None
    reasoning_content: ReasoningContent | None = None
    citations_content: CitationsContent | None = None
    image: Any = None
    document: Any = None
    video: Any = None
    audio: Any = None
    search_result: Any = None
    guard_content: Any = None
    cache_point: Any = None


class Message(Said, Struct):
    """One turn."""

    role: str
    content: list[ContentBlock]


class ToolConfig(Said, Struct, rename="camel", omit_defaults=True):
    """The tools, and which of them is to be called."""

    tools: list[Any]
    tool_choice: Any = None


class ConverseRequest(Said, Struct, rename="camel", omit_defaults=True):
    """A whole request; the model is in the path."""

    messages: list[Message]
    system: list[ContentBlock] = []
    inference_config: dict[str, Any] = {}
    tool_config: ToolConfig | None = None
    additional_model_request_fields: dict[str, Any] = {}
    output_config: dict[str, Any] = {}
    service_tier: Any = None
    request_metadata: Any = None
    guardrail_config: Any = None
    performance_config: Any = None
    prompt_variables: Any = None
    additional_model_response_field_paths: Any = None


class Output(Said, Struct):
    """What the model said."""

    message: Message


class Trailer(Said, Struct, rename="camel", kw_only=True):
    """What stands beside a message: what it used, and what became of it on the way."""

    usage: msgspec.Raw = ABSENT
    metrics: Any = None
    trace: Any = None
    performance_config: Any = None
    service_tier: Any = None


class ConverseResponse(Trailer, rename="camel"):
    """A whole answer."""

    output: Output
    stop_reason: str
    additional_model_response_fields: Any = None


Tokens = Annotated[int, Meta(ge=0)]


class CacheDetail(Struct, rename="camel", gc=False):
    """What was written to a cache that keeps it for `ttl`."""

    ttl: str = ""
    input_tokens: Tokens = 0


class TokenUsage(Struct, rename="camel"):
    """Token counts. The cache is no part of `input_tokens` here."""

    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cache_read_input_tokens: Count = None
    cache_write_input_tokens: Count = None
    cache_details: list[CacheDetail] | None = None


class BlockStart(Said, Struct, rename="camel"):
    """What is said of a block before its content."""

    tool_use: ToolUse | None = None
    tool_result: dict[str, Any] | None = None


class ContentBlockStart(Said, Struct, rename="camel"):
    """A block begins."""

    start: BlockStart
    content_block_index: int


class InputDelta(Said, Struct, gc=False):
    """A piece of a call's input."""

    input: str = ""


class ReasoningDelta(Said, Struct, rename="camel", gc=False):
    """A piece of reasoning, or its signature."""

    text: str | None = None
    signature: str | None = None
    redacted_content: bytes | None = None


class BlockDelta(Said, Struct, rename="camel"):
    """A piece of a block: one of these."""

    text: str | None = None
    tool_use: InputDelta | None = None
    reasoning_content: ReasoningDelta | None = None
    citation: Citation | None = None
    tool_result: list[Any] | None = None


class ContentBlockDelta(Said, Struct, rename="camel"):
    """A block goes on."""

    delta: BlockDelta
    content_block_index: int


class ContentBlockStop(Struct, rename="camel", gc=False):
    """A block ends."""

    content_block_index: int


class MessageStop(Said, Struct, rename="camel"):
    """The message ends; a `Trailer` follows."""

    stop_reason: str
    additional_model_response_fields: Any = None


class Fault(Said, Struct, rename="camel", gc=False):
    """An error, as a body or as a frame of a stream has it."""

    message: str | None = None
    capital: str | None = msgspec.field(default=None, name="Message")
    original_status_code: int | None = None
    type: str | None = msgspec.field(default=None, name="__type")


BLOCKS = msgspec.json.Decoder(list[ContentBlock])
RESPONSE = msgspec.json.Decoder(ConverseResponse)
USAGE = msgspec.json.Decoder(TokenUsage)
BLOCK_START = msgspec.json.Decoder(ContentBlockStart)
BLOCK_DELTA = msgspec.json.Decoder(ContentBlockDelta)
BLOCK_STOP = msgspec.json.Decoder(ContentBlockStop)
MESSAGE_STOP = msgspec.json.Decoder(MessageStop)
TRAILER = msgspec.json.Decoder(Trailer)
FAULT = msgspec.json.Decoder(Fault)
