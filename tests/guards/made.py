"""Guards, and what they are told, as the tests of this folder use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio

from waystone_asgi import Entity, GuardContext, Identity, Verdict
from waystone_asgi.guards import Check, Guards
from waystone_asgi.types import Guard

CONTEXT = GuardContext(
    request_id="req-1",
    principal="key_1",
    identity=Identity(user=Entity("ada")),
    operation="chat",
    request_model="fast",
    provider="openai",
    model="gpt-test",
    stream=False,
    tags=("reviewed",),
)

SECRET = "hush"


class Watcher:
    """Passes everything and remembers it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.contexts: list[GuardContext] = []

    def __call__(self, text: str, context: GuardContext) -> Verdict:
        self.seen.append(text)
        self.contexts.append(context)
        return Verdict.passed()


def hide(text: str, context: GuardContext) -> Verdict:
    """Puts stars in the place of the secret."""
    if SECRET not in text:
        return Verdict.passed()
    return Verdict.replaced(text.replace(SECRET, "****"))


async def shout(text: str, context: GuardContext) -> Verdict:
    await anyio.lowlevel.checkpoint()
    return Verdict.replaced(text.upper())


async def block(text: str, context: GuardContext) -> Verdict:
    """Blocks the secret, also where it began in what was let through before."""
    await anyio.lowlevel.checkpoint()
    return Verdict.blocked("No secrets.") if SECRET in context.before + text else Verdict.passed()


def fail(text: str, context: GuardContext) -> Verdict:
    raise LookupError(f"not in a log: {text}")


async def hang(text: str, context: GuardContext) -> Verdict:
    await anyio.sleep_forever()
    raise AssertionError


def broken(make: Callable[[], object]) -> Guard:
    """A guard that returns what it must not, or fails to make a verdict."""

    def guard(text: str, context: GuardContext) -> Any:
        return make()

    return guard


async def _true() -> bool:
    return True


FAILING: list[tuple[Guard, str]] = [
    (fail, "LookupError"),
    (broken(lambda: None), "NoneType"),
    (broken(lambda: True), "bool"),
    (broken(lambda: "passed"), "str"),
    (broken(_true), "bool"),
    (broken(lambda: Verdict), "StructMeta"),
    (broken(lambda: Verdict.replaced(None)), "TypeError"),  # type: ignore[arg-type]
    (broken(lambda: Verdict.blocked(7)), "TypeError"),  # type: ignore[arg-type]
    (broken(lambda: Verdict.replaced("\ud800")), "UnicodeEncodeError"),
    (broken(lambda: Verdict("let through")), "ValueError"),  # type: ignore[arg-type]
    (hang, "longer than 0.01 seconds"),
]
"""Guards that let nothing through, and what the log says of each."""


def checking(*guards: Guard, window: int = 500, deadline: float = 10.0) -> Check:
    """The guards in this order, for one answer."""
    named = {f"guard {number}": guard for number, guard in enumerate(guards)}
    return Guards(named, window=window, deadline=deadline).check(list(named), CONTEXT)


def event(*choices: dict[str, Any], **members: Any) -> bytes:
    """A streamed event with these choices."""
    document = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices}
    return f"data: {json.dumps({**document, **members}, ensure_ascii=False)}\n\n".encode()


def says(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One choice of an event."""
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
