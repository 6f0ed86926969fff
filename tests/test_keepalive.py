"""Streams that fall silent: a comment between events, never within one, and never two at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

import anyio
import anyio.lowlevel
import pytest
import trio.testing

from waystone_asgi import Gateway, MemorySink, Provider
from waystone_asgi.exceptions import GatewayError, UpstreamTimeoutError
from waystone_asgi.guards import AnswerScreen
from waystone_asgi.keepalive import LOOKS, KeepAlives
from waystone_asgi.providers.openai import StreamDecoder
from waystone_asgi.relay import first_events, first_shown, relay
from waystone_asgi.responses import KEEP_ALIVE, Comment, Reply
from waystone_asgi.sse import DONE
from waystone_asgi.testing import FakeAnswer, FakeProvider, Piece, chunks
from waystone_asgi.types import Message, Send
from waystone_asgi.wire.requests import decode_chat_request

from .asgi import Caller, chat
from .guards.made import Watcher, checking

pytestmark = pytest.mark.anyio

HI, THERE, STOP, USAGE, _ = chunks("Hi", " there").pieces
SECONDS = 15.0
BOUND = 5.0
REQUEST = b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}'

turned = pytest.mark.parametrize(
    "anyio_backend",
    [pytest.param(("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}), id="trio")],
)
"""For long waits: a clock that jumps to the next deadline when nobody has anything to do."""


def silence(seconds: float) -> Callable[[], Awaitable[None]]:
    return partial(anyio.sleep, seconds)


async def run(
    pieces: list[Piece],
    *,
    send: Send | None = None,
    screen: AnswerScreen | None = None,
    seconds: float = SECONDS,
) -> tuple[list[bytes], GatewayError | None]:
    """The writes that reach the caller of a stream that is kept alive, and what ended it."""
    caller, answer = Caller(), FakeAnswer(pieces)
    decoder = StreamDecoder(decode_chat_request(REQUEST).view)
    reply, keep_alives = Reply(send or caller.send, "r"), KeepAlives(seconds)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_alives.run, tasks)
        held = await first_events(answer, decoder)
        if screen is not None:
            held = await first_shown(answer, decoder, screen, held)
        await reply.start_stream()
        failure = await relay(
            answer,
            decoder,
            reply,
            held,
            redact=lambda error: error,
            screen=screen,
            keep_alives=keep_alives,
        )
        tasks.cancel_scope.cancel()
    assert keep_alives._since == {}
    return [message["body"] for message in caller.answer.messages[1:]], failure


@turned
@pytest.mark.parametrize(
    ("pause", "comments"),
    [(1.0, 0), (SECONDS - 0.1, 0), (17.1, 1), (29.0, 1), (36.0, 2), (100.0, 6)],
)
async def test_a_silent_provider(pause: float, comments: int) -> None:
    writes, failure = await run([HI, silence(pause), THERE, STOP, DONE])
    assert writes == [HI, *[KEEP_ALIVE] * comments, THERE, STOP, DONE]
    assert failure is None


@turned
async def test_each_write_breaks_the_silence() -> None:
    pause = silence(SECONDS - 0.1)
    writes, _ = await run([HI, pause, THERE, pause, THERE, pause, STOP, DONE])
    assert writes == [HI, THERE, THERE, STOP, DONE]


@turned
async def test_an_event_in_halves_is_not_interrupted() -> None:
    assert isinstance(THERE, bytes)
    writes, _ = await run([HI, THERE[:30], silence(20), THERE[30:], STOP, DONE])
    assert writes == [HI, KEEP_ALIVE, THERE, STOP, DONE]


@turned
async def test_the_idle_timer_ends_it_all_the_same() -> None:
    late = UpstreamTimeoutError("It was late.")
    writes, failure = await run([HI, silence(30), late])
    assert writes[:2] == [HI, KEEP_ALIVE]
    assert len(writes) == 3
    assert b"It was late." in writes[2]
    assert failure is late


@turned
async def test_nothing_is_sent_before_the_first_event() -> None:
    writes, _ = await run([silence(100), HI, STOP, DONE])
    assert writes == [HI, STOP, DONE]


@turned
async def test_events_that_a_guard_holds_back() -> None:
    screen = AnswerScreen(checking(Watcher(), window=2, deadline=1.0))
    [one, two, *_] = chunks("I", " ").pieces
    writes, _ = await run([HI, one, silence(20), two, STOP, DONE], screen=screen)
    assert isinstance(one, bytes)
    assert isinstance(two, bytes)
    assert b"".join(writes).replace(KEEP_ALIVE, b"") == b"".join([HI, one, two, STOP, DONE])  # type: ignore[list-item]
    assert writes.count(KEEP_ALIVE) == 1


class Slow:
    """A server whose caller takes nothing from write number `at` on until `go`; one at a time."""

    def __init__(self, at: int) -> None:
        self.go = anyio.Event()
        self.bodies: list[bytes] = []
        self._at = at
        self._sending = False
        self.begun = anyio.Event()

    async def __call__(self, message: Message) -> None:
        assert not self._sending, "two at once"
        self._sending = True
        try:
            if len(self.bodies) >= self._at:
                self.begun.set()
                await self.go.wait()
        finally:
            self._sending = False
        self.bodies.append(message.get("body", b"head"))


@turned
async def test_a_caller_who_does_not_read_gets_no_comment() -> None:
    slow = Slow(at=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(run, [HI, THERE, STOP, DONE], send=slow))
        await anyio.sleep(100)
        slow.go.set()
    assert slow.bodies == [b"head", HI, THERE, STOP, DONE]


@turned
@pytest.mark.parametrize("following", [[THERE, STOP, DONE], [STOP + DONE]], ids=["more", "end"])  # type: ignore[operator]
async def test_events_wait_for_a_comment_that_is_on_its_way(following: list[Piece]) -> None:
    slow = Slow(at=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(run, [HI, silence(40), *following], send=slow))
        await anyio.sleep(100)
        slow.go.set()
    assert slow.bodies == [b"head", HI, KEEP_ALIVE, *following]


async def test_a_first_write_waits_for_it_too() -> None:
    slow = Slow(at=0)
    reply = Reply(slow, "r")
    comment = Comment(reply)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(comment.send)
        tasks.start_soon(reply.write, b"data: 1\n\n")
        await slow.begun.wait()
        slow.go.set()
    assert slow.bodies == [KEEP_ALIVE, b"data: 1\n\n"]
    assert (reply.comment, reply.quiet) == (None, False)


@pytest.mark.parametrize("started", [False, True])
async def test_a_stream_that_is_given_up_sends_no_comment(started: bool) -> None:
    slow = Slow(at=0)
    reply, keep_alives = Reply(slow, "r"), KeepAlives(SECONDS)
    keep_alives.add(reply)
    comment = Comment(reply)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(comment.send)
        if started:
            await slow.begun.wait()
        keep_alives.remove(reply)
    assert (slow.bodies, reply.comment) == ([], None)
    await comment.sent()


@pytest.mark.parametrize(("error", "told"), [(OSError("gone"), False), (KeyError("bug"), True)])
async def test_a_server_that_cannot_send_a_comment(
    error: Exception, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def send(message: Message) -> None:
        raise error

    reply = Reply(send, "r")
    await Comment(reply).send()
    assert reply.comment is None
    assert ("cannot be kept alive" in caplog.text) is told


async def test_a_gateway_that_closes_leaves_nobody_waiting() -> None:
    reply = Reply(Slow(at=0), "r")
    comment = Comment(reply)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(comment.send)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await comment.sent()


class Uneven:
    """A server that takes each write after a while of its own, one at a time."""

    def __init__(self, random: Random) -> None:
        self.received = b""
        self._random = random
        self._sending = False

    async def __call__(self, message: Message) -> None:
        assert not self._sending, "two at once"
        self._sending = True
        try:
            await anyio.sleep(self._random.choice([0, 0, 1, 14.9, 15, 16, 40]))
        finally:
            self._sending = False
        self.received += message.get("body", b"")


@turned
@pytest.mark.parametrize("seed", range(20))
async def test_whatever_the_pauses_the_events_are_the_same(seed: int) -> None:
    random = Random(seed)
    events = [HI, *[random.choice([HI, THERE]) for _ in range(20)], STOP, DONE]
    pieces: list[Piece] = []
    for event in events:
        assert isinstance(event, bytes)
        middle = random.randrange(1, len(event))
        for part in (event[:middle], event[middle:]):
            pieces += [silence(random.choice([0, 1, 14.9, 15.1, 17.1, 50])), part]
    server = Uneven(random)
    await run(pieces, send=server)
    assert server.received.count(KEEP_ALIVE) > 0
    assert server.received.replace(KEEP_ALIVE, b"") == b"".join(events)  # type: ignore[arg-type]


async def test_many_streams_on_every_event_loop() -> None:
    """One is silent for as long as it takes, the others say something all the time."""
    keep_alives, went = KeepAlives(0.05), anyio.Event()

    def on_send(message: Message) -> None:
        if message.get("body") == KEEP_ALIVE:
            went.set()

    quiet, callers = Caller(on_send=on_send), [Caller() for _ in range(5)]
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_alives.run, tasks)
            await anyio.wait_all_tasks_blocked()
            replies = [Reply(caller.send, "r") for caller in (quiet, *callers)]
            for reply in replies:
                await reply.start_stream()
                keep_alives.add(reply)
            while not went.is_set():
                for reply in replies[1:]:
                    await reply.write(HI if isinstance(HI, bytes) else b"")
                await anyio.sleep(0.05 / LOOKS)
            for reply in replies:
                keep_alives.remove(reply)
            tasks.cancel_scope.cancel()
    assert quiet.answer.body == KEEP_ALIVE


@pytest.mark.parametrize("keep_alive", [15.0, False])
@turned
async def test_through_the_gateway(keep_alive: float | bool) -> None:
    sink = MemorySink()
    gateway = Gateway(
        providers=[Provider.openai(api_key="sk", base_url="http://provider.test/v1")],
        upstream=FakeProvider(FakeAnswer([HI, silence(20), THERE, STOP, USAGE, DONE])),
        allow_anonymous=True,
        sinks=[sink],
        keep_alive=keep_alive,
    )
    for _ in range(2):  # The second time on what the first has left.
        async with gateway.running():
            answer = await chat(gateway, stream=True)
        assert answer.body.count(KEEP_ALIVE) == (1 if keep_alive else 0)
        assert answer.body.endswith(DONE)
    assert [record.outcome for record in sink.records] == ["ok"] * 2
