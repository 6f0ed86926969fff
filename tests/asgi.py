"""A raw ASGI driver: sends one request and keeps every message, as it is sent.

The usual test clients buffer whole answers, so streams and departures cannot be seen through them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from waystone_asgi.types import ASGIApp, Message

KEY = "wk_test"


class Answer:
    """The messages an application sent, and what they come to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def complete(self) -> bool:
        return len(self.messages) > 1 and not self.messages[-1].get("more_body", False)


class Caller:
    """One caller: body pieces first, then silence until `leave`. `on_send` sees each message."""

    def __init__(
        self, pieces: Sequence[bytes] = (b"",), on_send: Callable[[Message], object] | None = None
    ) -> None:
        more = len(pieces) - 1
        self._messages: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": index < more}
            for index, piece in enumerate(pieces)
        ]
        self._on_send = on_send
        self._left = anyio.Event()
        self.answer = Answer()

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop(0)
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.answer.messages.append(message)
        if self._on_send is not None:
            self._on_send(message)


def http_scope(
    path: str,
    *,
    method: str = "POST",
    root_path: str = "",
    headers: Sequence[tuple[bytes, bytes]] = (),
    key: str | None = KEY,
) -> dict[str, Any]:
    """An HTTP scope with the credential that the tests' gateways know."""
    bearer = [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": root_path,
        "query_string": b"",
        "headers": [*bearer, *headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    }


async def request(app: ASGIApp, path: str, body: object = b"", **scope: Any) -> Answer:
    """Send one request and return the whole answer; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    caller = Caller([data])
    await app(http_scope(path, **scope), caller.receive, caller.send)
    return caller.answer


async def chat(app: ASGIApp, body: object = None, **changes: Any) -> Answer:
    """Ask for a chat completion; `changes` are members of the request."""
    if body is None:
        body = {
            "model": "openai/gpt-test",
            "messages": [{"role": "user", "content": "hello"}],
            **changes,
        }
    return await request(app, "/v1/chat/completions", body)
