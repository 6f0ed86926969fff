"""A request on its way to a provider of this dialect: what must change is changed, nothing else.

In: a decoded request, the model's name there, what is known of the provider. Out: the body, and the
names of the fields that were left out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

from ...pieces import Body
from ...wire.members import Buffer, Members, decode_members, encode, splice
from ...wire.patches import patch
from ...wire.plain import DEFAULTS, PlainRequest
from ...wire.requests import ChatRequest
from ..forms import Preset
from .history import differs, write_messages

Built: TypeAlias = tuple[Body, tuple[str, ...]]

_NOTHING = (b"null", b"false", b"{}")
_OPTIONS = b'{"include_usage":true}'
_ASKED = b',"stream_options":' + _OPTIONS + b"}"


def build_request(request: ChatRequest, model: str, preset: Preset) -> Built:
    """The body for a provider of this dialect, and the names of the fields it does not take."""
    return (request.plain and _patch(request, model, preset)) or _splice(request, model, preset)


def _patch(request: ChatRequest, model: str, preset: Preset) -> Built | None:
    """The same for what most clients send, or None where it takes more."""
    view, refuses = request.view, preset.refuses
    for name, absent in _absent(refuses) if refuses else ():
        if getattr(view, name) is not absent:
            return None
    for name in preset.renames:
        if getattr(view, name) is not DEFAULTS[name]:
            return None
    quirks = preset.quirks
    if quirks is not None and isinstance(view, PlainRequest) and differs(view, quirks):
        return None
    cut = False
    dropped: tuple[str, ...] = ()
    if view.metadata is not None:
        others = len(view.metadata) - ("waystone" in view.metadata)
        if "metadata" in refuses:
            cut = True
            dropped = ("metadata",) if others else ()
        elif others < len(view.metadata):
            if others:
                return None
            cut = True
    added = b""
    if view.stream and preset.asks_for_usage:
        if view.stream_options is None:
            added = _ASKED
        elif not view.stream_options.include_usage:
            return None
    body = patch(request, model, cut=cut, added=added)
    return None if body is None else (body, dropped)


@lru_cache(maxsize=64)
def _absent(refuses: frozenset[str]) -> tuple[tuple[str, object], ...]:
    """What stands in the view for each refused member that is not there, but for the metadata.

    A plain request has no member that its view does not know.
    """
    return tuple((name, DEFAULTS[name]) for name in refuses & DEFAULTS.keys() - {"metadata"})


def _splice(request: ChatRequest, model: str, preset: Preset) -> Built:
    members = request.members
    changes: dict[str, Buffer | None] = {**request.respelled, "model": encode(model)}
    refused = [name for name in members if name in preset.refuses]
    changes.update(dict.fromkeys(refused))
    if "metadata" not in changes and "waystone" in (request.view.metadata or ()):
        changes["metadata"] = _without_ours(bytes(members["metadata"]))
    if request.view.stream and preset.asks_for_usage:
        _ask_for_usage(request, members, changes)
    _rename(members, changes, preset)
    dropped = tuple(name for name in refused if _is_lost(request, members, name))
    if preset.quirks is not None:
        said = changes.get("messages") or members["messages"]
        changes["messages"], lost = write_messages(said, preset.quirks)
        dropped += lost
    return splice(request.document, members, changes), dropped


def _rename(members: Members, changes: dict[str, Buffer | None], preset: Preset) -> None:
    """Give members the provider's names; one that is null says nothing."""
    for name, own in preset.renames.items():
        if name in members:
            if bytes(members[name]) != b"null":
                changes[own] = changes.get(name) or members[name]
            changes[name] = None


def _without_ours(metadata: bytes) -> bytes | None:
    """The metadata for the provider, or None where there is none."""
    members = decode_members(metadata)
    return splice(metadata, members, {"waystone": None}) if len(members) > 1 else None


def _is_lost(request: ChatRequest, members: Members, name: str) -> bool:
    """Whether leaving the member out loses something the caller said."""
    if name == "metadata":
        return bool(set(request.view.metadata or ()) - {"waystone"})
    # Usage comes unasked where the option is refused; null, false and empty say nothing, save that
    # there may be a search.
    if name == "web_search_options":
        return bytes(members[name]) != b"null"
    return name != "stream_options" and bytes(members[name]) not in _NOTHING


def _ask_for_usage(
    request: ChatRequest, members: Members, changes: dict[str, Buffer | None]
) -> None:
    options = request.view.stream_options
    if options is None:
        changes["stream_options"] = _OPTIONS
    elif not options.include_usage:
        document = bytes(members["stream_options"])
        changes["stream_options"] = splice(
            document, decode_members(document), {"include_usage": b"true"}
        )
