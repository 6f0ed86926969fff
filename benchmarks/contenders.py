"""Who is compared: how each is started, what it is called, and how a request to it looks.

In: names. Out: a `Lineup` of servers that run side by side and have answered rightly, with notes on
those that do not.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from . import launches, payloads
from .checks import check_contender, check_ledger
from .launches import Launch, Site
from .load import Address
from .processes import Cores, Process, free_port, wait_for_port
from .provider import serving
from .server import GATEWAY_PATH, Settings

SETTLE_SECONDS = 0.2
"""How long a server may take to write its records after the last answer."""

_READY_SECONDS = 90.0


@dataclass(frozen=True)
class Contender:
    """One way to reach the provider. `slow` ones get fewer rounds and fewer callers.

    `launch` gives the command for a site and a port; `missing` the reason why there is none.
    """

    name: str
    description: str
    launch: Callable[[Site, int], Launch]
    path: str = "/v1/chat/completions"
    prefix: str = ""
    headers: Callable[[Site, int], Mapping[str, str]] = launches.own_headers
    missing: Callable[[], str | None] = lambda: None
    slow: bool = False


class Server:
    """A contender that runs and answers. `asked` counts the requests that it was sent."""

    def __init__(self, contender: Contender, site: Site, port: int, launch: Launch) -> None:
        self.contender = contender
        self.name = contender.name
        self.address: Address = ("127.0.0.1", port)
        self.ledger = launch.ledger
        self.asked = 0
        self._site = site
        self.process = Process(
            launch.argv,
            core=site.cores.server,
            environment=launch.environment,
            directory=launch.directory,
        )

    def request(
        self, model: str = "json", *, stream: bool = False, user: str = "user-1", number: int = 0
    ) -> bytes:
        """An ordinary request for a model, as the caller with the key of that number."""
        body = payloads.chat_request(self.contender.prefix + model, stream=stream, user=user)
        return self.wrapped(body, number=number)

    def sized_request(self, size: int, *, history: bool) -> bytes:
        """A request whose body has `size` bytes."""
        model = self.contender.prefix + "json"
        return self.wrapped(payloads.sized_request(model, size, history=history))

    def wrapped(self, body: bytes, *, number: int = 0) -> bytes:
        """The HTTP request with that body."""
        headers = self.contender.headers(self._site, number)
        return payloads.http_request(self.contender.path, headers, body)


class Lineup:
    """The servers of one run, all running. `straight` is the way to the provider itself."""

    def __init__(self, servers: Sequence[Server], port: int, notes: list[str]) -> None:
        self.servers = servers
        self.straight: Address = ("127.0.0.1", port)
        self.notes = notes

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)

    def request(self, model: str = "json", *, stream: bool = False) -> bytes:
        """The ordinary request, to the provider itself."""
        body = payloads.chat_request(model, stream=stream)
        return payloads.http_request("/v1/chat/completions", {}, body)


@asynccontextmanager
async def lineup(
    contenders: Iterable[Contender],
    models: Sequence[str],
    *,
    unchecked: Sequence[str] = (),
    **settings: object,
) -> AsyncIterator[Lineup]:
    """The provider and the contenders, started, checked, and stopped at the end.

    They know all the models, and are asked for each but the `unchecked` ones. A contender that is
    missing, does not start or answers wrongly is left out, and noted.
    """
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(prepared((*models, *unchecked), settings))
        servers: list[Server] = []
        notes: list[str] = []
        for contender in contenders:
            if reason := contender.missing():
                notes.append(f"{contender.name}: {reason}")
                continue
            server = start(contender, site)
            stack.callback(server.process.stop)
            try:
                notes += await asyncio.to_thread(_check, server, models)
            except (RuntimeError, OSError, ValueError) as error:
                notes.append(f"{contender.name}: left out, {error}")
                server.process.stop()
                continue
            servers.append(server)
        yield Lineup(servers, site.provider_port, notes)
        await asyncio.sleep(SETTLE_SECONDS)
        for server in servers:
            notes += check_ledger(server)


@asynccontextmanager
async def prepared(
    models: Sequence[str], settings: Mapping[str, object] | None = None
) -> AsyncIterator[Site]:
    """A directory for ledgers, and the provider, in this process; both end with the context."""
    cores = Cores()
    os.sched_setaffinity(0, {cores.load})
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        async with serving(port):
            yield Site(port, Path(directory), cores, settings or {}, tuple(models))
    os.sched_setaffinity(0, cores.available)


def _check(server: Server, models: Sequence[str]) -> list[str]:
    wait_for_port(server.process, server.address[1], seconds=_READY_SECONDS)
    return check_contender(server, models)


def start(contender: Contender, site: Site) -> Server:
    """Start a contender; it is not ready yet."""
    port = free_port()
    return Server(contender, site, port, contender.launch(site, port))


def chosen(names: str, *more: Contender) -> list[Contender]:
    """The contenders of these names, in the order given; raises `SystemExit` for an unknown one."""
    known = {contender.name: contender for contender in (*CONTENDERS, *more)}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"Unknown contenders {unknown}; known are {', '.join(known)}.")
    return [known[name] for name in wanted]


def variant(name: str, description: str, **changes: object) -> Contender:
    """Ours with other settings: see `server.Settings`."""
    mounted = bool(changes.get("mounted", True))
    return Contender(
        name=name,
        description=description,
        launch=launches.ours(changes),
        path=f"{GATEWAY_PATH if mounted else ''}/v1/chat/completions",
        prefix="bench/",
        slow=changes.get("upstream") == "httpx",
    )


CONTENDERS = (
    Contender(
        "floor",
        "forwards bytes, does nothing else",
        launches.forwarding(Settings(application="floor", port=0, provider_port=0)),
    ),
    Contender(
        "direct",
        "answers at once, asks nobody",
        launches.forwarding(Settings(application="direct", port=0, provider_port=0)),
    ),
    variant("ours", "everything on, the asyncio transport"),
    variant("ours-httpx", "everything on, the httpx transport", upstream="httpx"),
    variant("ours-unmounted", "everything on, served without Starlette around it", mounted=False),
    variant("ours-no-ledger", "everything else on, and no ledger", ledger=None),
    variant("ours-rules", "everything on, and ten rulesets, counted in memory", rules=True),
    replace(
        variant(
            "ours-redis",
            "the same, counted in the Redis at BENCH_REDIS_URL",
            rules=True,
            state=os.environ.get("BENCH_REDIS_URL", ""),
        ),
        missing=launches.redis_missing,
    ),
    Contender(
        "litellm",
        "LiteLLM proxy, one worker, a master key, no database",
        launches.litellm,
        headers=launches.litellm_headers,
        missing=launches.litellm_missing,
        slow=True,
    ),
    Contender(
        "portkey",
        "Portkey gateway, the provider named by headers",
        launches.portkey,
        headers=launches.portkey_headers,
        missing=launches.portkey_missing,
        slow=True,
    ),
)
"""All that may be named by `--contenders`."""
