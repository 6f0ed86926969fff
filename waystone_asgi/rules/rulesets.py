"""Rules as an operator writes them, in TOML and in Python alike; they are checked when built.

In: keyword arguments, or mappings of the same names. Out: frozen values, or `ConfigurationError`
with the path of what is wrong and what would be right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from ..charges import Calendar

Of = Literal["user", "group", "user_in_group", "principal", "everyone"]


class UsageLimit(Struct, frozen=True, kw_only=True):
    """A trigger: the amount used and reserved would pass the one limit that is given.

    `usd` is in dollars. `per` is a calendar window, `past` a rolling one, such as "30d";
    `concurrent` takes neither. `of` says whose usage is counted.
    """

    usd: float | Decimal | None = None
    tokens: int | None = None
    requests: int | None = None
    concurrent: int | None = None
    per: Calendar | None = None
    past: str | None = None
    of: Of | None = None


class Retry(Struct, frozen=True, kw_only=True):
    """An action: each model is tried `attempts` times in all, then the `fallback` models are.

    `on` holds what is tried again: statuses, and error types as usage records show them; empty, it
    is every failure that another attempt may mend.
    """

    attempts: int = 1
    fallback: tuple[str, ...] = ()
    on: tuple[int | str, ...] = ()


class Rule(Struct, frozen=True, kw_only=True):
    """Triggers, all of which must hold, and actions.

    A rule without triggers applies whenever its ruleset's condition holds. `shadow` notes what it
    would have done and does nothing.
    """

    model: str | Sequence[str] | None = None
    usage: UsageLimit | Mapping[str, Any] | None = None
    block: str | None = None
    change_model_to: str | None = None
    retry: Retry | Mapping[str, Any] | None = None
    check_output: str | None = None
    tag: str | None = None
    retain_days: int | None = None
    shadow: bool = False
    on_failure: Literal["open", "closed"] = "open"


class Ruleset(Struct, frozen=True, kw_only=True):
    """Rules that apply, in the order written, to the requests for which a condition holds."""

    name: str
    condition: Literal["always"] | Mapping[str, Any]
    rules: Sequence[Rule | Mapping[str, Any]]
