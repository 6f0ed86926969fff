"""What starting costs: the import, the time until the first answer, and the memory that stays.

`python -m benchmarks.startup [--quick] [--rounds N] [--contenders a,b] [--json PATH]`
"""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import time
from collections import defaultdict

from .checks import exchange
from .contenders import Contender, Server, chosen, prepared, start
from .launches import Site
from .loops import run
from .measurements import Sample, closed, failures
from .options import Options, parse, parser
from .processes import ROOT, end_on_sigterm
from .report import Report, Row, begin, busy_note, middle

CORE = "starlette.requests, httpx, msgspec, anyio"
OPTIONAL = (
    "aiohttp",
    "boto3",
    "confluent_kafka",
    "coredis",
    "fastapi",
    "genai_prices",
    "jwt",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "sqlite3",
    "trio",
    "uvicorn",
    "uvloop",
)
_CONTENDERS = "direct,floor,ours,ours-httpx,litellm,portkey"
_READY_SECONDS = 90.0
_STREAM = "burst-100"
_PROBE = """
import sys, time
began = time.perf_counter()
import {core}
between = time.perf_counter()
known = set(sys.modules)
import waystone_asgi
ended = time.perf_counter()
new = set(sys.modules) - known
print(between - began, ended - between, len(new), *sorted(new & set({optional})))
"""


def main() -> None:
    """Measure, print, write."""
    options = parse(parser(__doc__, rounds=5), Options(), contenders=_CONTENDERS)
    end_on_sigterm()
    report = begin("startup", quick=options.quick)
    report.note(*busy_note())
    _tell_import(3 if options.quick else 15, report)
    run(_run(options, report))
    report.finish(options.json)


async def _run(options: Options, report: Report) -> None:
    rows: dict[str, list[Row]] = defaultdict(list)
    async with prepared(("json", _STREAM)) as site:
        for number in range(options.rounds):
            for contender in chosen(options.contenders):
                if reason := contender.missing():
                    report.note(*([f"{contender.name}: {reason}"] if not number else []))
                elif not contender.slow or not number or contender.name == "ours-httpx":
                    rows[contender.name].append(await _life(contender, site, options, report))
    _tell_lives(rows, report)


def _tell_import(times: int, report: Report) -> None:
    probe = _PROBE.format(core=CORE, optional=OPTIONAL)
    cores, owns, modules, optional = [], [], 0, ""
    for _ in range(times):
        argv = [sys.executable, "-c", probe]
        output = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        core, own, count, *names = output.split()
        cores.append(float(core) * 1000)
        owns.append(float(own) * 1000)
        modules, optional = int(count), " ".join(names) or "none"
    row: Row = {
        "import": "waystone_asgi",
        "ms beyond its core": middle(owns),
        "ms of the core": middle(cores),
        "modules beyond": modules,
        "optional ones": optional,
    }
    report.add(f"import, in a fresh interpreter; the core is {CORE}", [row])
    report.hold("import waystone_asgi beyond its core, ms", 150, middle(owns))
    report.hold("optional modules that it imports", 0, 0 if optional == "none" else len(names))


async def _life(contender: Contender, site: Site, options: Options, report: Report) -> Row:
    """Start one server, wait for its first answer, load it, and look at its memory."""
    server = start(contender, site)
    try:
        ready = await asyncio.to_thread(_first_answer, server)
        await asyncio.sleep(0.5)
        idle = server.process.rss_bytes()
        samples = await _load(server, 0.3 if options.quick else 2.0)
        report.note(*failures(server.name, samples))
        return {
            "ready": ready,
            "idle": idle / 1e6,
            "loaded": server.process.rss_bytes() / 1e6,
            "requests": sum(sample.outcome.requests for sample in samples),
        }
    finally:
        server.process.stop()


def _first_answer(server: Server) -> float:
    """Seconds from exec to the first complete answer."""
    deadline = server.process.started + _READY_SECONDS
    while time.perf_counter() < deadline and server.process.running:
        try:
            status, _ = exchange(server.address, server.request())
        except (OSError, http.client.HTTPException):
            time.sleep(0.002)
            continue
        if status == 200:
            return time.perf_counter() - server.process.started
        time.sleep(0.01)
    raise RuntimeError(f"{server.name} gave no answer:\n{server.process.tail()}")


async def _load(server: Server, seconds: float) -> list[Sample]:
    """Whole answers at 64 callers, then streams."""
    callers = 16 if server.contender.slow else 64
    whole = [server.request()]
    samples = [await closed(server, whole, callers=callers, seconds=seconds)]
    if server.name != "direct":
        streams = [server.request(_STREAM, stream=True)]
        samples.append(await closed(server, streams, callers=callers, seconds=seconds / 2))
    return samples


def _tell_lives(rows: dict[str, list[Row]], report: Report) -> None:
    lives: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, group in rows.items():
        lives[name] = {key: _values(group, key) for key in group[0]}
    floor = lives["floor"]
    table: list[Row] = [
        {
            "contender": name,
            "ready, ÷ floor": _over(life["ready"], floor["ready"]),
            "RSS after load, ÷ floor": _over(life["loaded"], floor["loaded"]),
            "ready, s": middle(life["ready"], 2),
            "RSS idle, MB": middle(life["idle"]),
            "RSS after load, MB": middle(life["loaded"]),
            "requests in the load": middle(life["requests"], 0),
        }
        for name, life in lives.items()
        if life
    ]
    report.add("From exec to the first answer, and resident memory", table)
    report.hold("RSS of the server after load, MB", 64, middle(lives["ours"]["loaded"]))


def _values(rows: list[Row], key: str) -> list[float]:
    return [value for row in rows if isinstance(value := row[key], (int, float))]


def _over(values: list[float], floors: list[float]) -> float | None:
    own, floor = middle(values, 3), middle(floors, 3)
    return round(own / floor, 2) if own and floor else None


if __name__ == "__main__":
    main()
