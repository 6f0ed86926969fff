"""What proves to a provider who asks, where no header that is always the same does.

In: the options of a provider. Out: credentials to sign with or to get a token by; what they are,
transports know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from ..exceptions import ConfigurationError
from ..records import Secret
from .options import Options

if TYPE_CHECKING:
    from .bedrock.signing import Signer

_SHORTEST_SECRET = 8


class AWSAccess(Struct, frozen=True):
    """Each request is signed."""

    signer: Signer


class GoogleAccess(Struct, frozen=True):
    """Each request carries a token, of the credentials in a file or of the environment's."""

    file: str | None


Access: TypeAlias = AWSAccess | GoogleAccess


def choose_access(options: Options, type: str, where: str) -> Access | None:
    """What a provider of this type needs beside its headers; None where they are enough."""
    if any(name.lower() == "authorization" for name in options.headers or {}):
        return None
    if type == "vertex":
        if options.api_key is not None and options.credentials is not None:
            raise ConfigurationError(f"{where}.credentials: there is an api_key already.")
        return GoogleAccess(options.credentials) if options.api_key is None else None
    if type != "bedrock":
        return None
    id, secret = options.access_key_id, options.secret_access_key
    if options.api_key is not None:
        if id is not None or secret is not None:
            raise ConfigurationError(f"{where}.access_key_id: there is an api_key already.")
        return None
    if not id or not secret:
        raise ConfigurationError(
            f"{where}.api_key: bedrock needs one, or access_key_id and secret_access_key; "
            "AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "stand in for them."
        )
    return AWSAccess(_signer(id, secret, options, where))


def _signer(id: str, secret: str, options: Options, where: str) -> Signer:
    from .bedrock.signing import Credentials, Signer

    if options.region is None:
        raise ConfigurationError(f"{where}.region: bedrock needs one to sign for.")
    if not (id + (options.session_token or "")).isascii():
        raise ConfigurationError(f"{where}.access_key_id: expected ASCII.")
    token = options.session_token
    credentials = Credentials(
        access_key_id=id,
        secret_access_key=Secret(secret),
        session_token=Secret(token) if token else None,
    )
    return Signer(credentials, region=options.region)


def secrets_of(options: Options) -> tuple[Secret, ...]:
    """What a provider's error must not repeat: credentials, and headers that may be one."""
    named = (options.api_key, options.secret_access_key, options.session_token)
    said = [value.removeprefix("Bearer ") for value in (options.headers or {}).values()]
    found = [value for value in said if len(value) >= _SHORTEST_SECRET]
    return tuple(Secret(value) for value in (*filter(None, named), *found))
