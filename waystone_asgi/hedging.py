"""A second attempt beside the first, at another target, where the answer to the first is late.

In: an exchange that is not open yet, and the attempts of its request. Out: that of the two whose
answer begins first; the other one has been closed, and said what became of it. There is a task only
once an answer is late. It replies to nobody and writes no record.
"""

from __future__ import annotations

from collections.abc import Mapping

import anyio
from anyio.abc import TaskGroup

from .exceptions import GatewayError, InternalError, UpstreamError
from .exchanges import Exchange
from .loops import call_later
from .routing import Attempts, fault_of
from .types import Upstream

HEDGED = "hedged"
"""What stands in an attempt that was given up because the other one was answered."""


async def hedged(
    first: Exchange, attempts: Attempts, seconds: float, upstreams: Mapping[str, Upstream]
) -> Exchange:
    """Open the exchange, and after so many seconds another one; the first of them that is open.

    Raises what `first` raises, if the other one has failed too. An answer that no other attempt
    would mend is one that is not waited beyond.
    """
    race = _Race(first, attempts, upstreams)
    try:
        async with anyio.create_task_group() as race.tasks:
            forget = call_later(race.tasks.start_soon, seconds, race.open_second)
            try:
                await race.open_first()
            finally:
                forget()
    except BaseException:
        race.winner = None
        raise
    finally:
        await race.end()
    if race.winner is not None:
        return race.winner
    assert race.error is not None
    raise race.error


class _Race:
    tasks: TaskGroup

    def __init__(
        self, first: Exchange, attempts: Attempts, upstreams: Mapping[str, Upstream]
    ) -> None:
        self._first = first
        self._second: Exchange | None = None
        self._attempts = attempts
        self._upstreams = upstreams
        self._second_error: Exception | None = None
        self.winner: Exchange | None = None
        self.error: Exception | None = None

    async def open_first(self) -> None:
        """Open the one that is there; where it fails the other one goes on, if that may mend it."""
        try:
            await self._first.open(self._upstreams)
        except Exception as error:
            self.error = error
            if not isinstance(error, UpstreamError) or not self._attempts.mends(error):
                self._stop()
        else:
            self._wins(self._first)

    async def open_second(self) -> None:
        """Open another one, if there may be one."""
        if self.winner is not None or self.error is not None:
            return
        attempt = self._attempts.hedge()
        if attempt is None:
            return
        try:
            second = Exchange(self._first.request, attempt)
        except GatewayError:  # It cannot be asked this.
            self._attempts.lost(attempt)
            return
        self._second = second
        try:
            await second.open(self._upstreams)
        except Exception as error:
            self._second_error = error
            if not isinstance(error, UpstreamError):
                self.error = error
                self._stop()
        else:
            self._wins(second)

    async def end(self) -> None:
        """Close the one that has not won, and say what became of it."""
        second = self._second
        if second is None:
            return
        if self.winner is second:
            self._attempts.won(second.attempt)
            try:
                await self._lose(self._first, self.error)
            except BaseException:
                self.winner = None
                await self._lose(second, None)
                raise
        else:
            self._attempts.won(self._first.attempt)
            await self._lose(second, self._second_error)

    def _wins(self, exchange: Exchange) -> None:
        if self.winner is None:
            self.winner = exchange
            self._stop()

    def _stop(self) -> None:
        """End the other one. To cancel what is not there would cost more than all the rest."""
        if self._second is not None:
            self.tasks.cancel_scope.cancel()

    async def _lose(self, exchange: Exchange, error: Exception | None) -> None:
        attempt = exchange.attempt
        if isinstance(error, UpstreamError):
            attempt.end(fault_of(attempt.redact(error)))
            self._attempts.lost(attempt, error)
        else:
            answered = self.winner is not None or self.error is not None
            kind = HEDGED if answered else "cancelled"
            attempt.end(kind if error is None else InternalError.code)
            self._attempts.lost(attempt)
        await exchange.aclose()
