"""What an event costs: CPU at 32 streams, the delay of the first event, memory at 1,000 streams.

`python -m benchmarks.stream [--quick] [--rounds N] [--contenders a,b] [--json PATH]`
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from .contenders import SETTLE_SECONDS, Contender, Lineup, Server, chosen, lineup
from .loops import run
from .measurements import Sample, closed, costed, failures, straight, visiting
from .options import Options, parse, parser
from .processes import end_on_sigterm
from .report import Report, Row, begin, busy_note, middle, ratio

STREAMS = 32
OPEN_STREAMS = 1000
_CONTENDERS = "floor,ours,ours-httpx,litellm,portkey"
_STRAIGHT = "straight"
_PACED = "paced"
_BURST = "burst"
_FIRST = "first"
_LOADED = "first among 32"
_SLOW_ROUNDS = 1

Samples = dict[str, dict[str, list[Sample]]]


class Scripts:
    """The provider's scripts: how many events, and how far apart."""

    def __init__(self, *, quick: bool) -> None:
        self.paced_events = 50 if quick else 200
        self.paced = f"stream-{self.paced_events}-10"
        self.burst = "burst-200"
        self.short = "stream-2-2"
        self.lasting_events = 3 if quick else 10
        self.lasting = f"stream-{self.lasting_events}-1000"


def main() -> None:
    """Measure, print, write."""
    options = parse(parser(__doc__, rounds=3), Options(), contenders=_CONTENDERS)
    end_on_sigterm()
    report = begin("stream", quick=options.quick)
    report.note(*busy_note())
    run(_run(options, report))
    report.finish(options.json)


async def _run(options: Options, report: Report) -> None:
    contenders = chosen(options.contenders)
    scripts = Scripts(quick=options.quick)
    models = [scripts.paced, scripts.burst, scripts.short]
    async with lineup(contenders, models) as servers:
        await _measure(servers, options, report, scripts)
    report.note(*servers.notes)
    rows: list[Row] = []
    for contender in contenders:
        if contender.name == "ours" if options.quick else _holds_many(contender):
            rows += await _many(contender, scripts, report)
    report.add(f"{OPEN_STREAMS:,} open streams, an event a second each", rows)
    _hold_memory(rows, report)


def _holds_many(contender: Contender) -> bool:
    return not contender.slow or contender.name == "ours-httpx"


async def _measure(servers: Lineup, options: Options, report: Report, scripts: Scripts) -> None:
    samples: Samples = defaultdict(lambda: defaultdict(list))
    seconds = 0.2 if options.quick else 0.8
    direct = [servers.request(scripts.short, stream=True)]
    for number in range(options.rounds):
        samples[_STRAIGHT][_FIRST].append(
            await straight(servers.straight, direct, callers=1, seconds=seconds)
        )
        for server in servers:
            if server.contender.slow and number >= _SLOW_ROUNDS:
                continue
            own = samples[server.name]
            short = [server.request(scripts.short, stream=True)]
            own[_FIRST].append(await closed(server, short, callers=1, seconds=seconds))
            paced, probes = await _paced(server, scripts, short)
            own[_PACED].append(paced)
            own[_LOADED].append(probes)
            burst = [server.request(scripts.burst, stream=True)]
            own[_BURST].append(await closed(server, burst, callers=STREAMS, seconds=0))
    _tell(servers, samples, report, scripts)


async def _paced(server: Server, scripts: Scripts, short: list[bytes]) -> tuple[Sample, Sample]:
    """32 streams, first by themselves for their cost, then again beside new ones for their delay.

    The connections are warmed up with short streams.
    """
    requests = [server.request(scripts.paced, stream=True)]
    async with visiting(server, STREAMS, short) as there:
        sample = await costed(server, there.closed_loop(requests))
        async with visiting(server, 1, short) as prober:
            background = asyncio.ensure_future(there.closed_loop(requests))
            await asyncio.sleep(SETTLE_SECONDS)
            span = scripts.paced_events * 0.005
            probes = await costed(server, prober.closed_loop(short, seconds=span))
            server.asked += (await background).requests
    return sample, probes


async def _many(contender: Contender, scripts: Scripts, report: Report) -> list[Row]:
    """A fresh server with 1,000 open streams: what each takes, and what its events cost."""
    async with lineup([contender], [scripts.short], unchecked=[scripts.lasting]) as servers:
        rows = [await _open_streams(server, scripts, report) for server in servers]
    report.note(*servers.notes)
    return rows


