"""Hosts of every kind with a gateway in them, and ways in which a request arrives there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

import anyio
import litestar
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from tests.asgi import KEY, Answer, Caller, http_scope
from waystone_asgi import BearerKeys, Gateway, GatewayMiddleware, MemorySink, Provider
from waystone_asgi.applications import create_app
from waystone_asgi.types import Message, Receive, Scope, Send

AT = "/api/gateway"
HOME = "this is the host's own page"

Build: TypeAlias = Callable[[Gateway], ASGIApp]


def make_gateway(**more: Any) -> tuple[Gateway, MemorySink]:
    """A gateway with the built-in model, and a model whose name has a slash and a space."""
    sink = MemorySink()
    odd = Provider(name="odd", type="echo", models=["my model", "a/b", "ü"])
    arguments: dict[str, Any] = {
        "providers": [Provider.echo(), odd],
        "authenticate": BearerKeys([KEY]),
        "sinks": [sink],
        **more,
    }
    return Gateway(**arguments), sink


# Hosts


async def page(request: Request) -> Response:
    return PlainTextResponse(HOME)


def alone(gateway: Gateway) -> ASGIApp:
    return gateway


def standalone(gateway: Gateway) -> ASGIApp:
    return create_app(gateway)


def starlette(gateway: Gateway) -> ASGIApp:
    return Starlette(routes=[Route("/", page), Mount(AT, gateway)], lifespan=gateway.lifespan)


def starlette_nested(gateway: Gateway) -> ASGIApp:
    inner = Starlette(routes=[Mount(AT, gateway)])
    return Starlette(
        routes=[Route("/", page), Mount("/outer", routes=[Mount("/inner", inner)])],
        lifespan=gateway.lifespan,
    )


async def pass_on(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    return response


def starlette_wrapped(gateway: Gateway) -> ASGIApp:
    """With the middleware that replaces `receive` and `send`."""
    return Starlette(
        routes=[Route("/", page), Mount(AT, gateway)],
        lifespan=gateway.lifespan,
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=pass_on),
            Middleware(GZipMiddleware, minimum_size=100_000),
        ],
    )


def starlette_middleware(gateway: Gateway) -> ASGIApp:
    middleware = Middleware(GatewayMiddleware, gateway=gateway, path=AT)
    return Starlette(routes=[Route("/", page)], middleware=[middleware])


def fastapi(gateway: Gateway) -> ASGIApp:
    app = FastAPI(lifespan=gateway.lifespan)
    app.add_route("/", page)
    app.mount(AT, gateway)
    return app


def fastapi_nested(gateway: Gateway) -> ASGIApp:
    app, inner = FastAPI(lifespan=gateway.lifespan), FastAPI()
    app.add_route("/", page)
    inner.mount(AT, gateway)
    app.mount("/outer", inner)
    return app


@litestar.get("/", media_type="text/plain")
async def litestar_page() -> str:
    return HOME


def litestar_mount(gateway: Gateway) -> ASGIApp:
    mounted = litestar.asgi(AT, is_mount=True, copy_scope=True)(gateway)
    app: Any = litestar.Litestar([litestar_page, mounted], lifespan=[gateway.lifespan])
    return app


async def django_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(HOME)


urlpatterns = [path("", django_page)]


def django(gateway: Gateway) -> ASGIApp:
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    return GatewayMiddleware(get_asgi_application(), gateway)


async def plain_page(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that knows nothing but HTTP."""
    if scope["type"] != "http":
        raise NotImplementedError
    await PlainTextResponse(HOME)(scope, receive, send)


def plain(gateway: Gateway) -> ASGIApp:
    return GatewayMiddleware(plain_page, gateway)


class Host(NamedTuple):
    """A host, where the gateway is in it, and whether the host runs on trio as well."""

    build: Build
    prefix: str = AT
    trio: bool = True


HOSTS = {
    "alone": Host(alone, ""),
    "standalone": Host(standalone),
    "starlette": Host(starlette),
    "starlette nested": Host(starlette_nested, f"/outer/inner{AT}"),
    "starlette wrapped": Host(starlette_wrapped),
    "starlette middleware": Host(starlette_middleware),
    "fastapi": Host(fastapi),
    "fastapi nested": Host(fastapi_nested, f"/outer{AT}"),
    "litestar": Host(litestar_mount),
    "django": Host(django, trio=False),
    "plain": Host(plain),
}

# Arrivals: what comes before the path, and what `root_path` says.

ARRIVALS = {
    "direct": ("", ""),
    "--root-path": ("/proxy", "/proxy"),
    "stripped": ("", "/proxy"),
}


async def ask(
    app: ASGIApp, path: str, body: bytes = b"", *, raw_path: bytes | None = None, **scope: Any
) -> Answer:
    """One request; `raw_path` is given where it is not what `path` would be."""
    caller = Caller([body])
    head = http_scope(path, **scope)
    head["raw_path"] = path.encode() if raw_path is None else raw_path
    await app(head, caller.receive, caller.send)
    return caller.answer


class Conversation:
    """The lifespan of an application, message by message."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self._unread: list[Message] = [{"type": "lifespan.startup"}]
        self._stopping = anyio.Event()
        self._answered = anyio.Event()

    async def receive(self) -> Message:
        if self._unread:
            return self._unread.pop()
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self._answered.set()

    async def run(self, app: ASGIApp) -> None:
        """What a server does: an application that raises has no lifespan."""
        try:
            await app({"type": "lifespan", "asgi": {}, "state": {}}, self.receive, self.send)
        except Exception:
            if not self.sent:
                self.sent.append({"type": "unsupported"})
        finally:
            self._answered.set()


@asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[list[Message]]:
    """Start the application as a server does, and stop it; what it answered to both."""
    conversation = Conversation()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(conversation.run, app)
        await conversation._answered.wait()
        yield conversation.sent
        conversation._stopping.set()
