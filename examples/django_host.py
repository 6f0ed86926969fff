"""Django: the gateway stands before the site, and owns the lifespan that Django does not have.

uvicorn examples.django_host:application
"""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from waystone_asgi import BearerKeys, Gateway, GatewayMiddleware, Provider

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="demo", ALLOWED_HOSTS=["*"])


async def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("The models are at /api/gateway/v1.")


urlpatterns = [path("", home)]

gateway = Gateway(
    # providers=[Provider.openai(api_key=os.environ["OPENAI_API_KEY"], models=["gpt-4o-mini"])],
    providers=[Provider.echo()],
    authenticate=BearerKeys([os.environ.get("WAYSTONE_API_KEY", "wk_demo")]),
)
application = GatewayMiddleware(get_asgi_application(), gateway, path="/api/gateway")
