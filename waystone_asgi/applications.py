"""The standalone application: a Starlette router with the gateway mounted at its path.

In: a gateway. Out: an ASGI application that also answers where a load balancer or the published
page looks: `/health`, `/ready` and `/api/identify`.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from .exceptions import NotFoundError
from .gateway import Gateway
from .responses import encode_error
from .types import Receive, Scope, Send

_SHORTCUTS = {"/health": "/health", "/ready": "/ready", "/api/identify": "/identify"}


class _Shortcut:
    """The gateway's operation at `path`, wherever this is routed."""

    def __init__(self, gateway: Gateway, path: str) -> None:
        self._gateway = gateway
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._gateway({**scope, "path": self._path, "root_path": ""}, receive, send)


def create_app(gateway: Gateway) -> Starlette:
    """The application that `waystone-asgi serve` runs; its lifespan is the gateway's."""

    async def not_found(request: Request, error: Exception) -> Response:
        where = gateway.path or "/"
        body = encode_error(NotFoundError(f"There is nothing at this path; the API is at {where}."))
        return Response(body, 404, media_type="application/json")

    routes = [Route(path, _Shortcut(gateway, to)) for path, to in _SHORTCUTS.items()]
    app = Starlette(
        routes=[*routes, Mount(gateway.path or "/", app=gateway)],
        lifespan=gateway.lifespan,
        exception_handlers={404: not_found},
    )
    app.router.redirect_slashes = False
    return app
