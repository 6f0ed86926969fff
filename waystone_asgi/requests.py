"""Reads requests: the head from the scope, the body from `receive`, within its bound.

In: scope and receive. Out: the path below the mount, a request id, the body's bytes. It trusts
`scope["path"]` and `scope["root_path"]` and never the Host header; it looks into no body.
"""

from __future__ import annotations

from collections import deque
from random import getrandbits

from .exceptions import CallerLeft, InvalidRequestError, RequestTooLargeError
from .types import Message, Receive, Scope

_SANE = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/+=@-"
MAX_HEADER_BYTES = 32768
AHEAD_BYTES = 65536
_SLASHES = (b"/", b"%2F", b"%2f")


class Head:
    """What is read from a request's head: its headers by name (the last of each), and its id.

    The caller's `x-request-id` is taken over when it is sane: 1 to 128 characters that no log or
    header could be confused by.
    """

    __slots__ = ("_headers", "request_id")

    def __init__(self, scope: Scope) -> None:
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self._headers.get(b"x-request-id")
        if given is not None and 0 < len(given) <= 128 and not given.strip(_SANE):
            self.request_id = given.decode("ascii")
        else:
            self.request_id = f"req_{getrandbits(96):024x}"

    def check(self, limit: int) -> None:
        """Refuse headers that are too long, and a body that is said to be or is coded.

        Raises `RequestTooLargeError` or `InvalidRequestError`.
        """
        if len(b"".join(self._headers.values())) > MAX_HEADER_BYTES:
            raise InvalidRequestError("The request's headers are too long.")
        length = self._headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length[:20]) > limit:
            raise _too_large(limit)
        coding = self._headers.get(b"content-encoding")
        if coding is not None and coding.lower() != b"identity":
            raise InvalidRequestError("Send the body without a content-encoding.")


class Ahead:
    """Reads a request before its turn, to see its caller leave; `receive` gives all of it again.

    From `AHEAD_BYTES` of a body that goes on it reads no further, and cannot tell any more.
    """

    __slots__ = ("_error", "_messages", "_receive", "_released", "_size", "_whole")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: deque[Message] = deque()
        self._error: Exception | None = None
        self._released = self._whole = False
        self._size = 0

    async def watch(self) -> bool:
        """See `admission.Presence`. Cancelled only when the whole body is there, it loses none."""
        try:
            while self._whole or self._size < AHEAD_BYTES:
                message = await self._receive()
                left = message["type"] == "http.disconnect"
                if left or not self._whole:
                    self._messages.append(message)
                if left:
                    return True
                self._size += len(message.get("body", b""))
                self._whole = self._whole or not message.get("more_body", False)
                if self._released:
                    break
        except Exception as error:
            self._error = error  # Whoever reads the body is told.
        return False

    def release(self) -> bool:
        """See `admission.Presence`. A message on its way would be lost with a cancelled `receive`,
        where middleware passes it on in a task of its own.
        """
        self._released = True
        return self._whole

    async def receive(self) -> Message:
        """The messages read so far, then those that follow."""
        if self._messages:
            return self._messages.popleft()
        if self._error is not None:
            raise self._error
        return await self._receive()


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises `RequestTooLargeError`, or `CallerLeft` when it is cut short."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        return body
    chunks: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()
    raise CallerLeft


def route_path(scope: Scope) -> str:
    """The path below the mount, however the server, proxies and routers write the prefix.

    ASGI has the whole path in `path` and the mount in `root_path`. Where a proxy strips its prefix
    and Starlette mounts below, only the end of `root_path` is in `path`; a path without any of it
    was stripped already.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    while root:
        if path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
            path = path[len(root) :] or "/"
            break
        root = root[root.find("/", 1) :] if "/" in root[1:] else ""
    # Litestar's mounts end every path in a slash; what the caller wrote is in `raw_path`.
    if path.endswith("/") and not (scope.get("raw_path") or b"/").endswith(_SLASHES):
        path = path.rstrip("/") or "/"
    return path


def _too_large(limit: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"The body is longer than {limit} bytes.")