async def _open_streams(server: Server, scripts: Scripts, report: Report) -> Row:
    """Open all streams at once, and look at the server when all flow, a few seconds long."""
    short = [server.request(scripts.short, stream=True)]
    await closed(server, short, callers=16, seconds=0.3)
    idle = server.process.rss_bytes()
    requests = [server.request(scripts.lasting, stream=True)]
    async with visiting(server, OPEN_STREAMS, []) as there:
        connected = server.process.rss_bytes()
        task = asyncio.ensure_future(costed(server, there.closed_loop(requests)))
        await asyncio.sleep(scripts.lasting_events * 0.4)
        cpu, events = server.process.cpu_seconds(), there.events()
        await asyncio.sleep(scripts.lasting_events * 0.4)
        cpu, events = server.process.cpu_seconds() - cpu, there.events() - events
        held = server.process.rss_bytes()
        sample = await task
    report.note(*failures(f"{server.name} at {OPEN_STREAMS} streams", [sample]))
    return {
        "contender": server.name,
        "KiB a stream": round((held - idle) / OPEN_STREAMS / 1024, 1),
        "of it for the connection": round((connected - idle) / OPEN_STREAMS / 1024, 1),
        "µs an event": round(cpu / max(1, events) * 1e6, 1),
        "all opened within, ms": round(sample.first_byte(1.0) / 1000, 1),
        "RSS idle, MB": round(idle / 1e6, 1),
        "RSS held, MB": round(held / 1e6, 1),
    }


def _tell(servers: Lineup, samples: Samples, report: Report, scripts: Scripts) -> None:
    rows: list[Row] = []
    for server in servers:
        own, floor = samples[server.name], samples["floor"]
        rows.append(
            {
                "contender": server.name,
                "÷ floor": ratio(_events(own[_PACED]), _events(floor[_PACED])),
                "÷ floor, burst": ratio(_events(own[_BURST]), _events(floor[_BURST])),
                "µs an event": middle(_events(own[_PACED])),
                "µs an event, burst": middle(_events(own[_BURST]), 2),
                # Above one where the server fell behind, and relayed several at once.
                "events an arrival": middle(
                    [s.outcome.events / max(1, s.outcome.arrivals) for s in own[_PACED]], 2
                ),
            }
        )
        report.note(*failures(server.name, [s for group in own.values() for s in group]))
        lost = _lost(own[_PACED], scripts.paced_events + 3)
        report.note(*([f"{server.name}: {lost} events are missing"] if lost else []))
    report.add(f"CPU an event at {STREAMS} streams, one event every 10 ms each; in bursts", rows)
    names = [_STRAIGHT, *(server.name for server in servers)]
    delays = [_delay_row(name, samples) for name in names]
    report.add("Delay of the first event, µs: one stream, and beside 32 others", delays)
    value = ratio(_events(samples["ours"][_PACED]), _events(samples["floor"][_PACED]))
    report.hold(f"an event at {STREAMS} streams, ÷ floor", 1.3, value)


def _delay_row(name: str, samples: Samples) -> Row:
    own, straight_ = samples[name][_FIRST], samples[_STRAIGHT][_FIRST]
    loaded, floor = samples[name][_LOADED], samples["floor"][_LOADED]
    row: Row = {"contender": name}
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        row[f"added {label}"] = _added(own, straight_, share)
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        row[f"above floor among 32, {label}"] = _added(loaded, floor, share)
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        row[label] = middle([sample.first_byte(share) for sample in own])
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        row[f"among 32, {label}"] = middle([sample.first_byte(share) for sample in loaded])
    return row


def _added(own: list[Sample], other: list[Sample], share: float) -> float | None:
    pairs = zip(own, other, strict=False)
    return middle([mine.first_byte(share) - theirs.first_byte(share) for mine, theirs in pairs])


def _events(samples: list[Sample]) -> list[float]:
    return [sample.per_event for sample in samples]


def _lost(samples: list[Sample], events: int) -> int:
    return sum(sample.outcome.requests * events - sample.outcome.events for sample in samples)


def _hold_memory(rows: list[Row], report: Report) -> None:
    held = [row["KiB a stream"] for row in rows if row["contender"] == "ours"]
    value = held[0] if held else None
    report.hold(
        f"KiB a stream at {OPEN_STREAMS:,}", 64, value if isinstance(value, float) else None
    )


if __name__ == "__main__":
    main()
