"""Where messages end: what may not be sent, and what an answer's head says about its body.

Endpoints and headers (of answers, with lower-case names) come in. It refuses what two readers could
understand differently: a message that ends in two places is how one request's answer gets into
another's (RFC 9112, sections 6.3 and 11).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..exceptions import UpstreamError
from .failures import unreachable

if TYPE_CHECKING:
    from ..records import Endpoint

MAX_HEADERS = 256
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROLS = frozenset(b"\r\n\0")


def check_endpoint(endpoint: Endpoint) -> None:
    """Refuse a path or header that would change the meaning of the request on the wire."""
    parts = [part for header in endpoint.headers for part in header]
    path = endpoint.path
    if (
        not path.isascii()
        or not path.isprintable()
        or " " in path
        or any(not _CONTROLS.isdisjoint(part) for part in parts)
    ):
        raise UpstreamError("The provider's path or headers are not valid.")


def host_of(endpoint: Endpoint) -> bytes:
    """The value of the header `host`: the endpoint's own, or where it is, with the port if need be.

    Raises `UpstreamError` for a name that cannot be sent.
    """
    for name, value in endpoint.headers:
        if name.lower() == b"host":
            return value
    try:
        host = endpoint.host.encode("idna").lower()
    except UnicodeError as error:
        raise unreachable(error) from None
    if b":" in host:
        host = b"[%b]" % host
    if endpoint.port != _DEFAULT_PORTS.get(endpoint.scheme):
        host = b"%b:%d" % (host, endpoint.port)
    return host


def check_status(status: int) -> None:
    """Refuse a status that is no answer: an upgrade that nobody asked for, or no status at all."""
    if status < 200:
        raise UpstreamError(f"The provider answered with status {status}.")


def check_headers(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse too many headers, unknown transfer codings, and a length beside a transfer coding."""
    if len(headers) > MAX_HEADERS:
        raise UpstreamError("The provider's answer has too many headers.")
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if any(value.strip().lower() != b"chunked" for value in codings):
        raise UpstreamError("The answer has a transfer coding that was not asked for.")
    if codings and any(name == b"content-length" for name, _ in headers):
        raise UpstreamError("The answer has a length and a transfer coding.")


def ends_with_connection(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the body lasts until the provider closes the connection."""
    return not any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
