"""Writes the page: `python -m tests.dialects`. Fails where something is lost in silence."""

from __future__ import annotations

import sys
from pathlib import Path

from .columns import COLUMNS
from .page import write
from .probes import PROBES
from .words import word

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dialects.md"


def main() -> None:
    """Write it, unless a cell of it would be a silent loss."""
    lost = [
        (column, probe) for probe in PROBES for column in COLUMNS if word(column, probe) == "lost"
    ]
    if lost:
        told = "\n".join(f"{column.name}: {probe.feature}" for column, probe in lost)
        sys.exit(f"Neither sent, named nor refused:\n{told}")
    PAGE.write_text(write())


if __name__ == "__main__":
    main()
