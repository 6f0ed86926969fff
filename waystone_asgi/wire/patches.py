"""Changes to plain requests, made where their keys are plain to see; every other byte stays.

In: a plain request. Out: the changed document, or None where the text of a key stands elsewhere
too, or in unusual white space: `members.splice` changes any document.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from .chat import METADATA
from .members import encode
from .plain import LONG, PlainRequest
from .requests import ChatRequest

_MODEL, _METADATA, _MESSAGES = b'"model"', b'"metadata"', b'"messages":'


def patch(request: ChatRequest, model: str, *, cut: bool, added: bytes = b"") -> bytes | None:
    """The document with another model, without its metadata if `cut`, and with an `added` end.

    A long one is searched where its messages are not.
    """
    document, view = request.document, request.view
    if len(document) < LONG:
        return _patch(request, document, model, cut, added)
    if not request.compact or not isinstance(view, PlainRequest):
        return None
    start = document.find(_MESSAGES) + len(_MESSAGES)
    # No key before the first value that nests is a nested one.
    if document.count(b"{", 0, start) != 1 or document.count(b"[", 0, start):
        return None
    rest = len(encode(msgspec.structs.replace(view, messages=[]))) - len(b"[]")
    end = start + len(document) - rest
    short = _patch(request, document[:start] + document[end:], model, cut, added)
    if short is None:
        return None
    at = short.index(_MESSAGES) + len(_MESSAGES)
    return b"".join((short[:at], memoryview(document)[start:end], short[at:]))


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


@lru_cache(maxsize=1024)
def _renaming(model: str, name: str, compact: bool) -> tuple[bytes, bytes]:
    key = b'"model":' if compact else b'"model": '
    return key + encode(model), key + encode(name)
