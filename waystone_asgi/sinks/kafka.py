"""Finished records come in; messages of a Kafka topic come out.

The key of a message is the record's id, its value one JSON object. A batch is handed over and
flushed in one worker thread: `emit` returns when the brokers have acknowledged all of it. What they
have not taken in time is purged from the producer's queue, so that it is sent once it is offered
again and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

import anyio
import anyio.to_thread
import msgspec

from ..exceptions import ConfigurationError
from ..records import UsageRecord
from .refusals import RecordsRefusedError

FLUSH_SECONDS = 8.0

# MESSAGE_TOO_LARGE and INVALID_RECORD; kafka.apache.org/protocol, error codes
_REFUSALS = (10, 87)

_encoder = msgspec.json.Encoder(decimal_format="string")


class Producer(Protocol):
    """What is used of `confluent_kafka.Producer`."""

    def produce(
        self, topic: str, *, value: bytes, key: str, on_delivery: Callable[[Any, Any], None]
    ) -> None:
        """Queue a message; raises `BufferError` when the queue is full, or `KafkaException`."""

    def flush(self, timeout: float) -> int:
        """Wait until all is delivered; how many messages are not."""

    def purge(self) -> None:
        """Forget what is queued."""


class KafkaError(OSError):
    """The brokers did not take all records of a batch in time."""


class KafkaSink:
    """Sends a message a record to `topic` of the brokers at `servers`: `host:9092,host2:9092`.

    `settings` are those of librdkafka, for TLS and passwords; a batch has `timeout` seconds.
    `producer` makes another producer of the settings. Raises `ConfigurationError` without the
    extra `kafka`.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        *,
        settings: Mapping[str, object] | None = None,
        timeout: float = FLUSH_SECONDS,
        producer: Callable[[dict[str, object]], Producer] | None = None,
    ) -> None:
        self.topic = topic
        self._settings: Callable[[], dict[str, object]] = lambda: {
            "bootstrap.servers": servers,
            "client.id": "waystone-asgi",
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.timeout.ms": round(timeout * 1000),
            **(settings or {}),
        }
        self._timeout = timeout
        self._make = producer or _producer()
        self._producer: Producer | None = None
        self._limiter = anyio.CapacityLimiter(1)

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Send the batch and wait for it; raises `KafkaError`.

        Records that the brokers refuse for good raise `RecordsRefusedError` after the others.
        """
        await anyio.to_thread.run_sync(self._send, records, limiter=self._limiter)

    async def aclose(self) -> None:
        """Forget the producer: nothing is queued in it between batches."""
        self._producer = None

    def _send(self, records: Sequence[UsageRecord]) -> None:
        producer = self._producer = self._producer or self._make(self._settings())
        failed: list[object] = []
        refused: dict[str, object] = {}

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                note(error, message.key().decode())

        def note(error: Any, id: str) -> None:
            if error.code() in _REFUSALS:
                refused[id] = error
            else:
                failed.append(error)

        for record in records:
            try:
                value = _encoder.encode(record)
                producer.produce(self.topic, value=value, key=record.id, on_delivery=delivered)
            except UnicodeError as error:
                refused[record.id] = error
            except BufferError as error:
                failed.append(error)
            except Exception as error:
                if not (error.args and hasattr(error.args[0], "code")):
                    raise
                note(error.args[0], record.id)  # a KafkaException
        if producer.flush(self._timeout):
            # Not sent later, after what follows: a new producer begins anew.
            self._producer = None
            producer.purge()
            producer.flush(self._timeout)
        if failed:
            raise KafkaError(f"{len(failed)} messages were not delivered: {failed[0]}")
        if refused:
            reason = next(iter(refused.values()))
            raise RecordsRefusedError(f"Kafka refuses a record: {reason}", refused)


def _producer() -> Callable[[dict[str, object]], Producer]:
    try:
        made: Callable[[dict[str, object]], Producer] = import_module("confluent_kafka").Producer
    except ImportError as error:
        raise ConfigurationError(
            "A Kafka sink needs more packages: pip install 'waystone-asgi[kafka]'."
        ) from error
    return made
