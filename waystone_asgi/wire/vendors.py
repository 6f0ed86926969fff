"""Answers in OpenAI's form as some vendors write them: the members that are told in other words.

Reasoning in `reasoning`, or as parts of the content (Mistral).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from .chat import ABSENT, Said


class VendorCall(Said, Struct, gc=False):
    """Whether a tool call has its place."""

    index: int | None = None


class VendorMessage(Said, Struct, gc=False):
    """A message, or what an event adds to one."""

    content: Raw = ABSENT
    reasoning: Raw = ABSENT
    reasoning_content: Raw = ABSENT
    tool_calls: list[VendorCall] | None = None


class VendorChoice(Said, Struct, gc=False):
    """A choice of either kind."""

    index: int = 0
    message: VendorMessage | None = None
    delta: VendorMessage | None = None
    finish_reason: Any = None


class VendorAnswer(Said, Struct):
    """A whole answer, or an event."""

    choices: list[VendorChoice] | None = None


class Thought(Said, Struct, gc=False):
    """A piece of reasoning."""

    text: str = ""


class VendorPart(Said, Struct):
    """A part of content. `thinking` is its pieces, or their text."""

    type: str = ""
    text: str = ""
    thinking: list[Thought] | str = ""
    signature: str | None = None


class Call(Said, Struct):
    """Which tool call it is, and what its provider needs to continue."""

    id: str | None = None
    extra_content: Any = UNSET


class Detail(Struct, gc=False):
    """What proves a block of reasoning."""

    signature: str | None = None


ANSWER = msgspec.json.Decoder(VendorAnswer)
PARTS = msgspec.json.Decoder(list[VendorPart])
CALLS = msgspec.json.Decoder(list[Call] | None)
ID = msgspec.json.Decoder(str | None)
DETAILS = msgspec.json.Decoder(list[Detail] | None)
