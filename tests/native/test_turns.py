"""Two turns of tools with reasoning: what the official client was given goes back in unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage

from waystone_asgi.testing import FakeProvider

from .oracles import accept
from .scripts import SCRIPTS, Script
from .through import ABANDONED, JSON, Through, body_of, played, provider

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(ABANDONED)]

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]

DUMPS: dict[str, Callable[[ChatCompletionMessage], JSON]] = {
    "without nulls": lambda message: message.model_dump(exclude_none=True),
    "with nulls": lambda message: message.model_dump(),
    "as it came": lambda message: message.to_dict(),
}


LOST = {
    "messages[].reasoning_content",
    "messages[].reasoning_details",
    "messages[].extra_content",
    "messages[].tool_calls[].extra_content",
}
"""What of an answer only the provider understands that gave it."""


def answers(script: Script, answer: Any, stop: str, *, stream: bool) -> Any:
    if stream:
        return played(script.events(answer, stop), {"content-type": script.streams})
    return played([script.whole(answer, stop)], {"content-type": "application/json"})


@pytest.mark.parametrize("dump", DUMPS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_what_came_out_goes_back_in(name: str, stream: bool, dump: str) -> None:
    script = SCRIPTS[name]
    upstream = FakeProvider(
        *(answers(script, turn, script.calling, stream=stream) for turn in script.turns),
        answers(script, script.said, script.stopped, stream=stream),
    )
    through = Through(upstream, provider(script.type, strict=True))
    messages: list[Any] = [{"role": "user", "content": "Look."}]
    asked = {
        "model": f"{script.type}/{script.model}",
        "messages": messages,
        "tools": TOOLS,
        "stream": stream,
    }
    async with through.opened() as ask:
        for _ in script.turns:
            got = await ask(asked)
            assert got.finish_reason == "tool_calls"
            message = got.answer.choices[0].message
            messages.append(DUMPS[dump](message))
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": f"seen by {call.id}"}
                for call in message.tool_calls or ()
            ]
        got = await ask(asked)
    assert (got.message["content"], got.finish_reason) == ("Hello there.", "stop")
    assert got.dropped == []
    sent = [script.sent_back(body_of(request)) for request in upstream.requests]
    assert sent == [[], [script.turns[0]], [*script.turns]]
    assert [record.outcome for record in through.sink.records] == ["ok"] * 3


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # No event loop translates otherwise.
@pytest.mark.parametrize("later", SCRIPTS)
@pytest.mark.parametrize("first", SCRIPTS)
async def test_another_provider_takes_it_over(first: str, later: str) -> None:
    """A conversation may go on elsewhere: what only the first one understands is left out."""
    one, two = SCRIPTS[first], SCRIPTS[later]
    upstream = FakeProvider(
        *(answers(one, turn, one.calling, stream=False) for turn in one.turns),
        answers(two, two.said, two.stopped, stream=False),
    )
    types = dict.fromkeys([one.type, two.type])
    through = Through(upstream, *map(provider, types))
    messages: list[Any] = [{"role": "user", "content": "Look."}]
    asked = {"model": f"{one.type}/{one.model}", "messages": messages, "tools": TOOLS}
    ids: list[str] = []
    async with through.opened() as ask:
        for _ in one.turns:
            message = (await ask(asked)).answer.choices[0].message
            messages.append(message.model_dump())
            for call in message.tool_calls or ():
                ids.append(f"seen by {call.id}")
                messages.append({"role": "tool", "tool_call_id": call.id, "content": ids[-1]})
        got = await ask({**asked, "model": f"{two.type}/{two.model}"})
    assert got.message["content"] == "Hello there."
    body = body_of(upstream.requests[-1])
    accept(two, body)
    assert len(two.sent_back(body)) == 2
    assert all(result in str(body) for result in ids)
    assert set(got.dropped) <= LOST
