"""Bytes in several pieces, so that a long one among them is sent without being copied."""

from __future__ import annotations

from typing import TypeAlias


class Pieces:
    """What `parts` are one after the other; `bytes` joins them."""

    __slots__ = ("parts",)

    def __init__(self, *parts: bytes | memoryview) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)


Body: TypeAlias = bytes | Pieces
