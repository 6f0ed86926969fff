"""Signature Version 4: what proves to AWS that a request is from the holder of a secret.

In: credentials, a request, a Unix time. Out: the headers to add. The same request at the same time
is always signed alike; the key that is derived of the secret for each day is kept for that day.
No client, no clock.

The rules are those of the "AWS Signature Version 4 for API requests" page of the IAM user guide.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from hmac import digest
from time import gmtime, strftime
from urllib.parse import quote

from msgspec import Struct

from ...exceptions import Headers
from ...pieces import Body
from ...records import Secret

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = frozenset(
    {
        "authorization",
        "connection",
        "expect",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    }
)
"""Headers that hops on the way may change, so that no signature covers them."""


class Credentials(Struct, frozen=True, kw_only=True):
    """Who signs. `session_token` comes with credentials that are lent for some hours."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


class Unsigned(Struct, frozen=True, kw_only=True):
    """A request that is to be signed, all of it as it is sent.

    `path` is percent-encoded and has no query. `host` includes the port where it is not the
    scheme's own.
    """

    host: str
    path: str
    body: Body
    headers: Sequence[tuple[bytes, bytes]] = ()
    method: str = "POST"


class Signer:
    """Signs requests to one service in one region.

    Credentials that change take a new signer. Threads may share one.
    """

    __slots__ = ("_credentials", "_derived", "_region", "_service")

    def __init__(self, credentials: Credentials, *, region: str, service: str = "bedrock") -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._derived = ("", b"")

    def sign(self, request: Unsigned, now: float) -> Headers:
        """The headers that `request` lacks at the Unix time `now`."""
        time = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
        day = time[:8]
        derived, key = self._derived
        if day != derived:
            key = self._derive(day)
            self._derived = (day, key)
        added = [(b"x-amz-date", time.encode())]
        if (token := self._credentials.session_token) is not None:
            added.append((b"x-amz-security-token", token.reveal().encode()))
        canonical, names = _canonical(request, added)
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        said = f"{_ALGORITHM}\n{time}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = digest(key, said.encode(), sha256).hex()
        authorization = (
            f"{_ALGORITHM} Credential={self._credentials.access_key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return (*added, (b"authorization", authorization.encode()))

    def _derive(self, day: str) -> bytes:
        key = b"AWS4" + self._credentials.secret_access_key.reveal().encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = digest(key, part.encode(), sha256)
        return key


def _canonical(request: Unsigned, added: Sequence[tuple[bytes, bytes]]) -> tuple[str, str]:
    """The request as both sides write it before they hash it, and the names of what is signed.

    The path is encoded once more than it is sent, as for every service but S3.
    """
    values: dict[str, list[str]] = {"host": [request.host]}
    for raw, value in (*request.headers, *added):
        name = raw.decode("latin-1").lower()
        if name not in _UNSIGNED and name != "host":
            values.setdefault(name, []).append(" ".join(value.decode("latin-1").split()))
    names = sorted(values)
    headers = "".join([f"{name}:{','.join(values[name])}\n" for name in names])
    signed = ";".join(names)
    path = quote(request.path, safe="/-_.~")
    body = _hash(request.body)
    return f"{request.method}\n{path}\n\n{headers}\n{signed}\n{body}", signed


def _hash(body: Body) -> str:
    if isinstance(body, bytes):
        return sha256(body).hexdigest()
    hashed = sha256()
    for part in body.parts:
        hashed.update(part)
    return hashed.hexdigest()
