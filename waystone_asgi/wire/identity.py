"""Who a request is made for, as `metadata.waystone` and `POST /identify` write it.

`{"user": U?, "group": G?}`, where each is an id or `{"id": …, "metadata": {…}?}`. Ids have 1 to 256
characters.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from .chat import Said

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
