"""JSON objects whose members can be replaced while every other byte stays as it was.

In: a document and the raw value of each of its members. Out: the document with some values changed.
White space, number forms, escapes and the order of members survive. It decodes no value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import TypeAlias

import msgspec

Buffer: TypeAlias = bytes | msgspec.Raw
Members: TypeAlias = dict[str, msgspec.Raw]
Changes: TypeAlias = Mapping[str, Buffer | None]
Span: TypeAlias = tuple[int, int, int]
Path: TypeAlias = tuple[str | int, ...]

MALFORMED = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What msgspec raises on hostile input; nesting ends in `RecursionError`."""

ARRAY = msgspec.json.Decoder(list[Members])
"""Decodes an array of objects into the raw values of each."""

_MEMBERS = msgspec.json.Decoder(Members)
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_STRING = msgspec.json.Decoder(str)
# Possessive, so that a hostile document costs no more than one look at each byte.
_KEY = re.compile(
    rb'[ \t\r\n]*+[{,][ \t\r\n]*+("(?:[^"\\]|\\.)*+")[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL
)
_END = re.compile(rb"[ \t\r\n]*+}")

encode = msgspec.json.Encoder().encode


def compact(document: Buffer) -> bytes:
    """The document without white space between its values. Raises one of `MALFORMED`."""
    return msgspec.json.format(bytes(document), indent=-1)


def decode_members(document: Buffer) -> Members:
    """The raw value of each member; of duplicate keys the last. Raises one of `MALFORMED`."""
    return _MEMBERS.decode(document)


def is_compact(document: bytes, members: Members) -> bool:
    """Whether the document has no white space between its members and no duplicate keys.

    The shortest text that has these members is compact, so a document of exactly that length is it.
    """
    size = len("".join(members)) + sum(map(len, members.values()))
    return size + 4 * len(members) + 1 == len(document)


def are_compact(array: Buffer, items: list[Members]) -> bool:
    """The same of an array and all of its objects; it says no of what is empty."""
    size = sum(map(len, chain.from_iterable(items)))
    size += sum(map(len, chain.from_iterable(map(dict.values, items))))
    return size + 4 * sum(map(len, items)) + 2 * len(items) + 1 == len(array)


def has_duplicates(document: bytes, members: Members) -> bool:
    """Whether a key stands more than once in the object itself (not in nested ones)."""
    return not is_compact(document, members) and _spans(document, members) is None


def splice(document: bytes, members: Members, changes: Changes) -> bytes:
    """The document with members replaced, removed (None) or, when new, added at the end."""
    if not changes:
        return document
    added = b"".join(
        b",%b:%b" % (encode(name), value)
        for name, value in changes.items()
        if value is not None and name not in members
    )
    if is_compact(document, members):
        return _splice_compact(document, members, changes, added)
    spans = _spans(document, members)
    if spans is None:
        return _join(members, changes, added)
    return _splice_spans(document, members, changes, added, spans)


def rewrite(document: bytes, changes: Mapping[Path, Buffer | None]) -> bytes:
    """The document with the values at some paths replaced, or removed (None).

    A path has a step at least. The document has all its steps, save that the last may be a new
    member; items of arrays are replaced only. Raises one of `MALFORMED`.
    """
    below: dict[str | int, dict[Path, Buffer | None]] = {}
    for path, value in changes.items():
        below.setdefault(path[0], {})[path[1:]] = value
    if document.lstrip(b" \t\r\n").startswith(b"["):
        return _rewrite_items(document, below)
    members = decode_members(document)
    new = {str(name): _rewritten(members.get(str(name)), inner) for name, inner in below.items()}
    return splice(document, members, new)


def _rewrite_items(
    document: bytes, below: Mapping[str | int, Mapping[Path, Buffer | None]]
) -> bytes:
    pieces: list[Buffer] = []
    end = 0
    for position, raw in enumerate(_ITEMS.decode(document)):
        # Between two items there is nothing that an item could begin with.
        start = document.index(raw, end)
        new = _rewritten(raw, below[position]) if position in below else raw
        pieces += (document[end:start], raw if new is None else new)
        end = start + len(raw)
    return b"".join((*pieces, document[end:]))


def _rewritten(value: Buffer | None, changes: Mapping[Path, Buffer | None]) -> Buffer | None:
    return changes[()] if () in changes else rewrite(bytes(value or b""), changes)


def _splice_compact(document: bytes, members: Members, changes: Changes, added: bytes) -> bytes:
    """As `splice`; where each value stands follows from the lengths of those before it."""
    view = memoryview(document)
    pieces: list[Buffer | memoryview] = []
    kept = position = 1
    for name, value in members.items():
        stop = position + len(name) + 3 + len(value)
        if name in changes:
            new = changes[name]
            if new is None:
                pieces.append(view[kept : position - 1])
            else:
                pieces += (view[kept : stop - len(value)], new)
            kept = stop
        position = stop + 1
    pieces += (view[kept:-1], added)
    rest = b"".join(pieces)
    return b"{%b}" % rest.removeprefix(b",")


def _splice_spans(
    document: bytes, members: Members, changes: Changes, added: bytes, spans: list[Span]
) -> bytes:
    """As `splice`, for a document with white space."""
    first = end = spans[0][0] if spans else document.index(b"{") + 1
    kept: list[bytes] = []
    for (name, value), (key, start, stop) in zip(members.items(), spans, strict=True):
        new = changes.get(name, value)
        if new is not None:
            lead = document[end:key] if kept else b""
            kept.append(b"".join((lead, document[key:start], new)))
        end = stop
    body = b"".join(kept)
    return b"".join((document[:first], body, added if body else added[1:], document[end:]))


def _join(members: Members, changes: Changes, added: bytes) -> bytes:
    """The compact form, for a document whose keys stand more than once: the last ones are meant."""
    kept = ((name, changes.get(name, value)) for name, value in members.items())
    body = b"".join(b",%b:%b" % (encode(name), new) for name, new in kept if new is not None)
    return b"{%b}" % (body + added)[1:]


def _spans(document: bytes, members: Members) -> list[Span] | None:
    """Where each member's key and value begin and its value ends; None when a key is duplicate.

    Walks key by key. Each key and value is compared with the one decoded, so the walk cannot lose
    its place.
    """
    spans: list[Span] = []
    position = 0 if members else document.index(b"{") + 1
    for name, raw in members.items():
        found = _KEY.match(document, position)
        if found is None or _STRING.decode(found[1]) != name:
            return None
        start = found.end()
        value = bytes(raw)
        if not document.startswith(value, start):
            return None
        position = start + len(value)
        spans.append((found.start(1), start, position))
    return spans if _END.match(document, position) else None
