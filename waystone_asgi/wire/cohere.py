"""Cohere's chat API, version 2, as its reference writes it: what is sent, and what is read.

In requests what is `UNSET` is left out. In answers only what is read has a member; counts may be
fractions there.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from .chat import Said


class Image(Said, Struct, omit_defaults=True, gc=False):
    """An image at a URL, or in one (`data:`)."""

    url: str
    detail: str | UnsetType = UNSET


class Block(Said, Struct, omit_defaults=True, gc=False):
    """A block of content: the member that `type` names. In a stream only the first has a type."""

    type: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    thinking: str | UnsetType = UNSET
    image_url: Image | UnsetType = UNSET


class Function(Said, Struct, omit_defaults=True, gc=False):
    """What is called; `arguments` are JSON as a string, or a piece of it."""

    name: str | UnsetType = UNSET
    arguments: str = ""


class Call(Said, Struct, omit_defaults=True):
    """A tool call, or a piece of one."""

    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    function: Function | UnsetType = UNSET


class Source(Said, Struct):
    """Where something comes from: a document, or what a tool put out."""

    document: dict[str, Any] | None = None
    tool_output: dict[str, Any] | None = None


class Citation(Said, Struct):
    """Which part of the text comes from where."""

    start: int = 0
    end: int = 0
    sources: list[Source] | None = None
    type: str = "TEXT_CONTENT"


class Message(Said, Struct, omit_defaults=True):
    """A message that is sent."""

    role: str
    content: str | list[Block] | UnsetType = UNSET
    tool_plan: str | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    citations: list[Any] | UnsetType = UNSET


class Tokens(Struct, gc=False):
    """Counts of one kind."""

    input_tokens: float | None = None
    output_tokens: float | None = None
    reasoning_tokens: float | None = None


class Usage(Struct):
    """What was used: `tokens` went through the model, `billed_units` are paid for.

    Of the former `cached_tokens` came from a cache.
    """

    tokens: Tokens | None = None
    billed_units: Tokens | None = None
    cached_tokens: float | None = None


class AnswerMessage(Said, Struct):
    """The message of an answer."""

    content: list[Block] | None = None
    tool_plan: str | None = None
    tool_calls: list[Call] | None = None
    citations: list[Any] | None = None


class Likelihood(Said, Struct, gc=False):
    """How likely a piece of text was: the logarithms for each of its tokens."""

    text: str = ""
    logprobs: list[float] | None = None


class Answer(Said, Struct):
    """A whole answer, or what stands in its place: a `message` that is a string tells an error."""

    message: AnswerMessage | str | None = None
    id: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    logprobs: list[Likelihood] | None = None
    error: str | None = None


_Started: TypeAlias = list[Any]
"""What stands for each member when a message starts: there is nothing in it yet."""


class EventMessage(Said, Struct):
    """What an event adds to a message."""

    content: Block | _Started | None = None
    tool_plan: str | None = None
    tool_calls: Call | _Started | None = None
    citations: dict[str, Any] | _Started | None = None


class EventDelta(Said, Struct):
    """What an event tells: an addition, or the end and perhaps the error that is its reason."""

    message: EventMessage | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: str | None = None


class Event(Said, Struct):
    """One streamed event; `index` counts blocks, calls or citations. An error has no type."""

    type: str = ""
    message: Any = None
    id: str | None = None
    index: int | None = None
    delta: EventDelta | None = None
    logprobs: Likelihood | None = None


class Refusal(Said, Struct):
    """The body of an error, which some statuses have as `data`."""

    message: Any = None
    data: Any = None
    error_type: str | None = None
    id: str | None = None


ANSWER = msgspec.json.Decoder(Answer)
EVENT = msgspec.json.Decoder(Event)
REFUSAL = msgspec.json.Decoder(Refusal)
