"""Where users and groups are kept, as a URL says, and what is wrong with a URL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import waystone_asgi
from waystone_asgi.entities import CachedEntities, MemoryEntities, open_entities, open_store
from waystone_asgi.exceptions import ConfigurationError

CANARY = "canary-90ab"


@pytest.mark.parametrize("url", ["memory:", "memory"])
def test_in_memory(url: str) -> None:
    assert isinstance(open_entities(url), MemoryEntities)


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("sqlite:///waystone.db", "SQLiteStore"),
        ("sqlite:////var/lib/waystone.db", "SQLiteStore"),
        ("postgresql://u:p@db/name", "PostgreSQLStore"),
        ("postgres://u:p%40%2F@db:5433,other/name?sslmode=require", "PostgreSQLStore"),
        ("postgresql:///name", "PostgreSQLStore"),
        ("redis://db", "RedisStore"),
        ("redis://user:p%40%2F%23@db:6380/2", "RedisStore"),
        ("rediss://:p@db/", "RedisStore"),
    ],
)
def test_in_a_store(url: str, store: str) -> None:
    entities = open_entities(url)
    assert isinstance(entities, CachedEntities)
    assert type(entities.store).__name__ == type(open_store(url)).__name__ == store


def test_paths_are_relative_or_absolute(tmp_path: Path) -> None:
    for url, path in [("sqlite:///a/b.db", "a/b.db"), (f"sqlite:///{tmp_path}/b", tmp_path / "b")]:
        assert open_store(url).path == Path(path)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "url",
    [
        *("", "mysql://u:canary-90ab@db/name", "canary-90ab", "memory://canary-90ab", "sqlite"),
        *("sqlite:", "sqlite:canary-90ab.db", "sqlite://canary-90ab.db", "sqlite:///"),
        *("postgresql://u:canary-90ab@db:port/name", "postgresql://u:can/ary-90ab@db/name"),
        *("postgresql://u:canary@90ab@db/name", "postgresql://[canary-90ab", "postgresql://%zz"),
        *(
            "postgresql://u:canary-90ab@db/name?nonsense=1",
            "redis://",
            "redis:///0",
            "redis:canary",
        ),
        *("redis://:canary-90ab@db:port", "redis://:canary/90ab@db", "redis://:canary#90ab@db"),
        *("redis://:canary-90ab@db/name", "redis://:canary-90ab@db:99999", "rediss://[canary-90ab"),
        "redis://:canary-90ab@db?stream_timeout=soon",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_entities(url)
    assert "canary" not in str(caught.value)
    assert "90ab" not in str(caught.value)
    assert caught.value.__cause__ is None


SCRIPT = """
import sys
sys.modules[sys.argv[1]] = None
from waystone_asgi.entities import open_entities
from waystone_asgi.exceptions import ConfigurationError
try:
    open_entities(sys.argv[2])
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize(("kind", "package"), [("postgresql", "psycopg"), ("redis", "coredis")])
def test_a_package_that_is_missing(kind: str, package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, package, f"{kind}://u:{CANARY}@db/0"],
        cwd=Path(waystone_asgi.__file__).parents[1],
        capture_output=True,
        check=True,
        text=True,
    )
    assert f"pip install 'waystone-asgi[{kind}]'" in done.stdout
    assert CANARY not in done.stdout + done.stderr
