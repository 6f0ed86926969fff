"""Two turns of tools with reasoning: what the official client was given goes back in unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage

from waystone_asgi.testing import FakeProvider

from .scripts import SCRIPTS, Script
from .through import ABANDONED, JSON, Through, body_of, played, provider

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(ABANDONED)]

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]

DUMPS: dict[str, Callable[[ChatCompletionMessage], JSON]] = {
    "without nulls": lambda message: message.model_dump(exclude_none=True),
    "with nulls": lambda message: message.model_dump(),
    "as it came": lambda message: message.to_dict(),
}


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
