"""A stream on its way to the caller: one write an arrival, and an end that tells the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence

import anyio
import pytest
import trio.testing

from waystone_asgi.exceptions import (
    BlockedError,
    CallerLeft,
    GatewayError,
    UpstreamError,
    UpstreamTimeoutError,
)
from waystone_asgi.providers.openai import StreamDecoder
from waystone_asgi.relay import drain, first_events, first_shown, relay, whole_stream
from waystone_asgi.responses import Reply
from waystone_asgi.sse import DONE
from waystone_asgi.testing import FakeAnswer, Piece, chunks
from waystone_asgi.types import Message
from waystone_asgi.wire.requests import decode_chat_request

from .asgi import Caller

pytestmark = pytest.mark.anyio

HI, THERE, STOP, USAGE, _ = chunks("Hi", " there").pieces
COMMENT = b": still working\n\n"
ERROR = b'data: {"error":{"message":"Overloaded.","type":"server_error","code":null}}\n\n'
LIMIT = b'data: {"error":{"message":"Slow down.","type":"requests","code":429}}\n\n'
BROKEN = UpstreamError("It broke off.")
LATE = UpstreamTimeoutError("It was late.")


def decoder(*, usage: bool = False, n: int = 1) -> StreamDecoder:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_usage": usage},
        "n": n,
    }
    return StreamDecoder(decode_chat_request(json.dumps(body).encode()).view)


def shown(error: GatewayError) -> GatewayError:
    error.message = f"redacted {error.message}"
    return error


class Pairs:
    """A screen that lets events through two by two, the rest at the end, and none with `bad`."""

    def __init__(self, bad: bytes = b"there") -> None:
        self.started = False
        self._bad = bad
        self._held: list[bytes] = []

    async def feed(self, events: bytes) -> bytes:
        if self._bad in events:
            raise BlockedError("Not this.")
        self._held += [event + b"\n\n" for event in events.split(b"\n\n")[:-1]]
        return self._release(len(self._held) // 2 * 2)

    async def finish(self) -> bytes:
        return self._release(len(self._held))

    def _release(self, count: int) -> bytes:
        self.started = self.started or count > 0
        released, self._held = self._held[:count], self._held[count:]
        return b"".join(released)


async def run(
    pieces: Sequence[Piece], screen: Pairs | None = None, **options: int
) -> tuple[list[bytes], GatewayError | None]:
    """The writes that reach the caller, and the error that ended the stream."""
    caller, answer, follows = Caller(), FakeAnswer(pieces), decoder(**options)  # type: ignore[arg-type]
    reply = Reply(caller.send, "r")
    held = await first_events(answer, follows)
    if screen is not None:
        held = await first_shown(answer, follows, screen, held)
    assert caller.answer.messages == []
    await reply.start_stream()
    failure = await relay(answer, follows, reply, held, redact=shown, screen=screen)
    assert caller.answer.complete
    return [message["body"] for message in caller.answer.messages[1:]], failure


@pytest.mark.parametrize(
    ("pieces", "writes"),
    [
        ([HI, THERE, STOP, USAGE, DONE], [HI, THERE, STOP, DONE]),
        ([HI + THERE, STOP + USAGE + DONE], [HI + THERE, STOP + DONE]),
        ([HI + THERE + STOP + DONE], [HI + THERE + STOP + DONE]),
        ([HI, STOP], [HI, STOP, DONE]),
        ([HI, STOP, USAGE], [HI, STOP, DONE]),
        ([HI, STOP[:-1]], [HI, STOP + b"\n" + DONE]),
        ([HI, STOP, BROKEN], [HI, STOP, DONE]),
        ([COMMENT, HI, COMMENT, STOP, DONE], [COMMENT + HI, COMMENT, STOP, DONE]),
        ([HI[:9], HI[9:], STOP, DONE], [HI, STOP, DONE]),
        ([HI, b"data: {not json\n\n", STOP, DONE], [HI, STOP, DONE]),
        ([HI, STOP, DONE + HI], [HI, STOP, DONE]),
        ([HI + STOP + DONE, HI, BROKEN], [HI + STOP + DONE]),
        ([DONE], [DONE]),
    ],
)
async def test_complete_streams(pieces: list[Piece], writes: list[bytes]) -> None:
    assert await run(pieces) == (writes, None)


async def test_usage_for_those_who_asked() -> None:
    writes, _ = await run([HI, STOP, USAGE, DONE], usage=True)
    assert writes == [HI, STOP, USAGE, DONE]


@pytest.mark.parametrize(
    ("pieces", "writes", "message", "n"),
    [
        ([HI], [HI], "ended before the answer was complete", 1),
        ([HI, THERE[:20]], [HI], "ended before the answer was complete", 1),
        ([HI, BROKEN], [HI], "It broke off.", 1),
        ([HI, THERE[:20], BROKEN], [HI], "It broke off.", 1),
        ([HI, LATE], [HI], "It was late.", 1),
        ([HI, ERROR, THERE, STOP, DONE], [HI], "Overloaded.", 1),
        ([HI + ERROR + THERE], [HI], "Overloaded.", 1),
        ([HI, ERROR, BROKEN], [HI], "Overloaded.", 1),
        ([HI, STOP], [HI, STOP], "ended before the answer was complete", 2),
        ([HI, STOP, ERROR], [HI, STOP], "Overloaded.", 1),
    ],
)
async def test_streams_that_are_cut(
    pieces: list[Piece], writes: list[bytes], message: str, n: int
) -> None:
    sent, failure = await run(pieces, n=n)
    assert isinstance(failure, GatewayError)
    whole = b"".join(sent)
    told = whole.removeprefix(b"".join(writes))
    assert told.startswith(b'data: {"error":{')
    assert told.endswith(b"}\n\n")
    assert message in json.loads(told[6:])["error"]["message"]
    assert failure.message.startswith("redacted ")
    assert b"[DONE]" not in whole
    assert whole.count(b'"stop"') == b"".join(writes).count(b'"stop"')


@pytest.mark.parametrize(
    ("pieces", "message", "status"),
    [
        ([], "before its first event", 502),
        ([COMMENT], "before its first event", 502),
        ([b"\n\n"], "before its first event", 502),
        ([b"data: {not json}\n\n"], "before its first event", 502),
        ([BROKEN], "It broke off.", 502),
        ([COMMENT, LATE], "It was late.", 504),
        ([ERROR, HI], "Overloaded.", 502),
        ([ERROR[:20], ERROR[20:]], "Overloaded.", 502),
        ([LIMIT], "Slow down.", 429),
        ([COMMENT + LIMIT], "Slow down.", 429),
    ],
)
async def test_failures_before_the_first_event(
    pieces: list[Piece], message: str, status: int
) -> None:
    with pytest.raises(GatewayError) as caught:
        await first_events(FakeAnswer(pieces), decoder())
    assert message in caught.value.message
    assert caught.value.status == status


async def test_comments_do_not_stand_for_the_first_event() -> None:
    answer = FakeAnswer([COMMENT, COMMENT, anyio.sleep_forever])
    with pytest.raises(UpstreamTimeoutError, match="no event came in time"):
        await first_events(answer, decoder(), lambda: 0.01)
    assert answer.received == 3


async def test_an_error_beside_the_first_event_comes_after_it() -> None:
    sent, failure = await run([HI + ERROR])
    assert failure is not None
    assert sent[0].startswith(bytes(HI) if isinstance(HI, bytes) else b"")
    assert b"Overloaded." in sent[0]


async def test_each_event_leaves_before_the_next_one_comes() -> None:
    caller, follows = Caller(), decoder()
    seen: list[int] = []

    async def look() -> None:
        seen.append(len(caller.answer.messages))

    answer = FakeAnswer([HI, look, THERE, look, STOP, look, DONE])
    reply = Reply(caller.send, "r")
    held = await first_events(answer, follows)
    await reply.start_stream()
    await relay(answer, follows, reply, held, redact=shown)
    assert seen == [2, 3, 4]


@pytest.mark.parametrize(
    ("pieces", "writes"),
    [
        ([HI, HI, HI, STOP, DONE], [HI + HI, HI + STOP, DONE]),
        ([HI, HI, STOP, DONE], [HI + HI, STOP + DONE]),
        ([HI + HI + STOP + DONE], [HI + HI + STOP + DONE]),
        ([HI, STOP, HI, BROKEN], [HI + STOP, HI + DONE]),
        ([HI, STOP, BROKEN], [HI + STOP, DONE]),
        ([HI, STOP], [HI + STOP, DONE]),
    ],
)
async def test_a_screen_holds_events_back(pieces: list[Piece], writes: list[bytes]) -> None:
    assert await run(pieces, Pairs()) == (writes, None)


@pytest.mark.parametrize(
    ("pieces", "shows", "message"),
    [
        ([HI, HI, HI], HI + HI + HI, "ended before the answer was complete"),
        ([HI, HI, HI, BROKEN], HI + HI + HI, "It broke off."),
        ([HI, HI, HI, ERROR], HI + HI + HI, "Overloaded."),
        ([HI + HI + ERROR], HI + HI, "Overloaded."),
        ([HI, HI, HI, THERE, STOP, DONE], HI + HI, "Not this."),
        ([HI, STOP, THERE[:-1]], HI + STOP, "Not this."),
        ([HI, STOP, THERE[:-1], BROKEN], HI + STOP, "Not this."),
    ],
)
async def test_a_screened_stream_that_is_cut(
    pieces: list[Piece], shows: bytes, message: str
) -> None:
    sent, failure = await run(pieces, Pairs())
    whole = b"".join(sent)
    assert failure is not None
    assert whole.startswith(shows)
    assert json.loads(whole.removeprefix(shows)[6:])["error"]["message"] == failure.message
    assert message in failure.message


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "before its first event"),
        ([HI], "before the answer was complete"),
        ([HI, BROKEN], "It broke off."),
        ([HI, ERROR], "Overloaded."),
        ([HI + ERROR], "Overloaded."),
        ([HI, THERE], "Not this."),
        ([HI + THERE + STOP + DONE], "Not this."),
    ],
)
async def test_nothing_is_sent_before_the_screen_lets_it(pieces: list[Piece], message: str) -> None:
    with pytest.raises(GatewayError, match=message):
        await run(pieces, Pairs())


async def gather(
    pieces: Sequence[Piece], screen: Pairs | None = None, *, limit: int = 10_000
) -> tuple[bytes, StreamDecoder]:
    """What is held of a stream once it is complete."""
    answer, follows = FakeAnswer(pieces), decoder()
    held = await first_events(answer, follows)
    if screen is not None:
        held = await first_shown(answer, follows, screen, held)
    return await whole_stream(answer, follows, held, limit, screen), follows


@pytest.mark.parametrize(
    ("pieces", "held"),
    [
        ([HI, THERE, STOP, USAGE, DONE], HI + THERE + STOP + DONE),
        ([HI + THERE + STOP + DONE], HI + THERE + STOP + DONE),
        ([HI, STOP], HI + STOP + DONE),
        ([HI, STOP, BROKEN], HI + STOP + DONE),
        ([COMMENT, HI, b"data: {not json\n\n", STOP, DONE], COMMENT + HI + STOP + DONE),
        ([HI, DONE], HI + DONE),
    ],
)
@pytest.mark.parametrize("screened", [False, True])
async def test_a_stream_is_held_until_it_is_complete(
    pieces: list[Piece], held: bytes, screened: bool
) -> None:
    whole, follows = await gather(pieces, Pairs(bad=b"nothing") if screened else None)
    assert whole == held
    assert follows.done


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([HI], "ended before the answer was complete"),
        ([HI, THERE[:20]], "ended before the answer was complete"),
        ([HI, BROKEN], "It broke off."),
        ([HI, LATE], "It was late."),
        ([HI, ERROR, STOP, DONE], "Overloaded."),
        ([HI + STOP + ERROR], "Overloaded."),
        ([HI, STOP, ERROR], "Overloaded."),
        ([HI] * 200, "longer than 10000 bytes"),
    ],
)
async def test_a_stream_that_is_cut_while_it_is_held(pieces: list[Piece], message: str) -> None:
    with pytest.raises(UpstreamError, match=message):
        await gather(pieces)


async def test_a_screen_ends_what_is_held() -> None:
    with pytest.raises(BlockedError):
        await gather([HI, HI, THERE, STOP, DONE], Pairs())


@pytest.mark.parametrize("writes", range(3))
async def test_a_caller_who_left_is_noticed_at_the_next_write(writes: int) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if len(sent) > writes:
            raise OSError("closed")
        sent.append(message)

    answer, follows = FakeAnswer([HI, THERE, STOP, DONE]), decoder()
    reply = Reply(send, "r")
    held = await first_events(answer, follows)
    await reply.start_stream()
    with pytest.raises(CallerLeft):
        await relay(answer, follows, reply, held, redact=shown)
    assert answer.received == writes + 1


@pytest.mark.parametrize("pieces", [[HI, STOP], [HI, STOP, USAGE], [HI, STOP, USAGE, BROKEN]])
async def test_draining_takes_what_follows(pieces: list[Piece]) -> None:
    answer, follows = FakeAnswer(pieces), decoder()
    await drain(answer, follows)
    assert answer.received == len(pieces)
    assert (follows.usage is not None) == (USAGE in pieces)


async def test_an_answer_that_has_ended_is_not_drained() -> None:
    answer = FakeAnswer([HI])
    answer.ended = True  # type: ignore[attr-defined]
    await drain(answer, decoder())
    assert answer.received == 0


@pytest.mark.parametrize(
    "anyio_backend", [("trio", {"clock": trio.testing.MockClock(autojump_threshold=0.01)})]
)
async def test_draining_ends_after_a_second() -> None:
    answer = FakeAnswer([anyio.sleep_forever])
    begun = anyio.current_time()
    await drain(answer, decoder())
    assert anyio.current_time() - begun == pytest.approx(1)
    assert answer.received == 1
