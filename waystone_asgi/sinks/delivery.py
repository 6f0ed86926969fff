"""Records are offered to a sink; what became of each comes out.

A refusal for good is pinned on single records, by halving the batch where the sink does not say. A
failure is the sink's, and not a record's, until other records pass while that one does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from ..records import UsageRecord
from .refusals import RecordsRefusedError
from .spool_file import Letter

PROBES = 3
"""After so many failures in a row a sink is away."""

Emit = Callable[[Sequence[UsageRecord]], Awaitable[None]]


class Outcome(NamedTuple):
    """What is left, in its order, what was refused and why, and the error that ended it."""

    left: list[Letter]
    refused: list[tuple[Letter, str]]
    error: Exception | None


async def deliver(emit: Emit, letters: Sequence[Letter]) -> Outcome:
    """Offer the records together, and in parts where some are refused, up to the first failure."""
    refused: list[tuple[Letter, str]] = []
    parts = [list(letters)]
    while parts:
        part = parts.pop()
        try:
            await emit([letter.record for letter in part])
        except RecordsRefusedError as error:
            named = [letter for letter in part if letter.record.id in error.ids]
            if named or len(part) == 1:
                refused += [(letter, told(error)) for letter in named or part]
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
        except Exception as error:
            left = [letter for waiting in (part, *reversed(parts)) for letter in waiting]
            return Outcome(left, refused, error)
    return Outcome([], refused, None)


async def sift(emit: Emit, letters: Sequence[Letter], first: int, error: Exception) -> Outcome:
    """Offer the records one by one, beginning with the one at `first`, and going round.

    Those that fail twice are refused, if one that passed passes again after them. It ends when the
    sink is away. `error` is what led to this.
    """
    refused: list[tuple[Letter, str]] = []
    waiting = dict(enumerate(letters))
    failed: list[int] = []
    passed: Letter | None = None
    row = 0
    for index in [*range(first, len(letters)), *range(first)]:
        outcome = await deliver(emit, [letters[index]])
        refused += outcome.refused
        if outcome.error is None:
            del waiting[index]
            passed = passed if outcome.refused else letters[index]
            row = 0
        else:
            failed.append(index)
            row += 1
            if row % PROBES == 0 and (passed is None or await _fails(emit, passed)):
                return Outcome(list(waiting.values()), refused, error)
    if passed is None or not failed:
        return Outcome(list(waiting.values()), refused, error if waiting else None)
    again = {index: await deliver(emit, [letters[index]]) for index in failed}
    control = await deliver(emit, [passed])
    for index, outcome in again.items():
        refused += outcome.refused
        if outcome.error is None:
            del waiting[index]
        elif control.error is None:
            del waiting[index]
            refused.append((letters[index], told(outcome.error)))
    return Outcome(list(waiting.values()), refused, control.error)


async def _fails(emit: Emit, letter: Letter) -> bool:
    return (await deliver(emit, [letter])).error is not None


def told(error: Exception) -> str:
    """The error in a line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]
