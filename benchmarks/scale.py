"""Whether a request costs more among 1,000 keys, 10,000 models and 1,000 users than among one each.

`python -m benchmarks.scale [--quick] [--rounds N] [--json PATH]`
"""

from __future__ import annotations

import random
from collections import defaultdict

from .contenders import Lineup, Server, chosen, lineup, variant
from .loops import run
from .measurements import Sample, closed, failures
from .options import Options, parse, parser
from .processes import end_on_sigterm
from .report import Report, Row, begin, busy_note, middle, ratio
from .server import extra_model

KEYS, MODELS, USERS = 1_000, 10_000, 1_000
CALLERS = 16
_REQUESTS = 4_000
_ONE = "1 x 1 x 1"
_MANY = f"{KEYS:,} x {MODELS:,} x {USERS:,}"
_SAME = "the many, one asking"
_SEED = 20260101


def main() -> None:
    """Measure, print, write."""
    options = parse(parser(__doc__), Options())
    end_on_sigterm()
    report = begin("scale", quick=options.quick)
    report.note(*busy_note())
    run(_run(options, report))
    report.finish(options.json)


async def _run(options: Options, report: Report) -> None:
    many = {"keys": KEYS, "extra_models": MODELS}
    contenders = [
        *chosen("floor"),
        variant(_ONE, "one key, one model, one user"),
        variant(_MANY, "every request another key, model and user", **many),
        variant(_SAME, "configured as many, asked as one", **many),
    ]
    async with lineup(contenders, ["json"]) as servers:
        samples = await _measure(servers, options)
        report.add(
            f"CPU a request by keys x models x users, {CALLERS} callers",
            [_row(server, samples) for server in servers],
        )
    report.note(*servers.notes)
    for server in servers:
        report.note(*failures(server.name, samples[server.name]))
    value = ratio(_costs(samples[_MANY]), _costs(samples[_ONE]))
    report.hold(f"{_MANY}, ÷ {_ONE}", 1.1, value)


async def _measure(servers: Lineup, options: Options) -> dict[str, list[Sample]]:
    seconds = 0.3 if options.quick else 1.5
    samples: dict[str, list[Sample]] = defaultdict(list)
    requests = {server.name: _requests(server) for server in servers}
    for server in servers:  # users are stored once, and records cached, before anything is timed
        await closed(server, requests[server.name], callers=CALLERS, seconds=seconds)
    for _ in range(options.rounds):
        for server in servers:
            sample = await closed(server, requests[server.name], callers=CALLERS, seconds=seconds)
            samples[server.name].append(sample)
    return samples


def _requests(server: Server) -> list[bytes]:
    if server.name != _MANY:
        return [server.request()]
    pick = random.Random(_SEED)
    return [
        server.request(
            extra_model(pick.randrange(MODELS)),
            user=f"user-{pick.randrange(USERS)}",
            number=pick.randrange(KEYS),
        )
        for _ in range(_REQUESTS)
    ]


def _row(server: Server, samples: dict[str, list[Sample]]) -> Row:
    costs = _costs(samples[server.name])
    return {
        "contender": server.name,
        "÷ floor": ratio(costs, _costs(samples["floor"])),
        f"÷ {_ONE}": ratio(costs, _costs(samples[_ONE])),
        "µs a request": middle(costs),
        "RSS, MB": round(server.process.rss_bytes() / 1e6, 1),
    }


def _costs(samples: list[Sample]) -> list[float]:
    return [sample.per_request for sample in samples]


if __name__ == "__main__":
    main()
