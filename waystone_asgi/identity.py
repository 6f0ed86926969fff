"""Names on whose behalf a request is made: principal and claim to `Identity`.

In: what the credential pins and what the request's body claims. Out: an `Identity` whose entities
say who named them. A claim never overrides what the host or the credential said. It refuses claims
that are malformed or contradict, and nothing for lack of rights.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from .exceptions import GatewayError, InternalError, InvalidRequestError, PermissionDeniedError
from .records import Entity, Identity, Principal
from .types import HTTPConnection
from .types import Identify as IdentifyHook
from .wire.identity import CLAIM, IdentityClaim, NamedEntity
from .wire.members import decode_members
from .wire.requests import decode_members_once, invalid

logger = logging.getLogger("waystone_asgi")

FIELD = "metadata.waystone"


def identify(
    connection: HTTPConnection, principal: Principal, metadata: Mapping[str, str]
) -> Identity:
    """The default `Identify`: reads `metadata.waystone` beside what the credential pins.

    Raises `InvalidRequestError` for a malformed document, `PermissionDeniedError` for a claim that
    differs from the pinned user or group.
    """
    document = metadata.get("waystone")
    if document is None:
        return combine(principal, IdentityClaim())
    return combine(principal, decode_claim(document.encode(errors="surrogatepass"), FIELD))


def decode_claim(document: bytes, where: str = "") -> IdentityClaim:
    """The claim that a document makes. Raises `InvalidRequestError` with `param` below `where`."""
    try:
        claim = CLAIM.decode(document)
        # Each id that stands by itself has four quotation marks: no more means no second member.
        strings = isinstance(claim.user, str) + isinstance(claim.group, str)
        if document.count(b'"') == 4 * strings:
            return claim
        members = decode_members(document)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        refusal = invalid(error, prefix=where)
        refusal.param = where or refusal.param
        raise refusal from None
    decode_members_once(document, where or None)
    for value in members.values():
        if (nested := bytes(value)).startswith(b"{"):
            entity = decode_members_once(nested, where or None)
            if "metadata" in entity:
                decode_members_once(bytes(entity["metadata"]), where or None)
    return claim


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


async def name(
    hook: IdentifyHook,
    connection: HTTPConnection,
    principal: Principal,
    metadata: Mapping[str, str],
) -> Identity:
    """Ask the hook on whose behalf the request is made.

    Raises the `GatewayError` that the hook raises; anything else that it raises or returns is
    logged and is an `InternalError`, never an empty identity.
    """
    try:
        identity = hook(connection, principal, metadata)
        if type(identity) is not Identity and inspect.isawaitable(identity):
            identity = await identity
    except GatewayError:
        raise
    except Exception as error:
        logger.error("The identify hook raised %s.", type(error).__name__)
        raise InternalError("The caller's identity could not be determined.") from None
    if not isinstance(identity, Identity):
        raise _unusable(identity)
    for entity in (identity.user, identity.group):
        if entity is None:
            continue
        if not isinstance(entity, Entity) or not isinstance(entity.id, str):
            raise _unusable(entity)
        if not 1 <= len(entity.id) <= 256:
            raise InvalidRequestError("Ids have 1 to 256 characters.", param=FIELD)
    return identity


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
    return Entity(id, metadata, "claimed" if pinned is None else "key")
