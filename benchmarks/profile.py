"""Where a request's microseconds go: each one above the floor named by part, room and function.

`python -m benchmarks.profile [--quick] [--rounds N] [--stream] [--json PATH]`

Parts are differences between servers that have one part less, in CPU time of the operating system.
The ledger is what its thread does and makes others wait for; records are made, and queued, without
it too. Rooms and functions come from samples taken inside the server, without a ledger so that no
other thread disturbs them; each sample stands for its part of the CPU time of the same run.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import msgspec

from . import payloads
from .checks import exchange
from .contenders import Lineup, Server, chosen, lineup, variant
from .load import Outcome
from .loops import run
from .measurements import Sample, closed, costed, failures, visiting
from .options import Options, parse, parser
from .processes import end_on_sigterm
from .profiling import PROFILE_PATH, Entry
from .report import Cell, Report, Row, begin, busy_note, middle, ratio

_LISTED = 45
_WORTH_SHOWING = 0.1

Costs = dict[str, list[Sample]]
Profile = dict[tuple[str, str], tuple[float, float]]


class ProfileOptions(Options):
    """`stream` profiles events rather than whole answers."""

    stream: bool


class Traffic(msgspec.Struct, frozen=True):
    """What the servers are asked for: by how many callers, and what is counted.

    `waiting` says that the servers have time to wait in between.
    """

    model: str
    callers: int
    counted: str
    waiting: bool

    def request(self, server: Server, *, identity: bool = True) -> bytes:
        """The request to a server."""
        name = server.contender.prefix + self.model
        body = payloads.chat_request(name, stream=self.waiting, identity=identity)
        return server.wrapped(body)

    def cost(self, sample: Sample) -> float:
        """Microseconds of CPU for what is counted."""
        return sample.per_event if self.counted == "an event" else sample.per_request

    def count(self, outcome: Outcome) -> int:
        """How often it came."""
        return outcome.events if self.counted == "an event" else outcome.requests


REQUESTS = Traffic("json", 16, "a request", False)
EVENTS = Traffic("stream-200-10", 64, "an event", True)
BRIEFLY = Traffic("stream-50-10", 64, "an event", True)


def main() -> None:
    """Measure, print, write."""
    made = parser(__doc__)
    made.add_argument("--stream", action="store_true", help="profile the events of streams")
    options = parse(made, ProfileOptions())
    end_on_sigterm()
    report = begin("profile", quick=options.quick)
    report.note(*busy_note())
    run(_run(options, report))
    report.finish(options.json)


async def _run(options: ProfileOptions, report: Report) -> None:
    parts = [
        *chosen("direct,floor,ours,ours-unmounted,ours-no-ledger"),
        variant("ours-neither", "without both", ledger=None, mounted=False),
    ]
    traffic = REQUESTS
    if options.stream:
        traffic = BRIEFLY if options.quick else EVENTS
    if options.stream:
        parts = parts[1:]
    async with lineup(parts, [traffic.model]) as servers:
        _tell_parts(await _parts(servers, traffic, options), traffic, report)
    report.note(*servers.notes)
    inside = [*chosen("floor"), variant("ours", "without a ledger", ledger=None)]
    async with lineup(inside, [traffic.model], profile=True) as servers:
        profiles = {server.name: await _profiled(server, traffic, options) for server in servers}
    report.note(*servers.notes)
    _tell_rooms(profiles, traffic.counted, report)
    _tell_functions(profiles, traffic.counted, report)


async def _parts(servers: Lineup, traffic: Traffic, options: Options) -> Costs:
    seconds = 0.2 if options.quick else 1.0
    samples: Costs = defaultdict(list)
    for _ in range(options.rounds):
        for server in servers:
            loads = {server.name: traffic.request(server)}
            if server.name == "ours":
                loads["ours, no identity claimed"] = traffic.request(server, identity=False)
            for name, request in loads.items():
                sample = await closed(server, [request], callers=traffic.callers, seconds=seconds)
                samples[name].append(sample)
    return samples


def _tell_parts(samples: Costs, traffic: Traffic, report: Report) -> None:
    costs = {name: [traffic.cost(sample) for sample in group] for name, group in samples.items()}
    rows: list[Row] = [
        {
            "server": name,
            "÷ floor": ratio(own, costs["floor"]),
            f"µs {traffic.counted}": middle(own),
            "µs above the floor": _difference(own, costs["floor"]),
        }
        for name, own in costs.items()
    ]
    report.add(f"CPU {traffic.counted} by parts, {traffic.callers} callers", rows)
    for name, group in samples.items():
        report.note(*failures(name, group))
    parts = {
        "the mount: Starlette's application and router": ("ours", "ours-unmounted"),
        "the ledger: rows, the thread, SQLite": ("ours", "ours-no-ledger"),
        "the identity: metadata read, cut out and stored": ("ours", "ours, no identity claimed"),
        "everything else above the floor": ("ours-neither", "floor"),
    }
    report.add(
        "Parts of what is above the floor",
        [
            {"part": part, "µs": _difference(costs[more], costs[less])}
            for part, (more, less) in parts.items()
        ],
    )


async def _profiled(server: Server, traffic: Traffic, options: Options) -> Profile:
    """Microseconds by room and function: running, and present on the stack."""
    seconds = 2.0 if options.quick else 12.0
    outcome, entries = await _sampled(server, traffic, seconds)
    scale = 1e6 / max(1, traffic.count(outcome))
    found: Profile = defaultdict(lambda: (0.0, 0.0))
    for entry in entries:
        name = (entry.room, entry.function)
        running, present = found[name]
        found[name] = (running + entry.running * scale, present + entry.present * scale)
    return found


async def _sampled(server: Server, traffic: Traffic, seconds: float) -> tuple[Outcome, list[Entry]]:
    request = [traffic.request(server)]
    path = PROFILE_PATH + "?waiting" * traffic.waiting
    toggle = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
    async with visiting(server, traffic.callers, request) as there:
        server.asked += (await there.closed_loop(request, seconds=0.3)).requests
        await asyncio.to_thread(exchange, server.address, toggle)
        sample = await costed(server, there.closed_loop(request, seconds=seconds))
        _, body = await asyncio.to_thread(exchange, server.address, toggle)
    return sample.outcome, msgspec.json.decode(body, type=list[Entry])


def _tell_rooms(profiles: dict[str, Profile], counted: str, report: Report) -> None:
    rooms: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, profile in profiles.items():
        for (room, _), (running, _) in profile.items():
            rooms[room][name] += running
    rows: list[Row] = [
        {
            "room": room,
            "above the floor": round(costs["ours"] - costs["floor"], 2),
            "ours": round(costs["ours"], 2),
            "floor": round(costs["floor"], 2),
        }
        for room, costs in rooms.items()
    ]
    rows.sort(key=lambda row: -_number(row["above the floor"]))
    shown = [row for row in rows if abs(_number(row["above the floor"])) >= _WORTH_SHOWING]
    total: Row = {"room": "all"}
    for column in ("above the floor", "ours", "floor"):
        total[column] = round(sum(_number(row[column]) for row in rows), 2)
    report.add(f"µs of CPU {counted} by room, without a ledger", [*shown, total])


def _tell_functions(profiles: dict[str, Profile], counted: str, report: Report) -> None:
    floor, ours = profiles["floor"], profiles["ours"]
    rows: list[Row] = [
        {
            "function": f"{room}: {function}",
            "above the floor": round(running - floor[room, function][0], 2),
            "by itself": round(running, 2),
            "with all it calls": round(present, 2),
        }
        for (room, function), (running, present) in ours.items()
    ]
    rows = [row for row in rows if _number(row["by itself"]) > 0]
    rows.sort(key=lambda row: -_number(row["above the floor"]))
    report.add(f"µs of CPU {counted} by function, with the C functions it calls", rows[:_LISTED])


def _number(cell: Cell) -> float:
    return float(cell) if isinstance(cell, (int, float)) else 0.0


def _difference(more: list[float], less: list[float]) -> float | None:
    return middle([own - other for own, other in zip(more, less, strict=False)])


if __name__ == "__main__":
    main()
