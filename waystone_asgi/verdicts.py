"""What a guard is told of a text, and what it says of it.

Values without behaviour. Neither shows the text, the replacement or the message in its `repr`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from msgspec import Struct

if TYPE_CHECKING:
    from .records import Identity

Part = Literal["content", "refusal", "reasoning", "arguments", "transcript"]
"""Which of a choice's texts it is; `arguments` are those of one tool call, as JSON."""

_KINDS = ("passed", "replaced", "blocked")


class Verdict(Struct, frozen=True, gc=False):
    """What becomes of a text: use `passed`, `replaced` or `blocked` to make one.

    Raises `TypeError` or `ValueError` when it is made of anything but text that can be sent.
    """

    kind: Literal["passed", "replaced", "blocked"]
    text: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError("a verdict is passed, replaced or blocked")
        if not isinstance(self.text, str):
            raise TypeError(f"expected a string, got {type(self.text).__name__}")
        self.text.encode()

    @classmethod
    def passed(cls) -> Self:
        """The caller gets the text as it is."""
        return cls("passed")

    @classmethod
    def replaced(cls, text: str) -> Self:
        """The caller gets `text` in its place."""
        return cls("replaced", text)

    @classmethod
    def blocked(cls, message: str = "The answer is not allowed.") -> Self:
        """The caller gets no more of the answer, but an error with `message`."""
        return cls("blocked", message)

    def __repr__(self) -> str:
        return f"Verdict({self.kind!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("kind", self.kind)]


class GuardContext(Struct, frozen=True, kw_only=True, gc=False):
    """The answer that a text is from.

    `before` is the end of what the caller has got of the same text, at most a window's length; it
    is empty where the answer is no stream. `choice` counts from 0. `tags` are those that the rules
    have given the request.
    """

    request_id: str
    principal: str
    identity: Identity
    operation: str
    request_model: str
    provider: str
    model: str
    stream: bool
    tags: tuple[str, ...] = ()
    choice: int = 0
    part: Part = "content"
    before: str = ""

    def __repr__(self) -> str:
        return f"GuardContext({self.request_id!r}, {self.part!r} of choice {self.choice})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("request_id", self.request_id), ("part", self.part), ("choice", self.choice)]
