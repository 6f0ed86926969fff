"""A store with a memory before it: what is asked, what is waited for, and what is believed."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from waystone_asgi.entities import CachedEntities, kept
from waystone_asgi.entities.backlog import Breaker
from waystone_asgi.entities.memory import MemoryEntities
from waystone_asgi.exceptions import (
    ConfigurationError,
    InternalError,
    InvalidRequestError,
    RequestTooLargeError,
)
from waystone_asgi.records import Entity

from .fakes import Clock, FakeStore, cached, settled

pytestmark = pytest.mark.anyio

ANN = Entity("ann", {"tier": "free"}, "claimed")
ACME = Entity("acme", {"plan": "team"}, "key")
HALF = "x" * 40_000


async def test_what_is_unchanged_is_not_written_again() -> None:
    store = FakeStore()
    async with cached(store) as entities:
        layers = await entities.merge(ANN, ACME)
        assert layers == ({"claimed": {"tier": "free"}}, {"key": {"plan": "team"}})
        assert sorted(store.calls, key=repr) == [
            ("group", "acme", "key", {"plan": "team"}),
            ("link", "ann", "acme"),
            ("user", "ann", "claimed", {"tier": "free"}),
        ]
        store.count()
        for user, group in [
            (ANN, ACME),
            (Entity("ann", {"tier": "free"}, "claimed"), Entity("acme", None, "host")),
            (Entity("ann", {}, "host"), Entity("acme", {"gone": None}, "host")),
            (ANN, None),
            (None, ACME),
            (None, None),
        ]:
            again = await entities.merge(user, group)
            assert again == (layers[0] if user else {}, layers[1] if group else {})
        assert store.count() == 0


async def test_what_is_new_or_changed_is_written() -> None:
    store = FakeStore()
    async with cached(store) as entities:
        await entities.merge(ANN, ACME)
        store.count()
        await entities.merge(Entity("ann", {"tier": "gold"}, "claimed"), ACME)
        assert store.count() == 1
        await entities.merge(Entity("ann", {"tier": "free"}, "host"), ACME)
        assert store.count() == 1
        await entities.merge(ANN, Entity("other"))
        assert store.count() == 3
        mine, _ = await entities.merge(ANN, ACME)
        assert store.count() == 0
    assert mine == {"claimed": {"tier": "free"}, "host": {"tier": "free"}}
    assert await store.stored("user", "ann") == mine
    assert await store.linked("ann", "acme")
    assert await store.linked("ann", "other")


async def test_what_others_wrote_is_seen_when_it_is_first_named() -> None:
    store = FakeStore()
    await store.merge("user", "ann", "host", {"tier": "gold"})
    async with cached(store) as entities:
        mine, _ = await entities.merge(ANN, None)
        assert mine == {"host": {"tier": "gold"}, "claimed": {"tier": "free"}}
        assert await entities.metadata("user", "ann") == {"tier": "gold"}


async def test_what_others_wrote_is_seen_after_a_while() -> None:
    clock, store = Clock(), FakeStore()
    async with cached(store, ttl=30, clock=clock) as entities:
        await entities.merge(ANN, ACME)
        await store.merge("user", "ann", "host", {"tier": "gold"})
        store.count()
        clock.now += 29
        mine, theirs = await entities.merge(ANN, ACME)
        assert (mine, theirs) == ({"claimed": {"tier": "free"}}, {"key": {"plan": "team"}})
        assert await entities.metadata("user", "ann") == {"tier": "free"}
        assert store.count() == 0
        clock.now += 1
        mine, _ = await entities.merge(ANN, ACME)
        assert mine == {"host": {"tier": "gold"}, "claimed": {"tier": "free"}}
        assert store.count() == 2
        assert await entities.merge(ANN, ACME) == (mine, theirs)
        assert store.count() == 0


async def test_a_change_of_another_process_is_changed_back_after_a_while() -> None:
    clock, store = Clock(), FakeStore()
    async with cached(store, ttl=30, clock=clock) as entities:
        await entities.merge(ANN, None)
        await store.merge("user", "ann", "claimed", {"tier": "gold"})
        clock.now += 30
        assert await entities.merge(ANN, None) == ({"claimed": {"tier": "free"}}, {})
    assert await store.stored("user", "ann") == {"claimed": {"tier": "free"}}


async def test_metadata_is_that_in_effect_and_a_copy() -> None:
    clock, store = Clock(), FakeStore()
    await store.merge("group", "acme", "host", {"a": 1})
    await store.merge("group", "acme", "claimed", {"a": 2, "b": 2})
    async with cached(store, clock=clock) as entities:
        assert await entities.metadata("user", "ann") is None
        assert await store.stored("user", "ann") is None
        for _ in range(2):
            found = await entities.metadata("group", "acme")
            assert found == {"a": 1, "b": 2}
            found["c"] = 3
        assert [call[:2] for call in store.calls[2:]] == [("read", "user"), ("read", "group")]
        clock.now += 60
        store.error = OSError()
        assert await entities.metadata("group", "acme") == {"a": 1, "b": 2}
        assert await entities.metadata("group", "unknown") is None
        store.error = None


async def test_links_are_remembered_or_asked_for() -> None:
    store = FakeStore()
    await store.link("bob", "acme")
    async with cached(store) as entities:
        await entities.merge(ANN, ACME)
        assert await entities.linked("ann", "acme")
        assert await entities.linked("bob", "acme")
        assert not await entities.linked("acme", "ann")


# Who waits, and for how long.


async def test_a_request_waits_no_longer_than_the_deadline() -> None:
    store = FakeStore()
    await store.merge("user", "ann", "host", {"tier": "gold"})
    store.gate = anyio.Event()
    async with cached(store, deadline=0.01) as entities:
        with anyio.fail_after(5):
            assert await entities.merge(ANN, None) == ({"claimed": {"tier": "free"}}, {})
            assert await entities.metadata("user", "ann") == {"tier": "free"}
        store.gate.set()
        await settled(entities)
        mine, _ = await entities.merge(ANN, None)
        assert mine == {"host": {"tier": "gold"}, "claimed": {"tier": "free"}}


async def test_nobody_waits_for_a_store_that_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    store = FakeStore(clock)
    async with cached(store, clock=clock) as entities:
        with caplog.at_level(logging.INFO):
            store.took = 61
            for number in range(3):
                assert caplog.text == ""
                await entities.merge(Entity(f"slow{number}"), None)
            assert "is slow: requests go on without it" in caplog.text
            store.gate = anyio.Event()
            await entities.merge(ANN, ACME)
            store.took = 0
            store.gate.set()
            await settled(entities)
            assert "answers in time" in caplog.text
        store.count()
        await entities.merge(Entity("bob"), None)
        assert store.count() == 1
        assert await store.stored("user", "bob") == {}
        assert await store.stored("user", "ann") == {"claimed": {"tier": "free"}}


def test_what_is_told_often_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    breaker = Breaker(clock)
    assert breaker.down
    breaker.begin()
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            for down in (False, False, True, True):
                breaker.late("is slow")
                assert breaker.down is down
            breaker.prompt()
            assert not breaker.down
            clock.now += 1
    assert caplog.text.count("is slow") == caplog.text.count("answers in time again") == 2


async def test_waiting_in_vain_three_times_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    store.gate = anyio.Event()
    async with cached(store, deadline=0.01) as entities:
        for number in range(3):
            await entities.merge(Entity(f"u{number}"), None)
        entities._deadline = 60
        with anyio.fail_after(5):
            await entities.merge(ANN, ACME)
        assert "is slow" in caplog.text
        store.gate.set()
        await settled(entities)


async def test_a_store_that_is_down_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    clock, store = Clock(), FakeStore()
    async with cached(store, clock=clock, sleep=clock.sleep) as entities:
        await entities.merge(ANN, ACME)
        store.error = OSError("canary")
        clock.now += 100
        # What is remembered, and what it brings itself.
        for _ in range(5):
            mine, theirs = await entities.merge(Entity("ann", {"town": "Delft"}, "key"), ACME)
            assert mine == {"claimed": {"tier": "free"}, "key": {"town": "Delft"}}
            assert theirs == {"key": {"plan": "team"}}
            assert await entities.merge(Entity("bob", {"n": 1}), None) == ({"host": {"n": 1}}, {})
        assert "fails (OSError): requests go on without it" in caplog.text
        assert "canary" not in caplog.text
        for number in range(5):
            await entities.merge(Entity("ann", {"n": number}, "key"), Entity("new"))
        store.error = None
        await settled(entities)
        assert max(clock.slept) <= 2
        assert sorted(clock.slept) == clock.slept
        assert await store.stored("user", "ann") == {
            "claimed": {"tier": "free"},
            "key": {"town": "Delft", "n": 4},
        }
        assert await store.stored("user", "bob") == {"host": {"n": 1}}
        assert await store.linked("ann", "new")
        store.count()
        clock.now += 100
        await entities.merge(ANN, None)
        assert store.count() == 1
    assert entities.dropped == 0


async def test_while_it_is_down_little_is_done_for_each_request() -> None:
    clock, store = Clock(), FakeStore()
    store.opening = OSError()
    async with cached(store, clock=clock) as entities:
        store.gate = anyio.Event()
        first = await entities.merge(ANN, ACME)
        assert await entities.merge(ANN, ACME) == first
        assert entities._known.seen(ANN, ACME, clock.now) is not None
        clock.now += 1
        assert entities._known.seen(ANN, ACME, clock.now) is None
        assert await entities.merge(ANN, ACME) == first
        assert len(entities._jobs) == 3
        store.gate.set()
        await settled(entities)
        assert store.count() == 3


async def test_changes_meet_in_the_order_in_which_they_were_made() -> None:
    clock, store = Clock(), FakeStore()
    async with cached(store, clock=clock, sleep=clock.sleep) as entities:
        for number in range(3):
            await entities.merge(Entity(f"u{number}"), None)
        store.gate = anyio.Event()
        entities._deadline = 0.01
        await entities.merge(Entity("ann", {"n": 1, "a": 1}, "key"), None)
        mine, _ = await entities.merge(Entity("ann", {"n": 2, "b": 2}, "key"), None)
        assert mine == {"key": {"n": 2, "a": 1, "b": 2}}
        await entities.merge(Entity("ann", {"n": None, "c": 3}, "host"), None)
        store.error = OSError()
        gate, store.gate = store.gate, anyio.Event()
        gate.set()
        await anyio.wait_all_tasks_blocked()
        mine, _ = await entities.merge(Entity("ann", {"n": 4}, "key"), None)
        store.error = None
        store.gate.set()
        await settled(entities)
    expected = {"key": {"n": 4, "a": 1, "b": 2}, "host": {"c": 3}}
    assert mine == expected
    assert await store.stored("user", "ann") == expected


async def test_what_is_forgotten_and_not_yet_written_is_not_lost() -> None:
    store = FakeStore()
    store.gate = anyio.Event()
    async with cached(store, size=1, deadline=0.01) as entities:
        await entities.merge(ANN, None)
        await entities.merge(Entity("ann", {"town": "Delft"}, "host"), None)
        await entities.merge(Entity("bob"), None)
        expected = {"claimed": {"tier": "free"}, "host": {"town": "Delft"}}
        mine, _ = await entities.merge(Entity("ann"), None)
        assert mine == expected
        store.gate.set()
        await settled(entities)
        assert await store.stored("user", "ann") == expected


async def test_a_cancelled_request_is_written_nevertheless() -> None:
    store = FakeStore()
    store.gate = anyio.Event()
    async with cached(store) as entities:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(entities.merge, ANN, ACME)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        store.gate.set()
        await settled(entities)
    assert await store.stored("user", "ann") == {"claimed": {"tier": "free"}}


# What does not fit.


async def test_what_does_not_fit_is_refused_and_nothing_is_changed() -> None:
    store = FakeStore()
    async with cached(store) as entities:
        await entities.merge(Entity("ann", {"a": HALF}, "key"), ACME)
        store.count()
        with pytest.raises(RequestTooLargeError) as caught:
            await entities.merge(Entity("ann", {"b": HALF}, "key"), ACME)
        assert caught.value.param == "user.metadata"
        with pytest.raises(RequestTooLargeError) as caught:
            await entities.merge(Entity("ann", {"b": 1}, "key"), Entity("acme", {"a": HALF * 2}))
        assert caught.value.param == "group.metadata"
        assert store.count() == 0
        assert await entities.metadata("user", "ann") == {"a": HALF}
    assert await store.stored("user", "ann") == {"key": {"a": HALF}}


async def test_what_does_not_fit_with_what_others_wrote() -> None:
    clock, store = Clock(), FakeStore()
    async with cached(store, clock=clock) as entities:
        for user in ("ann", "bob"):
            await entities.merge(Entity(user, None, "claimed"), None)
            await store.merge("user", user, "claimed", {"a": HALF})
        outcomes: dict[str, object] = {}

        async def merge(name: str, entity: Entity) -> None:
            try:
                outcomes[name] = (await entities.merge(entity, None))[0]
            except RequestTooLargeError as error:
                outcomes[name] = error.param

        store.gate = anyio.Event()
        clock.now += 60
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(merge, "first", Entity("bob", {"b": HALF}, "claimed"))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(merge, "too large", Entity("ann", {"b": HALF}, "claimed"))
            tasks.start_soon(merge, "host", Entity("ann", {"c": 1}, "host"))
            tasks.start_soon(merge, "nothing", Entity("ann", None, "claimed"))
            await anyio.wait_all_tasks_blocked()
            store.gate.set()
        stored = {"claimed": {"a": HALF}, "host": {"c": 1}}
        assert outcomes["too large"] == outcomes["first"] == "user.metadata"
        assert outcomes["host"] == stored
        assert await store.stored("user", "ann") == stored
        assert (await entities.merge(Entity("ann"), None))[0] == stored


async def test_what_waits_and_will_not_fit_is_not_believed() -> None:
    store = FakeStore()
    await store.merge("user", "ann", "claimed", {"a": HALF})
    store.gate = anyio.Event()
    async with cached(store, deadline=0.01) as entities:
        await entities.merge(Entity("ann", None, "claimed"), None)
        mine, _ = await entities.merge(Entity("ann", {"b": HALF}, "claimed"), None)
        assert mine == {"claimed": {"b": HALF}}
        store.gate.set()
        while len(entities._jobs) == 2:
            await anyio.lowlevel.checkpoint()
        assert await entities.metadata("user", "ann") == {"a": HALF}
        await settled(entities)
        assert await entities.metadata("user", "ann") == {"a": HALF}


async def test_what_is_no_metadata_is_refused() -> None:
    store = FakeStore()
    nested: list[object] = []
    for _ in range(200):
        nested = [nested]
    async with cached(store) as entities:
        with pytest.raises(InvalidRequestError, match="too deep"):
            await entities.merge(Entity("ann", {"a": nested}), None)
        with pytest.raises(InternalError):
            await entities.merge(Entity("ann", {"a": object()}), None)
        assert store.count() == 0


# Opening, closing, and bounds.


async def test_a_store_that_cannot_be_used_is_refused_at_the_start() -> None:
    store = FakeStore()
    store.opening = ConfigurationError("No.")
    with pytest.raises(ConfigurationError, match="No"):
        async with cached(store):
            pass
    assert (store.opened, store.closed) == (1, 1)


async def test_a_store_that_cannot_be_reached_yet(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    store.opening = OSError("canary")
    async with cached(store) as entities:
        store.gate = anyio.Event()
        assert await entities.merge(ANN, None) == ({"claimed": {"tier": "free"}}, {})
        store.gate.set()
        await settled(entities)
        assert "cannot be opened yet: OSError" in caplog.text
        assert "canary" not in caplog.text
        await entities.merge(ANN, ACME)
        assert await store.linked("ann", "acme")


async def test_before_it_runs_nobody_waits_and_nothing_is_lost() -> None:
    store = FakeStore()
    entities = CachedEntities(store, deadline=60)
    assert await entities.merge(ANN, ACME) == ({"claimed": ANN.metadata}, {"key": ACME.metadata})
    assert store.calls == []
    async with kept(entities):
        await settled(entities)
    assert await store.stored("user", "ann") == {"claimed": {"tier": "free"}}
    assert await entities.merge(Entity("ann", {"tier": "gold"}), None) == (
        {"claimed": {"tier": "free"}, "host": {"tier": "gold"}},
        {},
    )
    async with kept(entities):
        await settled(entities)
    assert await store.stored("user", "ann") == {
        "claimed": {"tier": "free"},
        "host": {"tier": "gold"},
    }


async def test_what_is_left_at_the_end_is_written() -> None:
    store = FakeStore()
    gate = store.gate = anyio.Event()
    async with cached(store, deadline=0.01) as entities:
        for number in range(20):
            await entities.merge(Entity(f"u{number}", {"n": number}), ACME)
        store.gate = anyio.Event()
        store.gate.set()
    assert not gate.is_set()
    assert [await store.stored("user", f"u{n}") for n in range(20)] == [
        {"host": {"n": n}} for n in range(20)
    ]
    assert store.closed == 1
    assert len(entities._jobs) == entities._jobs.bytes == 0


async def test_what_cannot_be_written_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    clock, store = Clock(), FakeStore()
    store.closing = ValueError("canary")
    async with cached(store, clock=clock) as entities:
        store.error = OSError("canary")
        await entities.merge(ANN, ACME)
    assert "3 users and groups were not stored in time" in caplog.text
    assert "could not be closed" in caplog.text


async def test_the_queue_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    clock, store = Clock(), FakeStore()
    store.gate = anyio.Event()
    async with cached(store, queue=10, deadline=0.001, clock=clock) as entities:
        for number in range(30):
            changes = {"n": number} if number % 2 else None
            await entities.merge(Entity(f"u{number}", changes), None)
        assert len(entities._jobs) == 10
        assert entities.dropped == 10
        assert caplog.text.count("changes are lost") == 1
        await entities.merge(Entity("u1"), Entity("acme"))
        assert entities.dropped == 11
        assert entities._known.seen(Entity("u1"), Entity("acme"), 0) is None
        store.gate.set()
        await settled(entities)
        clock.now += 1
        await entities.merge(Entity("u29", {"n": 29}), None)
        await settled(entities)
    assert await store.stored("user", "u29") == {"host": {"n": 29}}


async def test_the_queue_is_bounded_in_bytes() -> None:
    store = FakeStore()
    store.gate = anyio.Event()
    async with cached(store, deadline=0.001) as entities:
        for number in range(300):
            await entities.merge(Entity(f"u{number}", {"n": "x" * 60_000}), None)
            await entities.merge(Entity("ann", {f"n{number % 2}": f"{number:020000}"}), None)
            assert entities._jobs.bytes <= 16 * 1024 * 1024
        assert entities.dropped > 30
        store.gate.set()
        await settled(entities)
    assert entities._jobs.bytes == 0


async def test_one_that_always_fails_stands_in_nobodys_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, store = Clock(), FakeStore()
    async with cached(store, clock=clock, sleep=clock.sleep) as entities:
        store.error, store.sore = OSError(), {"sore"}
        await entities.merge(Entity("sore", {"a": 1}), None)
        for number in range(50):
            await entities.merge(Entity(f"u{number}", {"n": number}), None)
        await settled(entities)
        assert entities.dropped == 1
        assert "it is given up" in caplog.text
        assert [await store.stored("user", f"u{n}") for n in range(50)] == [
            {"host": {"n": n}} for n in range(50)
        ]


async def test_when_all_fails_nothing_is_given_up() -> None:
    clock, store = Clock(), FakeStore()
    async with cached(store, clock=clock, sleep=clock.sleep) as entities:
        store.error = OSError()
        await entities.merge(ANN, ACME)
        while len(clock.slept) < 100:
            await anyio.lowlevel.checkpoint()
        store.error = None
        await settled(entities)
    assert entities.dropped == 0
    assert await store.stored("user", "ann") == {"claimed": {"tier": "free"}}


async def test_many_users_take_the_room_of_some() -> None:
    store = FakeStore()
    async with cached(store, size=100, max_bytes=1_000_000) as entities:
        for number in range(2000):
            fields: dict[str, Any] = {"n": number, "x": "x" * (20_000 if number % 10 == 0 else 10)}
            await entities.merge(Entity(f"u{number}", fields, "claimed"), ACME)
        known = entities._known
        assert len(known.links) <= 100
        assert 10 < len(known.users) <= 100
        assert known.users.bytes <= 1_000_000
        assert len(entities._jobs) == 0


async def test_entities_that_need_nothing_are_kept_by_nobody() -> None:
    async with kept(MemoryEntities()):
        pass
