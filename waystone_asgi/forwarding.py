"""One request on its way to a provider and back: its attempts, until one of them is answered.

In: a decoded request and where it may go. Out: the answer, passed on, and in the record what each
attempt came to. It orders the rooms behind it: it knows no dialect, parses no header and no JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio

from .allowances import Allowance
from .calls import Call
from .departures import Visit
from .exceptions import CallerLeft, GatewayError, InternalError, InvalidRequestError, UpstreamError
from .exchanges import Exchange
from .guards import AnswerScreen, Guards
from .hedging import hedged
from .keepalive import KeepAlives
from .providers.dialects import Stream
from .records import Route
from .relay import drain, first_shown, relay, whole_stream
from .responses import Reply
from .routing import MAX_ANSWER_BYTES, Attempts, Routing, fault_of, passed_on, read_all
from .types import Upstream
from .usage import OpenRecord
from .wire.requests import ChatRequest


class Forwarding:
    """Sends requests to their targets. `upstreams` are the transports by the names of providers,
    set while it is open.
    """

    def __init__(self, *, routing: Routing, guards: Guards, keep_alives: KeepAlives | None) -> None:
        self.upstreams: Mapping[str, Upstream] = {}
        self.routing = routing
        self._guards = guards
        self._keep_alives = keep_alives

    async def forward(
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
            attempts = self.routing.attempts(route)
        else:
            decision = allowance.decision
            attempts = self.routing.attempts(decision.route, decision.retry, decision.fallback)
            guards = allowance.guards
        latest: GatewayError | None = None
        try:
            while True:
                exchange = _begin(request, attempts, latest)
                try:
                    failure = await self._attempt(call, record, visit, exchange, attempts, guards)
                    if isinstance(failure, UpstreamError):
                        attempts.cut(failure)
                    else:
                        attempts.succeeded()
                    return
                except UpstreamError as error:
                    latest, wait = error, attempts.failed(error)
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

    async def _hedge(
        self,
        reply: Reply,
        record: OpenRecord,
        exchange: Exchange,
        attempts: Attempts,
        seconds: float,
    ) -> Exchange:
        """Open the exchange, or one beside it when that is late; the one that is open first."""
        try:
            exchange = await hedged(exchange, attempts, seconds, self.upstreams)
        finally:
            record.target = exchange.attempt.target
            reply.route_headers = exchange.attempt.headers(exchange.built.dropped)
        return exchange

    async def _attempt(
        self,
        call: Call,
        record: OpenRecord,
        visit: Visit,
        exchange: Exchange,
        attempts: Attempts,
        guards: Sequence[str],
    ) -> GatewayError | None:
        """Send what has been translated, and reply with what comes; what ended a stream early."""
        reply = call.reply
        attempt = exchange.attempt
        record.target = attempt.target
        reply.route_headers = attempt.headers(exchange.built.dropped)
        decoder: Stream | None = None
        failure: GatewayError | None = None
        error_type: str | None = "cancelled"
        try:
            if (seconds := attempts.hedge_after) is not None:
                exchange = await self._hedge(reply, record, exchange, attempts, seconds)
                attempt = exchange.attempt
            response = exchange.response
            if response is None:
                response = await exchange.open(self.upstreams)
            decoder = exchange.decoder
            reply.route_headers += passed_on(response, reply.headers)
            check = self._guards.check(guards, record.guarded(attempt.target)) if guards else None
            if decoder is None:
                body = await read_all(response, MAX_ANSWER_BYTES)
                answer = exchange.parse(body)
                record.answered(answer, len(exchange.built.body))
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
            return failure
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
                record.answered(decoder, len(exchange.built.body))
            await exchange.aclose()


def _begin(request: ChatRequest, attempts: Attempts, latest: GatewayError | None) -> Exchange:
    """The next attempt's exchange, at the first target that can be asked this.

    Where there is none: raises what the latest attempt came to, or else why it cannot be asked.
    """
    while True:
        attempt = attempts.begin()
        try:
            return Exchange(request, attempt)
        except InvalidRequestError as error:
            latest = latest or error
            if not attempts.pass_over():
                raise latest from None
        except BaseException:
            attempts.abandoned()
            raise
