"""Two tables of prices come in; what is worse in the newer one goes out, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime

from ..records import Usage
from .rates import Cost
from .table import Model, Table

MOST_LOST = 0.02
"""The part of the known models that a newer table may have lost."""

MOST_CHANGED = 10
"""A known model's price may become so many times what it was, or that part of it."""

_SHOWN = 5
_VERSION = re.compile(r"genai-prices (\d+(?:\.\d+)*)")
_TOKENS = 1_000_000
_USAGES = {"input": Usage(input_tokens=_TOKENS), "output": Usage(output_tokens=_TOKENS)}


def shortcomings(new: Table, old: Table, now: float) -> list[str]:
    """What speaks against putting `new` in the place of `old`; nothing is an empty list."""
    lost, unpriced, changed = _compare(new, old, now)
    known = sum(len(old.section(provider).models) for provider in old.providers)
    found = [*_older(new, old, now)]
    if gone := [provider for provider in old.providers if provider not in new.providers]:
        found.append(f"without the providers {_some(gone)}")
    if len(lost) > known * MOST_LOST:
        found.append(f"without {len(lost)} of {known} known models: {_some(lost)}")
    if unpriced:
        found.append(f"without a price for {_some(unpriced)}")
    if changed:
        found.append(f"with prices that are hard to believe: {_some(changed)}")
    return found


def _older(new: Table, old: Table, now: float) -> Iterator[str]:
    versions = [_VERSION.fullmatch(table.version) for table in (new, old)]
    if all(versions) and _parts(versions[0]) < _parts(versions[1]):
        yield f"older: {new.version}, and the present one is {old.version}"
    newest, present = _newest(new, now), _newest(old, now)
    if newest < present:
        yield f"older: its newest price began on {newest}, the present one's on {present}"


def _parts(version: re.Match[str] | None) -> list[int]:
    return [int(part) for part in version[1].split(".")] if version else []


def _newest(table: Table, now: float) -> date:
    """The last day on which a price began."""
    today = datetime.fromtimestamp(now, UTC).date()
    days = (
        period.start_date
        for provider in table.providers
        for model in table.section(provider).models
        for period in model.periods()
        if period.start_date is not None and period.start_date <= today
    )
    return max(days, default=date.min)


def _compare(new: Table, old: Table, now: float) -> tuple[list[str], list[str], list[str]]:
    """Known models by name: those that are gone, those without a price, those with another."""
    lost, unpriced, changed = list[str](), list[str](), list[str]()
    for provider in old.providers:
        for model in old.section(provider).models:
            was = _costs(old.find(provider, model.id), now)
            if None in was.values():
                continue
            name = f"{provider}/{model.id}"
            if (found := new.find(provider, model.id)) is None:
                lost.append(name)
                continue
            now_is = _costs(found, now)
            if None in now_is.values():
                unpriced.append(name)
            changed += [
                f"{name} {kind} from {_dollars(before)} to {_dollars(after)}"
                for kind, before in was.items()
                if before and (after := now_is[kind]) is not None and _jumps(before, after)
            ]
    return lost, unpriced, changed


def _costs(found: tuple[str, Model] | None, now: float) -> dict[str, int | None]:
    """Nano-dollars for a million tokens in and out; nothing is known of no model."""
    if found is None:
        return dict.fromkeys(_USAGES)
    cost = Cost(found[1].periods())
    return {kind: cost.of(usage, now) for kind, usage in _USAGES.items()}


def _jumps(before: int, after: int) -> bool:
    return before > after * MOST_CHANGED or after > before * MOST_CHANGED


def _dollars(nano_dollars: int) -> str:
    return f"${nano_dollars / 1_000_000_000:g}"


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
