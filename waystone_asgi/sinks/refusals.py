"""What a sink says that will never take a record, however often it is offered."""

from __future__ import annotations

from collections.abc import Iterable

from ..exceptions import WaystoneError


class RecordsRefusedError(WaystoneError):
    """A sink refuses records for good: trying them again is in vain.

    `ids` are theirs, and all others of the batch are taken; without any it is not known which of
    the batch is to blame, and none may be taken for granted.
    """

    def __init__(self, message: str, ids: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.ids = frozenset(ids)
