"""Names on whose behalf a request is made: principal and claim to `Identity`.

In: what the credential pins and what the request's body claims. Out: an `Identity` whose entities
say who named them. A claim never overrides what the host or the credential said. It refuses claims
that are malformed or contradict, and nothing for lack of rights.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from sys import getsizeof
from typing import TypeAlias, get_args

from msgspec import UNSET, UnsetType

from .exceptions import (
    GatewayError,
    InternalError,
    InvalidRequestError,
    PermissionDeniedError,
    RequestTooLargeError,
)
from .recent import Recent
from .records import Entity, Identity, Principal, Source
from .types import Entities, HTTPConnection, Layers
from .types import Identify as IdentifyHook
from .wire.identity import IdentityClaim, NamedEntity, decode_claim

logger = logging.getLogger("waystone_asgi")

FIELD = "metadata.waystone"

_SOURCES = get_args(Source)
_NOBODY = Principal(id="")
_NO_CLAIMS = Identity()
_REMEMBERED = 4096
_REMEMBERED_BYTES = 8 * 1024 * 1024
_REMEMBERED_LENGTH = 4096

_Key: TypeAlias = tuple[str | None, str | None, str | None]


def identify(
    connection: HTTPConnection, principal: Principal, metadata: Mapping[str, str]
) -> Identity:
    """The default `Identify`: reads `metadata.waystone` beside what the credential pins.

    Raises `InvalidRequestError` for a malformed document, `RequestTooLargeError` for one with 64
    KiB of metadata, `PermissionDeniedError` for a claim that differs from the pinned user or group.
    """
    return _read(metadata.get("waystone"), principal)


def _read(document: str | None, principal: Principal) -> Identity:
    if document is None:
        return combine(principal, IdentityClaim())
    return combine(principal, decode_claim(document.encode(errors="surrogatepass"), FIELD))


def combine(principal: Principal, claim: IdentityClaim) -> Identity:
    """What the credential pins and the body claims, as one identity.

    Raises `PermissionDeniedError` for a claim that differs from what is pinned.
    """
    return Identity(
        user=_combine("user", principal.user, claim.user),
        group=_combine("group", principal.group, claim.group),
    )


def claimed(principal: Principal, document: bytes) -> Identity:
    """The entities that a body names by themselves, as `POST /identify` takes them.

    It is the host's own backend that posts them, with its key; and yet they are `claimed`, or of
    the `key` where that pins them, and never the `host`'s. The route takes every key that may call
    it, so nothing shows that a backend wrote the body and not somebody it serves; and whoever may
    name a user here may name the same one in `metadata.waystone`, where it would be a claim. The
    host speaks through the `identify` hook, which no body reaches.

    Raises `InvalidRequestError` when it names none, and as `combine` does.
    """
    claim = decode_claim(document)
    if claim.user is UNSET and claim.group is UNSET:
        raise InvalidRequestError("Name a user, a group or both.")
    identity = combine(principal, claim)
    return Identity(
        user=None if claim.user is UNSET else identity.user,
        group=None if claim.group is UNSET else identity.group,
    )


async def merge(entities: Entities, identity: Identity, where: str = "") -> tuple[Layers, Layers]:
    """Merge whom the identity names, and return the layers of user and group.

    What the store refuses is refused with the `param` `where`, or the store's own.
    """
    try:
        return await entities.merge(identity.user, identity.group)
    except InvalidRequestError as error:
        error.param = where or error.param
        raise


class Naming:
    """Asks a hook on whose behalf each request is made, and checks what it says.

    The default hook is not asked again for a document that it has read: the last identities are
    kept, bounded in number and in bytes, and are the same objects each time.
    """

    def __init__(self, hook: IdentifyHook = identify) -> None:
        self._hook = hook
        self._reads = hook is identify
        self._read: Recent[_Key, Identity] = Recent(
            limit=_REMEMBERED, max_bytes=_REMEMBERED_BYTES, weigh=_weigh
        )

    async def name(
        self, connection: HTTPConnection, principal: Principal, metadata: Mapping[str, str]
    ) -> Identity:
        """Raises the `GatewayError` that the hook raises; anything else that it raises or returns
        is logged and is an `InternalError`, never an empty identity.

        Raises `PermissionDeniedError` where the body claims another user or group than the one that
        the host or the credential names.
        """
        document = metadata.get("waystone")
        if not self._reads:
            identity = await self._ask(connection, principal, metadata)
            claims = _NO_CLAIMS if document is None else self._claims(document)
            _compare("user", identity.user, principal.user, claims.user)
            _compare("group", identity.group, principal.group, claims.group)
            return identity
        key = (document, principal.user, principal.group)
        known = self._read.entries.get(key)
        if known is None:
            return self._learn(key, principal)
        self._read.entries.move_to_end(key)
        return known

    def _learn(self, key: _Key, principal: Principal) -> Identity:
        identity = _check(_read(key[0], principal))
        if len(key[0] or "") <= _REMEMBERED_LENGTH:
            self._read.put(key, identity)
        return identity

    async def _ask(
        self, connection: HTTPConnection, principal: Principal, metadata: Mapping[str, str]
    ) -> Identity:
        try:
            identity = self._hook(connection, principal, metadata)
            if type(identity) is not Identity and inspect.isawaitable(identity):
                identity = await identity
        except GatewayError:
            raise
        except Exception as error:
            logger.error("The identify hook raised %s.", type(error).__name__)
            raise InternalError("The caller's identity could not be determined.") from None
        if not isinstance(identity, Identity):
            raise _unusable(identity)
        return _check(identity)

    def _claims(self, document: str) -> Identity:
        """What the body claims; a document that is not ours to read claims nothing."""
        key = (document, None, None)
        try:
            return self._read.entries.get(key) or self._learn(key, _NOBODY)
        except RequestTooLargeError:
            raise
        except InvalidRequestError:
            return _NO_CLAIMS


def _weigh(key: _Key, _: Identity) -> int:
    """About how many bytes what was read takes, with the document; rather too many."""
    if (document := key[0]) is None:
        return 1000
    nested = document.count("[") + document.count("{")
    return 1000 + 4 * getsizeof(document) + 128 * document.count(",") + 256 * nested


def _compare(kind: str, named: Entity | None, pinned: str | None, claim: Entity | None) -> None:
    """Refuse a claim that differs from what the host or the credential says."""
    if named is None:
        return
    if named.source == "claimed":
        differs = pinned is not None and pinned != named.id
    else:
        differs = claim is not None and claim.id != named.id
    if differs:
        raise PermissionDeniedError(f"This caller may not act for another {kind}.", param=FIELD)


def _check(identity: Identity) -> Identity:
    """The identity, if a store and a record can keep it."""
    for entity in (identity.user, identity.group):
        if entity is None:
            continue
        if not isinstance(entity, Entity) or not isinstance(entity.id, str):
            raise _unusable(entity)
        if entity.layer not in _SOURCES or entity.source not in _SOURCES:
            raise _unusable(entity)
        if not isinstance(entity.metadata, dict | None):
            raise _unusable(entity)
        if not 1 <= len(entity.id) <= 256:
            raise InvalidRequestError("Ids have 1 to 256 characters.", param=FIELD)
        if not _is_unicode(entity.id):
            raise InvalidRequestError("Ids have no lone surrogates.", param=FIELD)
    return identity


def _is_unicode(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _unusable(returned: object) -> InternalError:
    logger.error("The identify hook returned %s.", type(returned).__name__)
    return InternalError("The caller's identity could not be determined.")


def _combine(
    kind: str, pinned: str | None, claimed: str | NamedEntity | UnsetType
) -> Entity | None:
    if claimed is UNSET:
        return None if pinned is None else Entity(pinned, None, "key")
    if isinstance(claimed, NamedEntity):
        id = claimed.id
        metadata = None if claimed.metadata is UNSET else claimed.metadata
    else:
        id, metadata = str(claimed), None
    if pinned is not None and id != pinned:
        raise PermissionDeniedError(f"This key may not act for another {kind}.", param=FIELD)
    if pinned is None:
        return Entity(id, metadata, "claimed")
    # The credential says who it is, and not what the body says of them.
    return Entity(id, metadata, "key", None if metadata is None else "claimed")
