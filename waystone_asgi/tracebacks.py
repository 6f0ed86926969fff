"""Exceptions for a log: where they came from, and none of what they say."""

from __future__ import annotations

from traceback import format_tb


def outline(error: BaseException) -> str:
    """An exception for a log: the lines it passed and its type, and those of its causes.

    Its message is left out. That of a bug may quote anything, a credential or a body too.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.insert(0, cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n".join("".join(format_tb(e.__traceback__)) + type(e).__qualname__ for e in chain)
