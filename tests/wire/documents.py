"""JSON as it may be written: any white space, escapes and number forms, with what it means."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

pure = settings(max_examples=80, deadline=None, database=None)

SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\t": "\\t"}

spaces = st.text(alphabet=" \t\r\n", max_size=3)
no_spaces = st.just("")
names = st.one_of(
    st.sampled_from(
        ["model", "messages", "a", "b", "", " ", '"', "\\", "/", "é", "😀", "\x00", "{"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
numbers = st.from_regex(r"\A-?(0|[1-9][0-9]{0,6})(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?\Z")


class Member(NamedTuple):
    """One member of an object: its name, and the bytes of its key, colon and value."""

    name: str
    key: str
    colon: str
    value: str

    @property
    def text(self) -> str:
        return f"{self.key}{self.colon}{self.value}"


class Document(NamedTuple):
    """An object's members, what stands between them, and the white space around it all."""

    members: list[Member]
    commas: list[str]
    start: str
    end: str

    @property
    def data(self) -> bytes:
        return self.written(member.text for member in self.members)

    def written(self, texts: Iterable[str]) -> bytes:
        """The document with other texts in the place of its members."""
        pieces = [
            text if index == 0 else f"{comma}{text}"
            for index, (text, comma) in enumerate(zip(texts, ["", *self.commas], strict=False))
        ]
        return f"{self.start}{''.join(pieces)}{self.end}".encode()


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i] << 8 | units[i + 1]:04X}" for i in range(0, len(units), 2))


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """A string of JSON that means `text`, each character raw or escaped in one of its ways."""
    pieces = []
    for character in text:
        ways = [_escaped(character), _escaped(character).lower()]
        if character >= " " and character not in '"\\':
            ways.append(character)
        if character in SHORT:
            ways.append(SHORT[character])
        pieces.append(draw(st.sampled_from(ways[::-1])))
    return f'"{"".join(pieces)}"'


strings = names.flatmap(spelled)
atoms = st.one_of(st.sampled_from(["null", "true", "false", "{}", "[]"]), numbers, strings)


def _array(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda items, space: f"[{space}{f'{space},{space}'.join(items)}{space}]",
        st.lists(values, max_size=3),
        spaces,
    )


def _object(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda items, space: "{" + f"{space},".join(items) + space + "}",
        st.dictionaries(names, values, max_size=3).map(
            lambda items: [f"{json.dumps(name)}: {value}" for name, value in items.items()]
        ),
        spaces,
    )


values = st.recursive(atoms, lambda inner: _array(inner) | _object(inner), max_leaves=5)


@st.composite
def member(draw: st.DrawFn, space: st.SearchStrategy[str], name: str) -> Member:
    """A member called `name`, however it is written."""
    return Member(name, draw(spelled(name)), f"{draw(space)}:{draw(space)}", draw(values))


@st.composite
def documents(draw: st.DrawFn, *, min_size: int = 0) -> Document:
    """An object in which every key stands once."""
    space = draw(st.sampled_from([spaces, no_spaces]))
    keys = draw(st.lists(names, min_size=min_size, max_size=6, unique=True))
    members = [draw(member(space, key)) for key in keys]
    commas = [f"{draw(space)},{draw(space)}" for _ in members[1:]]
    start = f"{draw(space)}{{{draw(space)}"
    return Document(members, commas, start, f"{draw(space)}}}{draw(space)}")
