"""What the connections of asyncio ask of TLS, beyond what asyncio does by itself."""

from __future__ import annotations

import asyncio
import ssl


def default_context() -> ssl.SSLContext:
    """A context that trusts what the system trusts, checks names, and offers HTTP/1.1 alone."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def ended_in_order(transport: asyncio.Transport) -> bool:
    """Whether the provider closed as it should: over TLS an alert tells that nobody cut it short.

    RFC 9112, section 9.8. uvloop tells by itself; asyncio calls any end of the stream an end.
    """
    tls = transport.get_extra_info("ssl_object")
    try:
        return tls is None or not tls.read(1)
    except ssl.SSLError as error:
        return isinstance(error, ssl.SSLZeroReturnError)
