"""One chat completion's whole life, top to bottom, from its authentication to its record.

In: a call. Out: an answer, and one usage record if the call was authenticated, whatever became of
it. It orders the rooms: it knows no dialect, parses no header and no JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import time

import anyio

from .allowances import Allowance, Allowances
from .authentication import check_endpoint, prove
from .calls import Call
from .catalog import Catalog
from .departures import Departures, Visit
from .exceptions import CallerLeft, GatewayError, InternalError, UpstreamError
from .exchanges import Exchange
from .guards import AnswerScreen, Guards
from .identity import FIELD, Naming, merge
from .keepalive import KeepAlives
from .pricing import Prices
from .providers.openai import parse_response
from .records import Principal, Route
from .relay import drain, first_shown, relay, whole_stream
from .requests import read_body
from .routing import MAX_ANSWER_BYTES, Routing, fault_of, passed_on, read_all
from .sinks.outbox import Outbox
from .types import Authenticate, Entities, HTTPConnection, Upstream
from .usage import OpenRecord
from .wire.requests import ChatRequest, decode_chat_request


class Completions:
    """Serves chat completions. `upstreams` are the transports by scheme, set while it is open."""

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        naming: Naming,
        entities: Entities,
        catalog: Catalog,
        allowances: Allowances | None,
        routing: Routing,
        prices: Prices,
        guards: Guards,
        outbox: Outbox,
        departures: Departures,
        keep_alives: KeepAlives | None,
        max_body_bytes: int,
    ) -> None:
        self.upstreams: Mapping[str, Upstream] = {}
        self._authenticate = authenticate
        self._naming = naming
        self._entities = entities
        self._catalog = catalog
        self._allowances = allowances
        self._routing = routing
        self._prices = prices
        self._guards = guards
        self._outbox = outbox
        self._departures = departures
        self._keep_alives = keep_alives
        self._max_body_bytes = max_body_bytes

    async def serve(self, call: Call) -> None:
        """Answer the call, and hand over its record whatever becomes of it."""
        connection = call.connection
        record = OpenRecord(
            operation="chat",
            principal="",
            request_id=call.head.request_id,
            started=call.reply.started_at,
        )
        try:
            # A gateway that closes does not wait for hooks either.
            with self._departures.visit(call.receive, reading=True) as visit:
                principal = await prove(self._authenticate, connection)
                record.principal = principal.id
                check_endpoint(principal, "chat")
                call.head.check(self._max_body_bytes)
                request = decode_chat_request(await read_body(call.receive, self._max_body_bytes))
                visit.listen()
                await self._complete(call, connection, principal, request, record, visit)
            if visit.gone:
                raise CallerLeft
        except GatewayError as error:
            record.failed(error)
            raise
        except CallerLeft:
            raise
        except Exception:
            status = record.status if call.reply.started else InternalError.status
            record.failed(InternalError("The gateway failed."))
            record.status = status
            raise
        finally:
            # Who is not known leaves no record.
            if record.principal:
                finished = record.close()
                if not self._outbox.offer(finished):
                    await self._outbox.wait(finished)

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
            await self._forward(call, request, record, visit, route, allowance)
        finally:
            self._price(record)
            if allowance is not None:
                await allowance.settle(record.usage, record.cost)

    def _price(self, record: OpenRecord) -> None:
        """What the usage costs; a deployment's own name has no price, that of its model may."""
        target, usage = record.target, record.usage
        if target is None or usage is None:
            return
        now = time()
        record.cost = self._prices.cost(target.provider, target.model, usage, now)
        if record.cost is None and record.response_model is not None:
            record.cost = self._prices.cost(target.provider, record.response_model, usage, now)
        if record.cost is not None:
            record.price_version = self._prices.version

    async def _forward(
        self,
        call: Call,
        request: ChatRequest,
        record: OpenRecord,
        visit: Visit,
        route: Route,
        allowance: Allowance | None,
    ) -> None:
        """Try one target after the other until one answers; the record keeps what each came to."""
        guards: Sequence[str] = ()
        if allowance is None:
            attempts = self._routing.attempts(route)
        else:
            decision = allowance.decision
            attempts = self._routing.attempts(decision.route, decision.retry, decision.fallback)
            guards = allowance.guards
        try:
            while True:
                exchange = Exchange(request, attempts.begin())
                try:
                    await self._attempt(call, record, visit, exchange, guards)
                    attempts.succeeded()
                    return
                except UpstreamError as error:
                    wait = attempts.failed(error)
                    if call.reply.started or wait is None:
                        raise
                except BaseException:
                    attempts.abandoned()
                    raise
                if wait:
                    await anyio.sleep(wait)
        finally:
            record.attempts = attempts.made
            record.upstream_duration = call.reply.upstream_seconds = attempts.elapsed

    async def _attempt(
        self,
        call: Call,
        record: OpenRecord,
        visit: Visit,
        exchange: Exchange,
        guards: Sequence[str],
    ) -> None:
        """Send what has been translated, and reply with what comes."""
        reply = call.reply
        attempt, decoder = exchange.attempt, exchange.decoder
        record.target = attempt.target
        reply.route_headers = attempt.headers(exchange.dropped)
        failure: GatewayError | None = None
        error_type: str | None = "cancelled"
        try:
            response = await exchange.open(self.upstreams)
            reply.route_headers += passed_on(response, reply.headers)
            check = self._guards.check(guards, record.guarded(attempt.target)) if guards else None
            if decoder is None:
                answer = parse_response(await read_all(response, MAX_ANSWER_BYTES))
                record.answered(answer, len(exchange.body))
                reply.upstream_seconds = attempt.elapsed
                whole = answer.body if check is None else await check.answer(answer.body)
                record.status = 200
                await reply.json(200, whole)
                record.succeeded()
            else:
                held, screen = exchange.held, None
                if check is not None:
                    screen = AnswerScreen(check)
                    held = await first_shown(response, decoder, screen, held)
                if attempt.holds:
                    held = await whole_stream(response, decoder, held, MAX_ANSWER_BYTES, screen)
                reply.upstream_seconds = record.first_chunk()
                await reply.start_stream()
                failure = await relay(
                    response,
                    decoder,
                    reply,
                    held,
                    redact=attempt.redact,
                    screen=screen,
                    keep_alives=self._keep_alives,
                )
                record.streamed(failure, cut=decoder.error is None)
            error_type = fault_of(failure)
            visit.end()
            if decoder is not None:
                await drain(response, decoder)
        except GatewayError as error:
            error_type = fault_of(attempt.redact(error))
            if error_type is not None:
                decoder = None  # The caller got nothing of it, and does not pay for it.
            raise
        except CallerLeft:
            raise
        except Exception:
            error_type = InternalError.code
            raise
        finally:
            attempt.end(error_type)
            if decoder is not None and decoder.started:
                record.answered(decoder, len(exchange.body))
            await exchange.aclose()
