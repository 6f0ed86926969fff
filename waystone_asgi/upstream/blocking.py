"""One HTTP exchange in a thread that may block: for libraries that bring none of their own.

In: a request. Out: its answer, whole. It follows no redirect, keeps no cookie and no connection,
asks no proxy, and is done within twice its time at the latest.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

from .tls import default_context

_MAX_BYTES = 1024 * 1024


class Reply(NamedTuple):
    """An answer; the names of its headers are found in upper and lower case."""

    status: int
    headers: Mapping[str, str]
    data: bytes


def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None,
    body: bytes | None,
    cert: tuple[str, str] | None,
    seconds: float,
) -> Reply:
    """Send a request; `cert` is the files of a certificate and its key that prove who asks.

    Raises `httpx.HTTPError`, `OSError` or `ValueError` where there is no answer, or one of more
    than a megabyte.
    """
    import httpx

    deadline = time.monotonic() + seconds
    context = default_context()
    if cert is not None:
        context.load_cert_chain(*cert)
    timers = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
    request = httpx.Request(
        method, url, headers=headers, content=body, extensions={"timeout": timers}
    )
    data = bytearray()
    with (
        httpx.HTTPTransport(verify=context) as transport,
        closing(transport.handle_request(request)) as response,
    ):
        for piece in response.iter_raw():
            data += piece
            if len(data) > _MAX_BYTES:
                raise ValueError("The answer is too long.")
            if time.monotonic() > deadline:
                raise TimeoutError
    return Reply(response.status_code, response.headers, bytes(data))
