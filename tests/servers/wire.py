"""A caller on a bare socket, who sees each arrival as it comes and can leave at any moment."""

from __future__ import annotations

import json
import socket
import time
import uuid
from types import TracebackType
from typing import Any, Self

from .keys import KEY
from .processes import Served

SECONDS = 10.0
MOST = 1024 * 1024


class Caller:
    """One request for a chat completion; `request_id` is what its record will have."""

    def __init__(self, served: Served, model: str, *, stream: bool, body: bytes = b"") -> None:
        self.request_id = f"req-{uuid.uuid4()}"
        self.received = b""
        self._socket = socket.create_connection(("127.0.0.1", served.port), SECONDS)
        document: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": "hello"}],
            "stream": stream,
        }
        self.body = body or json.dumps(document).encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, bytes_of_body: int | None = None) -> None:
        """Send the request, or its head and the beginning of its body."""
        head = (
            "POST /api/gateway/v1/chat/completions HTTP/1.1\r\n"
            f"host: localhost\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n"
            f"x-request-id: {self.request_id}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + self.body[:bytes_of_body])

    def arrival(self) -> tuple[float, bytes]:
        """The next bytes and when they came; empty at the end."""
        data = self._socket.recv(65536)
        self.received += data
        return time.monotonic(), data

    def read_until(self, marker: bytes) -> bytes:
        """Everything so far, once the marker is among it or the server has closed."""
        while marker not in self.received and self.arrival()[1]:
            pass
        return self.received

    def read_all_until(self, marker: bytes) -> bytes:
        """As `read_until`, of what may be very long; what came before is not part of it."""
        pieces, tail = [b""], b""
        while marker not in tail and (data := self._socket.recv(MOST)):
            pieces.append(data)
            tail = tail[-len(marker) :] + data
        return b"".join(pieces)

    def leave(self) -> float:
        """Close the connection; when that was."""
        now = time.monotonic()
        self._socket.close()
        return now
