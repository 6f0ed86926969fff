"""The ledger in PostgreSQL: rows as they should be, and what it does when the server is not."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from waystone_asgi.cli import main
from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.records import UsageRecord
from waystone_asgi.sinks import RecordsRefusedError, Total, open_sink, read_totals

psycopg = pytest.importorskip("psycopg")

from waystone_asgi.sinks.postgresql import PostgreSQLSink  # noqa: E402

MakeRecord = Callable[..., UsageRecord]

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(postgresql_url: str) -> Iterator[str]:
    """A schema that no other test has."""
    schema = f"s{uuid4().hex}"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{postgresql_url}?options=-csearch_path%3D{schema}"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
async def sink(url: str) -> AsyncIterator[PostgreSQLSink]:
    made = open_sink(url)
    assert isinstance(made, PostgreSQLSink)
    yield made
    await made.aclose()


@contextmanager
def silence() -> Iterator[str]:
    """The URL of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://ann:canary@127.0.0.1:{server.getsockname()[1]}/usage"


def rows(url: str, query: str = "SELECT * FROM usage_records ORDER BY id") -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        return list(connection.execute(query).fetchall())


async def test_a_row_a_record(
    sink: PostgreSQLSink, url: str, make_record: MakeRecord, least: UsageRecord
) -> None:
    await sink.emit([make_record(), least])
    await sink.emit([])
    full, bare = rows(url)
    assert list(full) == list(UsageRecord.__struct_fields__)
    assert full["time"] == make_record().time
    assert full["cost_usd"] == "0.000123450"
    assert full["stream"] is True
    assert full["tags"] == ["reviewed", "über"]
    assert full["attempts"][1] == {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "status": 200,
        "seconds": 0.25,
        "error_type": None,
    }
    assert (full["input_tokens"], full["duration"]) == (100, 0.75)
    assert (bare["user"], bare["cost_usd"], bare["tags"]) == (None, None, [])


async def test_a_record_is_there_once(
    sink: PostgreSQLSink, url: str, make_record: MakeRecord
) -> None:
    await sink.emit([make_record(1), make_record(1)])
    await sink.emit([make_record(1, user="bob"), make_record(2)])
    assert [row["user"] for row in rows(url)] == ["ann", "ann"]


async def test_a_former_table_gets_what_it_lacks(
    sink: PostgreSQLSink, url: str, make_record: MakeRecord
) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE usage_records (id text PRIMARY KEY, extra text)")
    await sink.emit([make_record()])
    ((row),) = rows(url)
    assert (row["user"], row["extra"]) == ("ann", None)


async def test_several_create_the_table_at_once(url: str, make_record: MakeRecord) -> None:
    async def write(number: int) -> None:
        sink = PostgreSQLSink(url)
        await sink.emit([make_record(number)])
        await sink.aclose()

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(write, number)
    assert len(rows(url)) == 4


async def test_what_cannot_be_held_keeps_nothing_else_out(
    sink: PostgreSQLSink, url: str, make_record: MakeRecord
) -> None:
    bad = [
        make_record(2, output_tokens=2**63),
        make_record(3, input_tokens=2**63),
        make_record(4, user="\ud800"),
    ]
    for batch in ([make_record(1), *bad[:2], make_record(5)], [bad[2], make_record(6)]):
        with pytest.raises(RecordsRefusedError) as caught:
            await sink.emit(batch)
        assert caught.value.ids == {record.id for record in bad if record in batch}
    assert [row["request_id"] for row in rows(url)] == ["req-1", "req-5", "req-6"]


async def test_a_nul_does_not_keep_its_record_out(
    sink: PostgreSQLSink, url: str, make_record: MakeRecord
) -> None:
    names = ["a\0b", "\0\0", "\\u0000", "\\\0", "\\\\u0000\0"]
    await sink.emit([make_record(number, user=name) for number, name in enumerate(names)])
    assert [row["user"] for row in rows(url)] == [name.replace("\0", "\ufffd") for name in names]


async def test_rows_go_when_they_have_been_kept_for_long_enough(
    url: str, make_record: MakeRecord
) -> None:
    now = datetime.now(UTC)
    days = [(10, 9), (10, 11), (1000, None), (0, 0), (0, 1)]
    records = [
        make_record(number, time=now - timedelta(days=age), retain_days=kept)
        for number, (age, kept) in enumerate(days)
    ]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE usage_records (id text PRIMARY KEY, time timestamptz)")
    for _ in range(3):
        sink = PostgreSQLSink(url)
        await sink.emit(records)
        await sink.emit([])
        await sink.aclose()
        assert [row["request_id"] for row in rows(url)] == ["req-1", "req-2", "req-4"]


