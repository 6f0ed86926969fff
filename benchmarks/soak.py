"""Minutes of mixed traffic, with callers who leave and providers that fail: nothing may remain.

`python -m benchmarks.soak [--minutes 2] [--quick] [--contenders ours,ours-httpx] [--json PATH]`

The server's memory is sampled all the while and must not rise; afterwards no task, no socket and no
request in flight may be left, and no record missing. A full run waits until idle connections, too,
have been closed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from statistics import mean

import msgspec

from .checks import count_records, exchange
from .contenders import SETTLE_SECONDS, Server, chosen, lineup
from .loops import run
from .options import Options, parse, parser
from .processes import end_on_sigterm
from .report import Report, Row, begin, busy_note
from .server import STATE_PATH, State
from .visitors import MODELS, Visit, visitors

_SAMPLE_SECONDS = 1.0
_QUIET_SECONDS = 10.0
_IDLE_SECONDS = 45.0
_GROWTH_MB = 2.0
_SHOWN_SAMPLES = 12


class SoakOptions(Options):
    """`minutes` is how long the traffic lasts."""

    minutes: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The server at one moment."""

    seconds: float
    rss: float
    sockets: int
    threads: int
    requests: int


def main() -> None:
    """Run, watch, print, write."""
    made = parser(__doc__)
    made.add_argument("--minutes", type=float, default=2.0, help="default %(default)s")
    options = parse(made, SoakOptions(), contenders="ours")
    end_on_sigterm()
    report = begin("soak", quick=options.quick)
    report.note(*busy_note())
    run(_run(options, report))
    report.finish(options.json)


async def _run(options: SoakOptions, report: Report) -> None:
    seconds = 8.0 if options.quick else options.minutes * 60
    async with lineup(
        chosen(options.contenders), ["json", "stream-3-1"], unchecked=MODELS, inspect=True
    ) as servers:
        for server in servers:
            await _soak(server, seconds, report)
    report.note(*(note for note in servers.notes if "in the ledger" not in note))


async def _soak(server: Server, seconds: float, report: Report) -> None:
    """One server's minutes, and what is left of them."""
    before = await _state(server)
    sockets = _sockets(server) - before.open_connections
    counts: Counter[Visit] = Counter()
    started = time.perf_counter()
    tasks = [
        asyncio.create_task(visitor(server, counts, started + seconds))
        for visitor in visitors(server)
    ]
    samples = await _watch(server, counts, tasks)
    report.add(f"{server.name}: what came in and what became of it", _count_rows(counts))
    report.add(f"{server.name}: the server over time", [_sample_row(s) for s in _spread(samples)])
    for task in tasks:
        if task.exception() is not None:
            report.note(f"{server.name}: a visitor failed: {task.exception()!r}")
    await _tell_rest(server, before, counts, report)
    await _tell_sockets(server, sockets, report)
    growth = _growth(samples)
    report.hold(f"{server.name}: RSS of the last quarter above the second, MB", _GROWTH_MB, growth)


async def _watch(
    server: Server, counts: Counter[Visit], tasks: list[asyncio.Task[None]]
) -> list[Sample]:
    samples: list[Sample] = []
    started = time.perf_counter()
    pending: set[asyncio.Task[None]] = set(tasks)
    while pending:
        _, pending = await asyncio.wait(pending, timeout=_SAMPLE_SECONDS)
        samples.append(
            Sample(
                seconds=time.perf_counter() - started,
                rss=server.process.rss_bytes() / 1e6,
                sockets=_sockets(server),
                threads=server.process.thread_count(),
                requests=counts.total(),
            )
        )
    return samples


