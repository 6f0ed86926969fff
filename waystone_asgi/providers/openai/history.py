"""The messages of a request on their way to a provider that writes some of them otherwise.

In: messages as they were received. Out: the same with other roles and members where the provider's
quirks ask for it; every other byte stays. Reasoning goes back under the name that it came by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import UNSET, Raw
from msgspec.json import Decoder

from ...wire.chat import ITEMS
from ...wire.members import (
    MALFORMED,
    Buffer,
    Members,
    Path,
    decode_members,
    encode,
    rewrite,
    splice,
)
from ...wire.plain import Message, PlainRequest
from ...wire.vendors import CALLS, DETAILS, ID, Call
from ..forms import Quirks

T = TypeVar("T")

_CALLERS = "reasoning_content"
_NULL = b"null"
_NOTHING = Raw(_NULL)
_EXTRA = "extra_content"
_SAID = frozenset({"name", "refusal", "audio", "images", "reasoning_details", _EXTRA})
"""What is lost where it is refused; all else is told elsewhere, or is none of a request's."""

_EMPTY = (_NULL, b"[]", b'""')


def differs(view: PlainRequest, quirks: Quirks) -> bool:
    """Whether a plain request has messages that the provider's quirks concern."""
    members, absent = _concerned(quirks.refuses, quirks.reasoning, quirks.call_id_length)
    for message in view.messages:
        if members(message) != absent:
            return True
        if message.role == "developer" and not quirks.developer:
            return True
        if message.tool_calls and _EXTRA in quirks.refuses and _has_extra(message.tool_calls):
            return True
    return False


def _has_extra(calls: list[Any]) -> bool:
    return any(isinstance(call, dict) and _EXTRA in call for call in calls)


@lru_cache(maxsize=64)
def _concerned(
    refuses: frozenset[str], reasoning: str, call_id_length: int | None
) -> tuple[Callable[[Message], object], object]:
    """What gets the members that may have to change, and what it gets where none is there.

    A plain message has no members but its fields.
    """
    names = refuses if reasoning == _CALLERS else refuses | {_CALLERS}
    if call_id_length is not None:
        names |= {"tool_calls", "tool_call_id"}
    known = sorted(names & set(Message.__struct_fields__))
    if not known:
        return _nothing, None
    return attrgetter(*known), UNSET if len(known) == 1 else (UNSET,) * len(known)


def _nothing(message: Message) -> None:
    """Where only roles are concerned."""


def write_messages(messages: Buffer, quirks: Quirks) -> tuple[bytes, tuple[str, ...]]:
    """The messages as the provider takes them, and the names of what was left out."""
    lost: dict[str, None] = {}
    text = bytes(messages)
    pieces: list[bytes] = []
    end = 0
    for raw in ITEMS.decode(text):
        # Between two items there is nothing that an item could begin with.
        start = text.index(raw, end)
        members = decode_members(raw)
        changes = _changes(members, quirks)
        pieces += (text[end:start], splice(bytes(raw), members, changes))
        end = start + len(raw)
        for name in sorted(_SAID & changes.keys() & members.keys()):
            if bytes(members[name]) not in _EMPTY and not _is_told(name, members, quirks):
                lost[f"messages[].{name}"] = None
        if _EXTRA in quirks.refuses and any(call.extra_content for call in _calls_of(members)):
            lost[f"messages[].tool_calls[].{_EXTRA}"] = None
    return b"".join((*pieces, text[end:])), tuple(lost)


def _changes(members: Members, quirks: Quirks) -> dict[str, Buffer | None]:
    changes: dict[str, Buffer | None] = dict.fromkeys(quirks.refuses & members.keys())
    if bytes(members["role"]) == b'"function"':
        changes.pop("name", None)  # There it says whose result it is.
    if not quirks.developer and bytes(members["role"]) == b'"developer"':
        changes["role"] = b'"system"'
    if quirks.call_id_length is not None or _EXTRA in quirks.refuses:
        changes |= _calls(members, quirks)
    told = members.get(_CALLERS)
    if told is None or bytes(told) == _NULL or quirks.reasoning == _CALLERS:
        return changes
    if quirks.reasoning == "content":
        changes["content"] = _thinking(members, told)
    elif quirks.reasoning not in members:
        changes |= {quirks.reasoning: told, _CALLERS: None}
    return changes


def _is_told(name: str, members: Members, quirks: Quirks) -> bool:
    """Whether what is left out is said in another place: a signature beside its reasoning."""
    return (
        name == "reasoning_details"
        and quirks.reasoning == "content"
        and bytes(members.get(_CALLERS, _NOTHING)) != _NULL
        and _signature(members) != b""
    )


def _calls(members: Members, quirks: Quirks) -> dict[str, Buffer | None]:
    """Calls without what is refused in them, and other ids for them, or for that which is answered,
    where those are refused.
    """
    length = quirks.call_id_length
    changes: dict[str, Buffer | None] = {}
    new: dict[Path, Buffer | None] = {}
    for index, call in enumerate(_calls_of(members)):
        if call.id is not None and (id := _id(call.id, length)) != call.id:
            new[(index, "id")] = encode(id)
        if call.extra_content is not UNSET and _EXTRA in quirks.refuses:
            new[(index, _EXTRA)] = None
    if new:
        changes["tool_calls"] = rewrite(bytes(members["tool_calls"]), new)
    answered = _read(ID, members.get("tool_call_id", _NOTHING))
    if answered is not None and (id := _id(answered, length)) != answered:
        changes["tool_call_id"] = encode(id)
    return changes


def _calls_of(members: Members) -> list[Call]:
    return _read(CALLS, members.get("tool_calls", _NOTHING)) or []


def _id(id: str, length: int | None) -> str:
    """The id itself if it is of the right form, or one made of it: the same for the same."""
    if length is None or (len(id) == length and id.isascii() and id.isalnum()):
        return id
    return hashlib.sha256(id.encode()).hexdigest()[:length]


def _read(decoder: Decoder[T], raw: Raw) -> T | None:
    """The value, or None for what is of no use: whether it is right is the provider's to say."""
    try:
        return decoder.decode(raw)
    except MALFORMED:
        return None


def _thinking(members: Members, told: Raw) -> bytes:
    """The content with the reasoning before it, in a part of its own."""
    part = b'{"type":"thinking","thinking":[{"type":"text","text":%b}]%b}'
    parts = [part % (told, _signature(members))]
    content = bytes(members.get("content", _NOTHING))
    if content.startswith(b"["):
        parts += map(bytes, ITEMS.decode(content))
    elif content not in (_NULL, b'""'):
        parts.append(b'{"type":"text","text":%b}' % content)
    return b"[%b]" % b",".join(parts)


def _signature(members: Members) -> bytes:
    """The member that proves the reasoning, where it came with one."""
    details = _read(DETAILS, members.get("reasoning_details", _NOTHING)) or ()
    signatures = [detail.signature for detail in details if detail.signature]
    return b',"signature":%b' % encode(signatures[-1]) if signatures else b""
