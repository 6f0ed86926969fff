"""Importing the package does nothing: a bare interpreter imports it and says what it noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OPTIONAL = {
    "genai_prices",
    "pydantic",
    "uvicorn",
    "uvloop",
    "httptools",
    "trio",
    "httpx",
    "httpx2",
    "hypercorn",
}
HEAVY = {"sqlite3", "_sqlite3", "argparse", "tomllib", "unittest", "multiprocessing"}

SCRIPT = """
import json, os, sys, threading

noticed, quiet = [], False

def notice(event, arguments):
    if quiet:
        return
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        noticed.append(f"opened {arguments[0]} for writing")
    elif event.startswith(("socket.", "subprocess.", "sqlite3.", "_thread.start", "os.mkdir")):
        noticed.append(event)

before = set(os.listdir("/dev/fd"))
sys.addaudithook(notice)
import waystone_asgi
quiet = True
print(json.dumps({
    "noticed": noticed,
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "threads": threading.active_count(),
    "open": sorted(set(os.listdir("/dev/fd")) - before),
}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What an import of the package did, apart from taking time."""
    # Nothing of the environment: a test run that is measured has its children measured.
    done = subprocess.run(
        [sys.executable, "-B", "-c", SCRIPT],
        cwd=tmp_path_factory.mktemp("empty"),
        env={"PYTHONPATH": os.fspath(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stderr == ""
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_it_writes_opens_and_starts_nothing(seen: dict[str, object]) -> None:
    assert (seen["noticed"], seen["open"], seen["threads"]) == ([], [], 1)


@pytest.mark.parametrize("package", sorted(OPTIONAL | HEAVY))
def test_it_imports_nothing_that_not_everyone_needs(
    seen: dict[str, list[str]], package: str
) -> None:
    assert package not in seen["modules"]
