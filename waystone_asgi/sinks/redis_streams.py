"""Finished records come in; entries of a Redis stream come out, for others to read in groups.

An entry has the fields `id` and `record`, which is one JSON object. A batch is some pipelines on a
connection of its own: a batch comes every 100 ms at most, and a connection that nobody keeps needs
no task, on any event loop. A batch that is sent twice is in the stream twice; readers go by `id`.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import msgspec
from coredis import PureToken, Redis
from coredis.exceptions import ConnectionError, RedisError
from coredis.retry import NoRetryPolicy

from ..exceptions import ConfigurationError
from ..records import Secret, UsageRecord
from .refusals import RecordsRefusedError

MAX_ENTRIES = 1_000_000
TIMEOUT_SECONDS = 5.0

_PORTION = 64
"""How many entries are a pipeline: the library makes commands on the event loop, 30 µs each."""

_encoder = msgspec.json.Encoder(decimal_format="string")


class RedisStreamError(OSError):
    """The server did not take all of a batch."""


class RedisStreamsSink:
    """Appends an entry a record to `stream` in the Redis database at `url`.

    The stream keeps about `max_entries`, the newest. A batch has `timeout` seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        stream: str = "waystone_usage",
        max_entries: int = MAX_ENTRIES,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self.stream = stream
        self.max_entries = max_entries
        self._url = Secret(url)
        self._timeout = timeout
        self._client()

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Append the batch; raises `RedisStreamError`.

        Records that are no JSON raise `RecordsRefusedError` after the others are in.
        """
        entries: list[tuple[str, bytes]] = []
        refused: list[str] = []
        for record in records:
            try:
                entries.append((record.id, _encoder.encode(record)))
            except UnicodeError:
                refused.append(record.id)
        if entries:
            try:
                with anyio.fail_after(self._timeout):
                    await self._append(entries)
            except (ExceptionGroup, RedisError, OSError) as error:
                # The library's own errors show what was sent.
                raise RedisStreamError(f"Redis took no batch ({_cause(error)}).") from None
        if refused:
            raise RecordsRefusedError("The record is no JSON.", refused)

    async def _append(self, entries: Sequence[tuple[str, bytes]]) -> None:
        client = self._client()
        location = client.connection_pool.location
        # A connection that is made and cannot be opened would leave its queues unclosed.
        if not (location and await location.check()):
            raise ConnectionError(f"Nobody listens at {location}.")
        async with client:
            for start in range(0, len(entries), _PORTION):
                await self._send(client, entries[start : start + _PORTION])

    async def _send(self, client: Redis[bytes], entries: Sequence[tuple[str, bytes]]) -> None:
        async with client.pipeline(transaction=False, raise_on_error=False) as pipeline:
            for id, record in entries:
                pipeline.xadd(
                    self.stream,
                    {"id": id, "record": record},
                    trim_strategy=PureToken.MAXLEN,
                    trim_operator=PureToken.APPROXIMATELY,
                    threshold=self.max_entries,
                )
        for result in pipeline.results or ():
            if isinstance(result, Exception):
                raise result

    def _client(self) -> Redis[bytes]:
        url = self._url.reveal()
        try:
            if not url.startswith(("redis:", "rediss:", "unix:")):
                raise ValueError
            return Redis.from_url(
                url,
                decode_components=True,
                verify_version=False,
                retry_policy=NoRetryPolicy(),
                max_connections=1,
                connect_timeout=self._timeout,
                stream_timeout=self._timeout,
            )
        except Exception:
            # The error would quote the URL, and a password with it.
            raise ConfigurationError("The URL of the Redis database is not valid.") from None


def _cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
