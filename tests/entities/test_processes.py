"""Processes that write to one store at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

import waystone_asgi
from waystone_asgi.entities import open_store

from .conftest import KINDS, Name

WRITER = """
import sys
import anyio
from waystone_asgi.entities import open_store

name, url, backend = sys.argv[1:]

async def main():
    store = open_store(url)
    await store.open()
    number = sys.stdin.readline().strip()
    for turn in range(20):
        await store.merge("user", name, "key", {f"{number}-{turn}": turn, f"gone-{turn % 3}": None})
        await store.merge("user", name, "claimed", {f"gone-{turn % 3}": turn, "n": number})
    await store.aclose()

anyio.run(main, backend=backend)
"""


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_merges_of_many_processes_all_count(name: Name, backend: str, url: str) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, name("ann"), url, backend],
            cwd=Path(waystone_asgi.__file__).parents[1],
            stdin=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for number, writer in enumerate(writers):
        assert writer.stdin is not None
        writer.stdin.write(f"{number}\n")
        writer.stdin.flush()
    for writer in writers:
        with writer:
            writer.communicate()
        assert writer.returncode == 0

    async def read() -> object:
        store = open_store(url)
        await store.open()
        try:
            return await store.read("user", name("ann"))
        finally:
            await store.aclose()

    layers: Any = anyio.run(read)
    assert layers["key"] == {f"{n}-{turn}": turn for n in range(3) for turn in range(20)}
    assert set(layers["claimed"]) == {"n", "gone-0", "gone-1", "gone-2"}
