"""What a record costs on its way to a sink, with a spool before it and without.

`python -m benchmarks.spool [--quick] [--rounds N] [--json PATH]`

The CPU time of this process, all its threads, from the first record offered until the last one has
arrived. Records come in batches, as they gather in 100 ms: ten of them are 100 requests a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from waystone_asgi.records import Attempt, UsageRecord
from waystone_asgi.sinks import Spool, SQLiteSink
from waystone_asgi.sinks.outbox import Outbox
from waystone_asgi.types import Sink
from waystone_asgi.usage import stamp

from .options import Options, parse, parser
from .report import Report, Row, begin, busy_note, middle

BATCHES = (10, 100, 1000)


class Nowhere:
    """Takes records, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Take them."""
        self.count += len(records)


def kinds(folder: Path) -> dict[str, Callable[[], Sink]]:
    """The ways that a record can take."""
    ledger, spool = folder / "ledger.db", folder / "usage.spool"
    return {
        "nowhere": Nowhere,
        "spool, nowhere": lambda: Spool(Nowhere(), spool),
        "SQLite": lambda: SQLiteSink(ledger),
        "spool, SQLite": lambda: Spool(SQLiteSink(ledger), spool),
        "spool with sync, SQLite": lambda: Spool(SQLiteSink(ledger), spool, sync=True),
    }


def main() -> None:
    """Measure, print, write."""
    options = parse(parser(__doc__), Options())
    report = begin("spool", quick=options.quick)
    report.note(*busy_note())
    count = 2000 if options.quick else 20_000
    found: dict[str, dict[int, list[float]]] = {}
    for _ in range(options.rounds):
        for batch in BATCHES:
            with TemporaryDirectory() as folder:
                for name, make in kinds(Path(folder)).items():
                    cost = anyio.run(_cost, make(), count // (10 if batch == 10 else 1), batch)
                    found.setdefault(name, {}).setdefault(batch, []).append(cost)
    _show(report, found)
    report.finish(options.json)


def _show(report: Report, found: dict[str, dict[int, list[float]]]) -> None:
    rows: list[Row] = [
        {"to": name} | {f"batches of {batch}": middle(costs) for batch, costs in batches.items()}
        for name, batches in found.items()
    ]
    report.add("CPU microseconds a record", rows)


async def _cost(sink: Sink, count: int, batch: int) -> float:
    records = [_record(number) for number in range(count)]
    outbox = Outbox([sink])
    await outbox.open()
    began = time.process_time()
    for start in range(0, count, batch):
        for record in records[start : start + batch]:
            assert outbox.offer(record)
        await outbox.flush()
    if isinstance(sink, Spool):
        with anyio.fail_after(60):
            while sink.delivered < count:  # noqa: ASYNC110 - nobody is to pay for an event
                await anyio.sleep(0.005)
    cost = time.process_time() - began
    await outbox.aclose()
    assert (outbox.failed, outbox.dropped) == (0, 0)
    return cost / count * 1e6


def _record(number: int) -> UsageRecord:
    id, moment = stamp(time.time())
    return UsageRecord(
        id=id,
        time=moment,
        request_id=f"req_{number:024x}",
        operation="chat",
        principal="benchmark",
        user="ann",
        group="acme",
        request_model="openai/gpt-4o-mini",
        response_model="gpt-4o-mini-2024-07-18",
        provider="openai",
        response_id=f"chatcmpl-{number:029d}",
        status=200,
        outcome="ok",
        finish_reasons=("stop",),
        attempts=(Attempt(provider="openai", model="gpt-4o-mini", status=200, seconds=0.5),),
        input_tokens=100,
        output_tokens=20,
        usage_source="provider",
        cost_usd=Decimal("0.000027000"),
        price_version="2026-11-01",
        duration=0.5,
        upstream_duration=0.5,
    )


if __name__ == "__main__":
    main()
