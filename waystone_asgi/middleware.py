"""The gateway in front of any ASGI application, Django's too.

In: an application, a gateway and the path that is the gateway's. Out: an ASGI application whose
lifespan opens and closes both, also where the inner one knows no lifespan.
"""

from __future__ import annotations

import logging

from .exceptions import ConfigurationError
from .gateway import Gateway
from .types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("waystone_asgi")


class GatewayMiddleware:
    """Serves `path` and everything below it by the gateway, the rest by `app`."""

    def __init__(self, app: ASGIApp, gateway: Gateway, path: str = "/api/gateway") -> None:
        self._app = app
        self._gateway = gateway
        self._path = "/" + path.strip("/")
        if self._path == "/":
            raise ConfigurationError("GatewayMiddleware: expected a path such as /api/gateway.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        root: str = scope.get("root_path", "").rstrip("/")
        path: str = scope["path"]
        for prefix in (root + self._path, self._path):
            if path == prefix or path.startswith(prefix + "/"):
                await self._gateway({**scope, "root_path": prefix}, receive, send)
                return
        await self._app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the gateway before the application's startup, close it after its shutdown."""
        inner = _InnerLifespan(await receive(), receive, send)
        opening = True
        try:
            async with self._gateway.running():
                opening = False
                await inner.run(self._app, scope)
        except Exception as error:
            if not opening:
                raise
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await inner.end()


class _InnerLifespan:
    """What the application says of its lifespan, passed on; the end of its shutdown is held back.

    An application that raises, or returns, before it said anything has no lifespan, and the server
    must go on (ASGI lifespan specification); so it must when one ends before the shutdown.
    """

    def __init__(self, startup: Message, receive: Receive, send: Send) -> None:
        self._unread = [startup]
        self._receive = receive
        self._send = send
        self._started = False
        self._failed = False
        self._closing = False
        self._last: Message | None = None
        self._error: Exception | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application's lifespan, and stay until the shutdown where it does not."""
        try:
            await app(scope, self._read, self._write)
        except Exception as error:
            if self._failed or self._closing:
                self._error = error
            elif self._started:
                logger.error("The application's lifespan ended early.", exc_info=error)
            else:
                logger.info("The application has no lifespan: %r", error)
        if not self._started and not self._failed:
            await self._send({"type": "lifespan.startup.complete"})
        if not self._failed and not self._closing:
            await self._receive()

    async def end(self) -> None:
        """Pass on how the application's shutdown went, and raise what it raised."""
        if self._last is not None:
            await self._send(self._last)
        elif self._error is None and not self._failed:
            await self._send({"type": "lifespan.shutdown.complete"})
        if self._error is not None:
            raise self._error

    async def _read(self) -> Message:
        if self._unread:
            return self._unread.pop()
        message = await self._receive()
        self._closing = True
        return message

    async def _write(self, message: Message) -> None:
        kind: str = message["type"]
        if kind.startswith("lifespan.shutdown"):
            self._last = message
            return
        self._started = kind == "lifespan.startup.complete"
        self._failed = not self._started
        await self._send(message)
