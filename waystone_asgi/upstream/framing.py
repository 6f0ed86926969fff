"""What the head of an answer says about where its body ends (RFC 9112, section 6.3).

Headers with lower-case names come in. It refuses what two readers could understand differently: an
answer that ends in two places is how one request's answer gets into another's.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..exceptions import UpstreamError

MAX_HEADERS = 256


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
