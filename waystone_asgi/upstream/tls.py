"""What `AsyncioUpstream` asks of TLS, beyond what an event loop does by itself."""

from __future__ import annotations

import ssl


def default_context() -> ssl.SSLContext:
    """A context that trusts what the system trusts, checks names, and offers HTTP/1.1 alone."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def ended_in_order(tls: ssl.SSLObject | None) -> bool:
    """Whether the provider closed as it should: over TLS an alert tells that nobody cut it short.

    RFC 9112, section 9.8. uvloop tells by itself; asyncio calls any end of the stream an end.
    """
    try:
        return tls is None or not tls.read(1)
    except ssl.SSLError as error:
        return isinstance(error, ssl.SSLZeroReturnError)
