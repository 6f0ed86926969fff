"""What ten rulesets of five rules cost a request, with the counters in memory and without.

`python -m benchmarks.rules [--quick] [--rounds N] [--json PATH]`

A tight loop in this process: beside sockets, with cold caches, the same costs about twice as much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from waystone_asgi.catalog import Catalog
from waystone_asgi.charges import Taken
from waystone_asgi.limits.memory import MemoryCounters
from waystone_asgi.records import Entity, Identity, Principal
from waystone_asgi.rules import Estimate, Program, Ruleset, Subject, compile_rules
from waystone_asgi.types import JSONObject, Layers

from .options import Options, parse, parser
from .report import Report, Row, begin, busy_note
from .rulesets import USAGES, rulesets

NOW = 1_795_435_200.0
CATALOG = Catalog({"openai": ["o3", "o3-mini", "gpt-4o"], "anthropic": ["claude"]})
RESOLVE = partial(CATALOG.resolve, principal=Principal("benchmark"))
IDENTITY = Identity(Entity("ann", None, "claimed"), Entity("acme", None, "claimed"))
METADATA: JSONObject = {
    "tier": "free",
    "created": "2026-11-22T00:00:00Z",
    "region": "us",
    "seats": 3,
}


def main() -> None:
    """Measure, print, write."""
    options = parse(parser(__doc__, rounds=2000), Options())
    report = begin("rules", quick=options.quick)
    report.note(*busy_note())
    rows = [_row(counters, usages, options) for counters, usages in USAGES.items()]
    report.add("microseconds a request, the best round of a tight loop", rows)
    _hold(report, rows)
    report.finish(options.json)


def _row(counters: int, usages: list[dict[str, object]], options: Options) -> Row:
    program = _program(usages)
    kept = MemoryCounters()

    def decide() -> None:
        program.evaluate(_subject())

    def whole() -> None:
        subject = _subject()
        decision = program.evaluate(subject)
        if decision.charges:
            taken = _now(kept.reserve(decision.charges, now=subject.now, lease=60))
            assert isinstance(taken, Taken)
            decision.notes(taken)
            used = decision.amounts(requests=1, tokens=150, nanodollars=1000)
            _now(kept.settle(taken, used))

    return {
        "counters": counters,
        "decide": _best(decide, options),
        "decide, reserve, settle": _best(whole, options),
    }


def _hold(report: Report, rows: list[Row]) -> None:
    for row in rows:
        value = row["decide, reserve, settle"]
        assert isinstance(value, float)
        report.hold(f"a request with {row['counters']} counters, µs", 20, value)


def _program(usages: list[dict[str, object]]) -> Program:
    made = [Ruleset(**ruleset) for ruleset in rulesets(usages)]
    return compile_rules(made, resolve=RESOLVE, price=lambda *asked: 1000)


def _subject() -> Subject:
    return Subject(
        route=CATALOG.resolve("openai/gpt-4o", _ANYONE),
        principal="backend",
        now=NOW,
        identity=IDENTITY,
        user_metadata=_LAYERS,
        estimate=Estimate(100),
    )


def _best(call: Callable[[], None], options: Options) -> float:
    times, best = 100, float("inf")
    for _ in range(max(options.rounds, 100)):
        began = time.perf_counter()
        for _ in range(times):
            call()
        best = min(best, time.perf_counter() - began)
    return round(best / times * 1e6, 2)


def _now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


_ANYONE = Principal("benchmark")
_LAYERS: Layers = {"claimed": METADATA}

if __name__ == "__main__":
    main()
