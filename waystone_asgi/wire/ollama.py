"""Ollama's chat API as its reference writes it: what is sent, and what is read.

In requests what is `UNSET` is left out. In answers only what is read has a member. A line of a
stream is an answer with a piece of the message.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from .chat import ABSENT, Said


class Function(Said, Struct, gc=False):
    """What is called, with a JSON object for its arguments."""

    name: str = ""
    arguments: Raw = ABSENT


class Call(Said, Struct, omit_defaults=True, gc=False):
    """A tool call. Older versions give it no id."""

    function: Function
    id: str | UnsetType = UNSET


class Message(Said, Struct, omit_defaults=True):
    """A message, or a piece of one. Images are in base64, without a type."""

    role: str = ""
    content: str | UnsetType | None = UNSET
    thinking: str | UnsetType | None = UNSET
    images: list[str] | UnsetType | None = UNSET
    tool_calls: list[Call] | UnsetType | None = UNSET
    tool_name: str | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET


class Answer(Said, Struct):
    """An answer, or a line of one; `error` stands in the place of either."""

    model: str | None = None
    created_at: str | None = None
    message: Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: list[dict[str, Any]] | None = None
    error: Any = None


ANSWER = msgspec.json.Decoder(Answer)
OBJECT = msgspec.json.Decoder(dict[str, Raw])
