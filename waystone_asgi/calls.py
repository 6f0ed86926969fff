"""One ASGI call: what came in, where the answer goes, and which operation it is for.

In: scope, receive, send. Out: a `Call`, and the handler of its path and method from a table of
exact paths. It authenticates nobody and reads no body.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import anyio

from .exceptions import MethodNotAllowedError, NotFoundError
from .requests import Ahead, Head, route_path
from .responses import Reply
from .types import HTTPConnection, Message, Receive, Scope, Send

Handler: TypeAlias = Callable[["Call"], Awaitable[None]]

_MAX_REMEMBERED = 256


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

    def ahead(self) -> Ahead:
        """What reads the request from now on, ahead of whoever is to `receive` it."""
        ahead = Ahead(self._receive)
        self._receive = ahead.receive
        return ahead

    async def receive(self) -> Message:
        """The next message; from the last one of the answer on, nobody leaves any more.

        hypercorn says so while it closes the connection, before its `send` returns.
        """
        message = await self._receive()
        if self.reply.ended and message["type"] == "http.disconnect":
            await anyio.sleep_forever()
        return message


class Table:
    """The handlers by path and method.

    A path that ends in a slash takes every longer path, as `/v1/models/` does. What a path below a
    mount means is found out once and remembered.
    """

    def __init__(self, paths: Mapping[str, Mapping[str, Handler]]) -> None:
        self._paths = paths
        self._remembered: dict[tuple[str, str, str], Handler] = {}

    def accept(self, call: Call) -> Handler:
        """The handler for the call. Raises `NotFoundError` or `MethodNotAllowedError`."""
        scope = call.scope
        place = (scope["path"], scope["method"], scope.get("root_path", ""))
        handler = self._remembered.get(place)
        if handler is not None:
            return handler
        path = route_path(scope)
        methods = None if path.endswith("/") else self._paths.get(path)
        if methods is None:
            return _choose(self._accept_longer(call, path), scope["method"])
        handler = _choose(methods, scope["method"])
        # Whether a slash at the end is the caller's own is told by more than the path.
        if not place[0].endswith("/") and len(self._remembered) < _MAX_REMEMBERED:
            self._remembered[place] = handler
        return handler

    def _accept_longer(self, call: Call, path: str) -> Mapping[str, Handler]:
        for prefix, methods in self._paths.items():
            if prefix.endswith("/") and path.startswith(prefix) and path != prefix:
                call.argument = path[len(prefix) :]
                return methods
        raise NotFoundError("There is nothing at this path; the API begins at /v1 below the mount.")


def _choose(methods: Mapping[str, Handler], method: str) -> Handler:
    handler = methods.get("GET" if method == "HEAD" else method)
    if handler is None:
        allow = ", ".join(["GET", "HEAD"] if "GET" in methods else list(methods))
        raise MethodNotAllowedError(f"This path takes {allow}.", allow=allow)
    return handler
