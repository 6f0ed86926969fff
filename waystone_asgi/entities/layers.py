"""Metadata in layers, by who said it: merged, read and weighed, as values.

In: layers and changes to one of them. Out: new layers, never the same ones changed. What a request
body claimed stays in a layer of its own, below what the credential and the host said, so that it
never counts as theirs. It keeps nothing and awaits nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from ..exceptions import InternalError, InvalidRequestError, RequestTooLargeError
from ..records import Source
from ..types import JSONObject, Layers
from ..wire.identity import MAX_METADATA_BYTES

logger = logging.getLogger("waystone_asgi")

SOURCES: tuple[Source, ...] = ("host", "key", "claimed")
"""From the word that counts most to the one that counts least."""

MAX_DEPTH = 100
"""How deep metadata may be nested: well below what a decoder takes, wherever it is called."""

NO_LAYERS: Layers = MappingProxyType({})
_NO_METADATA: JSONObject = {}
_NESTED = (dict, list)
_SIZES = ((b",", 96), (b'"', 28), (b"[", 80), (b"{", 256))

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode


def effective(layers: Layers) -> JSONObject:
    """Each field as the first of host, key and claimed has it."""
    fields: JSONObject = {}
    for source in reversed(SOURCES):
        fields.update(layers.get(source, _NO_METADATA))
    return fields


def plain(kind: str, metadata: JSONObject | None) -> JSONObject:
    """The metadata as JSON values, which nobody else holds.

    Raises `InvalidRequestError` where it is nested too deeply, and `InternalError` for what is not
    JSON: no request body can say that, but a host's hook can.
    """
    if not metadata:
        return {}
    try:
        values = decode(encode(metadata))
        if is_shallow(values):
            return values
    except RecursionError:
        pass
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        logger.error("The metadata of a %s is not JSON: %s.", kind, type(error).__name__)
        raise InternalError(f"The {kind}'s metadata cannot be stored.") from None
    raise InvalidRequestError(
        f"The {kind}'s metadata is nested too deeply.", param=f"{kind}.metadata"
    )


def is_shallow(value: object, depth: int = MAX_DEPTH) -> bool:
    """Whether nothing in the value is nested deeper than `depth`."""
    if isinstance(value, dict):
        return depth > 0 and all(is_shallow(member, depth - 1) for member in value.values())
    if isinstance(value, list):
        return depth > 0 and all(is_shallow(member, depth - 1) for member in value)
    return True


def holds(layer: JSONObject, changes: JSONObject) -> bool:
    """Whether merging the changes would leave the layer as it is."""
    for key, value in changes.items():
        held = layer.get(key)
        if held is value:
            continue
        # True and 1 are equal here, and are not the same JSON.
        if type(held) is not type(value) or held != value:
            return False
        if type(value) in _NESTED and not _is_same(held, value):
            return False
    return True


def _is_same(held: object, value: object) -> bool:
    try:
        return _encode_sorted(held) == _encode_sorted(value)
    except (TypeError, ValueError, RecursionError):
        return False


def merge(kind: str, layers: Layers, source: Source, changes: JSONObject) -> Layers:
    """The layers after a merge: given keys replace, None removes, the rest stays.

    They are the same object when nothing changes. Raises `RequestTooLargeError` with the `param`
    `user.metadata` or `group.metadata`.
    """
    layer = layers.get(source, _NO_METADATA)
    if holds(layer, changes):
        return layers
    given = layer | changes
    changed = {key: value for key, value in given.items() if value is not None}
    if len(encode(changed)) >= MAX_METADATA_BYTES:
        raise too_large(kind)
    rest = {name: fields for name, fields in layers.items() if name != source}
    return {**rest, source: changed} if changed else rest


def too_large(kind: str) -> RequestTooLargeError:
    """The refusal of metadata of 64 KiB or more."""
    return RequestTooLargeError(
        f"The {kind}'s metadata would be {MAX_METADATA_BYTES} bytes or more, as JSON.",
        param=f"{kind}.metadata",
    )


def weigh(layers: Mapping[Source, JSONObject]) -> int:
    """About how many bytes of memory the layers take; rather too many than too few."""
    total = 0
    for fields in layers.values():
        text = encode(fields)
        total += len(text) if text.isascii() else 4 * len(text)
        for mark, size in _SIZES:
            total += size * text.count(mark)
    return total
