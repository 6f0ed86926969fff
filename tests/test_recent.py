"""Mappings with bounds: what stays, what goes, and that what is counted is what is there."""

from __future__ import annotations

from random import Random

import pytest

from waystone_asgi.recent import Recent


def recent(limit: int = 100, max_bytes: int = 100) -> Recent[str, int]:
    """A mapping whose values are their own weight."""
    return Recent(limit=limit, max_bytes=max_bytes, weigh=lambda key, value: value)


@pytest.mark.parametrize(
    ("bounds", "put", "left"),
    [
        ({"limit": 2}, [("a", 1), ("b", 1), ("c", 1)], "bc"),
        ({"limit": 2}, [("a", 1), ("b", 1), ("a", 1), ("c", 1)], "ac"),
        ({"max_bytes": 10}, [("a", 4), ("b", 4), ("c", 4)], "bc"),
        ({"max_bytes": 10}, [("a", 4), ("b", 4), ("c", 10)], "c"),
        ({"max_bytes": 10}, [("a", 4), ("a", 9), ("b", 1)], "ab"),
        ({"max_bytes": 10}, [("a", 4), ("b", 11)], ""),
    ],
)
def test_the_least_recent_go_first(
    bounds: dict[str, int], put: list[tuple[str, int]], left: str
) -> None:
    known = recent(**bounds)
    for key, value in put:
        known.put(key, value)
    assert "".join(known.entries) == left
    assert (len(known), known.bytes) == (len(left), sum(known.entries.values()))


def test_what_is_forgotten_weighs_nothing() -> None:
    known = recent()
    known.put("a", 5)
    known.discard("a")
    known.discard("a")
    assert (len(known), known.bytes) == (0, 0)


def test_the_sum_stays_right() -> None:
    random = Random(7)
    known = recent(limit=20)
    for _ in range(2000):
        key = random.choice("abcdefghijklmnopqrstuvwxyz")
        if random.random() < 0.2:
            known.discard(key)
        else:
            known.put(key, random.randrange(30))
        assert known.bytes == sum(known.entries.values()) <= 100
        assert len(known) <= 20
