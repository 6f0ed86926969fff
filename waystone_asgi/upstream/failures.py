"""Why a provider cannot be reached, in words.

Takes the exception of a failed attempt to connect, gives the `UpstreamError` that tells it. It
quotes nothing but what the TLS library says about the certificate: no address, no credential.
"""

from __future__ import annotations

import socket
import ssl

from ..exceptions import UpstreamError


def unreachable(error: BaseException) -> UpstreamError:
    """The error for an attempt that ended in `error`; its causes are looked through too."""
    cause: BaseException | None = error
    while cause is not None:
        reason = _reason(cause)
        if reason:
            return UpstreamError(reason)
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or cause.__context__
    return UpstreamError(f"The provider cannot be reached ({type(error).__name__}).")


def _reason(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The provider's certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or type(error).__name__
        return f"There is no TLS connection to the provider ({reason})."
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "The provider's host name does not resolve."
    if isinstance(error, ConnectionRefusedError):
        return "The provider refused the connection."
    return None
