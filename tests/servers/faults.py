"""What providers do wrong, chosen by the model's name: `FAULT,FAULT…@anything`.

The first request for a name gets the first fault, the next one the second, and the last one stays.
An answer says `TEXT`, a word an event.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

from .provider import Behaviour, Exchange, chunk, completion

WORDS = tuple(f"word{number} " for number in range(60))
TEXT = "".join(WORDS)
SLOW_SECONDS = 0.4
FIRST_BYTE_SECONDS = 2.0
IDLE_SECONDS = 1.5
RESET_SECONDS = 0.2
"""By then the operating system has delivered what a reset could take back."""


def events(exchange: Exchange, count: int = len(WORDS)) -> list[object]:
    """The first words of the answer."""
    return [chunk(exchange.model, {"content": word}) for word in WORDS[:count]]


def ending(exchange: Exchange, finish: str = "stop") -> list[object]:
    """What comes after the words."""
    return [chunk(exchange.model, {}, finish), chunk(exchange.model, None), "[DONE]"]


def document(exchange: Exchange, finish: str = "stop") -> dict[str, Any]:
    return completion(exchange.model, {"content": TEXT}, finish)


def streams(exchange: Exchange) -> bool:
    return bool(exchange.body.get("stream"))


async def begin(exchange: Exchange, *documents: object) -> None:
    """The head of a stream and some events."""
    await exchange.head(200, "text/event-stream", None)
    for each in documents:
        await exchange.event(each)


async def begin_json(exchange: Exchange, numerator: int, denominator: int) -> None:
    """The head of a whole answer and a part of its body."""
    body = json.dumps(document(exchange)).encode()
    await exchange.head(200, "application/json", len(body))
    await exchange.write(body[: len(body) * numerator // denominator])


async def plain(exchange: Exchange, finish: str = "stop") -> None:
    if streams(exchange):
        await exchange.stream(*events(exchange), *ending(exchange, finish))
    else:
        await exchange.json(200, document(exchange, finish))


async def refuse(status: int, error: dict[str, Any], headers: Sequence[str], at: Exchange) -> None:
    await at.json(status, {"error": error}, *headers)


async def limit_until_a_date(exchange: Exchange) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    await refuse(429, LIMIT, [f"retry-after: {date}"], exchange)


async def reset_before(exchange: Exchange) -> None:
    exchange.reset()


async def reset_during(exchange: Exchange) -> None:
    if streams(exchange):
        await begin(exchange, *events(exchange, 3))
    else:
        await begin_json(exchange, 1, 2)
    await asyncio.sleep(RESET_SECONDS)
    exchange.reset()


async def silence(exchange: Exchange) -> None:
    await exchange.hold()


async def silence_after_the_head(exchange: Exchange) -> None:
    if streams(exchange):
        await begin(exchange)
    else:
        await begin_json(exchange, 0, 1)
    await exchange.hold()


async def slow(exchange: Exchange) -> None:
    await asyncio.sleep(SLOW_SECONDS)
    await plain(exchange)


async def cut(exchange: Exchange) -> None:
    """The connection ends at 40 of 60 events, in the middle of the framing."""
    if streams(exchange):
        await begin(exchange, *events(exchange, 40))
    else:
        await begin_json(exchange, 40, 60)
    raise ConnectionResetError


async def ended(exchange: Exchange) -> None:
    """The same, and all is in order as far as HTTP goes."""
    if streams(exchange):
        await exchange.stream(*events(exchange, 40))
    else:
        text = json.dumps(document(exchange)).encode()
        await exchange.head(200, "application/json", len(text) // 2)
        await exchange.write(text[: len(text) // 2])


async def stall(exchange: Exchange) -> None:
    if streams(exchange):
        await begin(exchange, *events(exchange, 20))
    else:
        await begin_json(exchange, 1, 3)
    await exchange.hold()


async def malformed(exchange: Exchange) -> None:
    if streams(exchange):
        words = events(exchange)
        await exchange.stream(*words[:30], '{"choices":[{"delta', *words[30:], *ending(exchange))
    else:
        await exchange.head(200, "application/json", 9)
        await exchange.write(b'{"choices')


async def without_done(exchange: Exchange) -> None:
    await exchange.stream(*events(exchange), *ending(exchange)[:-1])


async def without_finish(exchange: Exchange) -> None:
    """All words and the usage, but nobody says that this is all."""
    await exchange.stream(*events(exchange), chunk(exchange.model, None))


async def error_under_200(error: dict[str, Any], exchange: Exchange) -> None:
    if streams(exchange):
        await exchange.stream({"error": error})
    else:
        await exchange.json(200, {"error": error})


async def error_later(exchange: Exchange) -> None:
    """As OpenRouter does it: beside the events, or in a choice."""
    if streams(exchange):
        await exchange.stream(*events(exchange, 30), {"error": FAILURE})
    else:
        answer = document(exchange)
        answer["choices"][0]["error"] = FAILURE
        await exchange.json(200, answer)


LIMIT = {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
FAILURE = {"message": "Overloaded.", "type": "server_error", "param": None, "code": 502}
CONTEXT = {
    "message": "This model's maximum context length is 8192 tokens.",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
FILTERED = {
    "message": "The response was filtered.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation"},
}

FAULTS: dict[str, Behaviour] = {
    "plain": plain,
    "429": partial(refuse, 429, LIMIT, []),
    "429 seconds": partial(refuse, 429, LIMIT, ["retry-after: 1"]),
    "429 minute": partial(refuse, 429, LIMIT, ["retry-after: 60"]),
    "429 ms": partial(refuse, 429, LIMIT, ["retry-after-ms: 80", "retry-after: 60"]),
    "429 date": limit_until_a_date,
    "500": partial(refuse, 500, FAILURE, []),
    "503": partial(refuse, 503, FAILURE, []),
    "reset before": reset_before,
    "reset during": reset_during,
    "silence": silence,
    "silence after the head": silence_after_the_head,
    "slow": slow,
    "cut": cut,
    "ended": ended,
    "stall": stall,
    "malformed": malformed,
    "without [DONE]": without_done,
    "without finish": without_finish,
    "context": partial(refuse, 400, CONTEXT, []),
    "filter": partial(refuse, 400, FILTERED, []),
    "filtered": partial(plain, finish="content_filter"),
    "error under 200": partial(error_under_200, FAILURE),
    "limit under 200": partial(error_under_200, {**LIMIT, "code": 429}),
    "error later": error_later,
}


class Script:
    """Which fault is next for a model."""

    def __init__(self) -> None:
        self._asked = Counter[str]()

    def __call__(self, exchange: Exchange) -> Behaviour:
        faults = exchange.model.partition("@")[0].split(",")
        number = self._asked[exchange.model]
        self._asked[exchange.model] += 1
        return FAULTS[faults[min(number, len(faults) - 1)]]
