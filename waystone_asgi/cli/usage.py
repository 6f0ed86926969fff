"""A ledger comes in; totals go to standard output as a table, CSV or JSON; it is only read."""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from ..config import load_usage_url
from ..sinks import Total, read_totals
from ..types import JSONObject
from .console import say, say_table
from .setup import DEFAULT_LEDGER

HELP = "show totals from the ledger"

_PAST = re.compile(r"(\d{1,5})([dh])\Z")
_UNITS = {"d": "days", "h": "hours"}
_FIELDS = Total.__struct_fields__[1:]
_HEADS = ("requests", "input", "cached", "output", "reasoning", "cost_usd", "unpriced")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--by`, `--format`, `--since`, and where the ledger is."""
    parser.add_argument("--by", choices=("user", "group", "model", "day"), default="model")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="WHEN",
        help="2026-11-01, 2026-11-01T12:00:00Z, or a past such as 30d or 12h; UTC",
    )
    ledger = parser.add_mutually_exclusive_group()
    ledger.add_argument("--config", metavar="FILE", help="the configuration that names the ledger")
    ledger.add_argument(
        "--ledger", metavar="PATH", help="its file or URL; default: waystone.db in this directory"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show one line for each user, group, model or day; costs are blank where there is no price."""
    url = DEFAULT_LEDGER
    if arguments.config is not None:
        url = load_usage_url(arguments.config) or url
    elif arguments.ledger is not None:
        url = _url(arguments.ledger)
    totals = read_totals(url, arguments.by, arguments.since)
    rows = [_row(arguments.by, total) for total in totals]
    if arguments.format == "csv":
        _write_csv(arguments.by, rows)
    elif arguments.format == "json":
        say(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _say_table(arguments.by, rows)
    return 0


def _say_table(by: str, rows: Sequence[JSONObject]) -> None:
    cells = [[str(row[by] or "-"), *(_cell(row[name]) for name in _FIELDS)] for row in rows]
    say_table([[by, *_HEADS], *cells], numbers_from=1)


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _write_csv(by: str, rows: Sequence[JSONObject]) -> None:
    writer = csv.DictWriter(sys.stdout, [by, *_FIELDS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _row(by: str, total: Total) -> JSONObject:
    key, *values = msgspec.structs.astuple(total)
    row = {by: key, **dict(zip(_FIELDS, values, strict=True))}
    if total.cost_usd is not None:
        row["cost_usd"] = f"{total.cost_usd:f}"
    return row


def _moment(text: str) -> datetime:
    if match := _PAST.match(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date, time or past") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _url(ledger: str) -> str:
    if ledger.startswith(("sqlite:", "jsonl:", "postgresql:", "postgres:")):
        return ledger
    kind = "jsonl" if ledger.endswith(".jsonl") else "sqlite"
    return f"{kind}:///{ledger}"
