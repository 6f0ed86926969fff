"""Proves the credential: head of the request to `Principal`, before the body is read.

In: a connection. Out: a `Principal`, or `AuthenticationError`. Threat model: the caller chooses
every header; keys are compared as digests under a key of this process, whole, in one dictionary
look-up, so neither timing nor a stored hash is of use. It never reads the body.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import re
import secrets
from collections.abc import Iterable

from msgspec import Struct

from .exceptions import AuthenticationError, ConfigurationError, PermissionDeniedError
from .records import Principal
from .types import Authenticate, HTTPConnection

logger = logging.getLogger("waystone_asgi")

_SHA256 = re.compile(r"sha256:([0-9a-fA-F]{64})\Z")


class APIKey(Struct, frozen=True, kw_only=True):
    """A key and what it stands for and may do.

    `key` is the key itself or `sha256:<hex>` of it. `user` and `group` are pinned ids, `models`
    globs of full names, `endpoints` operations; None allows all. `id` defaults to a name made from
    the hash.
    """

    key: str
    id: str | None = None
    user: str | None = None
    group: str | None = None
    models: tuple[str, ...] | None = None
    endpoints: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"APIKey(id={self.id!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("id", self.id)]


class BearerKeys:
    """An `Authenticate` that knows a fixed set of keys, sent as `Authorization: Bearer <key>`.

    Raises `ConfigurationError` when no key is given, or one that cannot be sent in a header.
    """

    def __init__(self, keys: Iterable[str | APIKey]) -> None:
        if isinstance(keys, str):
            raise ConfigurationError("api_keys: expected a list of keys, not one string.")
        self._keyed = hashlib.blake2b(digest_size=32, key=secrets.token_bytes(32))
        self._principals: dict[bytes, Principal] = {}
        self._hashed: dict[bytes, Principal] = {}
        taken: set[bytes] = set()
        for number, key in enumerate(keys):
            self._add(key if isinstance(key, APIKey) else APIKey(key=key), number, taken)
        if not taken:
            raise ConfigurationError("BearerKeys has no keys: give at least one, such as wk_….")

    def __call__(self, connection: HTTPConnection) -> Principal:
        """See `types.Authenticate`. Raises `AuthenticationError`."""
        token = _bearer_token(connection)
        principal = self._principals.get(self._digest(token))
        if principal is None and self._hashed:
            principal = self._hashed.get(self._digest(hashlib.sha256(token).digest()))
        if principal is None:
            raise AuthenticationError
        return principal

    def __repr__(self) -> str:
        return f"BearerKeys({len(self._principals) + len(self._hashed)} keys)"

    def _add(self, entry: APIKey, number: int, taken: set[bytes]) -> None:
        where = f"api_keys[{number}]"
        _check(entry, where)
        if match := _SHA256.match(entry.key):
            hashed = bytes.fromhex(match[1])
        elif not entry.key.isascii() or not entry.key.isprintable() or entry.key.strip() == "":
            raise ConfigurationError(f"{where}: a key is printable ASCII, not empty.")
        elif entry.key.startswith(("env:", "sha256:")) or " " in entry.key:
            raise ConfigurationError(
                f"{where}: expected a key, or sha256: and 64 hexadecimal digits; "
                "env: names are resolved in waystone.toml only."
            )
        else:
            hashed = hashlib.sha256(entry.key.encode()).digest()
        if hashed in taken:
            raise ConfigurationError(f"{where}: the same key is given twice.")
        taken.add(hashed)
        principal = Principal(
            id=entry.id or f"key_{hashed.hex()[:8]}",
            user=entry.user,
            group=entry.group,
            models=entry.models,
            endpoints=entry.endpoints,
        )
        if match:
            self._hashed[self._digest(hashed)] = principal
        else:
            self._principals[self._digest(entry.key.encode())] = principal

    def _digest(self, token: bytes) -> bytes:
        digest = self._keyed.copy()
        digest.update(token)
        return digest.digest()


def allow_anonymous(connection: HTTPConnection) -> Principal:
    """An `Authenticate` that lets everyone in, all as the principal `anonymous`."""
    return Principal(id="anonymous")


async def prove(authenticate: Authenticate, connection: HTTPConnection) -> Principal:
    """Ask the host's hook, and deny unless it returns a `Principal` with an id.

    Raises `AuthenticationError` or `PermissionDeniedError`; whatever else the hook raises is logged
    and denies.
    """
    try:
        principal = authenticate(connection)
        if type(principal) is not Principal and inspect.isawaitable(principal):
            principal = await principal
    except (AuthenticationError, PermissionDeniedError):
        raise
    except Exception as error:
        # The message may hold the credential; the type does not.
        logger.error("The authenticate hook raised %s; access denied.", type(error).__name__)
        raise AuthenticationError from None
    if not isinstance(principal, Principal) or not isinstance(principal.id, str):
        raise AuthenticationError
    # A string of globs would be taken for its letters, of which `*` allows everything.
    if not principal.id or isinstance(principal.models, str):
        raise AuthenticationError
    if isinstance(principal.endpoints, str):
        raise AuthenticationError
    return principal


def check_endpoint(principal: Principal, operation: str) -> None:
    """Raise `PermissionDeniedError` unless the credential may be used for the operation."""
    if principal.endpoints is not None and operation not in principal.endpoints:
        raise PermissionDeniedError(f"This key may not be used for {operation}.")


def _check(entry: APIKey, where: str) -> None:
    """Refuse what a type checker would: a missing variable's None, a glob that is not in a list."""
    if not isinstance(entry.key, str):
        raise ConfigurationError(f"{where}: expected a string, got {type(entry.key).__name__}.")
    for name in ("user", "group"):
        id = getattr(entry, name)
        if id is not None and not (isinstance(id, str) and 1 <= len(id) <= 256):
            raise ConfigurationError(f"{where}.{name}: expected 1 to 256 characters.")
    for name in ("models", "endpoints"):
        if isinstance(getattr(entry, name), str):
            raise ConfigurationError(f"{where}.{name}: expected a list, not one string.")


def _bearer_token(connection: HTTPConnection) -> bytes:
    """The token of the one `Authorization` header (RFC 6750, section 2.1)."""
    credential: bytes | None = None
    for name, value in connection.scope["headers"]:
        if name == b"authorization":
            if credential is not None:
                raise AuthenticationError
            credential = value
    if credential is not None:
        scheme, _, token = credential.partition(b" ")
        if token and scheme.lower() == b"bearer":
            return token.strip()
    raise AuthenticationError
