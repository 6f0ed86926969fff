"""The command line that all benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeVar


class Options(argparse.Namespace):
    """`quick` is a smoke run of some ten seconds; `rounds` how often all contenders take turns."""

    quick: bool
    json: Path | None
    rounds: int
    contenders: str
    minutes: float


def parser(description: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0], allow_abbrev=False
    )
    made.add_argument("--quick", action="store_true", help="a smoke run of some ten seconds")
    made.add_argument("--json", type=Path, metavar="PATH", help="write the result to this file")
    made.add_argument("--rounds", type=int, default=rounds, help="default %(default)s")
    return made


T = TypeVar("T", bound=Options)


def parse(made: argparse.ArgumentParser, options: T, *, contenders: str | None = None) -> T:
    """What was asked for, in `options`; `--contenders` where there is a choice."""
    if contenders is not None:
        made.add_argument("--contenders", default=None, help=f"default {contenders}")
    made.parse_args(namespace=options)
    if contenders is not None and options.contenders is None:
        names = contenders.split(",")
        options.contenders = ",".join(
            name for name in names if not options.quick or name not in ("litellm", "portkey")
        )
    if options.quick:
        options.rounds = 1
    return options
