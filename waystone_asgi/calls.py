"""One ASGI call: what came in, where the answer goes, and which operation it is for.

In: scope, receive, send. Out: a `Call`, and the handler of its path and method from a table of
exact paths. It authenticates nobody and reads no body.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import anyio

from .exceptions import MethodNotAllowedError, NotFoundError
from .requests import Head, route_path
from .responses import Reply
from .types import HTTPConnection, Message, Receive, Scope, Send

Handler: TypeAlias = Callable[["Call"], Awaitable[None]]
Table: TypeAlias = Mapping[str, Mapping[str, Handler]]


class Call:
    """One request and its reply. `argument` is what follows a path that ends in a slash in the
    table.
    """

    __slots__ = ("_receive", "argument", "head", "reply", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self.head = Head(scope)
        self.reply = Reply(send, self.head.request_id)
        self.argument = ""

    @property
    def connection(self) -> HTTPConnection:
        """The connection as the host's hooks see it."""
        return HTTPConnection(self.scope)

    async def receive(self) -> Message:
        """The next message; from the last one of the answer on, nobody leaves any more.

        hypercorn says so while it closes the connection, before its `send` returns.
        """
        message = await self._receive()
        if self.reply.ended and message["type"] == "http.disconnect":
            await anyio.sleep_forever()
        return message


def accept(call: Call, table: Table) -> Handler:
    """The handler for the call. Raises `NotFoundError` or `MethodNotAllowedError`.

    A key of the table that ends in a slash takes every longer path, as `/v1/models/` does.
    """
    path = route_path(call.scope)
    methods = None if path.endswith("/") else table.get(path)
    if methods is None:
        methods = _accept_longer(call, table, path)
    method: str = call.scope["method"]
    handler = methods.get(method)
    if handler is None and method == "HEAD":
        handler = methods.get("GET")
    if handler is None:
        allow = ", ".join(["GET", "HEAD"] if "GET" in methods else list(methods))
        raise MethodNotAllowedError(f"This path takes {allow}.", allow=allow)
    return handler


def _accept_longer(call: Call, table: Table, path: str) -> Mapping[str, Handler]:
    for prefix, methods in table.items():
        if prefix.endswith("/") and path.startswith(prefix) and path != prefix:
            call.argument = path[len(prefix) :]
            return methods
    raise NotFoundError("There is nothing at this path; the API begins at /v1 below the mount.")
