"""What a request costs by the size of its body: 1 KB to 4 MiB.

`python -m benchmarks.bodies [--quick] [--rounds N] [--contenders a,b] [--json PATH]`
"""

from __future__ import annotations

from collections import defaultdict

from .contenders import Lineup, Server, chosen, lineup
from .loops import run
from .measurements import Sample, closed, failures
from .options import Options, parse, parser
from .processes import end_on_sigterm
from .report import Report, Row, begin, busy_note, middle, ratio

SIZES = {
    "1 KB": 1000,
    "16 KB": 16_000,
    "256 KB": 256_000,
    "1 MiB": 1 << 20,
    "4 MiB": 4 << 20,
}
SHAPES = {"history": True, "one message": False}
CALLERS = 4
_CONTENDERS = "floor,ours,ours-httpx,litellm,portkey"

Samples = dict[tuple[str, str, str], list[Sample]]


def main() -> None:
    """Measure, print, write."""
    options = parse(parser(__doc__, rounds=3), Options(), contenders=_CONTENDERS)
    end_on_sigterm()
    report = begin("bodies", quick=options.quick)
    report.note(*busy_note())
    run(_run(options, report))
    report.finish(options.json)


async def _run(options: Options, report: Report) -> None:
    async with lineup(chosen(options.contenders), ["json"]) as servers:
        samples = await _measure(servers, options)
    report.note(*servers.notes)
    for shape in SHAPES:
        rows = [_row(server, shape, samples) for server in servers]
        report.add(f"CPU a request by the size of its body, {CALLERS} callers, {shape}", rows)
    for server in servers:
        every = [s for key, group in samples.items() if key[0] == server.name for s in group]
        report.note(*failures(server.name, every))
    _hold(samples, report)


async def _measure(servers: Lineup, options: Options) -> Samples:
    seconds = 0.1 if options.quick else 0.5
    samples: Samples = defaultdict(list)
    for number in range(options.rounds):
        for shape, history in SHAPES.items():
            for label, size in SIZES.items():
                for server in servers:
                    if server.contender.slow and number:
                        continue
                    request = server.sized_request(size, history=history)
                    sample = await closed(server, [request], callers=CALLERS, seconds=seconds)
                    samples[server.name, shape, label].append(sample)
    return samples


def _row(server: Server, shape: str, samples: Samples) -> Row:
    row: Row = {"contender": server.name}
    for label in SIZES:
        row[f"÷ floor, {label}"] = _ratio(server.name, shape, label, samples)
    for label in SIZES:
        row[f"µs, {label}"] = middle(_costs(server.name, shape, label, samples))
    return row


def _ratio(name: str, shape: str, label: str, samples: Samples) -> float | None:
    return ratio(_costs(name, shape, label, samples), _costs("floor", shape, label, samples))


def _costs(name: str, shape: str, label: str, samples: Samples) -> list[float]:
    return [sample.per_request for sample in samples[name, shape, label]]


def _hold(samples: Samples, report: Report) -> None:
    for shape in SHAPES:
        value = _ratio("ours", shape, "1 MiB", samples)
        report.hold(f"a body of 1 MiB ({shape}), ÷ floor", 1.5, value)


if __name__ == "__main__":
    main()
