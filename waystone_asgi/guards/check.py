"""The guards of one request, in order: a text in, the text that the caller gets out."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
from msgspec.structs import replace

from ..exceptions import BlockedError, ConfigurationError, InternalError
from ..tracebacks import outline
from ..types import Guard
from ..verdicts import GuardContext, Part, Verdict
from ..wire.chat import DOCUMENT
from ..wire.members import MALFORMED, Buffer, Path, rewrite
from ..wire.texts import changed, texts

logger = logging.getLogger("waystone_asgi")

REFUSED = "The answer could not be checked."


class Guards:
    """The guards that a host injects, by name.

    `window` is how many characters of a stream are held back until the guards have seen them,
    `deadline` how many seconds one call of one guard may take. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        guards: Mapping[str, Guard] | None = None,
        *,
        window: int = 500,
        deadline: float = 10.0,
    ) -> None:
        self._guards = dict(guards or {})
        for name, guard in self._guards.items():
            if not callable(guard):
                raise ConfigurationError(
                    f"guards.{name}: expected a function that takes a text and its context."
                )
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise ConfigurationError("guard_window: expected a number of characters, 1 or more.")
        if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline > 0:
            raise ConfigurationError("guard_deadline: expected seconds, more than 0.")
        self.window = window
        self.deadline = float(deadline)

    @property
    def names(self) -> frozenset[str]:
        """What `check_output` may name."""
        return frozenset(self._guards)

    def check(self, names: Sequence[str], context: GuardContext) -> Check:
        """The named guards in that order, for one answer."""
        guards = [(name, self._guards[name]) for name in names]
        return Check(guards, context, window=self.window, deadline=self.deadline)


class Check:
    """Runs guards on the texts of one answer; `window` is for one that is streamed."""

    __slots__ = ("_context", "_deadline", "_guards", "window")

    def __init__(
        self,
        guards: Sequence[tuple[str, Guard]],
        context: GuardContext,
        *,
        window: int,
        deadline: float,
    ) -> None:
        self.window = window
        self._guards = guards
        self._context = context
        self._deadline = deadline

    async def text(self, text: str, *, choice: int, part: Part, before: str = "") -> str:
        """The text that the caller gets in its place.

        Raises `BlockedError`, or `InternalError` when a guard fails.
        """
        context = replace(self._context, choice=choice, part=part, before=before)
        for name, guard in self._guards:
            if not text:
                break
            verdict = await self._ask(name, guard, text, context)
            if verdict.kind == "blocked":
                raise BlockedError(verdict.text)
            if verdict.kind == "replaced":
                text = verdict.text
        return text

    async def answer(self, body: bytes) -> bytes:
        """The whole answer that the caller gets; raises as `text` does.

        What a guard replaces is changed in place. All other bytes stay, save those of the same
        choice that may repeat the text.
        """
        try:
            choices = DOCUMENT.decode(body)["choices"]
            changes: dict[Path, Buffer | None] = {}
            for position, choice in enumerate(choices):
                for path, value in (await self._choice(choice, position)).items():
                    changes["choices", position, *path] = value
            return rewrite(body, changes) if changes else body
        except MALFORMED:
            raise InternalError(REFUSED) from None

    async def _choice(self, choice: dict[str, Any], position: int) -> dict[Path, Buffer | None]:
        new: dict[Path, str] = {}
        parts = set[Part]()
        for text in texts(choice["message"]):
            shown = await self.text(text.text, choice=position, part=text.part)
            if shown != text.text:
                new[text.path] = shown
                parts.add(text.part)
        return changed(choice, "message", new, parts) if new else {}

    async def _ask(self, name: str, guard: Guard, text: str, context: GuardContext) -> Verdict:
        verdict: object = None
        try:
            with anyio.move_on_after(self._deadline) as scope:
                verdict = guard(text, context)
                if type(verdict) is not Verdict and inspect.isawaitable(verdict):
                    verdict = await verdict
        except Exception as error:
            raise self._failed(name, f"raised:\n{outline(error)}") from None
        if scope.cancelled_caught:
            raise self._failed(name, f"took longer than {self._deadline:g} seconds.")
        if not isinstance(verdict, Verdict):
            raise self._failed(name, f"returned {type(verdict).__name__}, not a Verdict.")
        return verdict

    def _failed(self, name: str, what: str) -> InternalError:
        logger.error("The guard %r, at request %s, %s", name, self._context.request_id, what)
        return InternalError(REFUSED)
