"""Makes counters safe that may be slow or away: no request waits for them beyond a deadline.

In: the calls of the corridor, and counters behind a network or a lock. Out: their answers, in
time. After some failures in a row they are left alone, but for one question now and then, until
they answer. For so long this process counts by itself, or refuses where a rule says so. What could
not be settled is kept, within a bound, and settled later; so are reservations given back whose
answer did not come.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
import msgspec

from ..charges import Charge, Refused, Taken
from ..exceptions import CountersUnavailableError
from ..types import Counters
from .background import Background
from .memory import MemoryCounters
from .operations import NOTHING, new_id
from .owed import Owed

DEADLINE_SECONDS = 0.05
"""How long a request waits for the counters."""

PATIENCE_SECONDS = 1.0
CLOSE_SECONDS = 5.0
FAILURES = 3
OWED = 50_000

_AT_ONCE = 16

logger = logging.getLogger("waystone_asgi")


class GuardedCounters:
    """Counters that answer within `deadline` seconds, whatever becomes of `backend`.

    After `failures` in a row it is `away`, and is asked every `pause` seconds whether it is back,
    for which it has `patience` seconds. At most `limit` settlements are kept for it, and sums of
    what this process took by itself; what is more is `lost`.
    """

    def __init__(
        self,
        backend: Counters,
        *,
        deadline: float = DEADLINE_SECONDS,
        patience: float = PATIENCE_SECONDS,
        pause: float = PATIENCE_SECONDS,
        failures: int = FAILURES,
        limit: int = OWED,
    ) -> None:
        self._backend = backend
        self._deadline = deadline
        self._patience = patience
        self._pause = pause
        self._tolerated = failures
        self._failures = 0
        self._local = MemoryCounters()
        self._owed = Owed(limit)
        self._wanted = anyio.Event()
        self._background = Background(self._run)
        self.away = False

    @property
    def owed(self) -> int:
        """How much waits to be delivered."""
        return len(self._owed)

    @property
    def lost(self) -> int:
        """How much found no room, or was not delivered in time before the end."""
        return self._owed.lost

    async def open(self) -> None:
        """Open the backend. One that is away is waited for beside the requests."""
        if (open_backend := getattr(self._backend, "open", None)) is not None:
            await open_backend()
        self._wanted = anyio.Event()
        self._background.start()
        try:
            error = await self._ask()
        except BaseException:
            await self.aclose()
            raise
        if error is not None:
            self._leave(error)

    async def reserve(
        self, charges: Sequence[Charge], *, now: float, lease: float, id: str | None = None
    ) -> Taken | Refused:
        """See `types.Counters`. Raises `CountersUnavailableError` for charges that are `closed`."""
        if self.away:
            return await self._reserve_here(charges, now, lease)
        id = id or new_id()
        before = self._failures
        try:
            with anyio.fail_after(self._deadline):
                outcome = await self._backend.reserve(charges, now=now, lease=lease, id=id)
        except BaseException as error:
            # It may have been taken for all that, so it is given back.
            buckets = tuple(charge.window.span(now)[0] for charge in charges)
            none = (0,) * len(charges)
            self._owe(Taken(id, tuple(charges), none, none, buckets), none)
            self._failed(error, before)
            return await self._reserve_here(charges, now, lease)
        self._failures = 0
        return outcome

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """See `types.Counters`. Raises nothing: what cannot be settled now is settled later."""
        if taken.local:
            if self._local.count(msgspec.structs.replace(taken, local=False), amounts):
                self._owe(taken, amounts)
        elif self.away:
            self._owe(taken, amounts)
        else:
            before = self._failures
            try:
                with anyio.fail_after(self._deadline):
                    await self._backend.settle(taken, amounts)
            except BaseException as error:
                self._owe(taken, amounts)
                self._failed(error, before)
            else:
                self._failures = 0

    async def aclose(self) -> None:
        """Deliver what is owed, for some seconds, and close the backend."""
        await self._background.aclose()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._deliver()
        if left := self._owed.abandon():
            logger.error("%d settlements were not delivered in time.", left)
        if (close_backend := getattr(self._backend, "aclose", None)) is not None:
            await close_backend()

    async def _reserve_here(
        self, charges: Sequence[Charge], now: float, lease: float
    ) -> Taken | Refused:
        if any(charge.closed for charge in charges):
            raise CountersUnavailableError("Usage limits cannot be checked; try again shortly.")
        outcome = await self._local.reserve(charges, now=now, lease=lease, id=new_id())
        if isinstance(outcome, Taken):
            return msgspec.structs.replace(outcome, local=True)
        return outcome

    def _failed(self, error: BaseException, before: int) -> None:
        """Take note of a failure. A cancellation is none of the backend's, and goes on.

        Calls that were under way together, when one of them failed, count as one: a moment's delay
        holds up many. `before` is how many failures there were when the call began.
        """
        if not isinstance(error, Exception):
            raise error
        if self._failures == before:
            self._failures += 1
        if self._failures >= self._tolerated and not self.away:
            self._leave(error)

    def _leave(self, error: Exception) -> None:
        self.away = True
        self._wanted.set()
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        logger.error("The counters are away, and this process counts by itself. %s", reason)

    def _owe(self, taken: Taken, amounts: Sequence[int]) -> None:
        lost = self._owed.lost
        if taken.local:
            self._owed.add(taken, amounts)
        else:
            self._owed.settle(taken, amounts)
        self._wanted.set()
        if self._owed.lost > lost == 0:
            logger.error("Too many settlements are owed: usage is lost.")

    async def _run(self) -> None:
        """Beside the requests: wait for a backend that is away, and deliver what is owed."""
        while True:
            await self._wanted.wait()
            if await self._deliver():
                self._wanted = anyio.Event()
            else:
                await anyio.sleep(self._pause)

    async def _deliver(self) -> bool:
        """Settle what is owed; whether all of it is, and the backend is there."""
        if self.away:
            if await self._ask() is not None:
                return False
            self.away = False
            self._failures = 0
            logger.warning("The counters are back.")
        failed: list[Exception] = []
        while self._owed and not failed:
            async with anyio.create_task_group() as tasks:
                for number in self._owed.next(_AT_ONCE):
                    tasks.start_soon(self._hand_over, number, failed)
        return not (failed or self.away)

    async def _hand_over(self, number: int, failed: list[Exception]) -> None:
        try:
            with anyio.fail_after(self._patience):
                await self._backend.settle(*self._owed.get(number))
        except Exception as error:
            failed.append(error)
            self._owed.failed(number)
        else:
            self._owed.delivered(number)

    async def _ask(self) -> Exception | None:
        """Ask the backend whether it is there; why it is not."""
        try:
            with anyio.fail_after(self._patience):
                await self._backend.settle(NOTHING, ())
        except Exception as error:
            return error
        return None
