"""FastAPI: the site's own sessions say who calls, and on whose behalf.

uvicorn examples.fastapi_host:app
"""

from collections.abc import Mapping

from fastapi import FastAPI

from waystone_asgi import AuthenticationError, Entity, Gateway, Identity, Principal, Provider
from waystone_asgi.types import HTTPConnection

SESSIONS = {"session-of-ann": "ann"}  # what your site keeps in a database


def authenticate(connection: HTTPConnection) -> Principal:
    token = connection.headers.get("authorization", "").removeprefix("Bearer ")
    if token not in SESSIONS:
        raise AuthenticationError
    return Principal(id=SESSIONS[token])


def identify(connection: HTTPConnection, who: Principal, metadata: Mapping[str, str]) -> Identity:
    return Identity(user=Entity(who.id, source="host"))


gateway = Gateway(
    # providers=[Provider.openai(api_key=os.environ["OPENAI_API_KEY"], models=["gpt-4o-mini"])],
    providers=[Provider.echo()],
    authenticate=authenticate,
    identify=identify,
)
app = FastAPI(lifespan=gateway.lifespan)
app.mount("/api/gateway", gateway)


@app.get("/")
def home() -> str:
    return "Sign in, and the models are at /api/gateway/v1."
