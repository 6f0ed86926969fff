"""Which failures are followed by another attempt, how often, and where.

In: keyword arguments, or mappings of the same names. Out: a frozen `Retry`, or a `SettingError`
that says what would be right. It tries nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from msgspec import Struct
from msgspec.structs import force_setattr

from .checks import SettingError, choice, count, items, number, table, text

Hold = Literal["first_event", "complete"]
"""Until when a stream is held back, so that one that fails can be asked for again."""

FAILURES = ("upstream_error", "upstream_timeout", "upstream_authentication")
ERRORS = (*FAILURES, "context_length")

HEDGE_SHARE = 0.05
"""The share of requests that are sent twice at most, unless it is said."""

_ENOUGH = ("attempts", "fallback", "hold", "hedge_after")
_CLASSES = ("4xx", "5xx")
_TRANSIENT = frozenset({408, 409, 425, 429, "5xx", *FAILURES})


class Retry(Struct, frozen=True, kw_only=True):
    """An action: each model is tried `attempts` times in all, then the `fallback` models are.

    `on` holds what is tried again: statuses, "4xx", "5xx", and error types as usage records show
    them. Empty, it is every failure that another attempt may mend. `hold` is until when a stream is
    held back; None leaves it to the gateway. An answer that has not begun after `hedge_after`
    seconds is asked for at the next model too, of at most a `hedge_share` of the requests.
    """

    attempts: int = 1
    fallback: Sequence[str] = ()
    on: Sequence[int | str] = ()
    hold: Hold | None = None
    hedge_after: float | None = None
    hedge_share: float | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "attempts", count(self.attempts, "attempts", 1, 10))
        if self.fallback != ():
            fallback = items(self.fallback, "fallback", "models")
            for index, name in enumerate(fallback):
                text(name, f"fallback[{index}]", "a model")
            force_setattr(self, "fallback", fallback)
        if self.on != ():
            on = items(self.on, "on", "statuses or error types")
            for index, failure in enumerate(on):
                _check_failure(failure, f"on[{index}]")
            force_setattr(self, "on", on)
        if self.hold is not None:
            choice(self.hold, "hold", get_args(Hold))
        self._check_hedge()

    def _check_hedge(self) -> None:
        if self.hedge_after is not None:
            force_setattr(self, "hedge_after", number(self.hedge_after, "hedge_after", 86_400))
            share = HEDGE_SHARE if self.hedge_share is None else self.hedge_share
            force_setattr(self, "hedge_share", number(share, "hedge_share", 1))
        elif self.hedge_share is not None:
            raise SettingError("hedge_share", "belongs beside hedge_after.")

    def covers(self, status: int | None, error_type: str | None) -> bool:
        """Whether an attempt that ended so is followed by another."""
        on = self.on or _TRANSIENT
        if status is not None and (status in on or f"{status // 100}xx" in on):
            return True
        return error_type in on


def read_retry(value: Retry | Mapping[str, Any]) -> Retry:
    """The action from either way of writing it. Raises `SettingError`."""
    retry = table(value, Retry, "retry")
    if isinstance(value, Mapping) and not value.keys() & set(_ENOUGH):
        raise SettingError("retry", f"give one of {', '.join(_ENOUGH)}.")
    return retry


def read_policy(value: object) -> Retry:
    """The policy of a gateway, two attempts unless it says another number.

    Raises `SettingError`: what is fallen back on is a rule's matter, or an alias's.
    """
    if isinstance(value, Mapping):
        value = {"attempts": 2, **value}
    policy = table(value, Retry, "retry")
    if policy.fallback:
        raise SettingError("retry.fallback", "belongs to a rule; an alias names several models.")
    return policy


def _check_failure(value: object, path: str) -> None:
    if isinstance(value, str) and value in (*ERRORS, *_CLASSES):
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 400 <= value <= 599:
        known = ", ".join((*_CLASSES, *ERRORS))
        raise SettingError(path, f"expected a status from 400 to 599, or one of {known}.")
