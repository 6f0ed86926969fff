"""What translation costs: a request, an answer and a streamed event, in each dialect.

`python -m benchmarks.dialects [--quick] [--rounds N] [--json PATH]`

The CPU time of a tight loop in this process, the best round. Requests are those that were recorded
with OpenAI, answers and streams those of each provider. Typical is the one in the middle by size.

An event over passing it on: what a stream costs a provider's event, less what the same answer in
OpenAI's form costs where it arrives in as many pieces and is passed on as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import msgspec

from waystone_asgi.exceptions import GatewayError
from waystone_asgi.providers import PRESETS
from waystone_asgi.providers.dialects import Dialect, Target
from waystone_asgi.providers.registry import open_dialect
from waystone_asgi.wire.requests import ChatRequest, decode_chat_request

from .options import Options, parse, parser
from .recordings import FOLDER, Recording, recordings
from .report import Report, Row, begin, busy_note

MODELS = {
    "openai": "gpt-5.1",
    "anthropic": "claude-opus-5",
    "gemini": "gemini-3-pro-preview",
    "bedrock": "us.anthropic.claude-opus-5",
    "cohere": "command-a-03-2025",
    "ollama": "qwen3",
}
ANSWER_BAR, EVENT_BAR = 60, 15
_STREAM = decode_chat_request(
    b'{"model":"a/b","messages":[{"role":"user","content":"hello"}],"stream":true}'
).view

Measured: TypeAlias = list[tuple[int, float]]
"""Sizes in bytes and costs in microseconds, the smallest first."""


def main() -> None:
    """Measure, print, write."""
    options = parse(parser(__doc__, rounds=20), Options())
    report = begin("dialects", quick=options.quick)
    report.note(*busy_note())
    found = recordings()
    if not found:
        report.note(f"nothing was measured: there are no recordings in {FOLDER}")
    else:
        _measure(found, options, report)
    report.finish(options.json)


def _measure(found: dict[str, list[Recording]], options: Options, report: Report) -> None:
    asked = list(_requests(found["openai"]))
    requests: list[Row] = []
    answers: list[Row] = []
    events: list[Row] = []
    for name, model in MODELS.items():
        dialect = open_dialect(name, PRESETS[name])
        whole = [recording for recording in found[name] if not recording.stream]
        streams = [recording for recording in found[name] if recording.stream]
        built = _built(dialect, Target(model=model), asked, options)
        requests.append(_typical(name, "requests", built))
        read = _read(dialect, whole, options)
        answers.append(_typical(name, "answers", read))
        events.append(_streamed(name, dialect, streams, options))
    report.add("µs of CPU a request, built from its decoded form", requests)
    report.add("µs of CPU an answer, from JSON to JSON", answers)
    report.add("µs of CPU an event of the provider's", events)
    _hold(report, answers, events)


def _hold(report: Report, answers: Iterable[Row], events: Iterable[Row]) -> None:
    for row in answers:
        report.hold(f"a typical answer, {row['dialect']}, µs", ANSWER_BAR, _number(row["typical"]))
    for row in events:
        if row["dialect"] != "openai":
            over = _number(row["over passing it on"])
            report.hold(f"an event over passing it on, {row['dialect']}, µs", EVENT_BAR, over)


def _number(cell: object) -> float | None:
    return cell if isinstance(cell, float) else None


def _requests(found: Iterable[Recording]) -> Iterable[ChatRequest]:
    bodies = [msgspec.json.encode(each.request.body) for each in found if each.request.body]
    for body in sorted(bodies, key=len):
        with suppress(GatewayError):
            yield decode_chat_request(body)


def _built(
    dialect: Dialect, target: Target, asked: Iterable[ChatRequest], options: Options
) -> Measured:
    """Requests, but for those that the provider cannot be told."""
    measured: Measured = []
    for request in asked:
        with suppress(GatewayError):
            dialect.build_request(request, target)
            cost = _best(partial(dialect.build_request, request, target), options)
            measured.append((len(request.document), cost))
    return measured


def _read(dialect: Dialect, found: Iterable[Recording], options: Options) -> Measured:
    """Answers, but for those that are errors."""
    measured: Measured = []
    for recording in found:
        body, head = recording.response.content, recording.head
        with suppress(GatewayError):
            dialect.parse_response(body, head)
            cost = _best(partial(dialect.parse_response, body, head), options)
            measured.append((len(body), cost))
    return measured


def _typical(name: str, what: str, measured: Measured) -> Row:
    """The one in the middle, and the one that costs most."""
    size, cost = measured[len(measured) // 2]
    most, worst = max(measured, key=lambda each: each[1])
    return {
        "dialect": name,
        what: len(measured),
        "typical": round(cost, 1),
        "its bytes": size,
        "worst": round(worst, 1),
        "bytes of the worst": most,
    }


def _streamed(name: str, dialect: Dialect, found: Sequence[Recording], options: Options) -> Row:
    """A typical stream, and the one whose events cost most over passing them on."""
    measured = [_follow(dialect, recording, options) for recording in found]
    events, cost, passed = measured[len(measured) // 2]
    _, most, least = max(measured, key=lambda each: each[1] - each[2])
    return {
        "dialect": name,
        "streams": len(measured),
        "events": events,
        "over passing it on": round(cost - passed, 2),
        "translated": round(cost, 2),
        "passed on": round(passed, 2),
        "worst over passing it on": round(most - least, 2),
    }


def _follow(dialect: Dialect, recording: Recording, options: Options) -> tuple[int, float, float]:
    """How many events, and the microseconds for one: translated, and passed on."""
    pieces, head = recording.events, recording.head
    stream = dialect.open_stream(_STREAM, head)
    told = [*[stream.feed(piece) for piece in pieces], stream.finish()]
    openai = open_dialect("openai", PRESETS["openai"])

    def translate() -> None:
        stream = dialect.open_stream(_STREAM, head)
        for piece in pieces:
            stream.feed(piece)
        stream.finish()

    def pass_on() -> None:
        stream = openai.open_stream(_STREAM, head)
        for piece in told:
            stream.feed(piece)
        stream.finish()

    count = len(pieces)
    return count, _best(translate, options) / count, _best(pass_on, options) / count


def _best(call: Callable[[], object], options: Options) -> float:
    """Microseconds of CPU for a call: the best round, each of some five milliseconds."""
    began = time.process_time_ns()
    call()
    times = max(1, 5_000_000 // max(time.process_time_ns() - began, 1_000))
    if options.quick:
        times = min(times, 10)
    best = float("inf")
    for _ in range(options.rounds):
        began = time.process_time_ns()
        for _ in range(times):
            call()
        best = min(best, time.process_time_ns() - began)
    return best / times / 1_000


if __name__ == "__main__":
    main()
