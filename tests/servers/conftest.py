"""The provider, and the servers that the tests here share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest
from openai import OpenAI

from .keys import KEY
from .ledger import Ledger
from .processes import Served, serving
from .provider import ScriptedProvider, scripted_provider
from .serve import SERVERS


class Start(Protocol):
    def __call__(
        self, server: str, directory: Path, *, lifespan: bool = True, **environment: str
    ) -> AbstractContextManager[Served]: ...


@pytest.fixture(scope="session")
def provider() -> Iterator[ScriptedProvider]:
    """The scripted provider that every gateway here is configured with."""
    with scripted_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def start(provider: ScriptedProvider) -> Start:
    """Starts the host with a server; its ledgers and its log are in the directory."""

    def start(
        server: str, directory: Path, *, lifespan: bool = True, **more: str
    ) -> AbstractContextManager[Served]:
        environment = {
            **more,
            "PROVIDER_URL": provider.url,
            "LEDGERS": str(directory),
            "LIFESPAN": "yes" if lifespan else "",
        }
        command = ["tests.servers.serve", server, "{fd}", "tests.servers.host"]
        return serving(command, directory / "server.log", environment)

    return start


class Mount:
    """A gateway that a server under test serves, seen by a caller."""

    def __init__(self, served: Served, directory: Path) -> None:
        self.served = served
        self.url = f"{served.url}/api/gateway"
        self.ledger = Ledger(directory / "main.db")

    def client(self, *, key: str = KEY, path: str = "/api/gateway") -> OpenAI:
        """The official client, that tries once; its requests have an id of their own."""
        return OpenAI(
            base_url=f"{self.served.url}{path}/v1",
            api_key=key,
            max_retries=0,
            timeout=20.0,
            default_headers={"x-request-id": f"req-{uuid.uuid4()}"},
        )


@pytest.fixture(scope="session", params=SERVERS)
def mount(
    request: pytest.FixtureRequest, start: Start, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    """The host under each of the servers, one after the other."""
    directory = tmp_path_factory.mktemp(request.param)
    with start(request.param, directory) as served:
        yield Mount(served, directory)


@pytest.fixture
def client(mount: Mount) -> Iterator[OpenAI]:
    """The official client."""
    with mount.client() as client:
        yield client
