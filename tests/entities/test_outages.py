"""Stores that are away, slow, and back again: requests go on, and nothing is lost."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from waystone_asgi.entities import CachedEntities, kept, open_store
from waystone_asgi.records import Entity
from waystone_asgi.types import Layers

from .conftest import Name
from .outages import Wire

pytestmark = pytest.mark.anyio

NETWORK = pytest.mark.parametrize("kind", ["postgresql", "redis"])


@pytest.fixture
def wire(url: str) -> Iterator[Wire]:
    with Wire(url) as wire:
        yield wire


async def settled(entities: CachedEntities) -> None:
    """Return when nothing waits for the store."""
    with anyio.fail_after(30):
        # A server and threads decide when.
        while len(entities._jobs):  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def stored(url: str, id: str) -> Layers | None:
    """What another process finds."""
    store = open_store(url)
    await store.open()
    try:
        return await store.read("user", id)
    finally:
        await store.aclose()


@NETWORK
async def test_a_store_that_goes_away_and_comes_back(
    wire: Wire, url: str, name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    entities = CachedEntities(open_store(wire.url), deadline=10)
    ann, acme = name("ann"), name("acme")
    async with kept(entities):
        await entities.merge(Entity(ann, {"n": 0}), Entity(acme))
        assert await stored(url, ann) == {"host": {"n": 0}}
        wire.cut()
        with anyio.fail_after(9):
            for number in range(1, 6):
                mine, _ = await entities.merge(Entity(ann, {"n": number}), Entity(acme))
                assert mine == {"host": {"n": number}}
                mine, _ = await entities.merge(Entity(name(str(number)), {"a": 1}), Entity(acme))
                assert mine == {"host": {"a": 1}}
        wire.mend()
        await settled(entities)
        assert await stored(url, ann) == {"host": {"n": 5}}
        assert await stored(url, name("5")) == {"host": {"a": 1}}
        assert await entities.linked(name("5"), acme)
    assert entities.dropped == 0
    assert "requests go on without it" in caplog.text


@NETWORK
async def test_a_store_that_is_away_at_the_start(
    wire: Wire, url: str, name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    wire.cut()
    entities = CachedEntities(open_store(wire.url), deadline=10)
    async with kept(entities):
        with anyio.fail_after(9):
            mine, _ = await entities.merge(Entity(name("ann"), {"n": 0}), None)
        assert mine == {"host": {"n": 0}}
        wire.mend()
        await settled(entities)
        assert await stored(url, name("ann")) == mine
    assert "cannot be opened yet" in caplog.text


@NETWORK
async def test_a_store_that_is_slow(wire: Wire, url: str, name: Name) -> None:
    entities = CachedEntities(open_store(wire.url), deadline=0.01)
    async with kept(entities):
        await entities.merge(Entity(name("ann"), {"n": 0}), None)
        await settled(entities)
        wire.hold()
        with anyio.fail_after(5):
            for number in range(20):
                mine, _ = await entities.merge(Entity(name("ann"), {"n": number}), None)
                assert mine == {"host": {"n": number}}
        wire.release()
        await settled(entities)
    assert await stored(url, name("ann")) == {"host": {"n": 19}}


@NETWORK
async def test_what_cannot_be_written_at_the_end_takes_bounded_time(
    wire: Wire, name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    entities = CachedEntities(open_store(wire.url), deadline=0.01)
    entities._backlog._close_seconds = 0.1
    with anyio.fail_after(8):
        async with kept(entities):
            wire.hold()
            await entities.merge(Entity(name("ann")), None)
    assert "1 users and groups were not stored in time" in caplog.text


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
async def test_a_file_that_is_locked(tmp_path: Path, lock: str) -> None:
    path = tmp_path / "waystone.db"
    url = f"sqlite:///{path}"
    entities = CachedEntities(open_store(url), deadline=0.01)
    async with kept(entities):
        await settled(entities)
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute(f"BEGIN {lock}")
            with anyio.fail_after(5):
                for number in range(5):
                    mine, _ = await entities.merge(Entity("ann", {"n": number}), Entity("acme"))
                    assert mine == {"host": {"n": number}}
            holder.execute("COMMIT")
        await settled(entities)
    assert await stored(url, "ann") == {"host": {"n": 4}}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
async def test_nothing_is_left_running(
    url: str, name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    threads = threading.active_count()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            entities = CachedEntities(open_store(url), deadline=10)
            async with kept(entities):
                assert await entities.merge(Entity(name("ann")), None) == ({}, {})
    assert caplog.text == ""
    assert threading.active_count() <= threads + 10
