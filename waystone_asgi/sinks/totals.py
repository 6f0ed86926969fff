"""Rows of a ledger come in; one total for each user, group, model or day comes out.

It reads no file: each kind of ledger turns its records into rows. Sums of money are exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal, TypeAlias

from msgspec import Struct

Dimension: TypeAlias = Literal["user", "group", "model", "day"]

Row: TypeAlias = tuple[str | None, int, int, int, int, Decimal | None]
"""A request's key, input, cached, output and reasoning tokens, and cost in US dollars."""


class Total(Struct, kw_only=True):
    """What the requests with one key came to.

    `key` is None for requests that name no user, or no group. `cost_usd` is None when no request
    had a price; `unpriced_requests` counts those that used tokens without one.
    """

    key: str | None
    requests: int = 0
    input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    cost_usd: Decimal | None = None
    unpriced_requests: int = 0


def add_up(rows: Iterable[Row], by: Dimension) -> list[Total]:
    """The totals of the rows: days in their order, everything else with the dearest first."""
    totals: dict[str | None, Total] = {}
    for key, input_tokens, cached, output_tokens, reasoning, cost in rows:
        total = totals.get(key)
        if total is None:
            total = totals[key] = Total(key=key)
        total.requests += 1
        total.input_tokens += input_tokens
        total.cache_read_input_tokens += cached
        total.output_tokens += output_tokens
        total.reasoning_output_tokens += reasoning
        if cost is not None:
            total.cost_usd = cost if total.cost_usd is None else total.cost_usd + cost
        elif input_tokens or output_tokens:
            total.unpriced_requests += 1
    return sorted(totals.values(), key=_by_day if by == "day" else _dearest_first)


def _by_day(total: Total) -> tuple[Decimal, int, str]:
    return Decimal(0), 0, total.key or ""


def _dearest_first(total: Total) -> tuple[Decimal, int, str]:
    return -(total.cost_usd or Decimal(0)), -total.requests, total.key or ""
