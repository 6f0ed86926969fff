"""One chat completion's whole life, from its authentication to its record.

In: a call. Out: an answer, and one usage record if the call was authenticated, whatever became of
it. It orders the rooms: it knows no dialect, parses no header and no JSON. What happens between the
rules and the record is in `forwarding`.
"""

from __future__ import annotations

from .admission import Places
from .allowances import Allowance, Allowances
from .authentication import check_endpoint, prove
from .calls import Call
from .catalog import Catalog
from .departures import Departures, Visit
from .forwarding import Forwarding
from .identity import FIELD, Naming, merge
from .pricing import Prices
from .records import Principal
from .requests import read_body
from .sinks.outbox import Outbox
from .types import Authenticate, Entities, HTTPConnection
from .usage import OpenRecord
from .wire.requests import ChatRequest, decode_chat_request


class Completions:
    """Serves chat completions."""

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        naming: Naming,
        entities: Entities,
        catalog: Catalog,
        allowances: Allowances | None,
        prices: Prices,
        forwarding: Forwarding,
        outbox: Outbox,
        departures: Departures,
        places: Places,
        max_body_bytes: int,
    ) -> None:
        self._authenticate = authenticate
        self._naming = naming
        self._entities = entities
        self._catalog = catalog
        self._allowances = allowances
        self._prices = prices
        self._forwarding = forwarding
        self._outbox = outbox
        self._departures = departures
        self._places = places
        self._max_body_bytes = max_body_bytes

    async def serve(self, call: Call) -> None:
        """Answer the call, and hand over its record whatever becomes of it."""
        connection = call.connection
        head, reply = call.head, call.reply
        record = OpenRecord(
            operation="chat", principal="", request_id=head.request_id, started=reply.started_at
        )
        places, placed = self._places, False
        try:
            # A gateway that closes does not wait for hooks either.
            with self._departures.visit(call.receive, reading=True) as visit:
                principal = await prove(self._authenticate, connection)
                record.principal = principal.id
                check_endpoint(principal, "chat")
                head.check(self._max_body_bytes)
                if places.free:
                    places.free -= 1
                else:
                    await places.wait(principal.id, call.ahead)
                placed = True
                request = decode_chat_request(await read_body(call.receive, self._max_body_bytes))
                visit.listen()
                await self._complete(call, connection, principal, request, record, visit)
            if visit.gone is not None:
                raise visit.gone
        except Exception as error:
            record.raised(error, begun=reply.started)
            raise
        finally:
            try:
                # Who is not known leaves no record.
                if record.principal and not self._outbox.offer(finished := record.close()):
                    await self._outbox.wait(finished)
            finally:
                if placed:
                    places.leave()

    async def _complete(
        self,
        call: Call,
        connection: HTTPConnection,
        principal: Principal,
        request: ChatRequest,
        record: OpenRecord,
        visit: Visit,
    ) -> None:
        """Say on whose behalf and where to, and forward."""
        view = request.view
        record.request_model = view.model
        record.stream = bool(view.stream)
        identity = await self._naming.name(connection, principal, view.metadata or {})
        record.identity = identity
        layers = await merge(self._entities, identity, FIELD)
        route = self._catalog.resolve(view.model, principal)
        allowance: Allowance | None = None
        if self._allowances is not None:
            allowance = await self._allowances.apply(principal, identity, layers, route, request)
            record.tags, record.retain_days = allowance.tags, allowance.retain_days
            allowance.check()
            call.reply.headers = allowance.headers
        try:
            await self._forwarding.forward(call, request, record, visit, route, allowance)
        finally:
            record.price(self._prices)
            if allowance is not None:
                await allowance.settle(record.usage, record.cost)
