"""A block of a streamed answer while it grows, so that it can be told whole in the end."""

from __future__ import annotations

from typing import Any

from ...wire.chat import DOCUMENT
from ...wire.members import MALFORMED
from .blocks import is_called_else

_GROWING = {"text": "text", "thinking": "thinking"}


class Opened:
    """One block: the `document` that began it, and the pieces that came since.

    `number` is the index of a call among the calls, or the place of a text among the texts.
    """

    __slots__ = ("document", "is_whole", "kind", "number", "pieces")

    def __init__(self, kind: str, document: dict[str, Any], number: int) -> None:
        self.kind = kind
        self.document = document
        self.number = number
        self.pieces: list[str] = []
        self.is_whole = False

    @property
    def citations(self) -> list[dict[str, Any]]:
        """What a text cites."""
        return self.document.get("citations") or []

    @property
    def has_more(self) -> bool:
        """Whether it has something that no message of OpenAI's tells."""
        if self.kind == "tool_use":
            return is_called_else(self.document.get("caller"))
        return self.kind == "text" and bool(self.citations)

    def cite(self, citation: dict[str, Any]) -> None:
        """Take one more citation."""
        self.document["citations"] = [*self.citations, citation]

    def complete(self) -> None:
        """Write all pieces into the document."""
        self.is_whole = True
        said = "".join(self.pieces)
        if (name := _GROWING.get(self.kind)) is not None:
            self.document[name] = said
        elif said:
            try:
                self.document["input"] = DOCUMENT.decode(said)
            except MALFORMED:
                self.document["input"] = {}  # The bound cut it; the caller has the pieces.
