"""What is said, by either side: turns and their parts."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..chat import Said

Raw = msgspec.Raw


class Blob(Said, Struct, gc=False, rename="camel"):
    """Bytes in base64."""

    mime_type: str = ""
    data: str = ""


class FileData(Said, Struct, gc=False, rename="camel", omit_defaults=True):
    """A file where Google finds it."""

    file_uri: str
    mime_type: str | None = None


class PartialArg(Said, Struct, rename="camel"):
    """A piece of a call's arguments, where the caller asked for them as they come (Vertex)."""

    json_path: str
    string_value: str | UnsetType = UNSET
    number_value: int | float | UnsetType = UNSET
    bool_value: bool | UnsetType = UNSET


class FunctionCall(Said, Struct, rename="camel", omit_defaults=True):
    """What the model wants called; `args` are an object."""

    name: str = ""
    args: Raw | UnsetType = UNSET
    id: str | None = None
    partial_args: list[PartialArg] | None = None
    will_continue: bool = False


class FunctionResponse(Said, Struct, rename="camel", omit_defaults=True):
    """What a call came to."""

    name: str
    response: Raw
    id: str | None = None


class Part(Said, Struct, rename="camel", omit_defaults=True):
    """One part of a content. It has one of the members that are data."""

    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: Any = None
    code_execution_result: Any = None
    tool_call: Any = None
    tool_response: Any = None


class Content(Said, Struct, omit_defaults=True):
    """A turn of one role, `user` or `model`; a system instruction has none."""

    parts: list[Part] | None = None
    role: str | None = None
