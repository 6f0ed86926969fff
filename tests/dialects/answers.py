"""Answers with one feature each, as each provider writes them, and where a caller finds it.

In: a column and a feature. Out: the members of the answer in OpenAI's form that tell the feature:
those that are otherwise than without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from waystone_asgi.providers.dialects import Head

from .columns import Column
from .features import PLAIN, Change
from .heard import ANSWERS
from .probing import JSON, put

# What is always there twice, or only adds up what is beside it.
_ECHOES = ("contents", "total_tokens")
# What has members of many kinds, of which one is told; deeper it is as the provider wrote it.
_SORTED = ("extra_content", "usage")
_DEEPEST = 3


def told(column: Column, feature: str) -> list[str] | None:
    """Where the caller finds the feature. None where the provider's answers cannot have it."""
    changes = ANSWERS[column.form.dialect]
    if feature not in changes:
        return None
    change = changes[feature]
    without, asked = (_read(column, _made(changes, one)) for one in (changes[change.onto], change))
    found = _differences(without, asked)
    return list(dict.fromkeys(".".join(place) or "choices" for place in found))


def _made(changes: Mapping[str, Change], change: Change) -> Any:
    """The provider's answer with a change to the one that it is made onto."""
    answer: JSON = {} if change is changes[PLAIN] else _made(changes, changes[change.onto])
    for place, value in change.edits:
        answer = put(answer, place, value)
    return answer


def _read(column: Column, answer: JSON) -> Any:
    head = Head(model=column.model, received=1_700_000_000)
    body = json.dumps(answer).encode()
    return json.loads(column.dialect.parse_response(body, head).body)


def _differences(before: Any, after: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if before == after:
        return
    added = before is None and place != () and place[0] in _SORTED
    if isinstance(after, dict) and len(place) < _DEEPEST and (added or isinstance(before, dict)):
        for name in after:
            if name not in _ECHOES:
                inner = (before or {}).get(name)
                yield from _differences(inner, after[name], _below(place, name))
    elif isinstance(after, list) and isinstance(before, list) and len(before) == len(after):
        for old, new in zip(before, after, strict=True):
            yield from _differences(old, new, place)
    else:
        yield place


def _below(place: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The place of a member; those of the one choice and its message stand for themselves."""
    return place if name in ("choices", "message") else (*place, name)
