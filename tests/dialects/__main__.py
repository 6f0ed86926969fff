"""Writes the page: `python -m tests.dialects`. Fails where something is lost in silence."""

from __future__ import annotations

import sys
from pathlib import Path

from .answers import told
from .columns import ANSWERING, COLUMNS
from .features import FEATURES
from .page import write
from .probes import PROBES
from .words import word

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dialects.md"


def main() -> None:
    """Write it, unless a cell of it would be a silent loss."""
    lost = [f"{c.name}: {p.feature}" for p in PROBES for c in COLUMNS if word(c, p) == "lost"]
    lost += [f"{c.name} answers: {f}" for f in FEATURES for c in ANSWERING if told(c, f) == []]
    if lost:
        sys.exit("\n".join(["Lost in silence:", *lost]))
    PAGE.write_text(write())


if __name__ == "__main__":
    main()
