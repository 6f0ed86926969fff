"""Who a request is made for, as `metadata.waystone` and `POST /identify` write it.

`{"user": U?, "group": G?}`, where each is an id or `{"id": …, "metadata": {…}?}`. Ids have 1 to 256
characters, metadata less than 64 KiB. In: such a document. Out: an `IdentityClaim`.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..exceptions import RequestTooLargeError
from .chat import Said
from .members import MALFORMED, decode_members, encode
from .requests import decode_members_once, invalid

MAX_METADATA_BYTES = 65_536
"""The metadata of a user or group is shorter than this, as JSON without white space."""

Id = Annotated[str, Meta(min_length=1, max_length=256)]


class NamedEntity(Said, Struct, forbid_unknown_fields=True):
    """An id with metadata to merge."""

    id: Id
    metadata: dict[str, Any] | UnsetType = UNSET


class IdentityClaim(Struct, forbid_unknown_fields=True):
    """The document; a part that is not named is UNSET."""

    user: Id | NamedEntity | UnsetType = UNSET
    group: Id | NamedEntity | UnsetType = UNSET


CLAIM = msgspec.json.Decoder(IdentityClaim)


def decode_claim(document: bytes, where: str = "") -> IdentityClaim:
    """The claim that a document makes.

    Raises `InvalidRequestError` or `RequestTooLargeError` with the `param` `where`, or else with
    the path in the document.
    """
    try:
        claim = CLAIM.decode(document)
        large = len(document) >= MAX_METADATA_BYTES
        # A key that stands twice has more quotation marks than the strings of what was decoded.
        if not large and document.count(b'"') == 2 * (_strings(claim.user) + _strings(claim.group)):
            return claim
        members = decode_members(document)
    except MALFORMED as error:
        refusal = invalid(error, prefix=where)
        refusal.param = where or refusal.param
        raise refusal from None
    decode_members_once(document, where or None)
    for value in members.values():
        if (nested := bytes(value)).startswith(b"{"):
            entity = decode_members_once(nested, where or None)
            if "metadata" in entity:
                decode_members_once(bytes(entity["metadata"]), where or None)
    if large:
        _check_size("user", claim.user, where)
        _check_size("group", claim.group, where)
    return claim


def _strings(claimed: str | NamedEntity | UnsetType) -> int:
    """With how many strings the entity is written, its key's included, where no value is nested."""
    if claimed is UNSET:
        return 0
    if not isinstance(claimed, NamedEntity):
        return 2
    if claimed.metadata is UNSET:
        return 3
    kinds = list(map(type, claimed.metadata.values()))
    return 4 + len(kinds) + kinds.count(str)


def _check_size(kind: str, claimed: str | NamedEntity | UnsetType, where: str) -> None:
    metadata = claimed.metadata if isinstance(claimed, NamedEntity) else UNSET
    if metadata is not UNSET and len(encode(metadata)) >= MAX_METADATA_BYTES:
        raise RequestTooLargeError(
            f"The {kind}'s metadata is {MAX_METADATA_BYTES} bytes or more, as JSON.",
            param=where or f"{kind}.metadata",
        )
