"""A request on its way to a provider of this dialect: what must change is changed, nothing else.

In: a decoded request, the model's name there, what is known of the provider. Out: the body, and the
names of the fields that were left out.
"""

from __future__ import annotations

from ...wire.members import Buffer, decode_members, encode, splice
from ...wire.requests import ChatRequest
from ..presets import Preset

_NOTHING = (b"null", b"false", b"{}")


def build_request(
    request: ChatRequest, model: str, preset: Preset
) -> tuple[bytes, tuple[str, ...]]:
    """The body for a provider of this dialect, and the names of the fields it does not take."""
    changes: dict[str, Buffer | None] = {**request.respelled, "model": encode(model)}
    refused = [name for name in request.members if name in preset.refuses]
    changes.update(dict.fromkeys(refused))
    if "metadata" not in changes and "waystone" in (request.view.metadata or ()):
        changes["metadata"] = _without_ours(bytes(request.members["metadata"]))
    if request.view.stream and preset.asks_for_usage:
        _ask_for_usage(request, changes)
    dropped = tuple(name for name in refused if _is_lost(request, name))
    return splice(request.document, request.members, changes), dropped


def _without_ours(metadata: bytes) -> bytes | None:
    """The metadata for the provider, or None where there is none."""
    members = decode_members(metadata)
    return splice(metadata, members, {"waystone": None}) if len(members) > 1 else None


def _is_lost(request: ChatRequest, name: str) -> bool:
    """Whether leaving the member out loses something the caller said."""
    if name == "metadata":
        return bool(set(request.view.metadata or ()) - {"waystone"})
    # Usage comes unasked where the option is refused; null, false and empty say nothing.
    return name != "stream_options" and bytes(request.members[name]) not in _NOTHING


def _ask_for_usage(request: ChatRequest, changes: dict[str, Buffer | None]) -> None:
    options = request.view.stream_options
    if options is None:
        changes["stream_options"] = b'{"include_usage":true}'
    elif not options.include_usage:
        document = bytes(request.members["stream_options"])
        changes["stream_options"] = splice(
            document, decode_members(document), {"include_usage": b"true"}
        )
