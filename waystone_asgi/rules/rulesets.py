"""Rules as an operator writes them, in TOML and in Python alike; they are checked when built.

In: keyword arguments, or mappings of the same names. Out: frozen values, or `ConfigurationError`
with the path of what is wrong and what would be right. What only the catalog or the host knows,
models and guards, is checked when they are compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, get_args

from msgspec import Struct
from msgspec.structs import force_setattr

from ..charges import Calendar, Unit, Window
from .checks import SettingError, choice, count, duration, flag, items, nanodollars, table, text
from .conditions import Condition
from .retries import Retry, read_retry

Of = Literal["user", "group", "user_in_group", "principal", "everyone"]

UNITS = get_args(Unit)
ACTIONS = ("block", "change_model_to", "retry", "check_output", "tag", "retain_days")
_ONLY_WITHOUT_BLOCK = ("change_model_to", "retry", "check_output")


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

    def __post_init__(self) -> None:
        given = [unit for unit in UNITS if getattr(self, unit) is not None]
        if len(given) != 1:
            raise SettingError("", f"give one limit, of {', '.join(UNITS)}.")
        if given[0] == "usd":
            nanodollars(self.usd, "usd")
        else:
            force_setattr(self, given[0], count(getattr(self, given[0]), given[0]))
        choice(self.of, "of", get_args(Of))
        if given[0] == "concurrent" and not self.per is self.past is None:
            raise SettingError("", "concurrent counts the calls under way: no per, no past.")
        if given[0] != "concurrent" and (self.per is None) == (self.past is None):
            raise SettingError("", 'give either per, as in "month", or past, as in "30d".')
        if self.per is not None:
            choice(self.per, "per", get_args(Calendar))
        if self.past is not None:
            duration(self.past, "past")

    @property
    def unit(self) -> Unit:
        """What is counted."""
        unit: Unit = next(unit for unit in UNITS if getattr(self, unit) is not None)
        return unit

    @property
    def limit(self) -> int:
        """The most that is allowed, dollars as nano-dollars."""
        if self.usd is not None:
            return nanodollars(self.usd, "usd")
        limit: int = getattr(self, self.unit)
        return limit

    @property
    def window(self) -> Window:
        """The time over which it is counted."""
        return Window(self.per, 0 if self.past is None else duration(self.past, "past"))


class Rule(Struct, frozen=True, kw_only=True):
    """Triggers, all of which must hold, and actions.

    A rule without triggers applies whenever its ruleset's condition holds. `shadow` notes what it
    would have done and does nothing. `on_failure` says what becomes of the requests that a usage
    rule is for while counters cannot be reached: "closed" refuses them, "open" counts them here.
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

    def __post_init__(self) -> None:
        if self.model is not None and not isinstance(self.model, str):
            force_setattr(self, "model", items(self.model, "model", "models or globs"))
        for index, name in enumerate(self.models):
            where = "model" if isinstance(self.model, str) else f"model[{index}]"
            text(name, where, "a model or a glob, such as openai/*")
        if self.usage is not None:
            force_setattr(self, "usage", table(self.usage, UsageLimit, "usage"))
        if self.retry is not None:
            force_setattr(self, "retry", read_retry(self.retry))
        if self.block is not None:
            text(self.block, "block", "a message for the caller", 2000)
        if self.change_model_to is not None:
            text(self.change_model_to, "change_model_to", "a model")
        if self.check_output is not None:
            text(self.check_output, "check_output", "the name of a guard")
        if self.tag is not None:
            text(self.tag, "tag", "a tag for the usage record")
        if self.retain_days is not None:
            days = count(self.retain_days, "retain_days", 0, 36_500)
            force_setattr(self, "retain_days", days)
        flag(self.shadow, "shadow")
        choice(self.on_failure, "on_failure", ("open", "closed"))
        self._check_sense()

    @property
    def models(self) -> tuple[str, ...]:
        """The names and globs of `model`."""
        return (self.model,) if isinstance(self.model, str) else tuple(self.model or ())

    @property
    def limit(self) -> UsageLimit | None:
        """`usage`, whichever way it was written."""
        assert self.usage is None or isinstance(self.usage, UsageLimit)
        return self.usage

    @property
    def policy(self) -> Retry | None:
        """`retry`, whichever way it was written."""
        assert self.retry is None or isinstance(self.retry, Retry)
        return self.retry

    def _check_sense(self) -> None:
        if all(getattr(self, action) is None for action in ACTIONS):
            raise SettingError("", f"give an action, of {', '.join(ACTIONS)}.")
        if self.block is not None:
            for action in _ONLY_WITHOUT_BLOCK:
                if getattr(self, action) is not None:
                    raise SettingError(action, "a request that is blocked has no use for it.")
        if self.on_failure == "closed" and self.usage is None:
            raise SettingError("on_failure", "belongs to a rule with usage.")


class Ruleset(Struct, frozen=True, kw_only=True):
    """Rules that apply, in the order written, to the requests for which a condition holds."""

    name: str
    condition: Literal["always"] | Condition | Mapping[str, Any]
    rules: Sequence[Rule | Mapping[str, Any]]

    def __post_init__(self) -> None:
        text(self.name, "name", "a name")
        if self.condition != "always":
            if isinstance(self.condition, str):
                raise SettingError("condition", 'expected "always", or a table.')
            force_setattr(self, "condition", table(self.condition, Condition, "condition"))
        rules = items(self.rules, "rules", "rules")
        force_setattr(
            self,
            "rules",
            tuple(table(rule, Rule, f"rules[{index}]") for index, rule in enumerate(rules)),
        )

    @property
    def asked(self) -> Condition | None:
        """`condition`, whichever way it was written, None for always."""
        return self.condition if isinstance(self.condition, Condition) else None

    @property
    def members(self) -> tuple[Rule, ...]:
        """`rules`, whichever way they were written."""
        return tuple(rule for rule in self.rules if isinstance(rule, Rule))


def read_rulesets(value: object, path: str = "rulesets") -> tuple[Ruleset, ...]:
    """Rulesets from a list of them, or of mappings as TOML gives them.

    Raises `ConfigurationError` with the path of what is wrong.
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise SettingError(path, "expected a list of rulesets.")
    rulesets = tuple(table(each, Ruleset, f"{path}[{index}]") for index, each in enumerate(value))
    names = [ruleset.name for ruleset in rulesets]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise SettingError(f"{path}[{index}].name", "another ruleset has this name.")
    return rulesets
