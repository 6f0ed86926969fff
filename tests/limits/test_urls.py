from __future__ import annotations

import sys

import pytest

from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.limits import GuardedCounters, MemoryCounters, open_counters

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:", MemoryCounters),
        ("sqlite:///counters.db", GuardedCounters),
        ("sqlite:////var/lib/counters.db", GuardedCounters),
        (f"postgresql://ann:{SECRET}@db.example:5433/waystone?sslmode=require", GuardedCounters),
        (f"postgres://ann:{SECRET}@db.example/waystone", GuardedCounters),
        (f"redis://:{SECRET}@cache.example:6380/2", GuardedCounters),
        (f"rediss://ann:{SECRET}@cache.example", GuardedCounters),
    ],
)
def test_a_url_says_where_to_count(url: str, kind: type) -> None:
    assert isinstance(open_counters(url), kind)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "memory:"),
        (SECRET, "memory:"),
        (f"mysql://ann:{SECRET}@db.example/waystone", "postgresql://"),
        ("sqlite:", "sqlite:///relative.db"),
        ("sqlite:///", "sqlite:///relative.db"),
        (f"sqlite://{SECRET}/counters.db", "sqlite:///relative.db"),
        (f"postgresql://ann:{SECRET}@[db.example/waystone", "PostgreSQL"),
        (f"postgresql://ann@db.example/waystone?{SECRET}=1", "PostgreSQL"),
        (f"redis://ann:{SECRET}/@cache.example:6379", "Redis"),
        (f"redis://ann@cache.example:{SECRET}/0", "Redis"),
        ("redis:", "Redis"),
    ],
)
def test_a_url_that_is_not_right(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_counters(url)
    assert words in str(raised.value)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "package"), [("postgresql://localhost/x", "psycopg"), ("redis://localhost", "coredis")]
)
def test_a_package_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str
) -> None:
    extra = url.partition(":")[0]
    monkeypatch.delitem(sys.modules, f"waystone_asgi.limits.{extra}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError) as raised:
        open_counters(url)
    assert f"pip install 'waystone-asgi[{extra}]'" in str(raised.value)
