"""Benchmarks that need no server run, and say what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.recordings import recordings

ROOT = Path(__file__).resolve().parents[2]


def test_translation_is_held_to_its_bars(tmp_path: Path, shared: Path) -> None:
    result = tmp_path / "dialects.json"
    command = [sys.executable, "-m", "benchmarks.dialects", "--quick", "--json", str(result)]
    here = os.environ | {"PYTHONPATH": os.fspath(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(result.read_bytes())
    assert [len(table["rows"]) for table in report["tables"]] == [6, 6, 6]
    assert len(report["bars"]) == 11
    assert all(bar["value"] is not None for bar in report["bars"])


def test_without_recordings_there_is_nothing_to_translate(tmp_path: Path) -> None:
    assert recordings(tmp_path) == {}
