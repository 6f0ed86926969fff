"""The Kafka sink, over a producer that does as the test says, and over librdkafka's own brokers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio.to_thread
import msgspec
import pytest

from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import KafkaSink, RecordsRefusedError
from waystone_asgi.sinks.kafka import KafkaError

MakeRecord = Callable[..., UsageRecord]

pytestmark = pytest.mark.anyio


class Error:
    """As confluent_kafka's own, with the code of the protocol."""

    def __init__(self, code: int) -> None:
        self._code = code

    def code(self) -> int:
        return self._code


class Failure(Exception):
    """As confluent_kafka's KafkaException, with an error as its argument."""


class Message:
    def __init__(self, key: str) -> None:
        self._key = key

    def key(self) -> bytes:
        return self._key.encode()


class Broker:
    """Makes producers that all write to one log."""

    def __init__(self) -> None:
        self.settings: list[dict[str, object]] = []
        self.log: list[tuple[str, str, dict[str, Any]]] = []
        self.raises: dict[str, Exception] = {}
        self.fails: dict[str, int] = {}
        self.hangs = False

    def __call__(self, settings: dict[str, object]) -> Producer:
        self.settings.append(settings)
        return Producer(self)


class Producer:
    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.queue: list[tuple[str, str, bytes, Callable[[Any, Any], None]]] = []

    def produce(
        self, topic: str, *, value: bytes, key: str, on_delivery: Callable[[Any, Any], None]
    ) -> None:
        if (error := self.broker.raises.get(key)) is not None:
            raise error
        self.queue.append((topic, key, value, on_delivery))

    def flush(self, timeout: float) -> int:
        if self.broker.hangs:
            return len(self.queue)
        for topic, key, value, on_delivery in self.queue:
            code = self.broker.fails.get(key)
            if code is None:
                self.broker.log.append((topic, key, json.loads(value)))
            on_delivery(None if code is None else Error(code), Message(key))
        self.queue.clear()
        return 0

    def purge(self) -> None:
        for _, key, _, on_delivery in self.queue:
            on_delivery(Error(-152), Message(key))
        self.queue.clear()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def sink(broker: Broker) -> KafkaSink:
    return KafkaSink("one:9092", "usage", settings={"linger.ms": 9}, producer=broker)


async def test_a_message_a_record(sink: KafkaSink, broker: Broker, make_record: MakeRecord) -> None:
    await sink.emit([make_record(1), make_record(2)])
    await sink.emit([make_record(3)])
    await sink.aclose()
    assert [(topic, key) for topic, key, _ in broker.log] == [
        ("usage", make_record(number).id) for number in (1, 2, 3)
    ]
    value = broker.log[0][2]
    assert list(value) == list(UsageRecord.__struct_fields__)
    assert value["cost_usd"] == "0.000123450"
    (settings,) = broker.settings
    assert settings["bootstrap.servers"] == "one:9092"
    assert (settings["acks"], settings["linger.ms"]) == ("all", 9)


@pytest.mark.parametrize("code", [-192, 1])
async def test_what_is_not_delivered_raises(
    sink: KafkaSink, broker: Broker, make_record: MakeRecord, code: int
) -> None:
    broker.fails = {make_record(1).id: code}
    with pytest.raises(KafkaError, match="1 messages"):
        await sink.emit([make_record(1), make_record(2)])


async def test_a_full_queue_raises(
    sink: KafkaSink, broker: Broker, make_record: MakeRecord
) -> None:
    broker.raises = {make_record(2).id: BufferError("full")}
    with pytest.raises(KafkaError, match="full"):
        await sink.emit([make_record(1), make_record(2)])


