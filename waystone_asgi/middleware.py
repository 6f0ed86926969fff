"""The gateway in front of any ASGI application, Django's too.

In: an application, a gateway and the path that is the gateway's. Out: an ASGI application whose
lifespan opens and closes both, also where the inner one knows no lifespan.
"""

from __future__ import annotations

from .exceptions import ConfigurationError
from .gateway import Gateway
from .lifespan import serve_lifespan
from .types import ASGIApp, Message, Receive, Scope, Send


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
        if scope["type"] == "http":
            root: str = scope.get("root_path", "").rstrip("/")
            path: str = scope["path"]
            for prefix in (root + self._path, self._path):
                if path == prefix or path.startswith(prefix + "/"):
                    scope = {**scope, "root_path": prefix}
                    await self._gateway(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the gateway before the inner application's startup, close it after its shutdown.

        An inner application that refuses the lifespan scope before it said anything has none
        (ASGI lifespan specification), and the gateway answers alone.
        """
        received: list[Message] = []
        sent: list[Message] = []

        async def receive_once() -> Message:
            received.append(await receive())
            return received[-1]

        async def hold_shutdown(message: Message) -> None:
            sent.append(message)
            if not message["type"].startswith("lifespan.shutdown"):
                await send(message)

        async def replay() -> Message:
            return received.pop(0) if received else await receive()

        try:
            async with self._gateway.running():
                await self._app(scope, receive_once, hold_shutdown)
        except Exception as error:
            if sent:
                raise
            if not received:
                # The gateway itself could not open, or the inner application never listened.
                pass
            del error
        if sent and sent[-1]["type"].startswith("lifespan.shutdown"):
            await send(sent[-1])
        elif not sent:
            await serve_lifespan(self._gateway.running, replay, send)
