"""What a request costs: CPU at 1, 16, 64 and 256 callers, and the time it adds.

`python -m benchmarks.overhead [--quick] [--rounds N] [--contenders a,b] [--json PATH]`
"""

from __future__ import annotations

from collections import defaultdict

from .contenders import Lineup, Server, chosen, lineup
from .load import crowd
from .loops import run
from .measurements import Sample, closed, failures, paced, straight
from .options import Options, parse, parser
from .processes import end_on_sigterm
from .report import Report, Row, begin, busy_note, middle, ratio

CALLERS = (1, 16, 64, 256)
_CONTENDERS = "floor,direct,ours,ours-httpx,litellm,portkey"
_SLOW_ROUNDS = 2
_STRAIGHT = "straight"
_HALF = 0.5

Samples = dict[str, dict[int, list[Sample]]]


def main() -> None:
    """Measure, print, write."""
    options = parse(parser(__doc__), Options(), contenders=_CONTENDERS)
    end_on_sigterm()
    report = begin("overhead", quick=options.quick)
    report.note(*busy_note())
    run(_run(options, report))
    report.finish(options.json)


async def _run(options: Options, report: Report) -> None:
    async with lineup(chosen(options.contenders), ["json"]) as servers:
        await _measure(servers, options, report)
    report.note(*servers.notes)


async def _measure(servers: Lineup, options: Options, report: Report) -> None:
    seconds = 0.15 if options.quick else 0.6
    samples: Samples = defaultdict(lambda: defaultdict(list))
    half: dict[str, list[Sample]] = defaultdict(list)
    for number in range(options.rounds):
        for callers in CALLERS:
            if callers == 1:
                sample = await straight(
                    servers.straight, [servers.request()], callers=1, seconds=seconds
                )
                samples[_STRAIGHT][1].append(sample)
            for server in servers:
                if _takes_part(server, callers, number):
                    sample = await closed(
                        server, [server.request()], callers=callers, seconds=seconds
                    )
                    samples[server.name][callers].append(sample)
        for server in servers:
            if _takes_part(server, 64, number):
                rate = _HALF * samples[server.name][16][-1].outcome.rate
                sample = await paced(server, [server.request()], rate=rate, seconds=seconds)
                half[server.name].append(sample)
    pace = min((s.outcome.rate for s in half.get("floor", [])), default=1000.0)
    async with crowd(servers.straight, 64, [servers.request()]) as there:
        outcome = await there.open_loop([servers.request()], rate=pace, seconds=seconds)
        half[_STRAIGHT].append(Sample(outcome))
    _tell(servers, samples, half, report)


def _takes_part(server: Server, callers: int, number: int) -> bool:
    """Whether the round is worth its time: a slow contender takes seconds to answer 256 callers."""
    return not server.contender.slow or (number < _SLOW_ROUNDS and (callers < 256 or number == 0))


def _tell(servers: Lineup, samples: Samples, half: dict[str, list[Sample]], report: Report) -> None:
    report.add("CPU a request", [_cost_row(server, samples) for server in servers])
    names = [_STRAIGHT, *(server.name for server in servers)]
    report.add(
        "Latency at 1 caller, and what it adds to going straight to the provider, µs",
        [_latency_row(name, samples[name][1], samples) for name in names],
    )
    report.add(
        "Latency at half load (half the rate of 16 callers, evenly spaced), µs",
        [_half_row(name, half) for name in names if half[name]],
    )
    for server in servers:
        every = [sample for group in samples[server.name].values() for sample in group]
        every += half[server.name]
        report.note(*failures(server.name, every))
    _hold(samples, report)


def _cost_row(server: Server, samples: Samples) -> Row:
    row: Row = {"contender": server.name}
    costs = {n: _costs(server.name, n, samples) for n in CALLERS}
    for callers in CALLERS:
        row[f"÷ floor at {callers}"] = ratio(costs[callers], _costs("floor", callers, samples))
    row["256 ÷ 16"] = ratio(costs[256], costs[16])
    for callers in CALLERS:
        row[f"µs at {callers}"] = middle(costs[callers])
    row["requests/s at 64"] = middle([s.outcome.rate for s in samples[server.name][64]], 0)
    return row


def _latency_row(name: str, own: list[Sample], samples: Samples) -> Row:
    row: Row = {"contender": name}
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        row[f"added {label}"] = _added(own, samples[_STRAIGHT][1], share)
        row[f"above floor {label}"] = _added(own, samples["floor"][1], share)
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        row[label] = middle([sample.latency(share) for sample in own])
    return row


def _half_row(name: str, half: dict[str, list[Sample]]) -> Row:
    row: Row = {"contender": name}
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        row[f"above floor {label}"] = _added(half[name], half["floor"], share)
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        row[label] = middle([sample.latency(share) for sample in half[name]])
    row["requests/s"] = middle([sample.outcome.rate for sample in half[name]], 0)
    return row


def _added(own: list[Sample], other: list[Sample], share: float) -> float | None:
    pairs = zip(own, other, strict=False)
    return middle([mine.latency(share) - theirs.latency(share) for mine, theirs in pairs])


def _costs(name: str, callers: int, samples: Samples) -> list[float]:
    return [sample.per_request for sample in samples[name][callers]]


def _hold(samples: Samples, report: Report) -> None:
    for callers in (16, 64):
        value = ratio(_costs("ours", callers, samples), _costs("floor", callers, samples))
        report.hold(f"a request at {callers} callers, ÷ floor", 1.5, value)
    value = ratio(_costs("ours", 256, samples), _costs("ours", 16, samples))
    report.hold("a request at 256 callers, ÷ that at 16", 1.25, value)
    added = _added(samples["ours"][1], samples[_STRAIGHT][1], 0.99)
    report.hold("added p99 at one caller, ms", 0.3, added and round(added / 1000, 3))


if __name__ == "__main__":
    main()
