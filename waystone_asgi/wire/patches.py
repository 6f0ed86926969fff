"""Changes to plain requests, made where their keys are plain to see; every other byte stays.

In: a plain request. Out: the changed document, or None where the text of a key stands elsewhere
too, or in unusual white space: `members.splice` changes any document.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ..pieces import Body, Pieces
from ..recent import MODELS
from .chat import MESSAGES, METADATA
from .members import encode
from .plain import LONG, PlainRequest
from .requests import ChatRequest

_MODEL, _METADATA, _MESSAGES = b'"model"', b'"metadata"', b'"messages":'


def patch(request: ChatRequest, model: str, *, cut: bool, added: bytes = b"") -> Body | None:
    """The document with another model, without its metadata if `cut`, and with an `added` end.

    A long one is searched where its messages are not.
    """
    document = request.document
    if len(document) < LONG:
        return _patch(request, document, model, cut, added)
    span = _messages_span(request, document)
    if span is None:
        return None
    start, end = span
    short = b"%b0%b" % (document[:start], document[end:])
    patched = _patch(request, short, model, cut, added)
    if patched is None:
        return None
    at = patched.index(_MESSAGES) + start - document.index(_MESSAGES)
    return Pieces(patched[:at], memoryview(document)[start:end], patched[at + 1 :])


def _messages_span(request: ChatRequest, document: bytes) -> tuple[int, int] | None:
    """Where the messages begin and end, if their key stands before all that nests."""
    view = request.view
    key = document.find(_MESSAGES)
    if key < 0 or document.count(b"{", 0, key) != 1 or document.count(b"[", 0, key):
        return None
    start = key + len(_MESSAGES)
    if request.compact and isinstance(view, PlainRequest):
        rest = len(encode(msgspec.structs.replace(view, messages=[]))) - len(b"[]")
        return start, start + len(document) - rest
    start = document.index(b"[", start)
    return start, start + len(MESSAGES.decode(document).messages)


def _patch(
    request: ChatRequest, document: bytes, model: str, cut: bool, added: bytes
) -> bytes | None:
    old, new = _renaming(request.view.model, model, request.compact)
    at = document.find(old)
    # The first member is no nested one, and neither is one whose key stands nowhere else.
    if at != 1 and (at < 0 or document.count(_MODEL) != 1):
        return None
    document = document.replace(old, new, 1)
    if cut:
        if request.compact:
            member = b',"metadata":' + encode(request.view.metadata)
        else:
            member = b', "metadata": ' + METADATA.decode(document).metadata
        at = document.rfind(member)
        end = at + len(member)
        # Nor is the last member.
        if at < 0 or (end != len(document) - 1 and document.count(_METADATA) != 1):
            return None
        document = document[:at] + document[end:]
    if not added:
        return document
    return document[:-1] + added if document.endswith(b"}") else None


@lru_cache(maxsize=MODELS)
def _renaming(model: str, name: str, compact: bool) -> tuple[bytes, bytes]:
    key = b'"model":' if compact else b'"model": '
    return key + encode(model), key + encode(name)
