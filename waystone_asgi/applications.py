"""The standalone application: the gateway at its path, and what is looked for beside it.

In: a gateway. Out: an ASGI application that also answers where a load balancer or the published
page looks: `/health`, `/ready` and `/api/identify`.
"""

from __future__ import annotations

from starlette.routing import Mount, Route, Router

from .exceptions import NotFoundError
from .gateway import Gateway
from .requests import Head
from .responses import Reply
from .types import ASGIApp, Receive, Scope, Send

_SHORTCUTS = {"/health": "/health", "/ready": "/ready", "/api/identify": "/identify"}


class _Shortcut:
    """The gateway's operation at `path`, wherever this is routed."""

    def __init__(self, gateway: Gateway, path: str) -> None:
        self._gateway = gateway
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._gateway({**scope, "path": self._path, "root_path": ""}, receive, send)


class _NotFound:
    """Says where the API is."""

    def __init__(self, gateway: Gateway) -> None:
        self._message = f"There is nothing at this path; the API is at {gateway.path or '/'}."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Reply(send, Head(scope).request_id).error(NotFoundError(self._message))
        else:
            await send({"type": "websocket.close", "code": 1000})


class _InFront:
    """The gateway's own path in front of a router, which costs a regular expression a route."""

    def __init__(self, gateway: Gateway, router: ASGIApp) -> None:
        self._gateway = gateway
        self._router = router
        self._prefix = f"{gateway.path}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and not scope.get("root_path")
            and scope["path"].startswith(self._prefix)
        ):
            await self._gateway({**scope, "root_path": self._gateway.path}, receive, send)
        else:
            await self._router(scope, receive, send)


def create_app(gateway: Gateway) -> ASGIApp:
    """The application that `waystone-asgi serve` runs; its lifespan is the gateway's."""
    routes = [Route(path, _Shortcut(gateway, to)) for path, to in _SHORTCUTS.items()]
    router = Router(
        [*routes, Mount(gateway.path or "/", app=gateway)],
        redirect_slashes=False,
        default=_NotFound(gateway),
        lifespan=gateway.lifespan,
    )
    return _InFront(gateway, router) if gateway.path else router