async def _tell_rest(
    server: Server,
    before: State,
    counts: Counter[Visit],
    report: Report,
) -> None:
    """Wait until the server is quiet, and compare it with what it was."""
    after = await _quiet_state(server, before)
    rows: list[Row] = [
        {"what": "tasks", "before": before.tasks, "after": after.tasks},
        {"what": "requests in flight", "before": before.in_flight, "after": after.in_flight},
        {
            "what": "connections to providers in use",
            "before": before.open_connections - before.idle_connections,
            "after": after.open_connections - after.idle_connections,
        },
        {
            "what": "idle connections to providers",
            "before": before.idle_connections,
            "after": after.idle_connections,
        },
        {"what": "records queued", "before": before.queued_records, "after": after.queued_records},
        {"what": "records lost", "before": before.failed_records, "after": after.failed_records},
        {"what": "objects", "before": before.objects, "after": after.objects},
    ]
    report.add(f"{server.name}: before the traffic, and when it is over", rows)
    report.hold(f"{server.name}: tasks left", 0, after.tasks - before.tasks)
    report.hold(f"{server.name}: requests left in flight", 0, after.in_flight)
    used = after.open_connections - after.idle_connections
    report.hold(f"{server.name}: connections left in use", 0, used)
    surprises = sum(count for visit, count in counts.items() if not visit.expected)
    report.hold(f"{server.name}: answers that were not as expected", 0, surprises)
    report.hold(f"{server.name}: records missing or too many", 0, _records_off(server, counts))


async def _tell_sockets(server: Server, before: int, report: Report) -> None:
    """Compare the sockets, but for idle connections; a full run sees these closed as well."""
    deadline = time.perf_counter() + (0 if report.quick else _IDLE_SECONDS)
    while True:
        idle = (await _state(server)).idle_connections
        left = _sockets(server) - before
        if left <= 0 or time.perf_counter() > deadline:
            break
        await asyncio.sleep(_SAMPLE_SECONDS)
    report.note(f"{server.name}: {left} sockets more than before, {idle} of them idle connections")
    report.hold(f"{server.name}: sockets left", 0, left - idle if report.quick else left)


def _sockets(server: Server) -> int:
    return server.process.open_files().get("socket", 0)


def _records_off(server: Server, counts: Counter[Visit]) -> int | None:
    """How far the ledger is from one record a request; some may or may not have been read."""
    if server.ledger is None:
        return None
    records = count_records(server.ledger) - server.asked
    sure = sum(count for visit, count in counts.items() if visit.recorded is True)
    perhaps = sum(count for visit, count in counts.items() if visit.recorded is None)
    return max(0, sure - records, records - sure - perhaps)


async def _quiet_state(server: Server, before: State) -> State:
    """The state once it is as before, or as it is after a while."""
    deadline = time.perf_counter() + _QUIET_SECONDS
    while True:
        await asyncio.sleep(SETTLE_SECONDS)
        state = await _state(server)
        used = state.open_connections - state.idle_connections
        busy = state.tasks > before.tasks or state.in_flight or state.queued_records or used
        if not busy or time.perf_counter() > deadline:
            return state


async def _state(server: Server) -> State:
    request = f"GET {STATE_PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
    _, body = await asyncio.to_thread(exchange, server.address, request)
    return msgspec.json.decode(body, type=State)


def _growth(samples: list[Sample]) -> float | None:
    quarter = len(samples) // 4
    if not quarter:
        return None
    second = mean(sample.rss for sample in samples[quarter : 2 * quarter])
    return round(mean(sample.rss for sample in samples[-quarter:]) - second, 2)


def _spread(samples: list[Sample]) -> list[Sample]:
    step = max(1, len(samples) // _SHOWN_SAMPLES)
    return samples[::-1][::step][::-1]


def _sample_row(sample: Sample) -> Row:
    return {
        "second": round(sample.seconds),
        "RSS, MB": round(sample.rss, 2),
        "sockets": sample.sockets,
        "threads": sample.threads,
        "requests so far": sample.requests,
    }


def _count_rows(counts: Counter[Visit]) -> list[Row]:
    return [
        {
            "visitor": visit.kind,
            "came to": visit.came_to,
            "as expected": "yes" if visit.expected else "NO",
            "requests": count,
        }
        for visit, count in sorted(counts.items())
    ]


if __name__ == "__main__":
    main()
