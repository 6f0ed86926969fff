"""Decodes request bodies: bytes to a typed view beside the raw members they carry.

In: a body as it was received. Out: a `ChatRequest`, or `InvalidRequestError` with the path of what
is wrong in `param`. A message never repeats what the body said.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import msgspec

from ..exceptions import InvalidRequestError
from .chat import DOCUMENT, ITEMS, ChatCompletionRequest, Said, view
from .members import MALFORMED, Changes, Members, decode_members, encode, has_duplicates, splice

# Greedy: what stands before the last path may be the body's own words.
_PATH = re.compile(r"(.*) - at `\$\.?(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_ECHO = re.compile(r"Invalid value .*", re.DOTALL)
_ONLY_BESIDE_CALLS = "`content` may be null only"
_ROLES = "developer, system, user, assistant, function, tool"
_SMALL = 65536
_KEYS = {
    name: b'"%b"' % name.encode()
    for name in ("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "annotations")
}


class ChatRequest(Said, msgspec.Struct, frozen=True, gc=False):
    """A chat completion request: the view, the document, its members, and what must be respelled.

    `respelled` holds the members whose value is right but not in the form providers take.
    """

    view: ChatCompletionRequest
    document: bytes
    members: Members
    respelled: Changes


def decode_document(body: bytes) -> object:
    """The whole document, looked at to its last value. Raises `InvalidRequestError`."""
    if not body:
        raise InvalidRequestError("The request has no body; send a JSON object.")
    try:
        return DOCUMENT.decode(body)
    except RecursionError:
        raise InvalidRequestError("The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not valid UTF-8.") from None
    except msgspec.MsgspecError as error:
        raise InvalidRequestError(f"The body is not JSON: {_describe(error)[0]}.") from None


def decode_members_once(document: bytes, where: str | None = None) -> Members:
    """The members of an object in which each key stands once. Raises `InvalidRequestError`."""
    try:
        members = decode_members(document)
    except MALFORMED as error:
        raise InvalidRequestError(
            f"Expected a JSON object: {_describe(error)[0]}.", param=where
        ) from None
    if has_duplicates(document, members):
        raise InvalidRequestError("The object has a key more than once.", param=where)
    return members


def decode_chat_request(body: bytes) -> ChatRequest:
    """Decode and check a chat completion request. Raises `InvalidRequestError`."""
    document = decode_document(body)
    # What is written as we would write it has no key twice, and most clients write so.
    canonical = type(document) is dict and encode(document) == body
    members = decode_members(body) if canonical else decode_members_once(body)
    try:
        request = view(document)
    except (msgspec.ValidationError, RecursionError) as error:
        raise invalid(error, document) from None
    if not canonical:
        _check_messages(bytes(members["messages"]), document)
        for name in ("metadata", "stream_options"):
            if getattr(request, name) is not None:
                decode_members_once(bytes(members[name]), name)
    return ChatRequest(request, body, members, _respell(request, members))


def invalid(error: Exception, document: object = None, prefix: str = "") -> InvalidRequestError:
    """The answer to a failed conversion: what was expected, and the path where."""
    text, path = _describe(error)
    if path == "metadata" and _has_wrong_waystone(document):
        path = "metadata.waystone"
    if path.endswith(".role") and "nvalid value" in text:
        text = f"Expected one of {_ROLES}"
    path = ".".join(filter(None, (prefix, path)))
    return InvalidRequestError(f"{path}: {text}." if path else f"{text}.", param=path or None)


def _describe(error: Exception) -> tuple[str, str]:
    """What msgspec found and where, without the value it found."""
    if not isinstance(error, msgspec.MsgspecError):
        return "it is nested too deeply or not valid UTF-8", ""
    text, path = str(error), ""
    if match := _PATH.match(text):
        text, path = match[1], match[2]
    if missing := _MISSING.fullmatch(text):
        return "Required", f"{path}.{missing[1]}" if path else missing[1]
    if text.startswith("Object contains unknown field"):
        return "Unknown field", path
    if text.startswith(_ONLY_BESIDE_CALLS):
        path += ".content"
    # A member of a mapping has no name here: it would be the caller's own word.
    return _ECHO.sub("Invalid value", text), path.partition("[...]")[0]


def _has_wrong_waystone(document: Any) -> bool:
    metadata = document["metadata"]
    return isinstance(metadata, dict) and not isinstance(metadata.get("waystone", ""), str)


def _check_messages(messages: bytes, document: Any) -> None:
    """Refuse a message in which a key stands twice: two readers could take it for two messages."""
    if len(messages) < _SMALL and _are_unique(messages, document["messages"]):
        return
    for index, message in enumerate(ITEMS.decode(messages)):
        decode_members_once(bytes(message), f"messages[{index}]")


def _are_unique(messages: bytes, decoded: list[dict[str, object]]) -> bool:
    """Whether it is plain that each key stands once in its message, which saves taking them apart.

    It is where the text of each key stands as often as there are messages with that key, and no
    letter is escaped.
    """
    keys = list(chain.from_iterable(decoded))
    return b"\\u00" not in messages and all(
        (text := _KEYS.get(name)) is not None and messages.count(text) == keys.count(name)
        for name in set(keys)
    )


def _respell(request: ChatCompletionRequest, members: Members) -> Changes:
    """What is right as it is, and must be written as providers take it."""
    respelled: dict[str, bytes] = {}
    if type(request.max_completion_tokens) is float:
        _respell_whole("max_completion_tokens", request.max_completion_tokens, members, respelled)
    if type(request.n) is float:
        _respell_whole("n", request.n, members, respelled)
    for message in request.messages:
        if type(message.content) is list and str in map(type, message.content):
            respelled["messages"] = _respell_strings(members["messages"])
            break
    return respelled


def _respell_whole(name: str, number: float, members: Members, respelled: dict[str, bytes]) -> None:
    if not number.is_integer():
        raise InvalidRequestError(f"{name}: Expected a whole number.", param=name)
    raw = bytes(members[name])
    if not raw.isdigit():
        respelled[name] = b"%d" % int(number)


def _respell_strings(messages: msgspec.Raw) -> bytes:
    """The messages with strings in content arrays as text parts; other bytes are unchanged."""
    respelled: list[bytes] = []
    for message in ITEMS.decode(messages):
        members = decode_members(message)
        content = bytes(members.get("content", b"null"))
        if content.startswith(b"["):
            parts = [
                b'{"type":"text","text":%b}' % part if bytes(part).startswith(b'"') else bytes(part)
                for part in ITEMS.decode(content)
            ]
            changes = {"content": b"[" + b",".join(parts) + b"]"}
            respelled.append(splice(bytes(message), members, changes))
        else:
            respelled.append(bytes(message))
    return b"[" + b",".join(respelled) + b"]"


__all__ = ("ChatRequest", "decode_chat_request", "decode_document", "decode_members_once", "encode")
