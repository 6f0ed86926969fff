"""Litestar: the gateway is mounted as an ASGI handler, and its lifespan is one of the site's.

uvicorn examples.litestar_host:app
"""

import os
from collections.abc import Mapping

from litestar import Litestar, asgi, get

from waystone_asgi import BearerKeys, Entity, Gateway, Identity, Principal, Provider
from waystone_asgi.types import HTTPConnection


def identify(connection: HTTPConnection, who: Principal, metadata: Mapping[str, str]) -> Identity:
    tenant = connection.headers.get("x-tenant")  # set by the proxy before your site
    return Identity(group=Entity(tenant, source="host") if tenant else None)


gateway = Gateway(
    # providers=[Provider.openai(api_key=os.environ["OPENAI_API_KEY"], models=["gpt-4o-mini"])],
    providers=[Provider.echo()],
    authenticate=BearerKeys([os.environ.get("WAYSTONE_API_KEY", "wk_demo")]),
    identify=identify,
)


@get("/")
async def home() -> str:
    return "The models are at /api/gateway/v1."


mounted = asgi("/api/gateway", is_mount=True, copy_scope=True)(gateway)
app = Litestar([home, mounted], lifespan=[gateway.lifespan])
