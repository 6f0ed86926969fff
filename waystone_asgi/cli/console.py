"""Lines of text come in and go to standard output; columns are aligned."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def say(line: str = "") -> None:
    """Write one line, at once: the reader may be a process that waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say_table(rows: Sequence[Sequence[str]], *, numbers_from: int | None = None) -> None:
    """Write rows in aligned columns; those from `numbers_from` on are aligned to the right.

    Control characters are escaped: names may come from callers.
    """
    shown = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    first_number = len(widths) if numbers_from is None else numbers_from
    for row in shown:
        cells = (
            cell.ljust(width) if index < first_number else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        say("  ".join(cells).rstrip())


def _printable(cell: str) -> str:
    return cell if cell.isprintable() else cell.encode("unicode_escape").decode()
