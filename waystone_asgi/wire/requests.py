"""Decodes request bodies: bytes to a typed view beside the raw members they carry.

In: a body as it was received. Out: a `ChatRequest`, or `InvalidRequestError` with the path of what
is wrong in `param`. A message never repeats what the body said.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ..exceptions import InvalidRequestError
from .chat import DOCUMENT, ITEMS, REQUEST, ChatCompletionRequest, Said
from .members import (
    ARRAY,
    MALFORMED,
    Buffer,
    Changes,
    Members,
    are_compact,
    decode_members,
    encode,
    splice,
)
from .messages import CheckedRequest, check
from .plain import FIELDS, LONG, PLAIN, PlainRequest, inspect
from .refusals import decode_document, decode_members_once, invalid

_compact: Callable[..., bytes] = msgspec.json.format
_NOTHING: Changes = {}
_START = 1024


class ChatRequest(Said, msgspec.Struct, frozen=True, gc=False):
    """A chat completion request: the view, the document, and what must be respelled.

    `respelled` holds the members whose value is right but not in the form providers take. In a
    `plain` document each key stands once and in its shortest spelling; a `compact` one has no white
    space either.
    """

    view: ChatCompletionRequest
    document: bytes
    respelled: Changes = _NOTHING
    plain: bool = False
    compact: bool = False

    @property
    def members(self) -> Members:
        """The raw value of each member, decoded anew."""
        return decode_members(self.document)


def decode_chat_request(body: bytes) -> ChatRequest:
    """Decode and check a chat completion request. Raises `InvalidRequestError`."""
    carried = len(body) >= LONG
    try:
        request = PLAIN.decode(body)
        if not carried and not body.isascii():
            body.decode()
        taken = inspect(request, carried=carried)
        if taken is None:
            return _decode_any(body)
        size = taken + len(encode(request))
        if size == len(body):
            return ChatRequest(request, body, _NOTHING, True, True)
        if _is_spaced(body) and size == len(_compact(body, indent=-1)):
            return ChatRequest(request, body, _NOTHING, True)
        _check_keys(body, request, taken)
    except (*MALFORMED, ValueError):
        return _decode_any(body)
    return ChatRequest(request, body)


def _is_spaced(body: bytes) -> bool:
    """Whether there is white space in the places where clients put it."""
    return body.find(b'": ', 0, _START) >= 0


def _check_keys(body: bytes, request: PlainRequest, taken: int) -> None:
    """Refuse keys that stand twice, where they could be taken for another request or message.

    Raises one of `MALFORMED` for a member that is none.
    """
    members = decode_members_once(body)
    for name in members.keys() - FIELDS:
        DOCUMENT.decode(members[name])
    messages = members["messages"]
    if len(body) < LONG:
        DOCUMENT.decode(messages)
    if taken + len(encode(request.messages)) != len(messages):
        _check_messages(messages)
    _check_nested(request, members)


def _check_messages(messages: Buffer) -> None:
    if are_compact(messages, ARRAY.decode(messages)):
        return
    compact = _compact(messages, indent=-1)
    if not are_compact(compact, ARRAY.decode(compact)):
        for index, message in enumerate(ITEMS.decode(messages)):
            decode_members_once(bytes(message), f"messages[{index}]")


def _check_nested(request: ChatCompletionRequest | CheckedRequest, members: Members) -> None:
    for name in ("metadata", "stream_options"):
        if getattr(request, name) is not None:
            decode_members_once(bytes(members[name]), name)


def _decode_any(body: bytes) -> ChatRequest:
    """The same, of a request that is not plain: it may be written in any way, and wrong."""
    document = decode_document(body)
    members = decode_members_once(body)
    try:
        request = check(document)
    except (msgspec.ValidationError, RecursionError) as error:
        raise invalid(error, document) from None
    _check_messages(members["messages"])
    _check_nested(request, members)
    return ChatRequest(REQUEST.decode(body), body, _respell(request, members))


def _respell(request: CheckedRequest, members: Members) -> Changes:
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


__all__ = (
    "ChatRequest",
    "decode_chat_request",
    "decode_document",
    "decode_members_once",
    "invalid",
)
