"""What a benchmark found: printed as tables, ratios first, and written as JSON.

In: rows of numbers and the bars they are held to. Out: text and a file. It fails nothing: a missed
bar is shown, and the exit status stays 0.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TypeAlias

import msgspec

from .processes import Cores

_PACKAGES = (
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "anyio",
    "msgspec",
    "httpx",
    "httpcore",
)

Cell: TypeAlias = str | float | int | None
Row: TypeAlias = dict[str, Cell]


class Table(msgspec.Struct, kw_only=True):
    """Rows under a title; the keys of the first row are the columns."""

    title: str
    rows: list[Row]


class Bar(msgspec.Struct, kw_only=True):
    """A promise, and what came of it. `value` is None where it could not be measured."""

    promise: str
    limit: float
    value: float | None

    @property
    def met(self) -> bool | None:
        """Whether it was kept."""
        return None if self.value is None else self.value <= self.limit


class Report(msgspec.Struct, kw_only=True):
    """The result of one command."""

    benchmark: str
    quick: bool
    machine: dict[str, str]
    started: float = msgspec.field(default_factory=time.time)
    seconds: float = 0.0
    tables: list[Table] = []
    bars: list[Bar] = []
    notes: list[str] = []

    def add(self, title: str, rows: Sequence[Row]) -> None:
        """Print a table and keep it."""
        table = Table(title=title, rows=list(rows))
        self.tables.append(table)
        print(f"\n{title}\n")
        print(aligned(table.rows))

    def hold(self, promise: str, limit: float, value: float | None) -> None:
        """Hold a value to its bar."""
        self.bars.append(Bar(promise=promise, limit=limit, value=value))

    def note(self, *notes: str) -> None:
        """Keep what a reader must know."""
        self.notes += notes

    def finish(self, path: Path | None) -> None:
        """Print bars and notes, and write everything to the file."""
        self.seconds = round(time.time() - self.started, 1)
        if self.bars:
            print("\nBars\n")
            print(aligned([_bar_row(bar) for bar in self.bars]))
        for note in self.notes:
            print(f"\nNote: {note}")
        print(f"\n{self.seconds:.0f} seconds{', a smoke run only' if self.quick else ''}.")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")


def begin(benchmark: str, *, quick: bool) -> Report:
    """A report of this machine, whose description is printed."""
    report = Report(benchmark=benchmark, quick=quick, machine=machine())
    print(f"{benchmark}: " + ", ".join(f"{name} {value}" for name, value in report.machine.items()))
    return report


def machine() -> dict[str, str]:
    """The processor, the system, and the versions of all that is measured."""
    cores = Cores()
    found = {
        "cpu": _cpu_model(),
        "cores": f"{len(cores.available)} (server on {cores.server}, load on {cores.load})",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def busy_note() -> list[str]:
    """A warning when others keep the machine busy."""
    load = os.getloadavg()[0]
    if load < 0.5:
        return []
    return [f"the load average was {load:.2f} at the start: others were using the machine"]


def aligned(rows: Sequence[Mapping[str, Cell]]) -> str:
    """The rows as a Markdown table with aligned columns."""
    if not rows:
        return "(nothing)"
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, *([_text(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def ratio(values: Sequence[float], floors: Sequence[float]) -> float | None:
    """The median of the ratios round by round: what disturbs a round disturbs both."""
    pairs = [value / floor for value, floor in zip(values, floors, strict=False) if floor]
    return round(median(pairs), 3) if pairs else None


def middle(values: Sequence[float], digits: int = 1) -> float | None:
    """The median, or None of nothing."""
    return round(median(values), digits) if values else None


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def _bar_row(bar: Bar) -> Row:
    verdict = {True: "met", False: "MISSED", None: "not measured"}[bar.met]
    return {"bar": bar.promise, "limit": bar.limit, "measured": bar.value, "": verdict}


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        plain = cell == 0 or abs(cell) >= 100 or (abs(cell) >= 10 and cell.is_integer())
        digits = 0 if plain else 2 if abs(cell) >= 1 else 3
        return f"{cell:,.{digits}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
