"""Usage records come in; the SQL of their table, and the values of its rows, come out.

One column a field, in the order of `UsageRecord`. It knows no database's connection: what is here
runs once for each record, in the writer's thread, and keeps the interpreter's lock meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import get_args

import msgspec
from msgspec.structs import astuple

from ..records import UsageRecord

_PORTION = 4
"""How many rows are one statement: a request that comes meanwhile waits for it."""

_AFFINITIES = {int: "INTEGER", bool: "INTEGER", float: "REAL"}
_NULL = float("nan")
"""What SQLite takes for NULL (sqlite.org/c3ref/bind_blob.html), and sqlite3 for a float as it is;
for each None it would look for an adapter.
"""

_encoder = msgspec.json.Encoder()


def _columns() -> Iterator[tuple[str, str]]:
    for field in msgspec.structs.fields(UsageRecord):
        kind, *_ = get_args(field.type) or (field.type,)
        own = "TEXT PRIMARY KEY" if field.name == "id" else "TEXT"
        yield field.name, _AFFINITIES.get(kind, own)


COLUMNS = dict(_columns())
"""The columns of the table, each with its type."""

_WIDTH = len(COLUMNS)
_INDEX = {name: index for index, name in enumerate(COLUMNS)}
_TIME, _STREAM, _COST = _INDEX["time"], _INDEX["stream"], _INDEX["cost_usd"]
_LISTS = [_INDEX[name] for name in ("tags", "finish_reasons", "attempts")]


def portions(records: Sequence[UsageRecord]) -> Iterator[Sequence[UsageRecord]]:
    """The records in portions of a statement each, of few sizes: powers of two."""
    start = 0
    while left := len(records) - start:
        end = start + min(1 << left.bit_length() - 1, _PORTION)
        yield records[start:end]
        start = end


@lru_cache
def insertion(count: int) -> str:
    """The statement that inserts so many rows, but for those whose ids are there."""
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    row = f"({', '.join('?' * _WIDTH)})"
    return f"INSERT OR IGNORE INTO usage_records ({names}) VALUES {', '.join([row] * count)}"


def values(records: Sequence[UsageRecord]) -> list[object]:
    """The values of the records' rows, one row after the other."""
    found: list[object] = list(chain.from_iterable(map(astuple, records)))
    found[_TIME::_WIDTH] = _times([record.time for record in records])
    found[_STREAM::_WIDTH] = [int(record.stream) for record in records]
    found[_COST::_WIDTH] = [
        None if record.cost_usd is None else f"{record.cost_usd:f}" for record in records
    ]
    for index in _LISTS:
        found[index::_WIDTH] = _texts(found[index::_WIDTH])
    return [_NULL if value is None else value for value in found]


def time_text(moment: datetime) -> str:
    """The moment in UTC, and of one width, so that text sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _times(moments: list[datetime]) -> list[str]:
    return [
        text[1:-1] if len(text) == _QUOTED else time_text(moment)
        for moment, text in zip(moments, _texts(moments), strict=True)
    ]


_QUOTED = len('"2026-11-23T12:00:00.000001Z"')


def _texts(values: Sequence[object]) -> list[str]:
    # One call for all of them: no text of JSON has a line break in it.
    return _encoder.encode_lines(values).decode().split("\n")[:-1]
