"""All benchmarks, one after the other, and the chart.

`python -m benchmarks [--quick] [--to DIR]`
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from .processes import ROOT

COMMANDS = {
    "overhead": ["overhead"],
    "stream": ["stream"],
    "bodies": ["bodies"],
    "scale": ["scale"],
    "startup": ["startup"],
    "rules": ["rules"],
    "dialects": ["dialects"],
    "spool": ["spool"],
    "profile": ["profile"],
    "profile-stream": ["profile", "--stream"],
    "soak": ["soak"],
}


def main() -> None:
    """Run each in a process of its own; one that fails is named and stops none of the others."""
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--quick", action="store_true", help="smoke runs")
    made.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIR")
    options = made.parse_args()
    results: list[Path] = []
    for name, (module, *more) in COMMANDS.items():
        path = options.to.resolve() / f"{name}.json"
        argv = [sys.executable, "-m", f"benchmarks.{module}", "--json", str(path), *more]
        print(f"\n# {name}\n", flush=True)
        if subprocess.run([*argv, *["--quick"] * options.quick], cwd=ROOT, check=False).returncode:
            print(f"\n{name} failed.")
        elif path.exists():
            results.append(path)
    chart = [sys.executable, "-m", "benchmarks.chart", *map(str, results)]
    to = options.to.resolve()
    subprocess.run(
        [*chart, "--svg", str(to / "chart.svg"), "--markdown", str(to / "table.md")],
        cwd=ROOT,
        check=False,
    )


if __name__ == "__main__":
    main()
