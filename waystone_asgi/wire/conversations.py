"""Chat requests as dialects read them that write another: all messages, parts, calls and tools.

The vocabulary is that of OpenAI's API reference, and of the vendors whose additions clients know:
`reasoning_content` (DeepSeek), `reasoning_details`, `images` and `video_url` (OpenRouter),
`extra_content` (Google), `cache_control`, `citations` of a file and `is_error` of a result
(Anthropic). What is no member here is ignored. Nothing is decided.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..exceptions import InvalidRequestError
from .chat import Said
from .members import MALFORMED
from .requests import ChatRequest


class ImageURL(Said, Struct, gc=False):
    """An image, at a URL or in one (`data:`)."""

    url: str
    detail: str | None = None


class InputAudio(Said, Struct, gc=False):
    """Sound, in base64."""

    data: str
    format: str = "wav"


class InputFile(Said, Struct, gc=False):
    """A file: its content as a `data:` URL, or the id under which the provider has it."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Part(Said, Struct):
    """One part of a message's content: the member that `type` names is the one that counts."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: ImageURL | None = None
    input_audio: InputAudio | None = None
    file: InputFile | None = None
    video_url: ImageURL | None = None
    citations: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None
    prompt_cache_breakpoint: Any = None
    extra_content: Any = None


class FunctionCall(Said, Struct, frozen=True, gc=False):
    """What is to be called: `arguments` are JSON as a string, or whatever the model wrote."""

    name: str = ""
    arguments: str = ""


class ToolCall(Said, Struct):
    """A call that the model asked for. `extra_content` is what its provider needs to continue."""

    id: str = ""
    type: str = "function"
    function: FunctionCall = FunctionCall()
    extra_content: Any = None


class ReasoningDetail(Said, Struct, omit_defaults=True):
    """One block of reasoning, to be given back unchanged, with the signature that proves it.

    `type` is `reasoning.text` (with `text` and `signature`), `reasoning.summary`, or
    `reasoning.encrypted` (with `data`); `format` names the dialect that made it.
    """

    type: str
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    id: str | None = None
    format: str | None = None
    index: int | None = None


class Message(Said, Struct):
    """One message."""

    role: str
    content: str | list[str | Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str = ""
    is_error: bool | None = None
    function_call: FunctionCall | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    extra_content: Any = None
    cache_control: dict[str, Any] | None = None
    audio: Any = None
    images: list[Part] | None = None

    @property
    def parts(self) -> list[Part]:
        """The content as parts; an empty string is none."""
        content = self.content
        if not content:
            return []
        if isinstance(content, str):
            return [Part("text", content)]
        return [Part("text", part) if isinstance(part, str) else part for part in content]

    @property
    def text(self) -> str:
        """The text of all parts that have one."""
        content = self.content
        if isinstance(content, str):
            return content
        return "".join([part.text for part in self.parts])


class FunctionDefinition(Said, Struct):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Said, Struct):
    """A tool: a function, or one of the provider's own, of which `document` has the rest.

    Some providers name a tool by its only member, so that it has no `type`.
    """

    type: str = ""
    function: FunctionDefinition | None = None
    cache_control: dict[str, Any] | None = None
    document: dict[str, Any] = {}


class ToolChoice(Struct, frozen=True):
    """Which tools may be called: `mode` is `none`, `auto`, `required` or `function` (`name`)."""

    mode: str
    name: str | None = None


class JSONSchema(Said, Struct):
    """The schema that an answer is to have."""

    name: str = "answer"
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Said, Struct):
    """The form of the answer: `text`, `json_object` or `json_schema`."""

    type: str = "text"
    json_schema: JSONSchema | None = None


class UserLocation(Said, Struct):
    """Where the user is, about: `city`, `country`, `region` and `timezone`."""

    approximate: dict[str, Any]


class WebSearchOptions(Said, Struct):
    """That the model may search, and how."""

    search_context_size: str | None = None
    user_location: UserLocation | None = None


class _Messages(Struct):
    messages: list[Message]


class _NamedFunction(Struct):
    name: str


class _NamedTool(Struct):
    type: str = "function"
    function: _NamedFunction | UnsetType = UNSET


_MESSAGES = msgspec.json.Decoder(_Messages)


def decode_messages(request: ChatRequest) -> list[Message]:
    """All messages. Raises `InvalidRequestError` with the path of what is not as documented."""
    try:
        return _MESSAGES.decode(request.document).messages
    except MALFORMED as error:
        what, _, path = str(error).partition(" - at `$.")
        where = path.rstrip("`") or "messages"
        raise InvalidRequestError(f"{where}: {what}.", param=where) from None


def read_tools(tools: list[dict[str, Any]]) -> list[Tool]:
    """The tools of a request. Raises `InvalidRequestError`."""
    found: list[Tool] = []
    for index, document in enumerate(tools):
        try:
            tool = msgspec.convert(document, Tool)
        except MALFORMED as error:
            where = f"tools[{index}]"
            raise InvalidRequestError(f"{where}: {error}.", param=where) from None
        if tool.type == "function" and tool.function is None:
            where = f"tools[{index}].function"
            raise InvalidRequestError(f"{where}: is missing.", param=where)
        tool.document = document
        found.append(tool)
    return found


def read_tool_choice(choice: str | dict[str, Any]) -> ToolChoice:
    """A tool choice in either form. Raises `InvalidRequestError`."""
    if isinstance(choice, str):
        if choice in ("none", "auto", "required"):
            return ToolChoice(choice)
    else:
        try:
            named = msgspec.convert(choice, _NamedTool)
        except MALFORMED:
            named = _NamedTool()
        if named.function is not UNSET:
            return ToolChoice("function", named.function.name)
    raise InvalidRequestError(
        "tool_choice: expected none, auto, required, or a function by name.", param="tool_choice"
    )