@pytest.mark.parametrize("code", [10, 87])
async def test_what_is_refused_for_good_is_named(
    sink: KafkaSink, broker: Broker, make_record: MakeRecord, code: int
) -> None:
    broker.fails = {make_record(1).id: code}
    broker.raises = {make_record(2).id: Failure(Error(code))}
    with pytest.raises(RecordsRefusedError) as caught:
        await sink.emit([make_record(n, user="\ud800" if n == 3 else None) for n in (1, 2, 3, 4)])
    assert caught.value.ids == {make_record(number).id for number in (1, 2, 3)}
    assert [key for _, key, _ in broker.log] == [make_record(4).id]


async def test_an_error_of_the_library_is_not_hidden(
    sink: KafkaSink, broker: Broker, make_record: MakeRecord
) -> None:
    broker.raises = {make_record(1).id: TypeError("wrong")}
    with pytest.raises(TypeError):
        await sink.emit([make_record(1)])


async def test_what_is_late_is_not_sent_later(
    sink: KafkaSink, broker: Broker, make_record: MakeRecord
) -> None:
    broker.hangs = True
    with pytest.raises(KafkaError, match="2 messages"):
        await sink.emit([make_record(1), make_record(2)])
    broker.hangs = False
    await sink.emit([make_record(3)])
    assert [key for _, key, _ in broker.log] == [make_record(3).id]
    assert len(broker.settings) == 2


async def test_the_library_itself(make_record: MakeRecord) -> None:
    pytest.importorskip("confluent_kafka")
    settings = {"message.max.bytes": 1000, "log_level": 0}
    sink = KafkaSink("127.0.0.1:1", "usage", settings=settings, timeout=0.2)
    with pytest.raises(KafkaError):
        await sink.emit([make_record()])
    with pytest.raises(RecordsRefusedError):
        await sink.emit([make_record(user="a" * 2000)])
    await sink.aclose()


@pytest.fixture
def cluster() -> Iterator[tuple[str, Callable[[], None]]]:
    """The brokers that librdkafka brings for tests, over sockets, and what stops them."""
    library = pytest.importorskip("confluent_kafka")
    owners = [
        library.Producer(
            {"bootstrap.servers": "none:1", "test.mock.num.brokers": 3, "log_level": 0}
        )
    ]
    brokers = owners[0].list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers), owners.clear
    owners.clear()


def kept(servers: str, topic: str, count: int) -> list[tuple[str, dict[str, Any]]]:
    """So many messages of the topic, by key, as a consumer reads them."""
    library = pytest.importorskip("confluent_kafka")
    consumer = library.Consumer({"bootstrap.servers": servers, "group.id": "g", "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    begin = library.OFFSET_BEGINNING
    consumer.assign([library.TopicPartition(topic, number, begin) for number in partitions])
    found: list[tuple[str, dict[str, Any]]] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        found += [
            (message.key().decode(), json.loads(message.value()))
            for message in consumer.consume(count, timeout=0.1)
            if message.error() is None
        ]
    consumer.close()
    return found


async def test_brokers_keep_each_record_once(
    cluster: tuple[str, Callable[[], None]], make_record: MakeRecord
) -> None:
    servers, stop = cluster
    sink = KafkaSink(servers, "usage", settings={"log_level": 0})
    batches = [[make_record(10 * batch + n) for n in range(10)] for batch in range(5)]
    for batch in batches:
        await sink.emit(batch)
    records = [record for batch in batches for record in batch]
    found = await anyio.to_thread.run_sync(kept, servers, "usage", len(records))
    assert sorted(key for key, _ in found) == [record.id for record in records]
    values = dict(found)
    for record in records:
        assert msgspec.convert(values[record.id], UsageRecord, strict=False) == record
    stop()
    await sink.aclose()


async def test_brokers_that_are_gone_raise(
    cluster: tuple[str, Callable[[], None]], make_record: MakeRecord
) -> None:
    servers, stop = cluster
    sink = KafkaSink(servers, "usage", settings={"log_level": 0}, timeout=1.0)
    await sink.emit([make_record(1)])
    stop()
    with pytest.raises(KafkaError, match="2 messages"):
        await sink.emit([make_record(2), make_record(3)])
    await sink.aclose()
