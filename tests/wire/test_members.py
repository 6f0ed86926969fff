"""Members are replaced, removed and added, and not one other byte changes."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waystone_asgi.wire.members import (
    ARRAY,
    MALFORMED,
    Changes,
    Path,
    are_compact,
    decode_members,
    encode,
    has_duplicates,
    is_compact,
    rewrite,
    splice,
)

from .documents import Document, documents, member, names, pure, spaces, spelled, values

ROUNDS = 1_000_000


@st.composite
def changed(draw: st.DrawFn) -> tuple[Document, dict[str, bytes | None]]:
    """A document, and changes to some of its members and to some it does not have."""
    document = draw(documents())
    own = [member.name for member in document.members]
    keys = draw(st.lists(st.sampled_from(own) | names if own else names, max_size=4, unique=True))
    new = values.map(str.encode) | st.none()
    return document, {key: draw(new) for key in keys}


@pure
@given(changed())
def test_a_splice_means_what_was_asked_for(case: tuple[Document, Changes]) -> None:
    document, changes = case
    members = decode_members(document.data)
    result = splice(document.data, members, changes)
    expected = {
        name: json.loads(bytes(value))
        for name, value in {**members, **changes}.items()
        if value is not None
    }
    assert json.loads(result) == expected
    assert list(json.loads(result)) == list(expected)


@pure
@given(changed())
def test_a_splice_leaves_the_other_bytes_alone(case: tuple[Document, Changes]) -> None:
    document, changes = case
    result = splice(document.data, decode_members(document.data), changes).decode()
    position = 0
    for kept in document.members:
        if kept.name in changes:
            continue
        position = result.index(kept.text, position) + len(kept.text)
    assert result.startswith(document.start if document.members else document.start.rstrip())
    assert result.endswith(document.end)


@pure
@given(documents(min_size=1), st.data())
def test_a_replacement_keeps_all_white_space(document: Document, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([member.name for member in document.members]))
    new = data.draw(values)
    expected = document.written(
        member._replace(value=new).text if member.name == name else member.text
        for member in document.members
    )
    members = decode_members(document.data)
    assert splice(document.data, members, {name: new.encode()}) == expected


@given(documents())
@pure
def test_without_changes_the_document_is_the_same_object(document: Document) -> None:
    body = document.data
    assert splice(body, decode_members(body), {}) is body


@pure
@given(documents())
def test_unique_keys_are_no_duplicates(document: Document) -> None:
    assert not has_duplicates(document.data, decode_members(document.data))


@st.composite
def repeated(draw: st.DrawFn) -> Document:
    """A document in which one key stands twice, perhaps spelled otherwise."""
    document = draw(documents(min_size=1))
    twin = draw(st.sampled_from(document.members))
    space = draw(st.sampled_from([spaces, st.just("")]))
    again = draw(member(space, twin.name))
    # The nastiest twins: the same value, and one that is as long.
    again = again._replace(
        value=draw(st.sampled_from([again.value, twin.value, "1" * len(twin.value)])),
        key=draw(st.sampled_from([again.key, twin.key])),
    )
    at = draw(st.integers(0, len(document.members)))
    members = [*document.members[:at], again, *document.members[at:]]
    return document._replace(members=members, commas=[*document.commas, draw(space) + ","])


@pure
@given(repeated())
def test_a_key_that_stands_twice_is_found(document: Document) -> None:
    assert has_duplicates(document.data, decode_members(document.data))


@pure
@given(repeated(), st.data())
def test_of_duplicates_the_last_is_meant(document: Document, data: st.DataObject) -> None:
    name = data.draw(names)
    body = document.data
    result = splice(body, decode_members(body), {name: b"7"})
    assert json.loads(result) == {**json.loads(body), name: 7}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"b":2,"a":1}',
        b'{"a":12,"a":1}',
        b'{"a":1,"a":12}',
        b'{"a":12,"b":3,"a":1}',
        b'{"a":"x","\\u0061":"y"}',
        b'{"\\u0061":1,"a":1}',
        b'{"a":[1],"a":[1]}',
        b'{"":1,"":1}',
        b'{ "a": 1, "a": 1 }',
        b'{"a":{"a":1},"a":{"a":1}}',
        b'{"a":"b","b":"a","a":"b"}',
        b'{"\\\\":1,"\\\\":1}',
        b'{"\\"":1,"\\u0022":1}',
    ],
)
def test_duplicates(body: bytes) -> None:
    members = decode_members(body)
    assert has_duplicates(body, members)
    assert not is_compact(body, members)


@pytest.mark.parametrize(
    ("body", "compact"),
    [
        (b'{"a":1}', True),
        (b'{"a":1,"b":{"a": 1, "a": 2}}', True),
        (b'{"a":"{\\"a\\":1}"}', True),
        (b'{"a": 1}', False),
        (b'{"a":1} ', False),
        (b"\n{}", False),
        (b"{}", False),
        (b"{ }", False),
        (b'{"\\u0061":1}', False),
        ('{"é":1}'.encode(), False),
        (b'{"a":1 ,"b":2}', False),
    ],
)
def test_unique_keys(body: bytes, compact: bool) -> None:
    members = decode_members(body)
    assert is_compact(body, members) is compact
    assert not has_duplicates(body, members)


@pure
@given(st.lists(documents(min_size=1) | repeated(), min_size=1, max_size=3))
def test_an_array_is_compact_when_each_of_its_objects_is(items: list[Document]) -> None:
    array = b"[%b]" % b",".join(item.data for item in items)
    each = [is_compact(item.data, decode_members(item.data)) for item in items]
    assert are_compact(array, ARRAY.decode(array)) == all(each)


@pytest.mark.parametrize(
    ("array", "compact"),
    [
        (b"[]", False),
        (b"[{}]", False),
        (b'[{"a":1},{"a":1}]', True),
        (b'[{"a":1}, {"a":1}]', False),
        (b'[{"a":1},{"a":1,"a":1}]', False),
        (b'[{},{"a":1,"a":1}]', False),
    ],
)
def test_arrays(array: bytes, compact: bool) -> None:
    assert are_compact(array, ARRAY.decode(array)) is compact


@pytest.mark.parametrize(
    ("body", "changes", "expected"),
    [
        (b'{"a":1,"b":2,"c":3}', {"a": None}, b'{"b":2,"c":3}'),
        (b'{"a":1,"b":2,"c":3}', {"b": None}, b'{"a":1,"c":3}'),
        (b'{"a":1,"b":2,"c":3}', {"c": None}, b'{"a":1,"b":2}'),
        (b'{"a":1,"b":2,"c":3}', {"a": None, "b": None}, b'{"c":3}'),
        (b'{"a":1,"b":2,"c":3}', {"b": None, "c": None}, b'{"a":1}'),
        (b'{"a":1}', {"a": None}, b"{}"),
        (b'{"a":1}', {"a": None, "b": b"2"}, b'{"b":2}'),
        (b'{"a":1}', {"b": None}, b'{"a":1}'),
        (b"{}", {"b": b"2"}, b'{"b":2}'),
        (b" { } ", {"b": b"2"}, b' {"b":2 } '),
        (b'{ "a": 1, "b": 2 }', {"a": None}, b'{ "b": 2 }'),
        (b'{ "a": 1, "b": 2 }', {"b": None}, b'{ "a": 1 }'),
        (b'{ "a": 1, "b": 2 }', {"c": b"3"}, b'{ "a": 1, "b": 2,"c":3 }'),
        (b'{ "a": 1, "b": 2 }', {"a": None, "b": None}, b"{  }"),
        (b'{"a":1,"b":2}', {"a": b'{"x": [1, 2]}'}, b'{"a":{"x": [1, 2]},"b":2}'),
        (b'{"\\u0061": 1.0e1}', {"b": b"2"}, b'{"\\u0061": 1.0e1,"b":2}'),
        (b'{"a":1}', {'"\n': b"2"}, b'{"a":1,"\\"\\n":2}'),
    ],
)
def test_splice(body: bytes, changes: Changes, expected: bytes) -> None:
    result = splice(body, decode_members(body), changes)
    assert json.loads(result) == json.loads(expected)
    assert result == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"' + b'\\"' * ROUNDS + b'":1}',
        b'{"' + b"\\\\" * ROUNDS + b'":1}',
        b"{" + b" " * ROUNDS + b'"a":1' + b"\n" * ROUNDS + b"}",
        b'{"a":1' + b" " * ROUNDS + b',"b":2}',
    ],
)
def test_hostile_keys_and_spaces_take_linear_time(body: bytes) -> None:
    """They once took the square of their length, which here would be hours."""
    assert not has_duplicates(body, decode_members(body))


@pure
@given(names.flatmap(spelled))
@example('"\\ud83d\\ude00"')
def test_strings_of_the_generator_are_json(text: str) -> None:
    assert isinstance(json.loads(text), str)


def test_encode_is_compact() -> None:
    assert encode({"a": [1, "é"]}) == '{"a":[1,"é"]}'.encode()


@pytest.mark.parametrize(
    ("body", "changes", "expected"),
    [
        (b'{"a":{"b":1}}', {("a", "b"): b"2"}, b'{"a":{"b":2}}'),
        (b'{"a":{"b":1}}', {("a", "b"): None}, b'{"a":{}}'),
        (b'{"a":{"b":1}}', {("a", "c"): b"2"}, b'{"a":{"b":1,"c":2}}'),
        (b'{"a":{"b":1}}', {("a",): b"2", ("c",): b"3"}, b'{"a":2,"c":3}'),
        (b"[1,1,11,1]", {(1,): b"2", (3,): b"4"}, b"[1,2,11,4]"),
        (b" [ 1 , [ 2 ] ]\n", {(1, 0): b"3"}, b" [ 1 , [ 3 ] ]\n"),
        (b"[[[1]],[[1]]]", {(1, 0, 0): b"2"}, b"[[[1]],[[2]]]"),
        (b"[1,2]", {(0,): None}, b"[1,2]"),
        (
            b' { "a" : [ 1.0e1, {"b":"\\u0061" , "c":7} ] ,"d":1.0}\n',
            {("a", 1, "c"): b"8", ("a", 0): b"9"},
            b' { "a" : [ 9, {"b":"\\u0061" , "c":8} ] ,"d":1.0}\n',
        ),
        (b'{"a":{"b":1},"a":{"b":2}}', {("a", "b"): b"3"}, b'{"a":{"b":3}}'),
    ],
)
def test_rewrite(body: bytes, changes: Mapping[Path, bytes | None], expected: bytes) -> None:
    assert rewrite(body, changes) == expected


@pytest.mark.parametrize("body", [b"", b"7", b"{", b"[1", b"[" * 100_000])
def test_what_cannot_be_rewritten(body: bytes) -> None:
    with pytest.raises(MALFORMED):
        rewrite(body, {("a",): b"1"})
