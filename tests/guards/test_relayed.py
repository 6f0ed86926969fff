"""A screened stream on its way from a provider to the caller, as the corridor joins the parts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from waystone_asgi.exceptions import BlockedError, GatewayError, InternalError
from waystone_asgi.guards import AnswerScreen
from waystone_asgi.providers.openai import StreamDecoder
from waystone_asgi.relay import first_events, first_shown, relay
from waystone_asgi.responses import Reply
from waystone_asgi.sse import DONE
from waystone_asgi.testing import FakeAnswer, chunks
from waystone_asgi.types import Guard
from waystone_asgi.wire.requests import decode_chat_request

from ..asgi import Caller
from .made import Watcher, block, checking, event, fail, hang, hide, says

pytestmark = pytest.mark.anyio

ROLE = event(says(role="assistant", content=""))
STOP = event(says(finish="stop"))


def word(text: str) -> bytes:
    return event(says(content=text))


class Relayed:
    """A stream in pieces, and what the caller got of it."""

    def __init__(self, pieces: Sequence[bytes], *guards: Guard) -> None:
        self.answer = FakeAnswer(pieces)
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
        self.decoder = StreamDecoder(decode_chat_request(json.dumps(body).encode()).view)
        self.screen = AnswerScreen(checking(*guards, window=4, deadline=0.01))
        self.caller = Caller()

    async def run(self) -> GatewayError | None:
        answer, decoder, screen = self.answer, self.decoder, self.screen
        reply = Reply(self.caller.send, "r")
        held = await first_events(answer, decoder)
        held = await first_shown(answer, decoder, screen, held)
        await reply.start_stream()
        return await relay(answer, decoder, reply, held, redact=lambda error: error, screen=screen)

    @property
    def writes(self) -> list[bytes]:
        return [message["body"] for message in self.caller.answer.messages[1:]]


@pytest.mark.parametrize(
    ("guards", "second"),
    [
        ([Watcher()], word("hu") + word("sh")),
        ([hide], word("****")),
        ([hide, block], word("****")),
    ],
)
async def test_a_stream_goes_on_window_by_window(guards: Sequence[Guard], second: bytes) -> None:
    relayed = Relayed([ROLE, word("abcd"), word("hu"), word("sh"), STOP, DONE], *guards)
    assert await relayed.run() is None
    assert relayed.writes == [ROLE + word("abcd"), second, STOP, DONE]
    assert relayed.decoder.complete


@pytest.mark.parametrize(
    ("guard", "error"),
    [(block, BlockedError), (fail, InternalError), (hang, InternalError)],
)
async def test_a_refusal_at_once_is_a_plain_error(guard: Guard, error: type[GatewayError]) -> None:
    relayed = Relayed([ROLE, word("hush"), word("abcd"), STOP, DONE], guard)
    with pytest.raises(error):
        await relayed.run()
    assert relayed.caller.answer.messages == []
    assert relayed.answer.received == 2
    assert relayed.decoder.started
    assert relayed.decoder.estimated_output_tokens == 2


async def test_a_later_refusal_is_an_error_event_and_the_end() -> None:
    relayed = Relayed([ROLE, word("abcd"), word("efgh"), word("hush"), word("i"), DONE], block)
    failure = await relayed.run()
    assert isinstance(failure, BlockedError)
    *shown, last = relayed.writes
    assert shown == [ROLE + word("abcd"), word("efgh")]
    assert json.loads(last[6:])["error"] == {
        "message": "No secrets.",
        "type": "permission_error",
        "param": None,
        "code": "blocked_by_rule",
    }
    assert relayed.caller.answer.complete
    assert relayed.answer.received == 4


async def test_what_is_held_is_checked_when_the_provider_breaks_off() -> None:
    whole = chunks("abcd", "ef").pieces
    relayed = Relayed([piece for piece in whole[:2] if isinstance(piece, bytes)], hide)
    failure = await relayed.run()
    assert failure is not None
    assert failure.message == "The provider's stream ended before the answer was complete."
    assert b'"ef"' in relayed.writes[-1]
