"""A gateway that can be asked what it has left: `python -m tests.servers.serve NAME FD` this."""

from __future__ import annotations

import os

from tests.interleavings.clocks import living
from tests.limits.watched import WatchedCounters
from waystone_asgi import BearerKeys, Gateway, Principal, Provider
from waystone_asgi.types import HTTPConnection, Receive, Scope, Send

from .flowing import answer, sockets
from .keys import KEY, UPSTREAM_KEY

RULES = [
    {"usage": {"concurrent": 10**6, "of": "principal"}, "block": "Too many."},
    {"usage": {"requests": 10**9, "per": "month", "of": "principal"}, "block": "Too often."},
    {"usage": {"tokens": 10**12, "per": "month", "of": "principal"}, "block": "Too much."},
]

known = 0
counters = WatchedCounters()
keys = BearerKeys([KEY])


def authenticate(connection: HTTPConnection) -> Principal:
    """Count those who are known."""
    global known
    principal = keys(connection)
    known += 1
    return principal


gateway = Gateway(
    providers=[Provider.openai(api_key=UPSTREAM_KEY, base_url=f"{os.environ['PROVIDER_URL']}/v1")],
    authenticate=authenticate,
    usage={"url": os.environ["LEDGER"]},
    counters=counters,
    rulesets=[{"name": "all", "condition": "always", "rules": RULES}],
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The gateway, and at `/left` what it has left."""
    if scope["type"] != "http" or scope["path"] != "/left":
        await gateway(scope, receive, send)
        return
    document = {
        "known": known,
        "held": len(counters.held),
        "concurrent": (await counters.totals()).get("concurrent", 0),
        "in_flight": gateway._life.in_flight,
        "lost": gateway.outbox.dropped + gateway.outbox.failed,
        "tasks": living(),
        "sockets": sockets(),
    }
    await answer(send, document)