async def test_a_role_that_may_not_delete(url: str, make_record: MakeRecord) -> None:
    sink = PostgreSQLSink(url)
    await sink.emit([make_record(1)])
    await sink.aclose()
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE insufficient_privilege; END $$;"
            "CREATE TRIGGER refuse BEFORE DELETE ON usage_records FOR EACH ROW"
            " EXECUTE FUNCTION refuse()"
        )
    sink = PostgreSQLSink(url)
    for number in (2, 3):
        await sink.emit([make_record(number, retain_days=0)])
    await sink.aclose()
    assert len(rows(url)) == 3


async def test_a_batch_that_fails_and_whose_records_do_not(
    url: str, make_record: MakeRecord
) -> None:
    class Fickle(PostgreSQLSink):
        def _insert(self, connection: Any, records: Sequence[UsageRecord]) -> None:
            if len(records) > 1:
                raise psycopg.DataError("all together are too much")
            super()._insert(connection, records)

    sink = Fickle(url)
    await sink.emit([make_record(1), make_record(2)])
    await sink.aclose()
    assert len(rows(url)) == 2


async def test_connects_anew(sink: PostgreSQLSink, url: str, make_record: MakeRecord) -> None:
    await sink.emit([make_record(1)])
    with psycopg.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE pid <> pg_backend_pid()"
        )
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND query LIKE %s",
            ["%json_to_recordset%usage_records%"],
        )
    for _ in range(2):
        try:
            await sink.emit([make_record(2)])
            break
        except psycopg.OperationalError:
            continue
    assert len(rows(url)) == 2


async def test_gives_up_a_server_that_hangs(
    url: str, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    sink = PostgreSQLSink(url, timeout=0.2)
    await sink.emit([make_record(1)])
    with psycopg.connect(url) as connection:
        connection.execute("LOCK usage_records")
        with anyio.fail_after(5), pytest.raises(psycopg.OperationalError):
            await sink.emit([make_record(2)])
    await sink.emit([make_record(3)])
    await sink.aclose()
    assert [row["request_id"] for row in rows(url)] == ["req-1", "req-3"]


async def test_a_table_that_is_locked_while_it_connects(url: str, make_record: MakeRecord) -> None:
    sink = PostgreSQLSink(url, timeout=0.2)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE usage_records (id text PRIMARY KEY)")
        connection.commit()
        connection.execute("LOCK usage_records")
        with anyio.fail_after(5), pytest.raises(psycopg.OperationalError):
            await sink.emit([make_record(2)])
    await sink.aclose()


async def test_a_server_that_is_not_there(make_record: MakeRecord) -> None:
    sink = PostgreSQLSink("postgresql://ann:canary@127.0.0.1:1/usage")
    with pytest.raises(psycopg.OperationalError) as caught:
        await sink.emit([make_record()])
    assert "canary" not in str(caught.value) + repr(vars(sink))
    await sink.aclose()


async def test_the_database_sees_no_difference(
    sink: PostgreSQLSink, url: str, make_record: MakeRecord, tmp_path: Path
) -> None:
    records = [
        make_record(1, cost_usd=Decimal("0.1")),
        make_record(2, cost_usd=Decimal("0.20"), user=None, provider="azure"),
        make_record(3, cost_usd=None, group=None, response_model=None),
        make_record(4, time=make_record().time + timedelta(days=1), user="bob"),
    ]
    ledger = f"sqlite:///{tmp_path}/usage.db"
    other: Any = open_sink(ledger)
    await other.emit(records)
    await other.aclose()
    await sink.emit(records)
    for by in ("user", "group", "model", "day"):
        for since in (None, make_record(2).time):
            totals: list[Total] = read_totals(url, by, since)  # type: ignore[arg-type]
            assert totals == read_totals(ledger, by, since)  # type: ignore[arg-type]
            assert totals


async def test_the_command_reads_it(
    sink: PostgreSQLSink,
    url: str,
    make_record: MakeRecord,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await sink.emit([make_record()])
    assert main(["usage", "--by", "user", "--format", "json", "--ledger", url]) == 0
    ((total),) = json.loads(capsys.readouterr().out)
    assert (total["user"], total["cost_usd"]) == ("ann", "0.000123450")


@pytest.mark.parametrize("url", ["postgresql://ann:canary@127.0.0.1:1/usage"])
def test_totals_of_a_server_that_is_not_there(url: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        read_totals(url, "user")
    assert "canary" not in str(caught.value)


def test_totals_of_a_table_that_is_not_there(url: str) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_totals(url, "user")
