"""Finished records come in; lines of JSON at the end of a file come out.

One write a batch and no sync: other processes may append to the same file, and a machine that
loses power may lose the last lines. It must not change what is already there; a line that a full
disk or a killed process left unfinished is ended before the next batch, so that it spoils no other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread
import msgspec

from ..exceptions import ConfigurationError
from ..records import UsageRecord
from .totals import Dimension, Row, Total, add_up

_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder = msgspec.json.Decoder(UsageRecord)


class JSONLinesSink:
    """Appends one JSON object a record to the file at `path`, with the fields of `UsageRecord`.

    Money is decimal text, times are RFC 3339. `open` or the first `emit` opens the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: BinaryIO | None = None
        self._limiter = anyio.CapacityLimiter(1)

    async def open(self) -> None:
        """Open the file, and create it when it is missing; raises `ConfigurationError`."""
        try:
            await anyio.to_thread.run_sync(self._opened, limiter=self._limiter)
        except OSError as error:
            raise ConfigurationError(
                f"The usage file {self.path} cannot be opened: {error.strerror}."
            ) from error

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Append the batch with one write; raises `OSError`."""
        await anyio.to_thread.run_sync(self._append, records, limiter=self._limiter)

    async def aclose(self) -> None:
        """Close the file."""
        await anyio.to_thread.run_sync(self._close, limiter=self._limiter)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            file = self.path.open("ab+", buffering=0)
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            self._file = file
        return self._file

    def _append(self, records: Sequence[UsageRecord]) -> None:
        file = self._opened()
        lines = memoryview(_encoder.encode_lines(records))
        try:
            while lines:
                lines = lines[file.write(lines) :]
        except OSError:
            self._close()
            raise

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def read_totals(path: str | Path, by: Dimension, since: datetime | None = None) -> list[Total]:
    """The totals of the records in the file, from `since` on; raises `ConfigurationError`.

    Lines that are no record are passed over: a file may end in an unfinished one.
    """
    try:
        with Path(path).open("rb") as file:
            return add_up(_rows(file, by, since or datetime.min.replace(tzinfo=UTC)), by)
    except OSError as error:
        raise ConfigurationError(
            f"The usage file {path} cannot be read: {error.strerror}."
        ) from error


def _rows(lines: BinaryIO, by: Dimension, since: datetime) -> Iterator[Row]:
    for line in lines:
        try:
            record = _decoder.decode(line)
        except msgspec.MsgspecError:
            continue
        if record.time >= since:
            yield (
                _key(record, by),
                record.input_tokens,
                record.cache_read_input_tokens,
                record.output_tokens,
                record.reasoning_output_tokens,
                record.cost_usd,
            )


def _key(record: UsageRecord, by: Dimension) -> str | None:
    if by == "day":
        return record.time.date().isoformat()
    if by == "model" and record.provider and record.response_model:
        return f"{record.provider}/{record.response_model}"
    if by == "model":
        return record.request_model
    return record.user if by == "user" else record.group
