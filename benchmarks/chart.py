"""The results as one chart and one Markdown table, for the project's README.

`python -m benchmarks.chart RESULTS... [--svg PATH] [--markdown PATH]`

In: JSON files that `overhead` and `stream` wrote (others are left out of the chart). Out: an SVG
written by hand, readable on light and dark pages, and a table. It measures nothing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

import msgspec

from .report import Cell, Report, Row, Table, aligned

NAMES = {
    "direct": "an app that answers by itself",
    "floor": "the floor: forwards bytes only",
    "ours": "waystone-asgi",
    "ours-httpx": "waystone-asgi over httpx",
    "portkey": "Portkey",
    "litellm": "LiteLLM",
}
_PANELS = (
    ("overhead", "CPU a request", "µs at 16", "÷ floor at 16", "CPU of the server a request"),
    ("stream", "CPU an event", "µs an event", "÷ floor", "CPU of the server a streamed event"),
)
_LEFT, _WIDTH, _RIGHT = 220, 380, 160
_BAR, _GAP, _TITLE = 18, 8, 34
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; } .note { fill: #656d76; font-size: 11px; }
.bar { fill: #9aa7b4; } .ours { fill: #2f6fde; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .note { fill: #8d96a0; } .bar { fill: #57626e; } .ours { fill: #5b93f5; }
}
"""


class Line(msgspec.Struct, frozen=True):
    """One bar of a panel."""

    name: str
    value: float
    ratio: float | None


class Panel(msgspec.Struct, frozen=True):
    """Bars that are compared, on a scale of powers of ten."""

    title: str
    lines: tuple[Line, ...]


def main() -> None:
    """Read the results, write the chart and the table."""
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("results", type=Path, nargs="+", help="JSON files of the benchmarks")
    made.add_argument("--svg", type=Path, default=Path("benchmarks/results/chart.svg"))
    made.add_argument("--markdown", type=Path, default=Path("benchmarks/results/table.md"))
    options = made.parse_args()
    reports = {report.benchmark: report for report in map(read, options.results)}
    panels = [panel for entry in _PANELS if (panel := _panel(reports, *entry)) is not None]
    if not panels:
        raise SystemExit("There is no result of `overhead` or `stream` among the files.")
    machine = next(iter(reports.values())).machine
    for path, text in (
        (options.svg, draw(panels, _footnote(machine))),
        (options.markdown, markdown(reports)),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)


def read(path: Path) -> Report:
    """One result."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


def draw(panels: Sequence[Panel], footnote: str) -> str:
    """The SVG document; the length of a bar is logarithmic, and its label says the number."""
    pieces: list[str] = []
    y = 8
    for panel in panels:
        pieces.append(_text(0, y + 16, panel.title, "title"))
        y += _TITLE
        low = min(line.value for line in panel.lines) / 2
        span = math.log(max(line.value for line in panel.lines) / low)
        for line in panel.lines:
            length = max(2.0, _WIDTH * math.log(line.value / low) / span)
            kind = "bar ours" if line.name == "ours" else "bar"
            pieces.append(_text(_LEFT - 10, y + 14, NAMES.get(line.name, line.name), "", "end"))
            pieces.append(
                f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{length:.1f}" '
                f'height="{_BAR}" rx="3"/>'
            )
            pieces.append(_text(_LEFT + length + 8, y + 14, _label(line)))
            y += _BAR + _GAP
        y += _GAP * 2
    pieces.append(_text(0, y + 8, footnote, "note"))
    width, height = _LEFT + _WIDTH + _RIGHT, y + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(_spoken(panels))}">\n<style>{_STYLE}</style>\n'
        + "\n".join(pieces)
        + "\n</svg>\n"
    )


def markdown(reports: dict[str, Report]) -> str:
    """What the README shows: ratios first, then the numbers, then the bars of all results."""
    parts: list[str] = []
    rows = _summary(reports)
    if rows:
        parts.append(aligned(rows))
    bars: list[Row] = [
        {
            "bar": bar.promise,
            "limit": bar.limit,
            "measured": bar.value,
            "": {True: "met", False: "missed", None: "not measured"}[bar.met],
        }
        for report in reports.values()
        for bar in report.bars
    ]
    parts.append(aligned(bars))
    machine = next(iter(reports.values())).machine
    parts.append(", ".join(f"{name} {value}" for name, value in machine.items()) + ".")
    if any(report.quick for report in reports.values()):
        parts.append("Some of these are smoke runs and say nothing.")
    return "\n\n".join(parts) + "\n"


def _summary(reports: dict[str, Report]) -> list[Row]:
    """One row a contender, over the results of all commands."""
    wanted = (
        ("overhead", "CPU a request", "÷ floor at 16", "request, ÷ floor"),
        ("stream", "CPU an event", "÷ floor", "event, ÷ floor"),
        ("overhead", "CPU a request", "µs at 16", "µs a request"),
        ("stream", "CPU an event", "µs an event", "µs an event"),
        ("overhead", "Latency at 1 caller", "added p50", "added p50, µs"),
        ("overhead", "Latency at 1 caller", "added p99", "added p99, µs"),
        ("startup", "From exec", "RSS after load, MB", "RSS, MB"),
        ("startup", "From exec", "ready, s", "ready, s"),
    )
    rows: dict[str, Row] = {name: {"": shown} for name, shown in NAMES.items()}
    for benchmark, title, column, shown in wanted:
        for row in _table(reports, benchmark, title).rows:
            if (name := str(row.get("contender"))) in rows:
                rows[name][shown] = row.get(column)
    columns = {column: None for row in rows.values() for column in row}
    order = ["", *(shown for *_, shown in wanted if shown in columns)]
    return [{column: row.get(column) for column in order} for row in rows.values() if len(row) > 1]


def _panel(
    reports: dict[str, Report], benchmark: str, title: str, value: str, ratio: str, shown: str
) -> Panel | None:
    lines = [
        Line(str(row["contender"]), number, _number(row.get(ratio)))
        for row in _table(reports, benchmark, title).rows
        if row.get("contender") in NAMES and (number := _number(row.get(value)))
    ]
    lines.sort(key=lambda line: line.value)
    return Panel(shown, tuple(lines)) if lines else None


def _table(reports: dict[str, Report], benchmark: str, title: str) -> Table:
    report = reports.get(benchmark)
    tables = [] if report is None else report.tables
    found = [table for table in tables if table.title.startswith(title)]
    return found[0] if found else Table(title=title, rows=[])


def _number(cell: Cell) -> float | None:
    return float(cell) if isinstance(cell, (int, float)) else None


def _label(line: Line) -> str:
    digits = 0 if line.value >= 100 else 1
    ratio = "" if line.ratio is None else f" ({line.ratio:,.{0 if line.ratio >= 10 else 2}f} x)"
    return f"{line.value:,.{digits}f} µs{ratio}"


def _footnote(machine: dict[str, str]) -> str:
    return (
        "Logarithmic; in brackets the ratio to the floor in the same run. "
        f"{machine['cpu']}, Python {machine['python']}."
    )


def _spoken(panels: Sequence[Panel]) -> str:
    return " ".join(
        f"{panel.title}: "
        + ", ".join(f"{NAMES.get(line.name, line.name)} {_label(line)}" for line in panel.lines)
        + "."
        for panel in panels
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    class_ = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{class_} text-anchor="{anchor}">{escape(text)}</text>'


if __name__ == "__main__":
    main()
