"""Conditions: for which requests a ruleset is.

In: a condition as written. Out: a `Condition`, checked, and from it a test of a subject. A field of
the metadata is that of the first source that has it: host, key, claim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import force_setattr

from ..records import Entity, Source
from .checks import SettingError, choice, items, text
from .comparisons import Test, check_operand, comparison

if TYPE_CHECKING:
    from ..types import Layers
    from .decisions import Subject

Holds: TypeAlias = "Callable[[Subject], bool]"

SOURCES: tuple[Source, ...] = get_args(Source)
OPERATORS = (
    *("equals", "not_equals", "is_true", "is_false", "exists", "one_of"),
    *("less_than", "greater_than", "newer_than", "older_than"),
)
KINDS = ("is_user", "is_group", "is_principal", "metadata")


class Condition(Struct, frozen=True, kw_only=True):
    """Who names the request, or what is known of its user or group.

    Exactly one of `is_user`, `is_group`, `is_principal` (True for any, or an id) and `metadata` (a
    field, with exactly one operator) is given. `of` says whose field; "any" is satisfied by one of
    the entities that are present. `source` says who must have named the entity or the field.
    """

    is_user: Literal[True] | str | UnsetType = UNSET
    is_group: Literal[True] | str | UnsetType = UNSET
    is_principal: Literal[True] | str | UnsetType = UNSET
    metadata: str | UnsetType = UNSET
    equals: Any = UNSET
    not_equals: Any = UNSET
    is_true: Literal[True] | UnsetType = UNSET
    is_false: Literal[True] | UnsetType = UNSET
    exists: Literal[True] | UnsetType = UNSET
    one_of: Sequence[Any] | UnsetType = UNSET
    less_than: float | str | UnsetType = UNSET
    greater_than: float | str | UnsetType = UNSET
    newer_than: str | UnsetType = UNSET
    older_than: str | UnsetType = UNSET
    of: Literal["user", "group", "any"] | UnsetType = UNSET
    source: Source | Sequence[Source] | UnsetType = UNSET

    def __post_init__(self) -> None:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not UNSET]
        operators = [name for name in OPERATORS if getattr(self, name) is not UNSET]
        if len(kinds) != 1:
            raise SettingError("", f"give one of {', '.join(KINDS)}.")
        if kinds[0] == "metadata":
            text(self.metadata, "metadata", "the name of a field")
            if len(operators) != 1:
                raise SettingError("", f"give one operator, of {', '.join(OPERATORS)}.")
            operand = check_operand(operators[0], getattr(self, operators[0]))
            force_setattr(self, operators[0], operand)
        else:
            for key in (*operators, *(("of",) if self.of is not UNSET else ())):
                raise SettingError(key, "belongs to a condition on metadata.")
            if (named := getattr(self, kinds[0])) is not True:
                text(named, kinds[0], "true or an id")
        if self.of is not UNSET:
            choice(self.of, "of", ("user", "group", "any"))
        if self.source is not UNSET:
            if kinds[0] == "is_principal":
                raise SettingError("source", "a principal has none.")
            force_setattr(self, "source", _sources(self.source))

    @property
    def kind(self) -> str:
        """What the condition is on."""
        return next(kind for kind in KINDS if getattr(self, kind) is not UNSET)

    @property
    def operator(self) -> str:
        """How the field is looked at."""
        return next(name for name in OPERATORS if getattr(self, name) is not UNSET)

    @property
    def is_timed(self) -> bool:
        """Whether it turns out otherwise as time goes by."""
        return self.newer_than is not UNSET or self.older_than is not UNSET

    @property
    def whose(self) -> str:
        """Whose field is looked at."""
        return "any" if self.of is UNSET else self.of

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that count, the first of them first."""
        return SOURCES if self.source is UNSET else tuple(s for s in SOURCES if s in self.source)

    def compile(self) -> Holds:
        """A test of subjects."""
        match self.kind:
            case "metadata":
                test = comparison(self.operator, getattr(self, self.operator))
                assert isinstance(self.metadata, str)
                return _field(finder(self.metadata, self.sources), test, self.whose)
            case "is_principal":
                id = self.is_principal
                return lambda subject: id is True or subject.principal == id
            case "is_user":
                named = _named(self.is_user, self.sources)
                return lambda subject: named(subject.identity.user)
        named = _named(self.is_group, self.sources)
        return lambda subject: named(subject.identity.group)


def finder(field: str, sources: Sequence[Source]) -> Callable[[Layers], object]:
    """What gets a field out of an entity's metadata, None when it is missing.

    A key of the whole name comes first; then, where the name has dots, it is a path.
    """
    path = field.split(".") if "." in field else None

    def find(layers: Layers) -> object:
        for source in sources:
            layer = layers.get(source)
            if layer:
                value = layer.get(field)
                if value is None and path:
                    value = _follow(layer, path)
                if value is not None:
                    return value
        return None

    return find


def _follow(value: object, path: Sequence[str]) -> object:
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _field(find: Callable[[Layers], object], test: Test, whose: str) -> Holds:
    if whose == "user":
        return lambda subject: test(find(subject.user_metadata), subject.now)
    if whose == "group":
        return lambda subject: test(find(subject.group_metadata), subject.now)

    def holds(subject: Subject) -> bool:
        identity = subject.identity
        if identity.user is not None and test(find(subject.user_metadata), subject.now):
            return True
        if identity.group is None and identity.user is not None:
            return False
        return test(find(subject.group_metadata), subject.now)

    return holds


def _named(
    id: Literal[True] | str | UnsetType, sources: tuple[Source, ...]
) -> Callable[[Entity | None], bool]:
    if id is True and sources == SOURCES:
        return lambda entity: entity is not None
    if id is True:
        return lambda entity: entity is not None and entity.source in sources
    return lambda entity: entity is not None and entity.id == id and entity.source in sources


def _sources(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (choice(value, "source", SOURCES),)
    given = items(value, "source", "sources")
    return tuple(choice(each, f"source[{i}]", SOURCES) for i, each in enumerate(given))
